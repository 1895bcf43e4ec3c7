"""A live server on a free port of the loopback, a tiny encoder and a tiny collection."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from vicino.catalog import Entry
from vicino.data.records import Document

_spec = importlib.util.spec_from_file_location("checkpoints", Path(__file__).parents[1] / "encoders" / "conftest.py")
_checkpoints = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_checkpoints)
checkpoint = _checkpoints.checkpoint  # `checkpoint("bert")`: the folder of a tiny network
phrases = _checkpoints.phrases

_spec = importlib.util.spec_from_file_location("crossings", Path(__file__).parents[1] / "retrieval" / "conftest.py")
_crossings = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_crossings)
crossing = _crossings.crossing  # the folder of a tiny cross-encoder

RECIPE = "bm25+lsa(n_components=3)"

Serving = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(autouse=True)
def _needed(need) -> None:
    need(Entry("", "", "serve"))
    need(Entry("", "", "store"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, texts) -> Path:
    """The folder of an encoder that learnt from a few texts: eight dimensions, no torch."""
    from vicino.encoders.counts import LSA

    return LSA(n_components=8).fit(texts).save(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(scope="session")
def keep() -> Callable[..., None]:
    """`keep(home, name, documents, tenant="", recipe=RECIPE)`: documents into a collection, as `vicino ingest` does."""

    def into(home: Path, name: str, documents: list[Document], *, tenant: str = "", recipe: str = RECIPE) -> None:
        from vicino.retrieval.ingest import Source, ingest

        ingest(home / "collections", name, Source("tests", documents), recipe=recipe, tenant=tenant)

    return into


@pytest.fixture(scope="session")
def documents_of_notes(documents) -> list[Document]:
    """Those of the collection "notes": ids d0, d1, ...; every other one of language "en"."""
    return [
        Document(one.id, one.text, f"Title {place}", {"lang": "en" if place % 2 else "de", "year": 2000 + place})
        for place, one in enumerate(documents)
    ]


@pytest.fixture
def home(tmp_path, monkeypatch, keep, documents_of_notes) -> Path:
    """A VICINO_HOME of this test alone, with the collection "notes"."""
    folder = tmp_path / "home"
    monkeypatch.setenv("VICINO_HOME", str(folder))
    keep(folder, "notes", documents_of_notes)
    return folder


@pytest.fixture(scope="session")
def serving() -> Serving:
    """`with serving(home=..., encoders=[...]) as client`: an httpx client of a live server that is ready; settings as keywords.

    `client.base_url` is where it is, `wait=False` does not wait until it is ready.
    """
    return _serving


@contextmanager
def _serving(*, wait: bool = True, **settings: Any) -> Iterator[Any]:
    import httpx

    from vicino.server.running import running
    from vicino.server.settings import Settings

    given = {name: tuple(map(str, value)) if isinstance(value, list) else value for name, value in settings.items()}
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)  # threads share it: none is closed under another
    with running(Settings(port=0, **given)) as address, httpx.Client(base_url=address, timeout=60, limits=limits) as client:
        if wait:
            until = time.monotonic() + 60
            while client.get("/ready").status_code != 200:
                assert time.monotonic() < until, client.get("/ready").text
                time.sleep(0.02)
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory, tiny, serving, keep, documents_of_notes) -> Iterator[Any]:
    """A client of one server for the whole module: the encoder "tiny", the collection "notes". Change nothing in it."""
    home = tmp_path_factory.mktemp("home")
    keep(home, "notes", documents_of_notes)
    with serving(home=home, encoders=[tiny]) as client:
        yield client
