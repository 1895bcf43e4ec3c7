"""Words: do cosines follow what people say of pairs of words, and does a : b solve c : ?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.data.example_rows import read_rows
from vicino.data.files import MAX_CHARACTERS, Lines, opened, text_stream
from vicino.data.formats import kind_of
from vicino.data.rows import TABLES
from vicino.errors import EmptyInput, InputError, UnknownName, UnreadableSource
from vicino.evaluation.suite.base import Contender, Counts, Measure, Outcome, Task, mean_of
from vicino.evaluation.suite.contenders import contender, encoded, fingerprint_of, fitted, paired
from vicino.metrics import resampled
from vicino.metrics.values import Values

__all__ = ["analogies", "words"]

LADDER = ("spelling", "minilm")
_COLUMNS = {"anchor": "word1", "positive": "word2", "score": "score"}
_BLOCK = 512

Rows = NDArray[np.int64]


def words(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """Pairs of words that people scored (a table, or a folder of tables), or analogies (a text file): see `analogies`.

    A table has the columns word1, word2 and score, or those that `columns` name as anchor, positive and score; of a folder the
    tables are sets of their own, of which `split` names one, and the measure is the mean over them. A word that a candidate does
    not know has a cosine of 0: all are asked the same pairs. "spelling" is the share of letter trigrams in common. Raises
    InputError and UnreadableSource for what cannot be read, UnknownName for a set that is not there.
    """
    files = _tables(path, split)
    if not files:
        return analogies(path, seed=seed)
    asked = {name: read_rows(file, columns or _COLUMNS) for name, file in files.items()}
    left = [word for rows in asked.values() for word in rows.anchors]
    right = [word for rows in asked.values() for word in rows.positives]
    try:
        scores = np.array([value for rows in asked.values() for value in rows.values], dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path} holds classes, not scores", mend="--columns anchor=WORD1,positive=WORD2,score=SCORE") from error
    sets = np.repeat(np.arange(len(asked)), [len(rows.anchors) for rows in asked.values()])
    over = f", the mean over {len(asked)} sets" if len(asked) > 1 else ""
    measures = {
        "Spearman": Measure(f"rank correlation of cosines with scores{over}", partial(_by_set, resampled.spearman, scores, sets)),
        "Pearson": Measure(f"linear correlation of cosines with scores{over}", partial(_by_set, resampled.pearson, scores, sets)),
        "known": mean_of("share of pairs of which both words are known", lambda outcome: outcome["known"]),
    }
    if len(asked) > 1:
        for place, name in enumerate(asked):
            measures[name] = Measure(f"rank correlation of {name}", partial(_one_set, place, scores, sets))
    groups = np.unique(left, return_inverse=True)[1].astype(np.int64)
    return Task(
        kind="words",
        name=path.resolve().name,
        about=f"{len(scores):,} pairs of words, scored by people, of {', '.join(asked)}",
        unit="pairs",
        size=len(scores),
        measures=measures,
        shown=("Spearman", "known"),
        ladder=LADDER,
        prepare=partial(_comparer, left, right),
        fingerprint=fingerprint_of(left, right, scores, sets),
        groups=groups,
        seed=seed,
    )


def analogies(path: Path, *, seed: int = 0) -> Task:
    """Questions "a b c d", four words a line under headings ": name", as Mikolov et al. 2013 ask: b is to a as what is to c?

    "3CosAdd" takes the word nearest to b - a + c, "3CosMul" that whose cosine with b times that with c over that with a is
    greatest (Levy and Goldberg 2014). The answers are sought among the words of the file, the same for all candidates, and so are
    easier than among all words of a language; a, b and c are no answers. Of a question with a word that a candidate does not know
    the answer is wrong. Questions of one a and b are drawn together. "spelling" changes c as a changed to b. Raises EmptyInput,
    and UnreadableSource with the line.
    """
    questions, sections = _questions(path)
    terms, numbers = np.unique(questions, return_inverse=True)
    rows = numbers.reshape(-1, 4).astype(np.int64)

    def right(how: str, summary: str) -> Measure:
        return mean_of(summary, lambda outcome: (outcome[how] == rows[:, 3]).astype(np.float64))

    measures = {
        "3CosAdd": right(
            "3CosAdd", f"share of questions whose answer is nearest to b - a + c, among the {len(terms):,} words of the file"
        ),
        "3CosMul": right("3CosMul", "share by products of cosines"),
        "known": mean_of("share of questions of which all words are known", lambda outcome: outcome["known"]),
    }
    return Task(
        kind="words",
        name=path.resolve().name,
        about=f"{len(rows):,} analogies in {len(sections)} sections",
        unit="questions",
        size=len(rows),
        measures=measures,
        shown=tuple(measures),
        ladder=LADDER,
        prepare=partial(_solver, terms.tolist(), rows),
        fingerprint=fingerprint_of(terms.tolist(), rows),
        groups=np.unique(rows[:, :2], axis=0, return_inverse=True)[1].ravel().astype(np.int64),
        seed=seed,
    )


# Data -----------------------------------------------------------------------------------------------------------------


def _tables(path: Path, split: str | None) -> dict[str, Path]:
    """Tables by name; none for a text file, which holds analogies."""
    if path.is_file():
        return {path.name.partition(".")[0]: path} if kind_of(path.name) in TABLES else {}
    if not path.is_dir():
        raise UnreadableSource(
            f"there is no {path}", mend="give a table of pairs of words, a folder of tables, or a file of analogies"
        )
    found = {file.name.partition(".")[0]: file for file in sorted(path.iterdir()) if kind_of(file.name) in TABLES}
    if not found:
        texts = [file for file in sorted(path.iterdir()) if file.suffix == ".txt"]
        mend = f"for analogies give the file: {texts[0]}" if texts else "give a folder that holds .tsv, .csv, .jsonl or .parquet"
        raise UnreadableSource(f"{path} holds no tables", mend=mend)
    if split and split not in found:
        raise UnknownName.among(split, found, kind="set")
    return {split: found[split]} if split else found


def _questions(path: Path) -> tuple[list[list[str]], list[str]]:
    questions, sections = [], []
    with opened(path) as stream, text_stream(stream) as decoded:
        lines = Lines(decoded, MAX_CHARACTERS)
        for line in lines:
            fields = line.split()
            if line.startswith(":"):
                sections.append(line[1:].strip())
            elif len(fields) == 4:
                questions.append(fields)
            elif fields:
                what = f"{path}, line {lines.number}: {len(fields)} words"
                raise UnreadableSource(what, mend='write four words a line, "a b c d", under headings ": name"')
    if not questions:
        raise EmptyInput(f"{path} holds no analogies", mend='write four words a line, "a b c d"')
    return questions, sections or ["one"]


# Measures -------------------------------------------------------------------------------------------------------------


def _by_set(of: Any, scores: Values, sets: Rows, outcome: Outcome, counts: Counts) -> Values:
    each = [of(scores[sets == one], outcome["scores"][sets == one], counts[:, sets == one]) for one in np.unique(sets)]
    return np.asarray(np.mean(each, axis=0))


def _one_set(place: int, scores: Values, sets: Rows, outcome: Outcome, counts: Counts) -> Values:
    own = sets == place
    return resampled.spearman(scores[own], outcome["scores"][own], counts[:, own])


# Candidates -----------------------------------------------------------------------------------------------------------


def _comparer(left: Sequence[str], right: Sequence[str], name: str) -> Contender:
    def spelling() -> Outcome:
        pairs = [(_trigrams(a), _trigrams(b)) for a, b in zip(left, right, strict=True)]
        return {"scores": np.array([len(a & b) / len(a | b) for a, b in pairs]), "known": np.ones(len(left))}

    def answer(encoder: Any) -> Outcome:
        vectors, rows = encoded(fitted(encoder, None), [*left, *right])
        own, other = rows[: len(left)], rows[len(left) :]
        known = _known(vectors)
        return {"scores": paired(vectors, own, other), "known": (known[own] & known[other]).astype(np.float64)}

    return contender(name, {"spelling": spelling}, answer)


def _trigrams(word: str) -> frozenset[str]:
    padded = f"  {word.casefold()} "
    return frozenset(padded[at : at + 3] for at in range(len(padded) - 2))


def _known(vectors: Any) -> NDArray[np.bool_]:
    """Which have a direction."""
    return np.asarray(abs(vectors).sum(axis=1)).ravel() > 0


class _Asked(NamedTuple):
    """Rows of a, b, c of questions, one question a row."""

    a: Rows
    b: Rows
    c: Rows


def _solver(terms: Sequence[str], rows: Rows, name: str) -> Contender:
    def spelling() -> Outcome:
        place = {term: row for row, term in enumerate(terms)}
        told = np.array([place.get(_changed(*(terms[row] for row in each[:3])), -1) for each in rows.tolist()], dtype=np.int64)
        return {"3CosAdd": told, "3CosMul": told, "known": np.ones(len(rows))}

    def answer(encoder: Any) -> Outcome:
        vectors, places = encoded(fitted(encoder, None), list(terms))
        units = vectors[places]
        units = units.toarray() if hasattr(units, "toarray") else units
        known = _known(units)
        solved = [_solved(units, known, _Asked(*each.T[:3])) for each in _blocks(rows)]
        add, mul = (np.concatenate(each) for each in zip(*solved, strict=True))
        whole = np.asarray(known[rows].all(axis=1))
        return {
            "3CosAdd": np.where(whole, add, -1),
            "3CosMul": np.where(whole, mul, -1),
            "known": whole.astype(np.float64),
        }

    return contender(name, {"spelling": spelling}, answer)


def _blocks(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def _solved(units: NDArray[np.float32], known: NDArray[np.bool_], asked: _Asked) -> tuple[Rows, Rows]:
    """The rows of the best words by sums and by products of cosines; words asked for, and unknown ones, are none."""
    a, b, c = (units[rows] @ units.T for rows in asked)
    products = (b + 1) * (c + 1) / (a + 1 + 1e-3)  # cosines from 0 to 2, as Levy and Goldberg
    found = []
    for scores in (b - a + c, products):
        for rows in asked:
            scores[np.arange(len(rows)), rows] = -np.inf
        scores[:, ~known] = -np.inf
        found.append(scores.argmax(axis=1).astype(np.int64))
    return found[0], found[1]


def _changed(a: str, b: str, c: str) -> str:
    """c with the ending that makes b of a.

    >>> _changed("apparent", "apparently", "rapid"), _changed("dance", "dancing", "vote")
    ('rapidly', 'voting')
    """
    stem = commonprefix([a, b])  # noqa: RUF071 - of letters is meant
    ending = a[len(stem) :]
    return (c[: len(c) - len(ending)] if ending and c.endswith(ending) else c) + b[len(stem) :]
