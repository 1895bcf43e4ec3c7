"""Why a passage was found, in the stages of one search: words, vectors, the sum of the fusion, the reranker's turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vicino.data.records import Hits
from vicino.data.text import encode_corpus
from vicino.retrieval.base import Retriever
from vicino.retrieval.dense import Dense
from vicino.retrieval.fused import Fused, Pool, pool
from vicino.retrieval.lexical import Lexical
from vicino.retrieval.reranked import Reranked
from vicino.retrieval.scoring import Scoring, name_of, score_all
from vicino.retrieval.stored import Stored, leaves
from vicino.retrieval.tracing import Trace

__all__ = ["Why", "document_ranks", "explain", "first_stage", "pool_of", "score_parts", "weights_of"]

Why = dict[str, Any]


def explain(stored: Stored, by: Retriever, query: str, keys: Sequence[str], trace: Trace) -> dict[str, Why]:
    """For each passage why `by` found it, as plain data. `trace` is of the search that did.

    Ranks of "lexical" and "dense" are exact places among all passages of the tenant, those in "fusion" the places in the lists
    that were fused, those in "rerank" places of documents. A percentile is the share of all documents whose best passage scores
    lower, in percent.
    """
    first, scorings = first_stage(by), score_parts(stored, by, query)
    fused = pool_of(first, trace) if isinstance(first, Fused) else None
    before = document_ranks(stored, trace.answers.get(id(first))) if isinstance(by, Reranked) else {}
    after = trace.answers.get(id(by))
    last = dict(after.top()) if after is not None else {}
    places = document_ranks(stored, after)
    reasons = {}
    for key in keys:
        why = _by_parts(scorings, query, key)
        if fused is not None and isinstance(first, Fused):
            why["fusion"] = _fusion(first, fused, key)
        if isinstance(by, Reranked):
            name = stored.document_of(key)
            why["rerank"] = {"before": before.get(name), "after": places.get(name), "score": last.get(key)}
        reasons[key] = why
    return reasons


def first_stage(by: Retriever) -> Retriever:
    """What finds, before anything reads it again."""
    while isinstance(by, Reranked):
        by = by.parts[0]
    return by


def score_parts(stored: Stored, by: Retriever, query: str) -> list[Scoring]:
    """The exact scores of all passages by each part of `by`, in the recipe's order."""
    return [score_all(leaf, query, stored.census(leaf)) for leaf in leaves(by) if isinstance(leaf, Lexical | Dense)]


def pool_of(fused: Fused, trace: Trace) -> Pool | None:
    """The candidates as they were fused; None where nothing was asked."""
    answers = [trace.answers.get(id(part)) for part in fused.parts]
    found = [one for one in answers if one is not None]
    if len(found) < len(fused.parts):
        return None
    return pool(found, fused.method, floors=[part.floor for part in fused.parts], rrf_k=fused.rrf_k)[0]


def weights_of(fused: Fused) -> list[float]:
    """The weight of each part."""
    return [1.0] * len(fused.parts) if fused.weights is None else [float(weight) for weight in fused.weights]


def document_ranks(stored: Stored, hits: Hits | None) -> dict[tuple[str, str], int]:
    """The place of each document that was found, from 1, by its first passage."""
    names = [] if hits is None else dict.fromkeys(stored.document_of(key) for key, _ in hits.top())
    return {name: place for place, name in enumerate(names, start=1)}


def _by_parts(scorings: Sequence[Scoring], query: str, key: str) -> Why:
    why: Why = {}
    for each in scorings:
        score, rank = each.score(key), each.rank(key)
        if isinstance(each.part, Lexical):
            why["lexical"] = {"score": score or 0.0, "rank": rank, "terms": _terms(each.part, query, each.census.row[key])}
        elif score is not None:
            space = name_of(each.part)
            one = {"space": space, "score": score, "rank": rank, "percentile": each.percentile(score)}
            why.setdefault("dense", []).append(one)
    return why


def _terms(part: Lexical, query: str, row: int) -> list[dict[str, Any]]:
    """What each term of the query adds to the score of a row, and how often it stands there."""
    words = encode_corpus([query], part._analyzer(), part.vocabulary_, grow=False)[0]
    number = {part.vocabulary_.terms[word]: int(word) for word in words if word >= 0}
    there = part._require_corpus()[0][row]
    told: Mapping[str, float] = part._explain(words, row)["terms"]
    return [
        {"term": term, "weight": weight, "count": int(np.count_nonzero(there == number[term]))} for term, weight in told.items()
    ]


def _fusion(fused: Fused, one: Pool, key: str) -> Why:
    """The sum by which a passage stands where it stands."""
    place = int(np.flatnonzero(one.ids == key)[0])
    parts = []
    for column, (part, weight) in enumerate(zip(fused.parts, weights_of(fused), strict=True)):
        share, rank = float(one.shares[place, column]), int(one.ranks[place, column])
        parts.append({"name": name_of(part), "rank": rank or None, "weight": weight, "share": share, "product": share * weight})
    return {"method": fused.method, "parts": parts, "sum": sum(part["product"] for part in parts)}
