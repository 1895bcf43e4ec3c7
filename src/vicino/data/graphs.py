"""Graphs as arrays: each node's neighbours in one run (compressed sparse rows), with their weights where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.data.text import Vocabulary
from vicino.errors import DimensionMismatch, EmptyInput, InputError, InputTooLarge, UnknownName

if TYPE_CHECKING:
    from scipy.sparse import coo_array, csr_array

__all__ = ["Graph", "UnknownNode", "node_names"]

_MOST = 2**31 - 1  # nodes: a neighbour is an int32
_NAMELESS = 1_000_000  # nodes that are named by their rows, and 10 more an edge
_SMALLEST = np.finfo(np.float32).tiny


class UnknownNode(UnknownName, KeyError):
    """A node that is not in the graph."""


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """n nodes; node i has an edge to each of `neighbours[offsets[i]:offsets[i + 1]]`, which are sorted and distinct.

    `offsets` is (n + 1,) int64, `neighbours` int32, `weights` float32 and positive, or None where all edges weigh 1; `nodes` are
    the names. Where the graph is not `directed`, an edge stands in the rows of both its ends; an edge from a node to itself
    stands once.

    >>> graph = Graph.of_edges([0, 1, 1], [1, 2, 1], nodes=["a", "b", "c", "alone"])
    >>> len(graph), graph.n_edges, graph.neighbours_of("b"), graph.degrees.tolist()
    (4, 3, ['a', 'b', 'c'], [1, 3, 1, 0])
    """

    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    weights: NDArray[np.float32] | None
    directed: bool
    nodes: Sequence[str]

    @classmethod
    def of_edges(
        cls,
        sources: ArrayLike,
        targets: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        nodes: Sequence[str] | None = None,
        directed: bool = False,
    ) -> Self:
        """From (m,) whole numbers `sources` and `targets`: rows of `nodes`, or of as many nodes as the largest number says.

        The weights of an edge that is given several times are summed; without weights, it weighs as many as it was given, but
        where all edges were given equally often, all weigh 1. An edge of weight 0 is no edge. `nodes` are str, or whole numbers,
        which are spelt out.

        Raises EmptyInput without nodes, InputError for ids out of range, for names of another kind and for weights that are
        negative, NaN, infinite or too small for float32, DimensionMismatch for arrays of several lengths, DuplicateIds for two
        nodes of a name, InputTooLarge for numbers with so wide gaps that nearly all nodes would be without edges and names.
        """
        ends = [_whole_numbers(each) for each in (sources, targets)]
        given = None if weights is None else np.asarray(weights, dtype=np.float64)
        if len(ends[0]) != len(ends[1]) or (given is not None and given.shape != ends[0].shape):
            sizes = [len(ends[0]), len(ends[1]), *([] if given is None else [given.size])]
            raise DimensionMismatch(f"edges of {' and '.join(map(str, sizes))} numbers", mend="give as many of each")
        names = None if nodes is None else node_names(nodes)
        n = _require_range(ends, None if names is None else len(names))
        if given is not None:
            _require_weights(given)
        names = Vocabulary(map(str, range(n)) if names is None else names).terms
        return cls(*_rows(ends[0], ends[1], given, n, directed), directed, names)

    @classmethod
    def of_adjacency(cls, matrix: Any, *, nodes: Sequence[str] | None = None, directed: bool | None = None) -> Self:
        """From an (n, n) matrix, sparse (SciPy) or dense: entry (i, j) is the weight of the edge from i to j.

        `directed` None is True where the matrix is not symmetric. Raises what `of_edges` raises, and DimensionMismatch where the
        matrix is not square; InputError where it is not symmetric and `directed` is False, holds anything but real numbers, or is
        a sparse one whose parts contradict each other.
        """
        cells = _cells(matrix)
        names = None if nodes is None else node_names(nodes)
        if names is not None and len(names) != cells.shape[0]:
            raise DimensionMismatch(f"{len(names)} names for {cells.shape[0]} nodes", mend="give a name for each node")
        n = _require_affordable(cells.shape[0], cells.nnz) if names is None else len(names)
        _require_weights(cells.data)
        rows = cells.tocsr()
        symmetric = (rows - rows.T).count_nonzero() == 0
        if directed is False and not symmetric:
            raise InputError("the matrix is not symmetric", mend="give directed=True, or matrix + matrix.T")
        directed = not symmetric if directed is None else directed
        some = np.full(cells.nnz, True) if directed else cells.row <= cells.col
        names = [str(row) for row in range(n)] if names is None else names
        return cls.of_edges(cells.row[some], cells.col[some], cells.data[some], nodes=names, directed=directed)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        kind = f"{'directed' if self.directed else 'undirected'}, {'un' if self.weights is None else ''}weighted"
        return f"<Graph of {len(self):,} nodes and {self.n_edges:,} edges, {kind}>"

    @property
    def n_edges(self) -> int:
        """How many edges; those of an undirected graph are counted once."""
        return len(self.neighbours) if self.directed else int(self._kept.sum())

    @property
    def degrees(self) -> NDArray[np.int64]:
        """How many neighbours each node has, (n,)."""
        return np.diff(self.offsets)

    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(m, 2) rows of source and target, and (m,) weights; those of an undirected graph once, the smaller row first."""
        kept = self._kept
        pairs = np.column_stack([self._sources, self.neighbours])[kept]
        return pairs, np.ones(len(pairs), np.float32) if self.weights is None else self.weights[kept]

    def adjacency(self) -> csr_array:
        """The (n, n) float32 matrix of weights."""
        from scipy.sparse import csr_array

        weights = np.ones(len(self.neighbours), np.float32) if self.weights is None else self.weights
        return csr_array((weights, self.neighbours, self.offsets), shape=(len(self), len(self)))

    def reversed(self) -> Graph:
        """The same nodes with all edges turned round; an undirected graph is itself."""
        if not self.directed:
            return self
        pairs, weights = self.edges()
        return Graph.of_edges(pairs[:, 1], pairs[:, 0], weights, nodes=self.nodes, directed=True)

    def undirected(self) -> Graph:
        """The same nodes and edges without directions; where two edges join two nodes, their weights are summed."""
        if not self.directed:
            return self
        pairs, weights = self.edges()
        return Graph.of_edges(pairs[:, 0], pairs[:, 1], weights, nodes=self.nodes)

    def row(self, node: str) -> int:
        """The row of a node. Raises UnknownNode, a KeyError that names near spellings."""
        if not isinstance(node, str):
            raise UnknownNode(f"{node!r} is no name of a node", mend=f"names are str, such as {self.nodes[0]!r}")
        row = self._numbers.get(node)
        if row < 0:
            near = [name for name in self.nodes if abs(len(name) - len(node)) < 2 and name[:1] == node[:1]][:1000]
            raise UnknownNode.among(node, near, kind="node", listing=f"there are {len(self):,} nodes")
        return row

    def neighbours_of(self, node: str) -> list[str]:
        """The names of the nodes that a node has an edge to. Raises UnknownNode."""
        row = self.row(node)
        return [self.nodes[each] for each in self.neighbours[self.offsets[row] : self.offsets[row + 1]].tolist()]

    @cached_property
    def _numbers(self) -> Vocabulary:
        return Vocabulary(self.nodes)

    @property
    def _sources(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self)), self.degrees)

    @property
    def _kept(self) -> NDArray[np.bool_]:
        """Which entries count as edges: all, or of each pair the one whose source is the smaller."""
        return np.full(len(self.neighbours), True) if self.directed else self._sources <= self.neighbours


