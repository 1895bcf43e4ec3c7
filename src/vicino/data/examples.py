"""What a text encoder learns from: pairs, triplets, pairs with a score or a label, texts with a class, judged retrieval.

    pairs      an anchor (a question) and a positive (its answer)
    triplets   the same with one or several negatives
    scored     two texts and how alike they are
    labelled   two texts and whether they belong together
    classes    a text and its class

From tables by the names of their columns (see `example_rows`), and from BEIR folders by one of their splits. What cannot be
learnt from is left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino import progress
from vicino.data.example_rows import read_rows
from vicino.data.formats import kind_of
from vicino.data.judged import is_beir, read_judgements, read_queries, splits_of
from vicino.data.readers import read_documents
from vicino.data.records import Document, Query
from vicino.data.rows import TABLES
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName, UnreadableSource

__all__ = ["Examples", "JudgedCorpus", "Kind", "LossChoice", "joined", "read_examples", "splits_in"]

Kind = Literal["pairs", "triplets", "scored", "labelled", "classes"]


class LossChoice(NamedTuple):
    """A loss of `vicino.learning.losses` by its name, and why it fits the examples, in a sentence."""

    loss: str
    why: str


@dataclass(frozen=True, eq=False)
class JudgedCorpus:
    """The judged retrieval that pairs were made from: all documents, the split's queries, and their grades by document."""

    documents: Sequence[Document]
    queries: Sequence[Query]
    qrels: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, eq=False)
