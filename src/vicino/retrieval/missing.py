"""Why a document is not among the answers: its place in every stage of one search, and the stage where it was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from vicino.data.filters import And, Compare
from vicino.data.records import Document, Hits
from vicino.encoders.rerankers import Reranker
from vicino.errors import InputError, UnknownName
from vicino.retrieval import Retriever, tracing
from vicino.retrieval.asking import Asking, view
from vicino.retrieval.dense import Dense
from vicino.retrieval.explaining import document_ranks, first_stage, pool_of, score_parts, weights_of
from vicino.retrieval.fused import Fused, combine
from vicino.retrieval.lexical import Lexical
from vicino.retrieval.reranked import Reranked
from vicino.retrieval.scoring import Scoring, name_of
from vicino.retrieval.stored import Stored

__all__ = ["STAGES", "Missing", "Stage", "why_not"]

STAGES = ("filter", "lexical", "dense", "index", "fusion", "rerank", "truncation")
State = Literal["passed", "missed", "out", "not asked"]


@dataclass(frozen=True)
class Stage:
    """What one stage made of the document. Of "lexical", "dense" and "index" `rank` is the exact place of its best passage among
    all that may be found, and `needed` the score of the last passage that this stage handed on; later stages count documents.
    """

    stage: str
    state: State
    say: str
    rank: int | None = None
    score: float | None = None
    needed: float | None = None


@dataclass(frozen=True)
class Missing:
    """`rank` is the document's place among the answers, counted beyond what was asked for, None where no stage found it."""

    document: str
    source: str
    rank: int | None
    stages: Sequence[Stage]
    verdict: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def why_not(
    stored: Stored, asking: Asking, document: str, *, source: str | None = None, reranker: Reranker | None = None
) -> Missing:
    """Follow one document through a search that is made as `ask` makes it.

    Raises UnknownName where the tenant has no such document, InputError where several sources have one and none is named, and
    what `ask` raises.
    """
    stored.refresh()
    passages = _passages(stored, document, source)
    one = passages[0]["source"], document
    by, allow = view(stored, asking, reranker), stored.allowed(asking.where)
    keys = [row["key"] for row in passages if allow is None or row["key"] in allow]
    stages = [_filtered(asking, len(keys), len(passages))]
    if not keys:
        return Missing(document, one[0], None, _filled(stages, "It never came so far."), _verdict(document, stages, None))
    wanted = asking.offset + asking.k
    with tracing.tracing() as trace:
        _, hits = stored.rank(asking.query, wanted, by=by, where=asking.where)
    first = first_stage(by)
    scorings = [each.among(allow) for each in score_parts(stored, by, asking.query)]
    for each in scorings:
        stages += _found_by(each, keys, passages, trace.answers.get(id(each.part)))
    lists = _ranking(first, scorings, trace, hits)
    if isinstance(first, Fused):
        stages.append(_fused(lists, keys))
    rank, answered = document_ranks(stored, lists).get(one), document_ranks(stored, hits).get(one)
    if isinstance(by, Reranked):
        stages.append(_reranked(by, trace, keys, rank, answered))
        rank = answered
    elif answered is None and rank is not None and rank <= wanted:  # it should be there, and the index passed it by
        rank = None
    stages.append(_cut_off(stored, lists if not isinstance(by, Reranked) else hits, one, rank, asking))
    return Missing(document, one[0], rank, _filled(stages, "This search has no such stage."), _verdict(document, stages, rank))


def _passages(stored: Stored, document: str, source: str | None) -> list[dict[str, Any]]:
    """The passages of the document, in its order."""
    named = Compare("document", "=", document)
    where = named if source is None else And((named, Compare("source", "=", source)))
    columns = ["key", "source", "number", "title", "text"]
    batches = stored.collection.store.scan(columns, where=where, tenant=stored.tenant)
    rows = sorted((row for batch in batches for row in batch.to_pylist()), key=lambda row: (row["source"], row["number"]))
    if not rows:
        raise UnknownName(f"there is no document {document!r} in {stored.collection.name!r}", mend="check its id and its source")
    sources = sorted({row["source"] for row in rows})
    if len(sources) > 1:
        raise InputError(f"several sources have a document {document!r}", mend=f"name one: {', '.join(map(repr, sources))}")
    return rows


def _filtered(asking: Asking, left: int, passages: int) -> Stage:
    if asking.where is None:
        return Stage("filter", "not asked", "Nothing was filtered.")
    if left:
        return Stage("filter", "passed", f"{left:,} of its {passages:,} passages match {asking.where}.")
    return Stage("filter", "out", f"None of its {passages:,} passages matches {asking.where}.")


