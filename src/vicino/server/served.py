"""Served: what one server has open, and the threads that work for it.

Handlers run in one event loop and must not block: what computes or reads goes through `run`, into a bounded pool.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from vicino.errors import InputError, UnknownName, VicinoError
from vicino.retrieval.stored import Stored
from vicino.server.batching import Batcher
from vicino.server.failures import Busy, TimedOut
from vicino.server.logs import Metrics
from vicino.server.models import ServedEncoder, ServedReranker, named, of_collections, unknown, usual
from vicino.server.settings import Settings
from vicino.store.collection import Collection

__all__ = ["Served", "served_of"]

log = logging.getLogger(__name__)
T = TypeVar("T")

_WAITING = 128  # calls that may wait for a thread
_OPEN = 64  # collections of tenants that are open together


@dataclass(eq=False)
class _Open:
    """A collection that answers, for one tenant; whoever holds the lock may ask it."""

    stored: Stored
    made: object  # which folder it was: one of the same name may have come since
    lock: threading.Lock = field(default_factory=threading.Lock)


class Served:
    """The models, collections and threads of one server.

    Making it finds out what there is to serve and raises what is wrong with the settings (UnknownName, InputError); `start`
    loads it in the background, and `ready` says how far that is.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.rerankers = {name: ServedReranker(name, what) for name, what in named(settings.rerankers, "--reranker").items()}
        self.encoders = self._find_encoders()
        self._open: OrderedDict[tuple[Any, ...], _Open] = OrderedDict()
        self._opening = threading.Lock()
        self._pool = ThreadPoolExecutor(settings.threads, "serving")
        self._busy, self._counting = 0, threading.Lock()
        self._waiting: list[str] = []
        self._failed: dict[str, str] = {}
        self._closing = threading.Event()
        self._loader: threading.Thread | None = None

    def _find_encoders(self) -> dict[str, ServedEncoder]:
        asked = named(self.settings.encoders, "--encoder")
        found = {name: ServedEncoder(name, what) for name, what in asked.items()}
        for name, one in found.items():
            one.require_servable()
            if name in self.rerankers:
                raise InputError(f"an encoder and a reranker are both called {name!r}", mend=f"name one otherwise: NAME={name}")
        if self.settings.collections is not None:
            kept = [self.collection(name) for name in self.settings.collections]
        else:
            kept = list(self._all_collections())
        return found or of_collections(kept) or usual()

    def _all_collections(self) -> Iterator[Collection]:
        for name in self.collection_names():
            try:
                yield self.collection(name)
            except VicinoError as error:  # its server is away, or it is damaged: the others are served
                log.warning("%s", error)

    # Getting ready ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load models and indexes in a thread of its own."""
        self._waiting = [*self.encoders, *self.rerankers, *self.collection_names()]
        self._loader = threading.Thread(target=self._load, name="loading", daemon=True)
        self._loader.start()

    def _load(self) -> None:
        loads: list[tuple[str, Callable[[], object]]] = [(name, one.open) for name, one in self.encoders.items()]
        loads += [(name, one.open) for name, one in self.rerankers.items()]
        loads += [(name, lambda name=name: self._load_collection(name)) for name in self.collection_names()]  # type: ignore[misc]
        for name, load in loads:
            if self._closing.is_set():
                return
            try:
                load()
            except VicinoError as error:
                self._failed[name] = error.what
                log.warning("%s cannot be loaded: %s", name, error)
            except Exception:
                self._failed[name] = "it cannot be loaded; the server's log says why"
                log.exception("%s cannot be loaded", name)
            self._waiting.remove(name)
        self.metrics.loaded.set(self.ready()["ready"])
        log.info("ready", extra={"fields": self.ready()})

    def _load_collection(self, name: str) -> None:
        with self.stored(name, "") as stored:
            stored.refresh()
            stored.collection.open_models()

    def ready(self) -> Mapping[str, Any]:
        """Whether all is loaded: `waiting` names what is not, `failed` what could not be and why.

        What was asked for by name must be there; of all collections that happened to be there, one may fail.
        """
        must = {*self.encoders, *self.rerankers, *(self.settings.collections or ())}
        begun = self._loader is not None
        waiting = list(self._waiting)
        return {
            "ready": begun and not waiting and not must & self._failed.keys(),
            "waiting": waiting,
            "failed": dict(self._failed),
        }

    async def close(self) -> None:
        """Finish what was accepted, and let go of the threads."""
        self._closing.set()
        for one in self.encoders.values():
            await one.close()
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    # Working ----------------------------------------------------------------------------------------------------------

    async def run(self, function: Callable[..., T], *arguments: Any, limit_s: float | None = None) -> T:
        """Call a function that blocks, in a thread, for at most `limit_s` seconds (the settings' limit; `math.inf` for none).

        Raises Busy where too many calls wait for a thread, TimedOut, and what the function raises. What is cancelled before it
        began never begins; a call that runs cannot be stopped, and keeps its thread until it is over.
        """
        with self._counting:
            if self._busy >= self.settings.threads + _WAITING:
                raise Busy(f"{_WAITING} requests wait already")
            self._busy += 1
        future = self._pool.submit(function, *arguments)
        future.add_done_callback(self._is_over)
        return await self.limited(asyncio.wrap_future(future), limit_s)

    def _is_over(self, future: Future[Any]) -> None:  # noqa: ARG002
        with self._counting:
            self._busy -= 1

    async def limited(self, work: Awaitable[T], limit_s: float | None = None) -> T:
        """Wait for something, at most so long as a request may last. Raises TimedOut."""
        limit = self.settings.time_limit_s if limit_s is None else limit_s
        try:
            async with asyncio.timeout(None if math.isinf(limit) else limit):
                return await work
        except TimeoutError:
            raise TimedOut(limit) from None

    # Models -----------------------------------------------------------------------------------------------------------

    def encoder(self, name: str) -> ServedEncoder:
        """Raises Refused, a 404, for a model that is not served."""
        if name not in self.encoders:
            raise unknown(name, self.encoders)
        return self.encoders[name]

    def batcher(self, name: str) -> Batcher:
        """What encodes for many requests at once. Raises as `encoder`."""
        return self.encoder(name).batch(self.settings, self.metrics)

    @property
    def models(self) -> Mapping[str, ServedReranker | ServedEncoder]:
        """All models by name, rerankers first."""
        return {**self.rerankers, **self.encoders}

    # Collections ------------------------------------------------------------------------------------------------------

    def collection_names(self) -> list[str]:
        """What is served, as it is now: collections come and go while a server runs."""
        there = Collection.names(self.settings.collections_folder)
        wanted = self.settings.collections
        return there if wanted is None else [name for name in wanted if name in there]

    def collection(self, name: str) -> Collection:
        """A collection, opened anew. Raises UnknownName for one that is not there, or not served."""
        self._require_served(name)
        return Collection.open(self.settings.collections_folder, name)

    def _require_served(self, name: str) -> None:
        wanted = self.settings.collections
        if wanted is not None and name not in wanted:
            raise UnknownName.among(name[:200], self.collection_names(), kind="collection")

    @contextmanager
    def stored(self, collection: str, tenant: str, *, rerank: str | None = None, depth: int = 100) -> Iterator[Stored]:
        """A collection that answers one tenant, kept open from one request to the next: it is the caller's alone meanwhile.

        Blocks: ask in a worker thread. `rerank` is the name of a reranker that is served. Raises UnknownName (also for a
        collection that was deleted meanwhile), Refused for a reranker that is not served, and Busy where others have it for too
        long.
        """
        one = self._opened(collection, tenant, rerank, depth)
        if not one.lock.acquire(timeout=self.settings.time_limit_s):
            raise Busy(f"others are using {collection} for more than {self.settings.time_limit_s:g} s")
        try:
            yield one.stored
        finally:
            one.lock.release()

    def _opened(self, name: str, tenant: str, rerank: str | None, depth: int) -> _Open:
        self._require_served(name)
        reranker = None
        if rerank is not None:
            if rerank not in self.rerankers:
                raise unknown(rerank, self.rerankers)
            reranker = self.rerankers[rerank].what
        key = (name, tenant, rerank, depth)
        made = self._made(name)
        with self._opening:
            one = self._open.get(key)
            if one is None or one.made != made:
                self._forget(name) if one is not None else None
                one = _Open(Stored(self._with_models(name), tenant=tenant, rerank=reranker, depth=depth), made)
                self._open[key] = one
            self._open.move_to_end(key)
            for old in [each for each, kept in self._open.items() if not kept.lock.locked() and each != key]:
                if len(self._open) <= _OPEN:
                    break
                del self._open[old]
        return one

    def _made(self, name: str) -> object:
        """Which folder the collection is; None for none."""
        try:
            found = (self.settings.collections_folder / name / "about").stat()
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino, found.st_ctime_ns

    def _forget(self, name: str) -> None:
        for key in [key for key in self._open if key[0] == name]:
            del self._open[key]

    def _with_models(self, name: str) -> Collection:
        """A collection that has the models which are open here already, instead of its own copies of them."""
        collection = self.collection(name)
        for number, model in enumerate(collection.models):
            same = [one for one in self.encoders.values() if (one.what, dict(one.params)) == (model["name"], model["params"])]
            if same and not model["saved"] and not model.get("asks") and collection.made_here:
                try:
                    collection.use(number, same[0].open())
                except VicinoError as error:  # searching will say it
                    log.warning("%s", error)
        return collection


async def served_of(request: Request) -> Served:  # async as `security.caller_of` is
    """What the server has open: a dependency of handlers."""
    served: Served = request.app.state.served
    return served
