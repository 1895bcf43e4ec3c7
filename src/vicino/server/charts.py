"""The maps that a server has drawn: the latest few in memory, and one at a time being made in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from vicino import progress
from vicino.errors import VicinoError
from vicino.retrieval import maps
from vicino.retrieval.maps import Chart
from vicino.server.failures import Busy, Refused
from vicino.server.served import Served
from vicino.store.collection import Collection

__all__ = ["Charts", "Which", "charts_of"]

log = logging.getLogger(__name__)

_KEPT = 8  # charts in memory
_WAITING = 8  # that may be made one after the other
_LATER_S = 1.0  # until the neighbours of a new map are counted: who asked for it fetches its points first


@dataclass(frozen=True)
class Which:
    """A map by what it is of. `number` is that of the model; `made` tells collections apart that had the same name."""

    collection: str
    tenant: str
    space: str
    number: int
    method: str
    made: int


@dataclass(eq=False)
class _Making:
    """A map that is being made: how far, from 0 to 1, and what went wrong."""

    progress: float = 0.0
    error: Exception | None = None
    over: bool = False


@dataclass(eq=False)
class Charts:
    """Those of one server. Its methods block: ask in a worker thread."""

    _drawn: OrderedDict[Which, Chart] = field(default_factory=OrderedDict)
    _making: dict[Which, _Making] = field(default_factory=dict)
    _drawing: threading.Lock = field(default_factory=threading.Lock)  # who draws by PCA, in a second or so
    _turn: threading.Lock = field(default_factory=threading.Lock)  # who draws by t-SNE
    _measuring: set[Chart] = field(default_factory=set)  # whose neighbours are counted, or wait for it
    _counting: threading.Lock = field(default_factory=threading.Lock)  # who counts them
    _noting: threading.Lock = field(default_factory=threading.Lock)  # who reads or writes what is above

    def latest(self, collection: Collection, which: Which) -> Chart:
        """The map of what is stored now, where that is quickly made (PCA); else the one that was made last.

        Raises Refused, a 404, where that was never made, and what drawing raises.
        """
        known = self._known(which)
        version = collection.store.version
        if known is not None and (which.method != "pca" or known.version == version):
            return known
        kept = maps.kept_map(collection, which.tenant, which.number, which.method)
        if kept is not None and (which.method != "pca" or kept.version == version):
            return self._note(collection, which, kept)
        if which.method != "pca":
            self._raise_failed(which)
            mend = "POST the same address to have it made, and ask again when it is ready"
            raise Refused(404, f"no map by {which.method} was made yet", mend=mend, code="map_not_made", param="method")
        with self._drawing:
            known = self._known(which)
            if known is None or known.version != version:
                known = self._note(collection, which, self._draw(collection, which))
        return known

    def there(self, collection: Collection, which: Which) -> bool:
        """Whether a map was made once, however old it is."""
        return self._known(which) is not None or maps.is_kept(collection, which.tenant, which.number, which.method)

    def shown(self, collection: Collection, which: Which) -> Chart:
        """The map that `latest` gave last, so that what is asked of it fits it. Raises as `latest`."""
        return self._known(which) or self.latest(collection, which)

    def making(self, which: Which) -> float | None:
        """How far the making of a map is, from 0 to 1; None where none is being made."""
        with self._noting:
            found = self._making.get(which)
            return None if found is None or found.over else found.progress

    def measuring(self, which: Which) -> bool:
        """Whether it is being counted how many neighbours a map keeps."""
        with self._noting:
            return self._drawn.get(which) in self._measuring

    def make(self, collection: Collection, which: Which) -> None:
        """Begin to make a map, unless that was begun already. Raises Busy where too many wait."""
        maps.require_method(which.method)
        with self._noting:
            found = self._making.get(which)
            if found is not None and not found.over:
                return
            if sum(not one.over for one in self._making.values()) >= _WAITING:
                raise Busy(f"{_WAITING} maps are being made already", retry_after=60)
            self._making = {name: one for name, one in self._making.items() if not one.over}
            making = self._making[which] = _Making()
        threading.Thread(target=self._make, args=(collection, which, making), name="drawing", daemon=True).start()

    def _make(self, collection: Collection, which: Which, making: _Making) -> None:
        mine = threading.get_ident()

        def hear(event: progress.Event) -> None:
            if threading.get_ident() == mine and event.total and event.state == "advance":
                making.progress = min(1.0, event.done / event.total)

        try:
            with self._turn, progress.listen(hear):
                self._note(collection, which, self._draw(collection, which))
        except VicinoError as error:
            making.error = error
        except Exception as error:
            log.exception("a map of %s cannot be made", which.collection)
            making.error = error
        finally:
            making.over = True

    def _draw(self, collection: Collection, which: Which) -> Chart:
        return maps.draw(collection, which.tenant, which.number, which.method)

    def _known(self, which: Which) -> Chart | None:
        with self._noting:
            if which in self._drawn:
                self._drawn.move_to_end(which)
            return self._drawn.get(which)

    def _note(self, collection: Collection, which: Which, drawn: Chart) -> Chart:
        unmeasured = drawn.kept is None and len(drawn.keys) > 2  # of fewer nothing can be said
        with self._noting:
            self._drawn[which] = drawn
            if unmeasured:
                self._measuring.add(drawn)
            self._drawn.move_to_end(which)
            while len(self._drawn) > _KEPT:
                self._drawn.popitem(last=False)
        if unmeasured:  # nobody waits for it
            threading.Thread(target=self._measure, args=(collection, which, drawn), name="measuring", daemon=True).start()
        return drawn

    def _measure(self, collection: Collection, which: Which, drawn: Chart) -> None:
        found = drawn
        try:
            time.sleep(_LATER_S)
            with self._counting:
                if self._known(which) is drawn:
                    found = maps.measured(collection, which.tenant, which.number, drawn)
        except VicinoError as error:
            log.warning("a map of %s is not measured: %s", which.collection, error)
        except Exception:
            log.exception("a map of %s cannot be measured", which.collection)
        finally:
            with self._noting:
                self._measuring.discard(drawn)
                if self._drawn.get(which) is drawn:
                    self._drawn[which] = found

    def _raise_failed(self, which: Which) -> None:
        with self._noting:
            found = self._making.get(which)
        if found is not None and found.error is not None:
            raise found.error


_charts: WeakKeyDictionary[Served, Charts] = WeakKeyDictionary()


def charts_of(served: Served) -> Charts:
    """The maps of a server."""
    return _charts.setdefault(served, Charts())
