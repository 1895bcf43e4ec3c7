"""What retrievers rank for questions: candidates to rerank, and among them hard negatives to learn from.

A negative that the encoder finds nearly as near as the answer is left out: it may be an answer that nobody judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.examples import Examples
from vicino.data.near_duplicates import same_text
from vicino.data.records import Document, Hits, Query
from vicino.encoders.rerankers import open_reranker
from vicino.errors import InputError
from vicino.learning.negatives import Mining, mine
from vicino.retrieval.fused import combine, pool
from vicino.training.searchable import Searchable

__all__ = ["Search", "Wanted", "ranked", "with_negatives"]

Rows = NDArray[np.int64]
Search = Callable[[Sequence[Query], int], Hits]
_POOLED = 100  # documents of each retriever that are fused, at least
_AT_ONCE = 256  # questions whose candidates' vectors stand side by side
_NEAR = 0.8  # overlap of words from which a document is the answer's own text again


class Wanted(Protocol):
    """What a recipe says of negatives: how many for each example, ranked by what ("hybrid", "dense", "bm25", "none"), from which
    rank to which, and the share of the answer's nearness that they may reach, as which model finds it (None: the encoder)."""

    @property
    def negatives(self) -> int: ...
    @property
    def mine(self) -> str: ...
    @property
    def rank_from(self) -> int: ...
    @property
    def rank_to(self) -> int: ...
    @property
    def relative(self) -> float | None: ...
    @property
    def judge(self) -> str | None: ...
    @property
    def seed(self) -> int: ...


def ranked(searches: Sequence[Search], queries: Sequence[Query], k: int, *, pooled: int) -> Hits:
    """The k best of one search; of several, fused by reciprocal rank, each asked for `pooled` documents."""
    if len(searches) == 1:
        return searches[0](queries, k)
    with progress.task("Ranking candidates", total=len(searches), unit="retrievers") as work:
        found = []
        for search in searches:
            found.append(search(queries, pooled))
            work.advance()
    return combine(pool(found, "rrf"), np.full(len(found), 1 / len(found)), k)


def with_negatives(examples: Examples, dense: Searchable, lexical: Search, recipe: Wanted) -> tuple[list[list[str]], str]:
    """Negatives of each example, as many for each, and what was mined in words."""
    given = [list(each) for each in examples.negatives] if examples.negatives is not None else [[] for _ in range(len(examples))]
    if recipe.negatives == 0:
        return [[] for _ in given], "no hard negatives were asked for"
    told = "negatives are those that the examples bring"
    if recipe.mine != "none":
        mined, told = _mined(examples, dense, lexical, recipe)
        given = [own + more for own, more in zip(given, mined, strict=True)]
    random = np.random.default_rng([recipe.seed, 1])
    contents = list(dict.fromkeys(one.content for one in dense.documents))
    answers: dict[str, set[str]] = {}
    for name, positive in zip(examples.query_ids or (), examples.positives, strict=True):
        answers.setdefault(name, set()).add(positive)
    for own, name in zip(given, examples.query_ids or (), strict=True):
        if len(answers[name]) == len(contents):
            raise InputError(f"all documents answer {name}", mend="give more documents, or negatives=0")
        while len(own) < recipe.negatives:  # any other document will do, where none is hard
            other = contents[random.integers(len(contents))]
            own += [other] * (other not in answers[name])
    return [own[: recipe.negatives] for own in given], told


def _mined(examples: Examples, dense: Searchable, lexical: Search, recipe: Wanted) -> tuple[list[list[str]], str]:
    """What the retriever ranks high and the encoder finds less near than the answer."""
    numbers: dict[str, int] = {one.id: row for row, one in enumerate(dense.documents)}
    ids = list(dict.fromkeys(examples.query_ids or ()))
    texts = dict(zip(examples.query_ids or (), examples.anchors, strict=True))
    answers: dict[str, list[int]] = {name: [] for name in ids}
    for name, document in zip(examples.query_ids or (), examples.document_ids or (), strict=True):
        answers[name].append(numbers[document])
    queries = [Query(name, texts[name]) for name in ids]
    of_queries = dense.asked(queries)  # once, to rank by and to judge by

    def nearest(_: Sequence[Query], k: int) -> Hits:
        return dense.index.search(of_queries, k)

    searches: list[Search] = [nearest] * (recipe.mine != "bm25") + [lexical] * (recipe.mine != "dense")
    hits = ranked(searches, queries, recipe.rank_to, pooled=max(_POOLED, recipe.rank_to))
    rows = np.array([[-1 if name is None else numbers[name] for name in row] for row in hits.ids], dtype=np.int64)
    own = [answers[name] for name in ids]
    if recipe.judge is None:
        near, best = _nearness(of_queries, rows, own, dense.vectors)
    else:
        near, best = _read_by(recipe.judge, queries, rows, own, dense.documents, recipe.rank_from)
    mining = Mining(
        per_query=recipe.negatives,
        first=recipe.rank_from,
        last=recipe.rank_to,
        relative=None,
        judged_relative=recipe.relative,
        seed=recipe.seed,
    )
    chosen = mine(
        rows,
        hits.scores,
        own,
        mining,
        judged=near,
        own_judged=best,
        groups=same_text([one.content for one in dense.documents], threshold=_NEAR),
    )
    of = {name: [dense.documents[row].content for row in chosen.negatives[place] if row >= 0] for place, name in enumerate(ids)}
    return [list(of[name]) for name in examples.query_ids or ()], str(chosen)


def _nearness(
    asked: NDArray[np.float32], rows: Rows, own: Sequence[Sequence[int]], vectors: NDArray[np.float32]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """How near the encoder finds candidates (q, k), and the nearest of each question's answers (q,)."""
    near = np.empty(rows.shape, dtype=np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        near[block] = np.einsum("qd,qkd->qk", asked[block], vectors[np.maximum(rows[block], 0)])
    return near, np.array([(vectors[list(answers)] @ asked[row]).max() for row, answers in enumerate(own)], dtype=np.float32)


def _read_by(
    judge: str, queries: Sequence[Query], rows: Rows, own: Sequence[Sequence[int]], documents: Sequence[Document], first: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The same by a model that reads questions and documents together, from 0 to 1; of candidates before the `first` rank 0."""
    reader = open_reranker(judge)
    near, best = np.zeros(rows.shape), np.zeros(len(rows))
    for start in progress.track(range(0, len(rows), reader.at_once), "Judging negatives", unit="blocks"):
        block = range(start, min(start + reader.at_once, len(rows)))
        places = [(row, rank) for row in block for rank in range(first, rows.shape[1]) if rows[row, rank] >= 0]
        asked = [(row, int(rows[row, rank])) for row, rank in places] + [(row, each) for row in block for each in own[row]]
        scores = reader.shares(reader.predict([(queries[row].text, documents[each].content) for row, each in asked], logits=True))
        for (row, rank), score in zip(places, scores[: len(places)], strict=True):
            near[row, rank] = score
        for (row, _), score in zip(asked[len(places) :], scores[len(places) :], strict=True):
            best[row] = max(best[row], score)
    return near, best
