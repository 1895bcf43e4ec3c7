"""What other frameworks ask for, answered by `vicino serve`: `langchain`, `llama_index`, `haystack`, each behind its extra.

They hold no logic: an embedding class, a retriever over a collection, and a reranker, on top of `vicino.Client`.
"""

from __future__ import annotations

from typing import Any

from vicino.client import Result

__all__ = ["described"]


def described(result: Result) -> dict[str, Any]:
    """A result's own metadata, and beside it where its passage stands; what the document says of itself is not hidden.

    >>> described(Result(1, "d7", "wiki", 0.5, 0, 12, "On lift", "Wings lift.", {"lang": "en"}))
    {'source': 'wiki', 'title': 'On lift', 'start': 0, 'end': 12, 'lang': 'en'}
    """
    place = {"source": result.source, "title": result.title, "start": result.start, "end": result.end}
    return {**place, **result.metadata}
