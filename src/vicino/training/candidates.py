"""What retrievers rank for questions: candidates to rerank, and among them hard negatives to learn from.

A negative that the encoder finds nearly as near as the answer is left out: it may be an answer that nobody judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vicino import metrics, progress
from vicino.data.examples import Examples
from vicino.data.near_duplicates import same_text
from vicino.data.records import Hits, Query
from vicino.errors import InputError
from vicino.evaluation.tasks import RetrievalTask
from vicino.learning.negatives import Mining, mine
from vicino.metrics.ranking import judge
from vicino.retrieval.fused import combine, pool
from vicino.training.controls import METRIC
from vicino.training.searchable import Searchable

__all__ = ["Search", "Wanted", "ranked", "values", "with_negatives"]

Search = Callable[[Sequence[Query], int], Hits]
_CANDIDATES = 100  # that are ranked for each question, to mine from
_AT_ONCE = 256  # questions whose candidates' vectors stand side by side
_NEAR = 0.8  # overlap of words from which a document is the answer's own text again


class Wanted(Protocol):
    """What a recipe says of negatives: how many for each example, ranked by what ("hybrid", "dense", "bm25", "none"), and the
    share of the answer's nearness that they may reach."""

    @property
    def negatives(self) -> int: ...
    @property
    def mine(self) -> str: ...
    @property
    def relative(self) -> float | None: ...
    @property
    def seed(self) -> int: ...


def values(hits: Hits, task: RetrievalTask) -> NDArray[np.float64]:
    """The metric of each question, (q,)."""
    return np.asarray(metrics.parse(METRIC)(judge(hits.ids, task.rows)), dtype=np.float64)


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
    hits = ranked(searches, queries, _CANDIDATES, pooled=_CANDIDATES)
    rows = np.array([[-1 if name is None else numbers[name] for name in row] for row in hits.ids], dtype=np.int64)
    near = np.empty(rows.shape, dtype=np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        near[block] = np.einsum("qd,qkd->qk", of_queries[block], dense.vectors[np.maximum(rows[block], 0)])
    own = np.array([max(of_queries[row] @ dense.vectors[each] for each in answers[name]) for row, name in enumerate(ids)])
    mining = Mining(
        per_query=recipe.negatives, relative=None, judged_relative=recipe.relative, seed=recipe.seed, last=_CANDIDATES
    )
    chosen = mine(
        rows,
        hits.scores,
        [answers[name] for name in ids],
        mining,
        judged=near,
        own_judged=own,
        groups=same_text([one.content for one in dense.documents], threshold=_NEAR),
    )
    of = {name: [dense.documents[row].content for row in chosen.negatives[place] if row >= 0] for place, name in enumerate(ids)}
    return [list(of[name]) for name in examples.query_ids or ()], str(chosen)
