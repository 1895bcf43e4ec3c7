"""A live server, as tests/server/conftest.py makes it, for the clients of others and our own."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Frameworks tell their makers of each use unless told not to, before they are imported; tests reach nobody.
os.environ.update(HAYSTACK_TELEMETRY_ENABLED="False", ANONYMIZED_TELEMETRY="False", LANGCHAIN_TRACING_V2="false")

_spec = importlib.util.spec_from_file_location("serving", Path(__file__).parents[1] / "server" / "conftest.py")
_serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_serving)
checkpoint, crossing = _serving.checkpoint, _serving.crossing
_needed, tiny, keep, serving = _serving._needed, _serving.tiny, _serving.keep, _serving.serving
documents_of_notes = _serving.documents_of_notes


@pytest.fixture(scope="module")
def address(tmp_path_factory, tiny, crossing, serving, keep, documents_of_notes) -> Iterator[str]:
    """Where a server listens: the encoder "tiny", the reranker "rr", the collection "notes", one server a module."""
    home = tmp_path_factory.mktemp("home")
    keep(home, "notes", documents_of_notes)
    with serving(home=home, encoders=[tiny], rerankers=[crossing]) as client:
        yield str(client.base_url).rstrip("/")
