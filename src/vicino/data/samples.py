"""Real data that every machine has: the documented functions of Python's standard library.

A document is a function's source without its docstring, a query the docstring's first sentence. Thousands of real
documents, written by hundreds of people, with queries that they wrote themselves, and no download.
"""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vicino.data.code import function_documents
from vicino.data.files import read_text
from vicino.data.known_items import KnownItems, Withheld, asked_by_docs, gathered
from vicino.data.records import Document
from vicino.errors import EmptyInput, InputError

__all__ = ["standard_library"]

# tests, what others installed, and a package that only exists to be parsed
_LEFT_OUT = frozenset({"__pycache__", "dist-packages", "idle_test", "lib2to3", "site-packages", "test", "tests"})


def standard_library(limit: int | None = None, *, seed: int = 0, path: str | Path | None = None) -> KnownItems:
    """The standard library of the running Python as known items: functions, queries, judgements.

    Only functions and methods with a docstring; of functions that are equal without it, only the first. Queries have 4
    to 50 words; one that stands for several functions is dropped, and the functions stay. Ids are like
    "json/decoder.py::JSONDecoder.decode"; `metadata` tells path, line, qualname and language. The order is that of the
    paths, then the lines. `limit` takes that many queries by `seed`; `path` reads another folder of Python source.

    Raises EmptyInput where there is no source, as in a Python that is packed into one file.

    >>> library = standard_library()
    >>> len(library.queries) > 2000
    True
    >>> {one.id: one.metadata["line"] > 1 for one in library.documents}["json/decoder.py::JSONDecoder.decode"]
    True
    """
    root = Path(path) if path is not None else Path(sysconfig.get_paths()["stdlib"])
    made: dict[str, Withheld] = {}
    for file in _sources(root):
        for function, docs in function_documents(file):
            if docs:
                made.setdefault(function.text, asked_by_docs(function, docs))
    if not made:
        raise EmptyInput(f"{root} holds no documented functions", mend="give a folder of Python source as path=")
    found = gathered(made.values(), seed=seed, limit=limit)
    return replace(found, note=f"Python {platform.python_version()} standard library; {found.note}")


def _sources(root: Path) -> Iterator[Document]:
    for here, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(names):
            if name.endswith(".py"):
                file = Path(here, name)
                try:
                    yield Document(file.relative_to(root).as_posix(), read_text(file), metadata={"language": "python"})
                except InputError:
                    continue  # bytes that are no UTF-8 are there on purpose, to test decoders
