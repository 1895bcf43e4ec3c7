"""Duplicates: are texts that say the same found among all others, and no others with them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.files import MAX_CHARACTERS, well_formed
from vicino.data.formats import kind_of
from vicino.data.near_duplicates import near_duplicates
from vicino.data.rows import TABLES, Columns, column_names, recognise
from vicino.encoders import Encoder
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.evaluation.suite.base import Contender, Counts, Measure, Outcome, Task
from vicino.evaluation.suite.contenders import contender, encoded, fingerprint_of, fitted, overlap
from vicino.evaluation.suite.pairs import asked_examples, labelled_pairs
from vicino.metrics import resampled
from vicino.metrics.values import Values
from vicino.vectors import top_k

__all__ = ["duplicates"]

NEIGHBOURS = 20
LADDER = ("overlap", "tfidf", "minilm")
_GROUP = ("group", "group_id", "duplicate_group", "cluster", "cluster_id", "entity", "entity_id", "duplicate_of")
_EACH = 5  # pairs a text, on the whole, that are looked at; or twice as many as there are to find
_ALIKE = 0.3  # share of words in common from which "overlap" proposes a pair
_MOST = 20_000  # texts: more tell no more
_BLOCK = 512
_CELLS = 2**22  # times of pairs in memory at once: 32 MB

Rows = NDArray[np.int64]


def duplicates(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """Texts with the group of duplicates that each belongs to, or pairs labelled 1 and 0, which are judged as `pairs` are.

    A table with a column of text and one named group (or cluster, entity, duplicate_of: the text, or row, that it repeats;
    `columns` may name them as text and group); no group means that a text repeats no other. Each candidate proposes for every
    text its 20 nearest by cosine, and of all these pairs the most alike are ranked together: average precision, and F1 at the
    best threshold, where a pair that nobody proposed was missed. "overlap" proposes texts that share 30 % of their words, found
    by MinHash. Groups are drawn whole. Raises InputError where no two texts are of a group, and what reading raises.
    """
    asked = dict(columns or {})
    names = column_names(path)
    group = asked.pop("group", None) or next((name for known in _GROUP for name in names if name.lower() == known), None)
    if group is None:
        examples, notes = asked_examples(path, columns, split, seed)
        if examples.kind == "classes":
            raise InputError(f"{path} has no column of groups", mend="say which: --columns text=COLUMN,group=COLUMN")
        return labelled_pairs("duplicates", path, examples, seed, notes)
    if split is not None:
        raise InputError("duplicates are sought in one table", mend="leave --split out, or give the file of that split")
    texts, groups = _grouped(path, recognise(Columns(text=asked.get("text")), names).text or "", group, names)
    rows, notes = _some(groups, seed)
    texts, groups = [texts[row] for row in rows.tolist()], np.unique(groups[rows], return_inverse=True)[1].astype(np.int64)
    sizes = np.bincount(groups)
    if not (sizes > 1).any():
        raise InputError(f"no two texts of {path} are of one group", mend=f"fill the column {group} where texts repeat another")
    right = sizes * (sizes - 1) / 2
    measures = {
        "AP": Measure(
            "average precision of all proposed pairs", partial(_over_pairs, resampled.average_precision, groups, right)
        ),
        "F1": Measure("F1 of pairs at the best threshold", partial(_over_pairs, resampled.best_f1, groups, right)),
    }
    repeated = int(sizes[sizes > 1].sum())
    about = f"{len(texts):,} texts of {len(sizes):,} groups, of which {repeated:,} have duplicates ({int(right.sum()):,} pairs)"
    return Task(
        kind="duplicates",
        name=path.resolve().name,
        about=about,
        unit="groups",
        size=len(sizes),
        measures=measures,
        shown=tuple(measures),
        ladder=LADDER,
        prepare=partial(_proposer, texts, int(max(_EACH * len(texts), 2 * right.sum()))),
        fingerprint=fingerprint_of(texts, groups),
        seed=seed,
        notes=notes,
    )


# Data -----------------------------------------------------------------------------------------------------------------


def _grouped(path: Path, text: str, group: str, names: Sequence[str]) -> tuple[list[str], Rows]:
    """Texts, and the number of the group of each."""
    if group not in names:
        raise UnknownName.among(group, names, kind="column")

    def refuse(line: int | None, reason: str) -> None:
        raise InputError(f"{path}, line {line}: {reason}", mend="mend the line")

    texts, keys = [], []
    id_of = recognise(Columns(text=text), tuple(names)).id
    for number, row in TABLES[kind_of(path.name) or ""](path, MAX_CHARACTERS, refuse):
        own = str(row.get(id_of)) if id_of else f"\0{number}"
        given = row.get(group)
        texts.append(well_formed(str(row.get(text) or "")))
        keys.append(own if given in (None, "") else str(given))
    if not texts:
        raise EmptyInput(f"{path} holds no texts", mend="give some hundred, with the group of each")
    numbers: dict[str, int] = {}
    return texts, np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _some(groups: Rows, seed: int) -> tuple[Rows, tuple[str, ...]]:
    """The rows of all, or of so many whole groups, drawn by chance, as hold about 20,000 texts."""
    if len(groups) <= _MOST:
        return np.arange(len(groups)), ()
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    taken = order[: max(1, int(np.searchsorted(np.bincount(groups)[order].cumsum(), _MOST, side="right")))]
    rows = np.flatnonzero(np.isin(groups, taken))
    return rows, (f"{len(rows):,} of {len(groups):,} texts are asked, whole groups drawn by chance",)


def _over_pairs(of: Any, groups: Rows, right: NDArray[np.float64], outcome: Outcome, counts: Counts) -> Values:
    """A measure of proposed pairs, where groups are drawn: a pair comes as often as both its groups together.

    A group that was drawn twice is two groups, between which there are no pairs.
    """
    left, other = groups[outcome["left"]], groups[outcome["right"]]
    same = left == other
    truth, missed = same.astype(np.float64), right - np.bincount(left[same], minlength=len(right))
    found = []
    step = max(1, _CELLS // len(left))
    for drawn in (counts[start : start + step] for start in range(0, len(counts), step)):
        times = drawn[:, left] * np.where(same, 1.0, drawn[:, other])
        found.append(of(truth, outcome["scores"], times, missed=drawn @ missed))
    return np.concatenate(found)


# Candidates -----------------------------------------------------------------------------------------------------------


def _proposer(texts: Sequence[str], most: int, name: str) -> Contender:
    def words() -> Outcome:
        left, right = near_duplicates(texts, threshold=_ALIKE).T
        scores = overlap([texts[row] for row in left.tolist()], [texts[row] for row in right.tolist()])
        return _proposed(left, right, scores, most)

    def answer(encoder: Encoder) -> Outcome:
        vectors, rows = encoded(fitted(encoder, list(dict.fromkeys(texts))), texts)
        found = list(_nearest(vectors[rows]))
        left, right, scores = (np.concatenate(each) for each in zip(*found, strict=True))
        return _proposed(left, right, scores, most)

    return contender(name, {"overlap": words}, answer, how=f"nearest {NEIGHBOURS} {most}")


def _proposed(left: Rows, right: Rows, scores: NDArray[Any], most: int) -> Outcome:
    """Each pair once, and of all so many that are most alike, in the order of the texts."""
    low, high = np.minimum(left, right), np.maximum(left, right)
    _, first = np.unique(np.stack([low, high]), axis=1, return_index=True)
    if not len(first):
        raise InputError("no two texts are anything alike", mend="leave this candidate out")
    kept = np.sort(first[np.argsort(-scores[first], kind="stable")[:most]])
    return {"left": low[kept], "right": high[kept], "scores": scores[kept].astype(np.float64)}


def _nearest(vectors: Any) -> Any:
    """Blocks of (rows, their nearest others, cosines)."""
    n = vectors.shape[0]
    k = min(NEIGHBOURS, n - 1)
    for start in range(0, n, _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T
        dense = cosines.toarray() if hasattr(cosines, "toarray") else cosines
        rows = np.arange(start, min(start + _BLOCK, n))
        dense[np.arange(len(rows)), rows] = -np.inf
        others, near = top_k(dense, k)
        yield np.repeat(rows, k), others.ravel().astype(np.int64), near.ravel()