def node_names(nodes: Iterable[Any]) -> list[str]:
    """The names of nodes, of which whole numbers are spelt out. Raises InputError for anything else, and for an empty name.

    >>> node_names(["a", 7])
    ['a', '7']
    """
    return [node if type(node) is str and node else _name(row, node) for row, node in enumerate(nodes)]


def _name(row: int, node: Any) -> str:
    if isinstance(node, bool) or not isinstance(node, str | int | np.integer) or node == "":
        raise InputError(f"node {row} is named {node!r}", mend="name nodes by str or by whole numbers")
    return str(node)


def _cells(matrix: Any) -> coo_array:
    """The entries of a square matrix of real numbers, each in its bounds: compiled code believes what it is given."""
    from scipy.sparse import coo_array, issparse

    try:
        given: Any = matrix if issparse(matrix) else np.asarray(matrix)
        if given.dtype.kind not in "biuf":
            raise InputError(f"a matrix of {given.dtype}", mend="give real numbers: the weights of edges")
        if given.ndim != 2 or given.shape[0] != given.shape[1]:
            raise DimensionMismatch(f"a matrix of shape {given.shape} is no graph", mend="give a row and a column for each node")
        if hasattr(given, "indptr"):
            if (given.indptr[1:] < given.indptr[:-1]).any():  # which check_format does not look at where the last is 0
                raise InputError("a matrix whose rows end before they begin", mend="make the matrix again")
            given.check_format(full_check=True)
        cells = coo_array(given)
        return coo_array((cells.data.astype(np.float64), cells.coords), shape=cells.shape)  # bounds are looked at only here
    except (TypeError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"this is no matrix: {error}", mend="give a sparse matrix of SciPy, or an array of numbers") from error