class Examples:
    """n training examples, column by column, to be indexed by row.

    `positives` is empty for classes. `negatives` holds a list for each row, which may be empty. `scores` (n,) float32 are those
    of scored pairs, as they came, and `scale` the lowest and highest of the whole set. `labels` (n,) int64 are 1 and 0 of
    labelled pairs, or the number of each row's class in `class_names`. `lines` (n,) are lines of the file, counted from 1.
    Judged retrieval has `query_ids` and `document_ids`, and the corpus that negatives can be mined from. `left_out` counts, by
    reason, what was not read; `notes` says in words what was read as what, and what was left out.

    Raises DimensionMismatch for columns of different lengths, InputError for a kind that lacks one of its columns.

    >>> pairs = Examples("pairs", ["what lifts?", "what is tea?"], ["Wings lift.", "Tea is a drink."])
    >>> len(pairs), pairs.subset([1]).positives, pairs.loss_by_default.loss
    (2, ['Tea is a drink.'], 'info_nce')
    """

    kind: Kind
    anchors: Sequence[str]
    positives: Sequence[str] = ()
    negatives: Sequence[Sequence[str]] | None = None
    scores: NDArray[np.float32] | None = None
    labels: NDArray[np.int64] | None = None
    class_names: Sequence[str] = ()
    scale: tuple[float, float] | None = None
    query_ids: Sequence[str] | None = None
    document_ids: Sequence[str] | None = None
    lines: NDArray[np.int64] | None = None
    corpus: JudgedCorpus | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        needed = {"triplets": "negatives", "scored": "scores", "labelled": "labels", "classes": "labels"}.get(self.kind)
        if needed is not None and getattr(self, needed) is None:
            raise InputError(f"examples of the kind {self.kind} lack their {needed}", mend=f"give {needed}=...")
        for name in self._columns():
            if len(getattr(self, name)) != len(self.anchors):
                what = f"{len(self.anchors):,} anchors and {len(getattr(self, name)):,} {name}"
                raise DimensionMismatch(what, mend="give one for each row")
        if self.scores is not None and self.scale is None and len(self.scores):
            object.__setattr__(self, "scale", (float(self.scores.min()), float(self.scores.max())))

    def _columns(self) -> list[str]:
        names = ["anchors", "negatives", "scores", "labels", "query_ids", "document_ids", "lines"]
        return [name for name in names if getattr(self, name) is not None] + ["positives"] * (self.kind != "classes")

    def __len__(self) -> int:
        return len(self.anchors)

    def subset(self, rows: ArrayLike) -> Examples:
        """The examples of these rows, numbers or a mask, in their order. Scale, classes and corpus stay those of the whole."""
        wanted = np.asarray(rows)
        if wanted.dtype == np.bool_:
            if wanted.shape != (len(self),):
                raise DimensionMismatch(f"a mask of {wanted.shape} for {len(self):,} examples", mend="give one for each row")
            wanted = np.flatnonzero(wanted)
        wanted = wanted.astype(np.intp)
        taken: dict[str, Any] = {}
        for name in self._columns():
            column = getattr(self, name)
            taken[name] = column[wanted] if isinstance(column, np.ndarray) else [column[row] for row in wanted.tolist()]
        return replace(self, **taken)

    @property
    def targets(self) -> NDArray[np.float32]:
        """What cosines of scored or labelled pairs should be, (n,): labels as they are, and scores too where all of the set lie
        between -1 and 1; other scores are brought to 0 for the lowest (for 0 where none is negative) and 1 for the highest.

        Raises InputError for kinds that have none.

        >>> Examples("scored", ["a"] * 3, ["b"] * 3, scores=np.float32([1, 3, 4])).targets.tolist()
        [0.25, 0.75, 1.0]
        """
        if self.kind == "labelled" and self.labels is not None:
            return self.labels.astype(np.float32)
        if self.scores is None or self.scale is None:
            raise InputError(f"examples of the kind {self.kind} have no targets", mend="give pairs with a score or a label")
        low, high = self.scale
        if low >= -1 and high <= 1:
            return self.scores
        low = min(low, 0.0)
        return ((self.scores - low) / ((high - low) or 1.0)).astype(np.float32)

    @property
    def loss_by_default(self) -> LossChoice:
        """The loss that fits, and why."""
        if self.kind == "pairs":
            why = "pairs without negatives: each anchor must find its own positive among those of the whole batch"
            return LossChoice("info_nce", why)
        if self.kind == "triplets":
            why = "pairs with negatives: each anchor must find its positive among the batch's positives and all given negatives"
            return LossChoice("info_nce", why)
        if self.kind == "scored":
            why = "two texts and a number: their cosine is brought to it" + (
                "" if self.targets is self.scores else ", scaled to 0 for the least alike and 1 for the most"
            )
            return LossChoice("cosine_regression", why)
        return self._loss_of_labels() if self.kind == "labelled" else self._loss_of_classes()

    def _loss_of_labels(self) -> LossChoice:
        alike = self._of_one()
        anchors = {self.anchors[row] for row in alike.tolist()}
        shared = len(anchors & {self.anchors[row] for row in np.flatnonzero(self.labels == 0).tolist()})
        if shared and 2 * shared >= len(anchors):
            why = f"{shared:,} of {len(anchors):,} anchors have texts of both labels: those of label 0 are hard negatives"
            return LossChoice("info_nce", why)
        if len(alike) == len(self):
            return LossChoice("info_nce", "all labels are 1: these are pairs, and the rest of the batch are their negatives")
        why = "most anchors of pairs labelled 1 have none labelled 0 that could be a hard negative: cosines go to 1 or 0"
        return LossChoice("cosine_regression", why)

    def _loss_of_classes(self) -> LossChoice:
        sizes = np.bincount(np.asarray(self.labels), minlength=1)
        median = float(np.median(sizes[sizes > 0])) if len(self) else 0.0
        if median >= 2:
            why = f"texts with classes ({median:,.0f} in the median class): those of a class come near each other"
            return LossChoice("batch_triplets", why)
        why = "most classes have a single text, which has no other to come near: each class gets a vector of its own"
        return LossChoice("softmax_classification", why)

    def _of_one(self) -> NDArray[np.intp]:
        return np.flatnonzero(np.asarray(self.labels) == 1)

    def as_triplets(self) -> Examples:
        """Labelled pairs as triplets: those labelled 1, each with all texts that its anchor has under 0 as negatives.

        Without any such text they are pairs. Pairs and triplets are given back as they are. Raises InputError for other kinds,
        and where nothing is labelled 1.
        """
        if self.kind in ("pairs", "triplets"):
            return self
        if self.kind != "labelled":
            raise InputError(f"examples of the kind {self.kind} hold no positives", mend="give pairs, triplets or labelled pairs")
        alike = self._of_one()
        if not len(alike):
            raise _no_positives("the examples")
        apart: dict[str, list[str]] = {}
        for row in np.flatnonzero(self.labels == 0).tolist():
            apart.setdefault(self.anchors[row], []).append(self.positives[row])
        chosen = self.subset(alike)
        negatives = [apart.get(anchor, []) for anchor in chosen.anchors]
        if not any(negatives):
            return replace(chosen, kind="pairs", labels=None)
        return replace(chosen, kind="triplets", labels=None, negatives=negatives)


