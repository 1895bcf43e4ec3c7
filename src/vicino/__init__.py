"""vicino: bring your data; get the embedding that is best for it, with the evidence.

>>> import vicino
>>> vicino.embed(["wings lift", "tea steeps"], encoder="tfidf").shape
(2, 4)

Start reading in `vicino.workbench`: the whole story in verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicino.client import Client
    from vicino.workbench import compare, context, embed, evaluate, ingest, load, search, tokens

__all__ = ["Client", "__version__", "compare", "context", "embed", "evaluate", "ingest", "load", "search", "tokens"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The verbs come from the workbench when first asked for, so that `import vicino` stays quick."""
    if name == "Client":
        from vicino.client import Client

        return Client
    if name in __all__:
        from vicino import workbench

        return getattr(workbench, name)
    raise AttributeError(f"module 'vicino' has no attribute {name!r}")
