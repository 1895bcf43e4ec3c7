"""Whether another model may take the place of a collection's: both asked the same, the differences tested query by query.

A change of the model need not be a gain (it may be cheaper, or the old one may be gone): it must not be a loss. The gate opens
where the whole interval of the difference lies above -`TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import metrics, progress
from vicino.data.known_items import known_items
from vicino.data.records import Document, Hits, Judgement, Query
from vicino.encoders import Encoder
from vicino.errors import EmptyInput
from vicino.evaluation.gate import Check, Gate, check_means
from vicino.evaluation.scores import judged_queries
from vicino.indexes.exact import Exact
from vicino.learning import alignment
from vicino.metrics import significance
from vicino.metrics.ranking import judge
from vicino.retrieval.stored import Stored
from vicino.spaces import Space
from vicino.vectors import Similarity

__all__ = ["MAPS", "TOLERANCE", "Recovery", "Verdict", "by_judgements", "by_known_items", "learn", "overlap"]

TOLERANCE = 0.02  # of nDCG@10
RECOVERED = 0.9  # of the old model's recall, for an adapter to serve
MAPS = {"orthogonal": alignment.orthogonal, "linear": alignment.linear}

_METRIC = "nDCG@10"
_K = 10
_QUERIES = 1000
_HELD_OUT = 5  # one passage in five asks; the map is learnt from the others


@dataclass(frozen=True)
class Verdict:
    """Old against new: the decision, on what it stands, and p of "they do not differ"."""

    gate: Gate
    basis: str
    p: float

    def to_json(self) -> dict[str, Any]:
        return {**self.gate.to_json(), "basis": self.basis, "p": self.p}


def by_judgements(
    old: Stored, new: Stored, queries: Sequence[Query], judgements: Iterable[Judgement], *, seed: int = 0
) -> Verdict:
    """Both as users would meet them, the whole recipe, on judged queries. Raises EmptyInput where none has an answer."""
    asked, rows = judged_queries(queries, judgements)
    values = [_values(_documents(each, asked), rows) for each in (old, new)]
    return _verdict(values[0], values[1], f"{len(asked):,} judged queries, the whole recipe", seed)


def by_known_items(
    old: Encoder, new: Encoder, passages: Sequence[tuple[str, Document]], *, seed: int = 0, queries: int = _QUERIES
) -> Verdict:
    """The two encoders on something that passages say of themselves, withheld from them: a sample stands for the collection.

    Raises EmptyInput where no query can be made.
    """
    made = known_items([replace(document, id=key) for key, document in passages], seed=seed, limit=queries)
    rows = [{one.document_id: one.grade} for one in made.judgements]
    values = []
    for encoder in (old, new):
        ids = [document.id for document in made.documents]
        index = Exact(similarity=encoder.similarity).build(np.asarray(encoder.encode_document(made.documents)), ids)
        values.append(_values(index.search(encoder.encode_query(made.queries), _K).ids, rows))
    return _verdict(values[0], values[1], f"{len(passages):,} passages; {made.note}", seed)


def overlap(old: Stored, new: Stored, queries: Sequence[Query]) -> float:
    """The mean share of the first ten documents that both find, over queries that nobody judged."""
    pairs = zip(_documents(old, queries), _documents(new, queries), strict=True)
    shares = [len(set(a) & set(b)) / max(1, len(a), len(b)) for a, b in pairs]
    return float(np.mean(shares))


@dataclass(frozen=True)
class Recovery:
    """What a map from new queries into the old space is worth: recall@10 of known items over `passages` stored vectors.

    `adapted` asks the old vectors through the map, `old` with their own model (None where that is gone), `new` asks new vectors.
    """

    map: str
    learnt_from: int
    passages: int
    queries: int
    adapted: float
    new: float
    old: float | None

    @property
    def share(self) -> float:
        """Of the recall that the old model has (the new one, where that is gone), what the map recovers."""
        reference = self.new if self.old is None else self.old
        return self.adapted / reference if reference else 0.0

    @property
    def accepted(self) -> bool:
        return self.share >= RECOVERED

    def __str__(self) -> str:
        old = "" if self.old is None else f"the old model {self.old:.3f}, "
        return (
            f"a {self.map} map, learnt from {self.learnt_from:,} passages: recall@10 {self.adapted:.3f} over {self.passages:,} "
            f"old vectors, {old}the new one with vectors of its own {self.new:.3f} ({self.queries:,} held-out known items): "
            f"{self.share:.0%} recovered"
        )

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "share": self.share, "accepted": self.accepted}


def learn(
    kind: str,
    asks: Encoder,
    passages: Sequence[Document],
    vectors: NDArray[np.float32],
    space: Space,
    *,
    old: Encoder | None,
    seed: int = 0,
) -> tuple[alignment.Alignment, Recovery]:
    """A map from what `asks` makes of queries into `space`, from `vectors` (n, dim) that are stored of the passages.

    One passage in five is held out: known items of these ask. Raises EmptyInput where there are none, or fewer than ten passages.
    """
    if len(passages) < 2 * _HELD_OUT:
        raise EmptyInput(
            f"{len(passages)} passages teach no map", mend="ingest more, or embed them all: vicino migrate NAME --to X"
        )
    held = np.random.default_rng(seed).permutation(len(passages)) % _HELD_OUT == 0
    made = known_items([passages[at] for at in np.flatnonzero(held).tolist()], seed=seed, limit=_QUERIES)
    with progress.task("Learning a map", total=2 * len(passages), unit="passages") as bar:
        asked = np.asarray(asks.encode_query(list(passages)), dtype=np.float32)
        bar.advance(len(passages))
        own = np.asarray(asks.encode_document(list(passages)), dtype=np.float32)
        bar.advance(len(passages))
    learnt = MAPS[kind](asked[~held], vectors[~held])
    ids, wanted = [document.id for document in passages], [one.document_id for one in made.judgements]
    queries = np.asarray(asks.encode_query(made.queries), dtype=np.float32)
    adapted = _recall(vectors, learnt(queries), ids, wanted, space.similarity)
    new = _recall(own, queries, ids, wanted, asks.similarity)
    past = None if old is None else _recall(vectors, np.asarray(old.encode_query(made.queries)), ids, wanted, space.similarity)
    return learnt, Recovery(kind, int((~held).sum()), len(ids), len(wanted), adapted, new, past)


def _recall(vectors: Any, queries: Any, ids: list[str], wanted: list[str], similarity: Similarity) -> float:
    found = Exact(similarity=similarity).build(vectors, ids).search(queries, _K).ids
    return float(np.mean([name in row for name, row in zip(wanted, found, strict=True)]))


def _documents(stored: Stored, queries: Sequence[Query]) -> list[list[str]]:
    """The first ten documents of each query."""
    found = []
    for query in progress.track(queries, "Asking", unit="queries"):
        hits: Hits = stored.search(query, _K)
        found.append(list(dict.fromkeys(name for name, _ in hits.top())))
    return found


def _values(found: Any, rows: Sequence[dict[str, int]]) -> NDArray[np.float64]:
    ids = np.full((len(rows), _K), None, dtype=object)
    for row, names in enumerate(found):
        ids[row, : len(names)] = list(names)[:_K]
    return np.asarray(metrics.parse(_METRIC)(judge(ids, rows)))


def _verdict(before: NDArray[np.float64], after: NDArray[np.float64], basis: str, seed: int) -> Verdict:
    check = check_means(_METRIC, before, after, seed=seed)
    return Verdict(_gate(check), basis, significance.randomisation_test(after, before, seed=seed))


def _gate(check: Check) -> Gate:
    low, high = check.difference.low, check.difference.high
    if low > -TOLERANCE:
        what = "better beyond the interval" if low > 0 else f"not worse by more than {TOLERANCE:g}"
        return Gate(True, check, (), (f"{what}, {check}",), ())
    if high < 0:
        return Gate(False, check, (), (f"worse beyond the interval, {check}",), ("keep the old model, or train the new one",))
    advice = "bring more judged queries (--queries, --qrels), or a larger --sample"
    reason = f"{check.n:,} queries cannot rule out a loss of more than {TOLERANCE:g}, {check}"
    return Gate(False, check, (), (reason,), (advice,))