def read_examples(
    path: str | Path,
    *,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    split: str = "train",
    documents: Sequence[Document] | None = None,
) -> Examples:
    """The examples of one table (.jsonl, .csv, .tsv, .parquet; text kinds also .gz, .xz) or of a split of a folder.

    A folder is BEIR's, whose relevant documents become positives and whose documents judged 0 negatives, or holds the split as
    a table ("train.tsv"). `columns` says what is not recognised, such as {"anchor": "q", "positive": "a"}; its keys are `PARTS`
    of `example_rows`. Two texts with numbers are labelled where all are 0 or 1 (or true and false), else scored.

    `documents` are those of a BEIR folder, for who has read them already.

    Rows that cannot be learnt from are left out and counted in `left_out`. Raises UnreadableSource, UnknownName for a column or
    split that is not there, EmptyInput, and InputError for a single example, for examples whose texts are all the same, and for
    labels without a positive.
    """
    source = Path(path)
    if not source.exists():
        raise UnreadableSource(f"there is no {source}", mend="give a table of examples, or a folder that holds the split")
    if source.is_dir() and is_beir(source):
        if columns:
            raise InputError(f"{source} is in BEIR's format, which has no columns to choose", mend="leave columns out")
        examples = _judged(source, split, documents)
    else:
        if source.is_dir():
            source = _table_in(source, split)
        examples = _of_table(source, columns or {})
    return _checked(examples, source)


def splits_in(path: str | Path) -> set[str]:
    """The names of a folder's splits, whether BEIR's or tables; none for a file."""
    source = Path(path)
    if not source.is_dir():
        return set()
    return set(splits_of(source)) if is_beir(source) else {name.name.partition(".")[0] for name in _tables(source)}


def joined(parts: Sequence[Examples]) -> Examples:
    """The rows of several examples, one after the other; pairs beside triplets become triplets without negatives.

    Of judged retrieval the queries and grades of all are joined, and the documents are those of the first. Raises InputError for
    kinds that do not go together, and for judged retrieval beside other.

    >>> joined([Examples("pairs", ["a"], ["b"]), Examples("triplets", ["c"], ["d"], [["e"]])]).negatives
    [[], ['e']]
    """
    first, kinds = parts[0], {each.kind for each in parts}
    if len(parts) == 1:
        return first
    if (len(kinds) > 1 and not kinds <= {"pairs", "triplets"}) or len({each.corpus is None for each in parts}) > 1:
        raise InputError(f"splits of several kinds: {', '.join(sorted(kinds))}", mend="give them the same columns")
    if "triplets" in kinds:
        parts = [replace(each, kind="triplets", negatives=each.negatives or [[]] * len(each)) for each in parts]
    columns: dict[str, Any] = {}
    for name in parts[0]._columns():
        values = [getattr(each, name) for each in parts]
        whole = isinstance(values[0], np.ndarray)
        columns[name] = np.concatenate(values) if whole else [one for each in values for one in each]
    scales = [each.scale for each in parts if each.scale is not None]
    if scales:
        columns["scale"] = (min(low for low, _ in scales), max(high for _, high in scales))
    if first.corpus is not None:
        corpora = [each.corpus for each in parts if each.corpus is not None]
        queries = {query.id: query for corpus in corpora for query in corpus.queries}
        qrels: dict[str, dict[str, int]] = {}
        for corpus in corpora:
            for name, grades in corpus.qrels.items():
                qrels.setdefault(name, {}).update(grades)
        columns["corpus"] = JudgedCorpus(first.corpus.documents, list(queries.values()), qrels)
    return replace(parts[0], **columns)


