"""What a network of images is taught with: read, brought to one size, linted, and divided so that nothing gives itself away."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from vicino.data.images import Images, Prepared, part_of, prepared, read_images, splits_of, told
from vicino.data.images.opening import Pixels
from vicino.data.lint import Finding, Lint, Severity
from vicino.errors import EmptyInput, InputError

__all__ = ["Judged", "Material", "Parts", "divide", "material"]

Judged = Literal["classes", "identities", "views"]
Rows = NDArray[np.int64]

_SAMPLE = 100  # images that tell what all are like
_LARGEST = 64  # pixels to a side, where nobody says otherwise
_MULTIPLE = 4  # patches and halved maps fit
_MOST_LEAKED = 20_000  # images of another part that are looked at
_FEW, _TOO_FEW = 500, 50
_SHOWN = 5  # rows of a finding
_MOST_JUDGED, _MOST_CHOSEN = 5_000, 2_000
_SHARES = {"classes": (0.1, 0.05), "views": (0.1, 0.05), "identities": (0.25, 0.1)}  # to judge and to choose by
_SMALL_CLASS, _MANY_CLASSES = 20, 10  # images to a class, on average; classes
_LEAST = 10  # images to judge by
_FEWEST_JUDGED = 5  # whole classes: two or three are all better by chance too often


@dataclass(frozen=True, eq=False)
class Material:
    """n images of one size, `pixels` (n, h, w, c) uint8, with the number of each one's class, (n,), and the `classes`' names.

    `copies` (n,) has one number for all images that are the same pixels. `found` is what the lint says; `digest` names all this.
    """

    pixels: Pixels
    ids: list[str]
    labels: NDArray[np.int64] | None
    classes: list[str]
    copies: Rows
    found: Lint
    digest: str

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows to `learn` from, to `choose` weights by and to `judge` by; and what it is judged `by`."""

    by: Judged
    learn: Rows
    choose: Rows
    judge: Rows


def material(
    data: Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    crop: bool = True,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
) -> Material:
    """The images of `data`, as `vicino.data.images.read_images` takes them, of one size.

    `split` None is "train" where there are such parts; with several parts, what the others repeat of it is found. `size` and
    `channels` None are those of most images, 64 pixels at most. Raises what reading and preparing raise.
    """
    parts = splits_of(data, columns=columns)
    split = ("train" if "train" in parts else None) if split is None else part_of(split) or split
    images = read_images(data, split=split, columns=columns)
    usual_size, usual_channels = _usual(images)
    depth: Literal[1, 3] = 3 if (channels or usual_channels) == 3 else 1
    made = prepared(images, size or usual_size, depth, crop=crop)
    others = []
    for name in parts if split is not None else ():
        with suppress(InputError):  # a part that cannot be read holds nothing that is learnt from
            if name != split:
                other = read_images(data, split=name, columns=columns)[:_MOST_LEAKED]
                others.append(prepared(other, size or usual_size, depth, crop=crop))
    classes = sorted(set(made.labels)) if made.labels is not None else []
    numbers = {name: number for number, name in enumerate(classes)}
    labels = None if made.labels is None else np.array([numbers[name] for name in made.labels], dtype=np.int64)
    stamps = _stamps(made.pixels)
    copies = np.unique(stamps, return_inverse=True)[1].astype(np.int64)
    found = _linted(made, labels, classes, copies, stamps, others)
    whole = hashlib.sha256(stamps.tobytes() + (b"" if labels is None else labels.tobytes()) + "\0".join(classes).encode())
    return Material(made.pixels, made.ids, labels, classes, copies, found, whole.hexdigest())


def divide(given: Material, by: Literal["auto", "classes", "identities", "views"], *, identities: bool, seed: int) -> Parts:
    """Which images to learn from, to choose weights by and to judge by; copies of one image never fall apart.

    Of "classes" and "views" a tenth of the images are judged by (5,000 at most) and a twentieth chosen by, of each class as
    much; of "identities" a quarter of the classes (five at least) and a tenth. `identities` says that what learns is meant for
    classes that it never saw. Raises InputError where that leaves too little, and for what needs labels that are not there.
    """
    chosen: Judged = _kind(given, identities) if by == "auto" else by
    if chosen != "views" and given.labels is None:
        raise InputError(f"to judge by {chosen} takes labels", mend="give judge=views, or images in folders named by class")
    random = np.random.default_rng(seed)
    shares = _SHARES[chosen]
    if chosen == "identities":
        judge, choose = _whole_classes(given, shares, random)
    else:
        labels = np.zeros(len(given), dtype=np.int64) if chosen == "views" or given.labels is None else given.labels
        single = np.unique(given.copies, return_index=True)[1]  # one of each that are the same
        judge = _of_each(single, labels, min(shares[0], _MOST_JUDGED / len(single)), random)
        rest = np.setdiff1d(single, judge)
        choose = _of_each(rest, labels, min(shares[1], _MOST_CHOSEN / len(single)) * len(single) / len(rest), random)
    held = np.isin(given.copies, given.copies[np.concatenate([judge, choose])])
    learn = np.flatnonzero(~held)
    if min(len(judge), len(choose)) < _LEAST or len(learn) < 2:
        what = f"{len(given):,} images are too few: {len(judge):,} would be judged by, {len(choose):,} chosen by"
        raise InputError(what, mend="give some hundred images, of several classes where there are any")
    return Parts(chosen, learn, choose, judge)


