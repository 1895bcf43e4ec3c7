"""The standard library of the running Python as known items."""

import inspect
import json.decoder
from pathlib import Path

import pytest

from vicino.data.known_items import KnownItems, normalised
from vicino.data.samples import standard_library
from vicino.errors import EmptyInput


@pytest.fixture(scope="module")
def library() -> KnownItems:
    return standard_library()


@pytest.mark.long
def test_thousands_of_functions_each_under_its_own_id(library: KnownItems) -> None:
    assert len(library.documents) > 5000
    assert len(library.queries) > 4000
    assert len({document.id for document in library.documents}) == len(library.documents)
    assert len({document.text for document in library.documents}) == len(library.documents)
    assert library.how == {"docstring": len(library.queries)}
    assert "standard library; synthetic known-item queries" in library.note


def test_a_function_that_we_know(library: KnownItems) -> None:
    name = "json/decoder.py::JSONDecoder.raw_decode"
    (document,) = (one for one in library.documents if one.id == name)
    lines, first = inspect.getsourcelines(json.decoder.JSONDecoder.raw_decode)
    assert document.metadata == {
        "path": "json/decoder.py",
        "line": first,
        "qualname": "JSONDecoder.raw_decode",
        "language": "python",
    }
    assert document.text.splitlines()[0] == lines[0].strip()
    assert '"""' not in document.text
    assert document.text.splitlines()[-1].strip() == lines[-1].strip()
    (query,) = (one.query_id for one in library.judgements if one.document_id == name)
    (text,) = (one.text for one in library.queries if one.id == query)
    said = " ".join((json.decoder.JSONDecoder.raw_decode.__doc__ or "").split())
    assert said.startswith(text)


def test_queries_have_words_and_stand_for_one_function(library: KnownItems) -> None:
    keys = [normalised(query.text) for query in library.queries]
    assert len(set(keys)) == len(keys)
    assert all(4 <= len(key.split()) <= 50 for key in keys)
    known = {document.id for document in library.documents}
    assert {one.document_id for one in library.judgements} <= known
    assert [one.query_id for one in library.judgements] == [query.id for query in library.queries]


def test_no_tests_and_nothing_that_others_installed(library: KnownItems) -> None:
    folders = {part for document in library.documents for part in document.metadata["path"].split("/")[:-1]}
    assert folders.isdisjoint({"test", "tests", "idle_test", "lib2to3", "site-packages", "__pycache__"})


def test_the_order_is_fixed_and_the_limit_takes_queries_only(library: KnownItems) -> None:
    paths = [document.metadata["path"].split("/") for document in library.documents]
    assert [path for path in paths if len(path) == 1] == sorted(path for path in paths if len(path) == 1)
    folder = Path(json.decoder.__file__).parent
    every, few = standard_library(path=folder), standard_library(4, path=folder, seed=1)
    assert few.documents == every.documents
    assert len(few.queries) == 4
    assert [query for query in every.queries if query in set(few.queries)] == few.queries


def test_equal_functions_and_ambiguous_queries(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('def f():\n    "Go up by one step."\n\ndef g():\n    "Go up by one step!"\n')
    (tmp_path / "b.py").write_text('def f():\n    "Go somewhere else, and far."\n\ndef h():\n    "Go down by one step."\n')
    (tmp_path / "c.py").write_text("def undocumented():\n    return 1\n")
    (tmp_path / "bad.py").write_bytes(b"x = '\xff'\n")
    (tmp_path / "broken.py").write_text("def (:\n")
    found = standard_library(path=tmp_path)
    assert [document.id for document in found.documents] == ["a.py::f", "a.py::g", "b.py::h"]
    assert [query.text for query in found.queries] == ["Go down by one step."]


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(EmptyInput, match="no documented functions"):
        standard_library(path=tmp_path)