def _found_by(scoring: Scoring, keys: Sequence[str], passages: Sequence[Mapping[str, Any]], hits: Hits | None) -> list[Stage]:
    """What a part that finds made of it: two stages for vectors, of which the second is the index."""
    part = scoring.part
    scored = {key: score for key in keys if (score := scoring.score(key)) is not None}
    found = [] if hits is None else hits.top()
    handed, needed = {key for key, _ in found}, found[-1][1] if found else None
    depth, full = len(found), hits is not None and len(found) == hits.ids.shape[1]
    kind = "lexical" if isinstance(part, Lexical) else "dense"
    if not scored:
        say = "It shares no word with the question." if kind == "lexical" else f"It has no vector of {name_of(part)}."
        return [Stage(kind, "missed", say, needed=needed if full else None)]
    best = max(scored, key=lambda key: scored[key])
    rank, score = scoring.rank(best), scored[best]
    near = rank is not None and (rank <= depth or not full)
    there = bool(handed & set(keys))
    place = f"{name_of(part)} puts its best passage at place {rank:,}"
    say = f"{place}, among the {depth:,} that are looked at." if there or near else f"{place}, and {depth:,} are looked at."
    say += _unread(part, best, passages)
    stages = [Stage(kind, "passed" if there or near else "missed", say, rank, score, needed)]
    if isinstance(part, Dense):
        stages.append(_indexed(part, there, near, rank, score, needed))
    return stages


def _indexed(part: Dense, there: bool, near: bool, rank: int | None, score: float, needed: float | None) -> Stage:
    if there:
        return Stage("index", "passed", "The index found it.", rank, score, needed)
    if near:
        say = f"It is near enough, and the index ({part._require_index().family}) passed it by: it is an approximate one."
        return Stage("index", "missed", say, rank, score, needed)
    return Stage("index", "not asked", "It is not near enough for the index to find it.", rank, score, needed)


def _unread(part: Retriever, key: str, passages: Sequence[Mapping[str, Any]]) -> str:
    """What of the passage its model never read."""
    row = next(row for row in passages if row["key"] == key)
    cut = part.truncation([Document(key, row["text"], row["title"])])
    if cut is None or not cut.tokens_cut:
        return ""
    return f" The model read only the first {cut.limit:,} of its {cut.tokens:,} tokens."


def _ranking(first: Retriever, scorings: Sequence[Scoring], trace: tracing.Trace, hits: Hits) -> Hits:
    """The first stage's passages, best first, as far as they are known: all that were fused, or all that one part ranks."""
    if isinstance(first, Fused):
        one = pool_of(first, trace)
        return hits if one is None else combine([one], np.asarray(weights_of(first)), len(one.ids))
    if len(scorings) == 1 and first is scorings[0].part:
        scores = scorings[0].scores
        order = np.argsort(-scores, kind="stable")[: int((scores > -np.inf).sum())]
        return Hits(scorings[0].census.ids[order][None], scores[order][None])
    return trace.answers.get(id(first), hits)


def _fused(lists: Hits, keys: Sequence[str]) -> Stage:
    """Its place among the candidates."""
    scores = dict(lists.top())
    own = [key for key in scores if key in set(keys)]
    if not own:
        return Stage("fusion", "missed", "No part handed it on, so there was nothing to fuse.")
    rank = 1 + list(scores).index(own[0])
    say = f"Fused, its best passage stands at place {rank:,} of {len(scores):,}."
    return Stage("fusion", "passed", say, rank, scores[own[0]])


def _reranked(by: Reranked, trace: tracing.Trace, keys: Sequence[str], before: int | None, after: int | None) -> Stage:
    handed = trace.answers.get(id(by.parts[0]))
    read = [] if handed is None else [key for key, _ in handed.top()[: by.depth]]
    if not set(read) & set(keys):
        return Stage("rerank", "missed", f"The reranker reads the first {by.depth:,} passages, and none of its is there.", before)
    found = trace.answers.get(id(by))
    score = max((value for key, value in (found.top() if found else []) if key in set(keys)), default=None)
    say = f"The reranker moved it from place {before:,} to {after:,}." if before and after else "The reranker read it."
    return Stage("rerank", "passed", say, after, score)


def _cut_off(stored: Stored, lists: Hits, one: tuple[str, str], rank: int | None, asking: Asking) -> Stage:
    """Whether it stands within what was asked for."""
    if rank is None:
        return Stage("truncation", "not asked", "It never came so far.")
    shown = asking.offset + asking.k
    best: dict[tuple[str, str], float] = {}
    for key, value in lists.top():
        best.setdefault(stored.document_of(key), value)
    needed = list(best.values())[min(shown, len(best)) - 1]
    if asking.offset < rank <= shown:
        return Stage("truncation", "passed", f"It is shown, at place {rank:,}.", rank, best.get(one), needed)
    say = f"It stands at place {rank:,}; what is shown goes from {asking.offset + 1:,} to {shown:,}."
    return Stage("truncation", "out", say, rank, best.get(one), needed)


def _filled(stages: Sequence[Stage], why: str) -> list[Stage]:
    """In the order of STAGES; `why` is said of those that did nothing."""
    there = {stage.stage for stage in stages}
    rest = [Stage(name, "not asked", why) for name in STAGES if name not in there]
    return sorted([*stages, *rest], key=lambda stage: STAGES.index(stage.stage))


def _verdict(document: str, stages: Sequence[Stage], rank: int | None) -> str:
    """One sentence: where it was lost, or where it is."""
    last = stages[-1]
    if last.stage == "truncation" and last.state == "passed":
        return f"{document!r} is there, at place {rank:,}."
    lost = [stage for stage in stages if stage.state == "out"] or [stage for stage in stages if stage.state == "missed"]
    deciding = lost[-1] if last.state == "out" else next((each for each in lost if each.stage == "index"), lost[0])
    return f"{document!r} is not shown: {deciding.say}"
