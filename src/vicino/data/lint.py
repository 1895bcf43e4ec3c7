"""What is wrong with training examples, before hours are spent on them: repeats, contradictions, false negatives, leakage.

`lint` looks and changes nothing. Each finding says how many rows it touches, shows some, and says what to do. A "problem" makes
training or judging worthless, a "warning" makes it worse, a "note" is to be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.data.examples import Examples, Kind
from vicino.data.leakage import Numbering, Overlap, leakage
from vicino.data.near_duplicates import same_text
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName

__all__ = ["CountTokens", "Finding", "Lint", "Severity", "lint"]

Severity = Literal["problem", "warning", "note"]
CountTokens = Callable[[Sequence[str]], ArrayLike]

_SHOWN = 5  # rows of a finding
_FEW, _TOO_FEW = 500, 50  # distinct examples
_FEW_CLEAN = 50  # queries: an interval of nDCG@10 is about .1 to each side
_NEAR = 0.8  # overlap of words, for repeats within the training set
_ONE_SIDED = 8.0  # times as many words

_TARGETS = {"scored": "score", "labelled": "label", "classes": "class"}

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """One thing that was found: `count` of what the sentence counts, their `share`, and some `rows`, counted from 0.

    Rows are those of the training set, or of the held-out set where the name begins with "leak".
    """

    name: str
    severity: Severity
    count: int
    share: float
    rows: tuple[int, ...]
    sentence: str
    mend: str

    def __str__(self) -> str:
        shown = f" (rows {', '.join(map(str, self.rows))}{', ...' if self.count > len(self.rows) else ''})" if self.rows else ""
        return f"{self.severity}: {self.sentence}{shown}" + (f"\n  → {self.mend}" if self.mend else "")


@dataclass(frozen=True, eq=False)
class Lint:
    """All findings, problems first. `clean` are the held-out rows that nothing leaks into, None without such a set."""

    findings: tuple[Finding, ...]
    clean: Rows | None = None

    def __getitem__(self, name: str) -> Finding:
        """The finding of this name. Raises UnknownName, where nothing of the kind was found too."""
        for one in self.findings:
            if one.name == name:
                return one
        raise UnknownName.among(name, [one.name for one in self.findings], kind="finding")

    def __contains__(self, name: object) -> bool:
        return any(one.name == name for one in self.findings)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What makes training or judging worthless."""
        return tuple(one for one in self.findings if one.severity == "problem")

    def __str__(self) -> str:
        """One finding a paragraph."""
        return "\n".join(map(str, self.findings))

    def to_json(self) -> list[dict[str, Any]]:
        """The findings as plain data."""
        return [{**vars(one), "rows": list(one.rows)} for one in self.findings]


def lint(
    examples: Examples,
    *,
    held_out: Examples | None = None,
    count_tokens: CountTokens | None = None,
    limit: int | None = None,
    threshold: float = 0.6,
) -> Lint:
    """Look at what is to be learnt from, and at what of `held_out` was seen there.

    `count_tokens` gives the model's number of tokens for each text, (n,), and `limit` is how many of them it reads. `threshold`
    is the overlap of words from which a held-out text counts as a near repeat. Rows are numbers of `examples`, from 0 on.

    Raises EmptyInput where there are no examples, InputError where one of `count_tokens` and `limit` is without the other.

    >>> found = lint(Examples("pairs", ["what lifts?", "What lifts?", "tea?"], ["Wings.", "wings.", "A drink."]))
    >>> print(found["repeats"])
    warning: 1 of 3 rows repeats an earlier one (rows 1)
      → leave repeats out: in one batch they are each other's negatives
    """
    if not len(examples):
        raise EmptyInput("no examples to look at", mend="give some hundred at least")
    if (count_tokens is None) != (limit is None):
        raise InputError("count_tokens and limit need each other", mend="give both, or neither")
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit} cannot be", mend="give the number of tokens that the model reads, such as 256")
    seen = _Numbered.of(examples)
    findings = [*_sizes(examples, seen), *_repeats(examples, seen), *_negatives(examples, seen), *_sides(examples)]
    if count_tokens is not None and limit is not None:
        findings += _lengths(examples, count_tokens, limit)
    overlap = None if held_out is None else leakage(examples, held_out, threshold=threshold)
    if held_out is not None and overlap is not None:
        findings += _leaks(overlap, held_out.kind)
    loss = examples.loss_by_default
    findings.append(Finding("loss", "note", len(examples), 1.0, (), f"loss by default: {loss.loss}; {loss.why}", ""))
    order = ("problem", "warning", "note")
    return Lint(tuple(sorted(findings, key=lambda one: order.index(one.severity))), None if overlap is None else overlap.clean)