def _usual(images: Images) -> tuple[int, int]:
    """The side of most images, at most 64 and a multiple of 4, and their channels. Raises EmptyInput where none opens."""
    sides, colours = [], []
    for row in np.linspace(0, len(images) - 1, min(len(images), _SAMPLE)).astype(int):
        try:
            height, width, channels = images[int(row)].shape
        except InputError:
            continue
        sides.append(min(height, width))
        colours.append(channels)
    if not sides:
        raise EmptyInput("none of the images can be opened", mend="look at the first of them, and mend it")
    side = min(int(np.median(sides)), _LARGEST)
    return max(2 * _MULTIPLE, side // _MULTIPLE * _MULTIPLE), 1 if max(colours) == 1 else 3


def _stamps(pixels: Pixels) -> NDArray[np.uint64]:
    """A number for the content of each image (n,)."""
    whole = b"".join(hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in pixels)
    return np.frombuffer(whole, dtype=np.uint64)


# What is held back ----------------------------------------------------------------------------------------------------


def _kind(given: Material, identities: bool) -> Judged:
    if given.labels is None:
        return "views"
    many = len(given.classes) >= _MANY_CLASSES
    return "identities" if many and (identities or len(given) < _SMALL_CLASS * len(given.classes)) else "classes"


def _of_each(rows: Rows, labels: NDArray[np.int64], share: float, random: np.random.Generator) -> Rows:
    """About a share of the rows of each class, drawn; one at least of a class that has two."""
    drawn = random.permutation(rows)
    own = labels[drawn]
    order = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[order], own[order])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - starts
    sizes = np.bincount(own)[own]
    wanted = np.where(sizes > 1, np.maximum(1, np.round(share * sizes)), 0)
    return np.sort(drawn[rank < wanted])


def _whole_classes(given: Material, shares: tuple[float, float], random: np.random.Generator) -> tuple[Rows, Rows]:
    """The images of some classes to judge by, and of some to choose by; each class has two different images at least."""
    labels = cast("NDArray[np.int64]", given.labels)
    single = np.unique(given.copies, return_index=True)[1]
    sizes = np.bincount(labels[single], minlength=len(given.classes))
    drawn = random.permutation(np.flatnonzero(sizes > 1))
    first = max(_FEWEST_JUDGED, round(shares[0] * len(drawn)))
    second = max(2, round(shares[1] * len(drawn)))
    if len(given.classes) - first - second < 2 or len(drawn) < first + second:
        what = f"{len(drawn)} classes of two images or more are too few to hold whole classes back"
        raise InputError(what, mend="give images of ten classes or more, or judge=classes")

    def of(chosen: Rows, most: int) -> Rows:
        rows = single[np.isin(labels[single], chosen)]
        kept = chosen[: max(2, int(len(chosen) * most / max(len(rows), 1)))] if len(rows) > most else chosen
        return np.sort(rows[np.isin(labels[rows], kept)])

    return of(drawn[:first], _MOST_JUDGED), of(drawn[first : first + second], _MOST_CHOSEN)


# What the lint finds --------------------------------------------------------------------------------------------------


def _linted(
    made: Prepared,
    labels: NDArray[np.int64] | None,
    classes: list[str],
    copies: Rows,
    stamps: NDArray[np.uint64],
    others: list[Prepared],
) -> Lint:
    """Problems first. Rows are those of the images that could be read, from 0 on."""
    n = len(made)
    found: list[Finding] = []

    def note(name: str, severity: Severity, rows: Rows, sentence: str, mend: str, of: int = n) -> None:
        if len(rows):
            shown = tuple(int(row) for row in rows[:_SHOWN])
            found.append(Finding(name, severity, len(rows), len(rows) / of, shown, sentence, mend))

    def say(name: str, severity: Severity, count: int, sentence: str, mend: str) -> None:
        if count:
            found.append(Finding(name, severity, count, min(1.0, count / n), (), sentence, mend))

    first = np.unique(copies, return_index=True)[1]
    again = np.setdiff1d(np.arange(n), first)
    if labels is not None:
        counts = np.bincount(labels, minlength=len(classes))
        say("one class", "problem", int(len(classes) < 2), f"all images are of one class, {classes[0]}", "give two or more")
        few = len(first) < 2 * len(classes)
        say("few for classes", "problem", int(few), f"{len(first):,} images of {len(classes):,} classes", "give some of each")
        alone = int((counts == 1).sum())
        say("alone", "warning", alone, f"{alone:,} of {len(classes):,} classes have one image", "give each several")
        other = np.flatnonzero(labels != labels[first][copies])
        what = f"{len(other):,} of {n:,} images are the same pixels as one of another class"
        note("contradictions", "warning", other, what, "decide which class is right, and leave the other out")
    say("too few", "problem", int(n < _TOO_FEW), f"{n:,} images", f"give {_TOO_FEW} at least, better thousands")
    say("few", "warning", int(_TOO_FEW <= n < _FEW), f"{n:,} images", f"give {_FEW} or more, or begin with a pretrained network")
    broken = len(made.broken)
    say("broken", "warning", broken, told(made.broken) if broken else "", "mend or remove them")
    note("repeats", "note", again, f"{len(again):,} of {n:,} images repeat an earlier one", "they stay together; remove them")
    for other_part in others:
        seen = np.flatnonzero(np.isin(_stamps(other_part.pixels), stamps))
        what = f"{len(seen):,} of {len(other_part):,} images of another part are among these"
        note("leak", "warning", seen, what, "remove them there, or judge without them", len(other_part))
    order = ["problem", "warning", "note"]
    return Lint(tuple(sorted(found, key=lambda one: order.index(one.severity))))
