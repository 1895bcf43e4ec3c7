"""Edge lists -> graphs: tables of text, JSON lines, SciPy's sparse matrices, and pairs in memory.

Tables are read in blocks by pyarrow, a few million edges a second. Where that fails, the file is read again line by line, to say
which line is wrong.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.files import COMPRESSED, Lines, opened, text_stream
from vicino.data.graphs import Graph, UnknownNode, node_names
from vicino.data.sparse_files import load_matrix
from vicino.data.text import Vocabulary
from vicino.errors import EmptyInput, InputError, InputTooLarge, UnknownName, UnreadableSource
from vicino.progress import Task, task

__all__ = ["as_graph", "read_graph"]

_SOURCE = str.split("source src from start u node1 node_1 id_1 source_id from_id fromnodeid")
_TARGET = str.split("target dst dest destination to end v node2 node_2 id_2 target_id to_id tonodeid")
_WEIGHT = str.split("weight w value count strength")

_SEPARATED = {".csv": ",;\t|", ".tsv": "\t", ".txt": "\t,; ", ".edges": "\t,; ", ".edgelist": "\t,; "}
_JSON = (".jsonl", ".ndjson")
_COMMENTS = ("#", "%")  # as SNAP and KONECT begin their files
_COMMENT = re.compile(r"^[#%].*\n?", re.MULTILINE)
_COULD_BE_NODES = {"u", "v", "from", "to", "start", "end"}
_SHOWN = 100  # lines that are looked at first
_LONGEST = 100_000  # characters of a line
_BLOCK = 1 << 22  # characters


def as_graph(data: Any, *, directed: bool = False) -> Graph:
    """A graph from whatever it is given as: a `Graph` (as it is), a path, an adjacency matrix of SciPy, pairs or triplets.

    Pairs (source, target) and triplets (source, target, weight) hold names, str or whole numbers; an (m, 2) array of whole
    numbers will do too. A matrix that is not symmetric is a directed graph. Raises what `read_graph` and `Graph.of_edges` raise.

    >>> as_graph([("a", "b"), ("b", "c", 2.5)]).weights.tolist()
    [1.0, 1.0, 2.5, 2.5]
    """
    if isinstance(data, Graph):
        return data
    if isinstance(data, str | os.PathLike):
        return read_graph(data, directed=directed)
    if hasattr(data, "tocsr"):
        return Graph.of_adjacency(data, directed=directed or None)
    if isinstance(data, bytes) or not isinstance(data, Iterable):
        raise InputError(
            f"{type(data).__name__} is no graph", mend="give a Graph, a path, a sparse matrix, or a list of pairs or triplets"
        )
    if isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype.kind in "iu" and data.shape[1] == 2:
        numbers, rows = np.unique(data, return_inverse=True)
        return _graph(_Edges([str(number) for number in numbers.tolist()], *rows.reshape(-1, 2).T), None, directed)
    return _graph(_gathered((row, edge) for row, edge in enumerate(data)), None, directed)


def read_graph(
    path: str | os.PathLike[str],
    *,
    directed: bool = False,
    source: str | None = None,
    target: str | None = None,
    weight: str | None = None,
    nodes: Sequence[str] | None = None,
) -> Graph:
    """The graph of a file of edges, by its ending.

    `.tsv`, `.csv`, `.txt`, `.edges`, `.edgelist`: an edge a line, parted by tabs, commas, semicolons or spaces. Lines that begin
    with `#` or `%` are passed over, those after the first edge only where a space or nothing comes after the mark, or where they
    have another number of columns: "#python" may be a node. A first line that names columns (source, target, weight; src, dst
    ...) says which are read, and `source`, `target` and `weight` name others; without one there are two columns, or a third
    of weights (a first line without any number, before lines of numbers, is taken for names). "u v", "from to" and "start end"
    are an edge where one of both names comes again in the next lines. `.jsonl`: {"source": ..., "target": ..., "weight": ...} or
    [source, target, weight] a line. All these may end in .gz or .xz. `.npz`: a matrix that `scipy.sparse.save_npz` wrote.

    Nodes are numbered as they come, those of the first column first; `nodes` lists them all instead, those without edges too.
    Raises UnreadableSource, naming the line, where the file is not what it should be, UnknownName for a column that there is
    not, UnknownNode for a node that `nodes` lacks, EmptyInput, and what `Graph.of_edges` raises.
    """
    file = Path(path)
    columns = _Columns(source, target, weight)
    kind = _kind(file)
    try:
        if kind == ".npz":
            return Graph.of_adjacency(load_matrix(file), nodes=nodes, directed=directed or None)
        with task(f"reading {file.name}", unit="edges") as work:
            edges = _gathered(_json_lines(file, columns), work) if kind in _JSON else _Table(file, columns).read(work)
        return _graph(edges, nodes, directed)
    except InputError as error:
        raise type(error)(f"{file}: {error.what}", mend=error.mend) from error


def _kind(path: Path) -> str:
    name = Path(path.name.lower())
    kind = Path(name.stem).suffix if name.suffix in COMPRESSED else name.suffix
    if kind not in (*_SEPARATED, *_JSON, ".npz") or (kind == ".npz" and kind != name.suffix):
        known = ", ".join([*_SEPARATED, *_JSON, ".npz"])
        raise UnreadableSource(f"{path}: not a file of edges", mend=f"give a file that ends in one of: {known}")
    return kind


@dataclass(frozen=True)
class _Columns:
    """The names of columns that were asked for; None: recognise it."""

    source: str | None = None
    target: str | None = None
    weight: str | None = None

    def found(self, header: Sequence[str]) -> list[int] | None:
        """The places of source, target and (where there is one) weight; None where the first line is no header."""
        plain = [name.strip().casefold() for name in header]
        asked = (self.source, self.target, self.weight)
        for name in asked:
            if name is not None and name.strip().casefold() not in plain:
                raise UnknownName.among(name, header, kind="column")
        places = [
            plain.index(name.strip().casefold()) if name else next((plain.index(each) for each in known if each in plain), None)
            for name, known in zip(asked, (_SOURCE, _TARGET, _WEIGHT), strict=True)
        ]
        if places[0] is None or places[1] is None:
            if any(asked):
                raise UnreadableSource(f"columns {', '.join(header)}", mend="name two of them: source=..., target=...")
            return None
        return [place for place in places if place is not None]


@dataclass(frozen=True)
class _Edges:
    """Edges between rows of `names`."""

    names: Sequence[str]
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None


def _graph(edges: _Edges, nodes: Sequence[str] | None, directed: bool) -> Graph:
    if nodes is None:
        if not len(edges.sources):
            raise EmptyInput("no edges", mend="give at least one edge, or nodes=[...]")
        return Graph.of_edges(edges.sources, edges.targets, edges.weights, nodes=edges.names, directed=directed)
    known = Vocabulary(node_names(nodes))
    rows = np.array([known.get(name) for name in edges.names], dtype=np.int64)
    if (rows < 0).any():
        name = edges.names[int(np.argmin(rows))]
        raise UnknownNode(f"an edge of {name!r}, which is not in nodes", mend="add it to nodes, or leave nodes out")
    return Graph.of_edges(rows[edges.sources], rows[edges.targets], edges.weights, nodes=known.terms, directed=directed)


# One at a time --------------------------------------------------------------------------------------------------------


def _gathered(items: Iterable[tuple[int, Any]], work: Task | None = None) -> _Edges:
    """Pairs and triplets, each with its number."""
    names = Vocabulary()
    ends, weights = array("q"), array("d")
    weighted = False
    for number, item in items:
        if isinstance(item, str | bytes) or not isinstance(item, Sequence | np.ndarray) or len(item) not in (2, 3):
            raise UnreadableSource(
                f"edge {number} is {str(item)[:60]!r}", mend="give pairs (source, target) or triplets (source, target, weight)"
            )
        ends.extend((names.add(_name(number, item[0])), names.add(_name(number, item[1]))))
        weighted |= len(item) == 3
        weights.append(_weight(f"edge {number}", item[2]) if len(item) == 3 else 1.0)
        if work is not None:
            work.advance()
    pairs = np.frombuffer(ends, np.int64).reshape(-1, 2)
    return _Edges(names.terms, pairs[:, 0], pairs[:, 1], np.frombuffer(weights) if weighted else None)


def _name(number: int, node: Any) -> str:
    if isinstance(node, bool) or not isinstance(node, str | int | np.integer) or node == "":
        raise UnreadableSource(f"edge {number} has the node {node!r}", mend="name nodes by str or by whole numbers")
    return str(node)


def _weight(place: str, value: Any) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError) as error:
        raise UnreadableSource(f"{place}: the weight {value!r} is no number", mend="give a number of at least 0") from error
    if not (math.isfinite(weight) and weight >= 0):
        raise InputError(f"{place}: the weight {weight:g} cannot be", mend="give a finite number of at least 0")
    return weight


def _json_lines(path: Path, columns: _Columns) -> Iterator[tuple[int, Any]]:
    """The number of each line, and its pair or triplet."""
    with opened(path) as stream, text_stream(stream, newline="\n") as decoded:
        lines = Lines(decoded, _LONGEST)
        for line in lines:
            if line.isspace():
                continue
            try:
                edge = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UnreadableSource(f"line {lines.number}: broken JSON", mend="write one JSON value a line") from error
            if isinstance(edge, dict):
                places = columns.found(list(edge))
                if places is None:
                    raise UnreadableSource(
                        f"line {lines.number}: no source and target among {', '.join(edge)}",
                        mend="name the columns: source=..., target=...",
                    )
                edge = [list(edge.values())[place] for place in places]
            yield lines.number, edge


# Tables ---------------------------------------------------------------------------------------------------------------


class _Table:
    """A table of edges as text: what its first lines say of it, and then its edges."""

    def __init__(self, path: Path, columns: _Columns) -> None:
        self.path, self.kind = path, _kind(path)
        with self._stream() as stream:
            lines = Lines(stream, _LONGEST)
            told = ((lines.number, line) for line in lines if line.strip() and not line.startswith(_COMMENTS))
            shown = list(islice(told, _SHOWN))
        if not shown:
            raise EmptyInput("no edges", mend="give at least one edge")
        number, first = shown[0]
        self.separator = self._separator(first)
        header, row = self._cells(first), self._cells(shown[min(1, len(shown) - 1)][1])
        places = columns.found(header)
        if places and columns == _Columns() and _could_be_edge(header, (self._cells(line) for _, line in shown[1:])):
            places = None
        is_header = places is not None or (all(map(_is_number, row)) and not any(map(_is_number, header)))
        self.skipped = number if is_header else number - 1
        self.width = len(header)
        self.places = places or list(range(self.width))
        if self.width < 2 or (places is None and self.width > 3):
            raise UnreadableSource(
                f"line {number}: {self.width} columns, of which none is known by name",
                mend="give two columns or three, the third of weights; or a first line of names, and source=..., target=...",
            )

    def read(self, work: Task) -> _Edges:
        """All edges. Raises UnreadableSource, InputError or InputTooLarge, naming the line."""
        import pyarrow as pa

        known = Vocabulary()
        blocks = []
        try:
            for text in self._blocks():
                sources, targets, *weights = self._columns(text)
                blocks.append([_numbered(sources, known), _numbered(targets, known), *map(np.asarray, weights)])
                work.advance(len(sources))
        except pa.ArrowInvalid as error:
            raise self._fault() from error
        if not blocks:
            return _Edges([], np.empty(0, np.int64), np.empty(0, np.int64))
        sources, targets, *weights = (np.concatenate(each) for each in zip(*blocks, strict=True))
        if "" in known or (weights and not (np.isfinite(weights[0]) & (weights[0] >= 0)).all()):
            raise self._fault()
        return _Edges(known.terms, sources, targets, weights[0] if weights else None)

    @contextmanager
    def _stream(self) -> Iterator[io.TextIOWrapper]:
        with opened(self.path) as stream, text_stream(stream, newline="\n") as decoded:
            yield decoded

    def _separator(self, line: str) -> str:
        choices = _SEPARATED[self.kind]
        if self.kind == ".csv":
            return max(choices, key=line.count)
        return next((each for each in choices if each in line), choices[0])

    def _cells(self, line: str) -> list[str]:
        """The cells of a line; slow, and used for a few lines only, or to find a fault."""
        if self.separator == " ":
            return line.split()
        try:
            cells = next(csv.reader([line], delimiter=self.separator)) if self.kind == ".csv" else line.split(self.separator)
        except csv.Error as error:
            raise UnreadableSource(f"a line that is none of a table: {error}", mend="write one edge a line") from error
        return [cell.strip() for cell in cells]

    def _is_comment(self, line: str) -> bool:
        """Of a line after the first edge."""
        return line.startswith(_COMMENTS) and (line[1:].strip("\r\n")[:1] in ("", " ") or len(self._cells(line)) != self.width)

    def _blocks(self) -> Iterator[str]:
        """The lines after the header, some million characters of them at a time."""
        with self._stream() as stream:
            for _ in range(self.skipped):
                stream.readline()
            while text := stream.read(_BLOCK):
                text += stream.readline(_LONGEST)
                if self.separator == " ":  # runs of spaces part two columns, and those at the ends of a line none
                    text = re.sub(r" *\n *", "\n", re.sub(r"[ \t\r]+", " ", text)).strip(" ")
                if text.startswith(_COMMENTS) or "\n#" in text or "\n%" in text:
                    text = _COMMENT.sub(lambda found: "" if self._is_comment(found[0]) else found[0], text)
                if text.strip():
                    yield text

    def _columns(self, text: str) -> list[Any]:
        """The columns of sources, targets and perhaps weights: names as dictionaries of pyarrow, weights as doubles."""
        import pyarrow as pa
        from pyarrow import csv as tables

        names = [f"{place}" for place in range(self.width)]
        wanted = [names[place] for place in self.places]
        name = pa.dictionary(pa.int32(), pa.string())
        kinds = dict(zip(wanted, (name, name, pa.float64()), strict=False))
        table = tables.read_csv(
            io.BytesIO(text.encode()),
            tables.ReadOptions(column_names=names, use_threads=False, block_size=2 * len(text) + _BLOCK),
            tables.ParseOptions(delimiter=self.separator, quote_char='"' if self.kind == ".csv" else False),
            tables.ConvertOptions(column_types=kinds, include_columns=wanted, null_values=[], strings_can_be_null=False),
        )
        return [column.combine_chunks() for column in table.columns]

    def _fault(self) -> InputError:
        """What is wrong, and in which line."""
        with self._stream() as stream:
            lines = Lines(stream, _LONGEST)
            for line in lines:
                if lines.number <= self.skipped or not line.strip() or self._is_comment(line):
                    continue
                if fault := self._fault_of(line, lines):
                    return fault
        return UnreadableSource("lines that are no table", mend="write one edge a line, with the same columns in each")

    def _fault_of(self, line: str, lines: Lines) -> InputError | None:
        place = f"line {lines.number}"
        if lines.was_cut():
            return InputTooLarge(f"{place}: more than {_LONGEST:,} characters", mend="write one edge a line")
        cells = self._cells(line)
        if len(cells) != self.width:
            return UnreadableSource(f"{place}: {len(cells)} columns, not {self.width}", mend="give all lines as many")
        source, target, *weight = (cells[column] for column in self.places)
        if not (source and target):
            return UnreadableSource(f"{place}: a node without a name", mend="name it, or leave the line out")
        try:
            for each in weight:
                _weight(place, each)
        except InputError as error:
            return error
        return None


def _could_be_edge(header: list[str], rows: Iterable[list[str]]) -> bool:
    """Whether a line that names columns may as well name two nodes, because one of them comes again."""
    if len(header) > 3 or not {cell.casefold() for cell in header[:2]} <= _COULD_BE_NODES:
        return False
    return all(map(_is_number, header[2:])) and any(cell in header[:2] for row in rows for cell in row[:2])


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(\.\d*)?([eE][+-]?\d+)?", cell))


def _numbered(column: Any, known: Vocabulary) -> NDArray[np.int64]:
    """The numbers of names, new ones where they are new; each distinct one is looked up once."""
    numbers = np.array([known.add(name.strip()) for name in column.dictionary.to_pylist()], dtype=np.int64)
    found: NDArray[np.int64] = numbers[column.indices.to_numpy()]
    return found