def _checked(examples: Examples, source: Path) -> Examples:
    if len(examples) < 2:
        raise InputError(f"{source} holds one example, and nothing to tell it from", mend="give at least some hundred examples")
    if len({*examples.anchors, *examples.positives}) == 1:
        raise InputError(f"all texts of {source} are the same: {examples.anchors[0][:80]!r}", mend="give texts that differ")
    if examples.kind == "labelled" and not np.any(examples.labels == 1):
        raise _no_positives(str(source))
    return examples


def _no_positives(name: str) -> InputError:
    return InputError(f"{name} hold no positives: every label is 0", mend="label pairs that belong together with 1")


def _tables(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if kind_of(path.name) in TABLES]


def _table_in(folder: Path, split: str) -> Path:
    found = _tables(folder)
    tables = {path.name.partition(".")[0]: path for path in found}
    if not found:
        raise EmptyInput(f"{folder} holds no examples", mend=f"give a file of {', '.join(TABLES)}, or a folder in BEIR's format")
    if split not in tables:
        raise UnknownName.among(split, tables, kind="split")
    same = [path.name for path in found if path.name.partition(".")[0] == split]
    if len(same) > 1:
        raise InputError(f"{folder} holds the split {split} more than once: {', '.join(same)}", mend="give one of the files")
    return tables[split]


def _of_table(path: Path, columns: Mapping[str, str | Sequence[str]]) -> Examples:
    rows = read_rows(path, columns)
    summary = rows.reading.summary()
    more: dict[str, Any] = {
        "lines": np.array(rows.lines, dtype=np.int64),
        "left_out": dict(rows.reading.counts),
        "notes": (str(rows.parts), *([summary] if summary else [])),
    }
    if rows.parts.positive is None:
        names = sorted({str(value) for value in rows.values})
        numbers = {name: number for number, name in enumerate(names)}
        labels = np.array([numbers[str(value)] for value in rows.values], dtype=np.int64)
        return Examples("classes", rows.anchors, labels=labels, class_names=names, **more)
    if rows.parts.score is not None:
        values = np.array(rows.values, dtype=np.float64)
        if np.isin(values, (0, 1)).all():
            return Examples("labelled", rows.anchors, rows.positives, labels=values.astype(np.int64), **more)
        return Examples("scored", rows.anchors, rows.positives, scores=values.astype(np.float32), **more)
    if any(rows.negatives):
        return Examples("triplets", rows.anchors, rows.positives, rows.negatives, **more)
    return Examples("pairs", rows.anchors, rows.positives, **more)


def _judged(folder: Path, split: str, documents: Sequence[Document] | None) -> Examples:
    judgements = read_judgements(folder, split)
    texts = {query.id: query for query in read_queries(folder)}
    reading = read_documents(folder)
    if documents is None:
        documents = list(progress.track(reading, "reading documents", unit="documents"))
    contents = {one.id: one.content for one in documents}
    qrels: dict[str, dict[str, int]] = {}
    for one in judgements:
        if one.query_id not in texts:
            reading.skip(f"qrels/{split}.tsv", None, "a judgement of a query that is not there")
        elif not contents.get(one.document_id, "").strip():
            missing = "without text" if one.document_id in contents else "that is not there"
            reading.skip(f"qrels/{split}.tsv", None, f"a judgement of a document {missing}")
        else:
            qrels.setdefault(one.query_id, {})[one.document_id] = one.grade
    pairs = [(query, document) for query, found in qrels.items() for document, grade in found.items() if grade > 0]
    if not pairs:
        summary = f"; {reading.summary()}" if reading.counts else ""
        raise EmptyInput(f"the split {split} of {folder} holds no relevant document{summary}", mend="give grades above 0")
    wrong = {query: [contents[one] for one, grade in found.items() if grade <= 0] for query, found in qrels.items()}
    negatives = [wrong[query] for query, _ in pairs] if any(wrong.values()) else None
    return Examples(
        "pairs" if negatives is None else "triplets",
        [texts[query].text for query, _ in pairs],
        [contents[document] for _, document in pairs],
        negatives,
        query_ids=[query for query, _ in pairs],
        document_ids=[document for _, document in pairs],
        corpus=JudgedCorpus(documents, [texts[query] for query in qrels], qrels),
        left_out=dict(reading.counts),
        notes=tuple(filter(None, [f"judged retrieval, split {split}", reading.summary()])),
    )