@dataclass(frozen=True, eq=False)
class _Numbered:
    """Texts as numbers, equal where the texts are, (n,) each; `positives` are all -1 for classes.

    `targets` are scores, labels or classes, zeros without any. `own` are the rows whose second text belongs to the first.
    """

    anchors: Rows
    positives: Rows
    targets: NDArray[np.float64]
    own: Rows
    numbering: Numbering

    @classmethod
    def of(cls, examples: Examples) -> _Numbered:
        numbering = Numbering()
        anchors = numbering.of(examples.anchors)
        targets = np.zeros(len(examples))
        if examples.kind == "classes" or examples.kind == "labelled":
            targets = np.asarray(examples.labels, dtype=np.float64)
        elif examples.scores is not None:
            targets = examples.scores.astype(np.float64)
        if examples.kind == "classes":
            return cls(anchors, np.full(len(examples), -1, dtype=np.int64), targets, np.empty(0, np.int64), numbering)
        own = np.flatnonzero(targets == 1) if examples.kind == "labelled" else np.arange(len(examples))
        return cls(anchors, numbering.of(examples.positives), targets, own, numbering)

    @cached_property
    def pairs(self) -> Rows:
        """A number for each two texts, (n,), whichever comes first."""
        return _numbered(np.minimum(self.anchors, self.positives), np.maximum(self.anchors, self.positives))