def _whole_numbers(ids: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.size and array.dtype.kind not in "iu":
        raise InputError(f"ids of type {array.dtype} are not rows", mend="give whole numbers, or names to read_graph")
    return array.astype(np.int64).ravel()


def _require_range(ends: Sequence[NDArray[np.int64]], n: int | None) -> int:
    """How many nodes there are."""
    lowest, highest = (min(map(np.min, ends)), max(map(np.max, ends))) if len(ends[0]) else (0, -1)
    if lowest < 0 or (n is not None and highest >= n):
        there = "" if n is None else f", with {n} nodes"
        raise InputError(f"ids reach from {lowest} to {highest}{there}", mend="number nodes from 0 on; name them all")
    n = _require_affordable(int(highest) + 1, len(ends[0])) if n is None else n
    if n == 0:
        raise EmptyInput("a graph without nodes", mend="give at least one edge, or nodes")
    if n > _MOST:
        raise InputTooLarge(f"{n:,} nodes", mend=f"{_MOST:,} are the most; number nodes without gaps")
    return n


def _require_affordable(n: int, edges: int) -> int:
    """`n`, unless a name for each row would take the memory for nodes of which nearly none has an edge."""
    if n > _NAMELESS + 10 * edges:
        raise InputTooLarge(
            f"{n:,} nodes for {edges:,} edges, and no names",
            mend="give nodes=[...], or number those that have edges: numpy.unique(ids, return_inverse=True)",
        )
    return n


def _require_weights(weights: NDArray[np.float64]) -> None:
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~(np.isfinite(weights.astype(np.float32)) & (weights >= 0)))
    if len(bad):
        raise InputError(
            f"{len(bad):,} of {len(weights):,} weights cannot be (first: edge {bad[0]}, {weights[bad[0]]:g})",
            mend="give finite numbers of at least 0, or leave these edges out",
        )
    small = np.flatnonzero((weights > 0) & (weights < _SMALLEST))
    if len(small):
        raise InputError(
            f"{len(small):,} weights are too small for float32 (first: edge {small[0]}, {weights[small[0]]:g})",
            mend="multiply all weights by the same number: walks and draws go by their ratios",
        )


def _rows(
    sources: NDArray[np.int64], targets: NDArray[np.int64], weights: NDArray[np.float64] | None, n: int, directed: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32] | None]:
    """Offsets, neighbours and weights, from edges that may repeat; the same to the bit in whatever order they stand."""
    from scipy.sparse import coo_array

    values = np.ones(len(sources)) if weights is None else weights
    if not directed:  # each edge from its smaller end, and back
        sources, targets = np.minimum(sources, targets), np.maximum(sources, targets)
    found = coo_array((values, (sources.astype(np.int32), targets.astype(np.int32))), shape=(n, n)).tocsr()
    found.eliminate_zeros()
    if not directed:
        from scipy.sparse import triu

        found = (found + triu(found, k=1).T).tocsr()
    found.sort_indices()
    offsets, neighbours = found.indptr.astype(np.int64), found.indices.astype(np.int32)
    alike = 1.0 if weights is not None else (found.data[0] if found.nnz else 1.0)
    if (found.data == alike).all():
        return offsets, neighbours, None
    _require_weights(found.data)
    return offsets, neighbours, found.data.astype(np.float32)
