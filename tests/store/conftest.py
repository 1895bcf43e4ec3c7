"""What the tests of stores share: where a store of each kind can stand, and rows with vectors to put into it.

VICINO_STORES names the kinds that are tested, "lance" if it is not set: `make test-scale` sets it to those that need a server.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino import store
from vicino.catalog import Entry
from vicino.spaces import Space
from vicino.store import STORES, Store
from vicino.store.base import Row

SPACE = Space("0123456789abcdef", 4)


@pytest.fixture(scope="session", params=os.environ.get("VICINO_STORES", "lance").split(","))
def scheme(request: pytest.FixtureRequest, need: Callable[[Entry], None]) -> str:
    """The name of each kind of store in turn."""
    need(STORES.entry(request.param))
    return str(request.param)


@pytest.fixture(scope="session")
def place(scheme: str) -> Iterator[Callable[[Path], str]]:
    """Give a fresh place for a store of this kind; it takes a folder that is empty."""
    if scheme == "lance":
        yield lambda folder: str(folder / "rows")
        return
    spec = importlib.util.spec_from_file_location("servers", Path(__file__).parent.with_name("servers.py"))
    servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(servers)
    with servers.running(scheme) as server:
        yield lambda folder: servers.location(server.url)


@pytest.fixture(scope="module")
def roomy(place: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A place where nothing is yet, for a store that a whole module reads."""
    return place(tmp_path_factory.mktemp("store"))


@pytest.fixture
def location(place: Callable[[Path], str], tmp_path: Path) -> str:
    """A place where nothing is yet."""
    return place(tmp_path)


@pytest.fixture
def space() -> Space:
    """A space of four dimensions, compared by cosine."""
    return SPACE


@pytest.fixture
def kept(scheme: str, location: str) -> Store:
    """An empty store with that space."""
    return store.create(location, [SPACE], scheme=scheme)


@pytest.fixture(scope="session")
def passages() -> Callable[..., list[Row]]:
    """Make the n passages of a document."""

    def make(
        document: str, n: int = 1, *, tenant: str = "us", source: str = "web", revision: str = "1", **metadata: Any
    ) -> list[Row]:
        names = [f"{tenant}/{source}/{document}/{number}/{revision}" for number in range(n)]
        return [
            Row(
                key,
                tenant,
                source,
                document,
                number,
                9 * number,
                9 * number + 9,
                f"On {document}",
                "nine long",
                key,
                revision,
                metadata,
            )
            for number, key in enumerate(names)
        ]

    return make


@pytest.fixture(scope="session")
def drawn() -> Callable[..., dict[str, Any]]:
    """Draw n vectors, as `replace` takes them."""

    def draw(n: int, *spaces: Space, seed: int = 0) -> dict[str, Any]:
        generator = np.random.default_rng(seed)
        return {space.id: generator.standard_normal((n, space.dim)).astype(np.float32) for space in spaces or (SPACE,)}

    return draw