def _numbered(*columns: NDArray[Any]) -> Rows:
    """The same number for rows that are the same in all columns: (n,), from 0 on."""
    return np.asarray(np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def _later(numbers: Rows) -> Mask:
    """The rows whose number came before."""
    later = np.ones(len(numbers), dtype=np.bool_)
    later[np.unique(numbers, return_index=True)[1]] = False
    return later


def _several(groups: Rows, members: Rows) -> Mask:
    """The rows of groups that have more than one member, each counted once."""
    pairs = np.unique(np.column_stack([groups, members]), axis=0)
    return (np.bincount(pairs[:, 0], minlength=int(groups.max(initial=0)) + 1) > 1)[groups]


def _finding(name: str, severity: Severity, rows: Rows, total: int, told: str, mend: str) -> Iterator[Finding]:
    """A finding of these rows, if there are any; `told` has {} where "3 of 10 rows" belongs, and {s} after a verb."""
    if len(rows):
        some = f"{len(rows):,} of {total:,} rows"
        shown = tuple(rows[:_SHOWN].tolist())
        sentence = told.format(some, s="s" if len(rows) == 1 else "")
        yield Finding(name, severity, len(rows), len(rows) / total, shown, sentence, mend)


# The set by itself ----------------------------------------------------------------------------------------------------


def _sizes(examples: Examples, seen: _Numbered) -> Iterator[Finding]:
    """Too few, or all of one sort."""
    n = len(examples)
    if examples.left_out:
        count = sum(examples.left_out.values())
        why = "; ".join(f"{reason} ({times:,})" for reason, times in examples.left_out.items())
        told, mend = f"left out when reading: {why}", "mend these rows, if they matter"
        yield Finding("left out", "warning" if count > n else "note", count, count / (count + n), (), told, mend)
    distinct = len(np.unique(_numbered(seen.pairs, seen.targets)))
    if distinct < _FEW:
        severity: Severity = "problem" if distinct < _TOO_FEW else "warning"
        told = f"{distinct:,} distinct examples are few: what is learnt from them may not hold for others"
        yield Finding("few examples", severity, distinct, distinct / n, (), told, "bring thousands, or make pairs from the texts")
    for name, numbers in (("anchors", seen.anchors), ("positives", seen.positives)):
        if len(np.unique(numbers)) == 1 and not (name == "positives" and examples.kind == "classes"):
            told = f"all {name} are the same text, so there is nothing to tell apart"
            yield Finding(f"one text for all {name}", "problem", n, 1.0, (), told, "check which column is which")
    if examples.kind in _TARGETS and len(np.unique(seen.targets)) == 1:
        what = _TARGETS[examples.kind]
        severity = "note" if examples.kind == "labelled" and seen.targets[0] == 1 else "problem"
        yield Finding(f"one {what}", severity, n, 1.0, (), f"all rows have the same {what}", f"bring examples of another {what}")
    if examples.kind == "classes":
        alone = np.bincount(np.asarray(examples.labels))[np.asarray(examples.labels)] == 1
        told = "{} stand{s} alone in a class, with nothing to come near"
        yield from _finding("lonely classes", "warning", np.flatnonzero(alone), n, told, "bring a second text, or join classes")


def _repeats(examples: Examples, seen: _Numbered) -> Iterator[Finding]:
    """The same two texts again, nearly so, or with another label."""
    n, pairs = len(examples), seen.pairs
    same = _numbered(pairs, seen.targets)
    later = _later(same)
    severity: Severity = "warning" if later.mean() >= 0.01 else "note"
    contrast = examples.loss_by_default.loss == "info_nce"
    mend = "leave repeats out: " + ("in one batch they are each other's negatives" if contrast else "they count twice")
    yield from _finding("repeats", severity, np.flatnonzero(later), n, "{} repeat{s} an earlier one", mend)
    if examples.kind in _TARGETS:
        what = _TARGETS[examples.kind]
        against = np.flatnonzero(_several(pairs, same))
        told, mend = f"{{}} stand{{s}} against others of the same text and another {what}", f"keep one {what}, or leave them out"
        yield from _finding("conflicts", "warning", against, n, told, mend)
    told = f"{{}} nearly repeat{{s}} an earlier one ({_NEAR:.0%} of the words of each text)"
    near = np.flatnonzero(_later(_nearly(examples, seen)) & ~_later(pairs))
    yield from _finding("near repeats", "note", near, n, told, "leave them out where they are not meant")
    if examples.kind not in ("classes", "scored"):
        own = seen.own[(seen.anchors == seen.positives)[seen.own]]
        mend = "leave them out: nothing is nearer to a text than itself"
        yield from _finding("anchor is positive", "warning", own, n, "{} pair{s} a text with itself", mend)


def _nearly(examples: Examples, seen: _Numbered) -> Rows:
    """A number for each row, the same where the texts are nearly the same, each and each."""
    texts: dict[int, str] = dict(zip(seen.anchors.tolist(), examples.anchors, strict=True))
    if examples.kind != "classes":
        texts.update(zip(seen.positives.tolist(), examples.positives, strict=True))
    alike = np.full(max(texts) + 2, -1, dtype=np.int64)  # the last is that of -1
    alike[list(texts)] = same_text(list(texts.values()), threshold=_NEAR)
    left, right = alike[seen.anchors], alike[seen.positives]
    return _numbered(np.minimum(left, right), np.maximum(left, right))


def _negatives(examples: Examples, seen: _Numbered) -> Iterator[Finding]:
    """Answers that stand as wrong ones."""
    n = len(examples)
    if examples.kind == "triplets" and examples.negatives is not None:
        answers = set(zip(seen.anchors.tolist(), seen.positives.tolist(), strict=True))
        wrong = [
            row
            for row, (anchor, texts) in enumerate(zip(seen.anchors.tolist(), examples.negatives, strict=True))
            if any((anchor, number) in answers or number == anchor for number in seen.numbering.of(texts).tolist())
        ]
        told = "{}: a negative is the anchor itself, or a positive of it"
        mend = "take these negatives out: they teach the opposite"
        yield from _finding("positive as negative", "problem", np.array(wrong, np.int64), n, told, mend)
        without = np.array([row for row, texts in enumerate(examples.negatives) if not texts], np.int64)
        mend = "mine negatives for them, or leave it: the batch has negatives too"
        yield from _finding("no negatives", "note", without, n, "{} lack{s} negatives", mend)
    if examples.loss_by_default.loss != "info_nce":
        return
    anchors, positives = seen.anchors[seen.own], seen.positives[seen.own]
    mend = "number positives by their text, and keep equal numbers out of the negatives (FalseNegatives, ids)"
    rows = seen.own[_several(positives, anchors)]
    told = "{} share{s} the positive of another anchor: in one batch each is the other's false negative"
    yield from _finding("shared positives", "warning", rows, n, told, mend)
    rows = seen.own[_several(anchors, positives)]
    told = "{} share{s} the anchor of another positive: in one batch each is the other's false negative"
    mend = "draw batches in which no anchor comes twice"
    yield from _finding("several positives", "warning", rows, n, told, mend)


def _sides(examples: Examples) -> Iterator[Finding]:
    """Texts of very different lengths on the two sides."""
    if examples.kind == "classes":
        return
    left, right = (float(np.median([len(text.split()) for text in texts])) for texts in (examples.anchors, examples.positives))
    short, long = sorted((max(left, 1.0), max(right, 1.0)))
    if long >= _ONE_SIDED * short:
        told = f"anchors have {left:,.0f} words and positives {right:,.0f} (medians): a search, not a comparison of equals"
        mend = "learn from anchors to positives only, and give queries and documents prompts of their own"
        yield Finding("one-sided", "note", len(examples), 1.0, (), told, mend)


def _lengths(examples: Examples, count_tokens: CountTokens, limit: int) -> Iterator[Finding]:
    """Texts that the model does not read to their end."""
    sides: dict[str, tuple[Sequence[str], Rows]] = {"anchors": (examples.anchors, np.arange(len(examples)))}
    if examples.kind != "classes":
        sides["positives"] = examples.positives, np.arange(len(examples))
    if examples.negatives is not None:
        owners = np.repeat(np.arange(len(examples)), [len(texts) for texts in examples.negatives])
        sides["negatives"] = [text for texts in examples.negatives for text in texts], owners
    for name, (texts, rows) in sides.items():
        distinct = dict.fromkeys(texts)
        counted = np.asarray(count_tokens(list(distinct)))
        if counted.shape != (len(distinct),):
            raise DimensionMismatch(
                f"count_tokens gave {counted.shape} for {len(distinct):,} texts", mend="give a number for each"
            )
        numbers = dict(zip(distinct, counted.tolist(), strict=True))
        tokens = np.array([numbers[text] for text in texts], dtype=np.int64)
        over = tokens > limit
        if over.any():
            share, lost = float(over.mean()), float((tokens - limit)[over].sum() / tokens.sum())
            told = f"{over.sum():,} of {len(over):,} {name} have more than {limit:,} tokens; {lost:.0%} of all tokens are cut off"
            severity: Severity = "warning" if lost >= 0.1 else "note"
            shown = tuple(np.unique(rows[over])[:_SHOWN].tolist())
            yield Finding(
                f"long {name}", severity, int(over.sum()), share, shown, told, "raise the limit, or cut texts into chunks"
            )


# Against the held-out set ---------------------------------------------------------------------------------------------

_LEAKS = {
    "exact texts": "stand word by word in the training set",
    "near texts": "nearly repeat a text of the training set",
    "shared documents": "have a {} that the training set has too",
    "near documents": "have a {} that nearly repeats a text of the training set",
}


def _leaks(overlap: Overlap, kind: Kind) -> Iterator[Finding]:
    queries, document = {"scored": ("first texts", "partner"), "classes": ("texts", "partner")}.get(
        kind, ("queries", "relevant text")
    )
    total = overlap.n_queries
    for name, told in _LEAKS.items():
        count = overlap.count(name)
        if count:
            rows = tuple(np.flatnonzero(overlap.seen[name])[:_SHOWN].tolist())
            sentence = f"{count:,} of {total:,} held-out {queries} {told.format(document)}"
            mend = "judge on the clean rest, or split by groups (vicino.data.splits.group_queries)"
            severity: Severity = "problem" if count >= 0.01 * total else "warning"
            yield Finding(f"leak: {name}", severity, count, count / total, rows, sentence, mend)
    clean = len(np.unique(overlap.queries[overlap.clean]))
    few = clean < min(_FEW_CLEAN, total)
    told = f"{clean:,} of {total:,} held-out {queries} share nothing with the training set" + (
        ": too few to judge by" if few else ""
    )
    mend = "split all queries by groups, and judge on every fold" if few else ""
    yield Finding("clean", "problem" if few else "note", clean, clean / max(total, 1), (), told, mend)
