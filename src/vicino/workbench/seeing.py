"""The verbs of images: which encoder is best for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vicino.errors import InputError, UnknownName

if TYPE_CHECKING:
    from vicino.evaluation.labelled import LabelledComparison, LabelledTask

__all__ = ["compare_images", "image_task"]


def compare_images(
    data: str | PathLike[str] | LabelledTask,
    *,
    candidates: Sequence[str] = ("pixels", "eigenimages"),
    metrics: Sequence[str] | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    unseen: bool | None = None,
    seed: int = 0,
    report_to: str | PathLike[str] | None = None,
    command: str = "",
) -> LabelledComparison:
    """Which encoder is best for these images, by their classes, with the evidence.

    `data` is what `vicino.data.images.read_images` reads, or a task; `split`, `columns` and `unseen` are those of `image_task`.
    `metrics` are names of `vicino.evaluation.class_measures.MEASURES`; the first decides. `report_to` writes a report, HTML or
    JSON by the ending, which shows `command`. Raises what `image_task` and `vicino.evaluation.labelled.compare_labelled` raise.
    """
    from vicino.evaluation import report
    from vicino.evaluation.labelled import LabelledTask, compare_labelled
    from vicino.evaluation.labelled_text import labelled_page

    if report_to is not None:
        report.require_ending(report_to, markdown=False)
    if not isinstance(data, LabelledTask):
        data = image_task(data, split=split, columns=columns, unseen=unseen, seed=seed)
    found = compare_labelled(data, candidates, measures=metrics)
    if report_to is not None:
        as_page = Path(report_to).suffix.lower() == ".html"
        plain = json.dumps(found.to_json() | {"command": command}, indent=1, allow_nan=False) + "\n"
        report.write_text(report_to, labelled_page(found, command=command) if as_page else plain)
    return found


def image_task(
    data: str | PathLike[str],
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    unseen: bool | None = None,
    seed: int = 0,
) -> LabelledTask:
    """Images with classes as a task.

    Where there are parts, those of "train" are learnt from, and those of `split` (None: "test", or "dev") are asked; otherwise
    they are parted by `vicino.evaluation.labelled.LabelledTask.of`, with `unseen` classes or not.

    Images that cannot be read, or repeat another, are left out, as the notes say. Raises what `vicino.data.images.read_images`
    raises, and InputError where there are no classes.
    """
    from vicino.data.images import part_of, read_images, readable, splits_of, told
    from vicino.evaluation.labelled import LabelledTask

    path = Path(data)
    parts = splits_of(path, columns=columns)
    settled = "train" in parts and len(parts) > 1 and split != "train"
    if settled:
        asked_part = part_of(split or "") or split or ("test" if "test" in parts else "dev")
        if asked_part not in parts:
            raise UnknownName.among(asked_part, parts, kind="split")
        whole = read_images(path, columns=columns)
        order = [row for wanted in ("train", asked_part) for row, part in enumerate(whole.parts or ()) if part == wanted]
        images = whole.subset(order)  # so that of copies those in train are kept
    else:
        images = read_images(path, split=split, columns=columns)
    if images.labels is None:
        mend = "put the images in folders named by their class, or give a table of paths and labels"
        raise InputError(f"{path} says nothing about classes", mend=mend)
    rows, broken, repeats = readable(images)
    images = images.subset(rows) if broken or repeats else images
    asked = np.array([part != "train" for part in images.parts or ()]) if settled else None
    name = path.resolve().name
    task = LabelledTask.of(images.sources, images.labels or [], name=name, asked=asked, unseen=unseen, seed=seed)
    notes = [f"left out {count:,}: {reason}" for reason, count in images.left_out.items()]
    if repeats:
        notes.append(f"left out {len(repeats):,}: they are the same pixels as another, and would give themselves away")
    return replace(task, notes=(*task.notes, *notes, *([told(broken)] if broken else ())))
