"""Node vectors: DeepWalk, node2vec and LINE. A graph is learnt from, and its nodes are what is encoded, by name.

Vectors of a whole graph, or of some of its nodes, are pooled from theirs.
"""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Iterable
from itertools import chain
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from vicino.data.edge_lists import as_graph
from vicino.data.graphs import Graph, UnknownNode
from vicino.data.records import Chunk, Document, Query
from vicino.data.text import Vocabulary
from vicino.encoders.base import Role
from vicino.encoders.named import NamedVectors
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.learning import edges
from vicino.learning.epochs import Training
from vicino.learning.skipgram import Recipe, new_embedding, train
from vicino.learning.walks import Plan, walked
from vicino.vectors import normalise

__all__ = ["LINE", "DeepWalk", "Node2Vec", "NodeEncoder", "Pool"]

logger = logging.getLogger(__name__)

Float32 = NDArray[np.float32]
Pool = Literal["mean", "max", "sum"]

_STEPS, _DRAWS = 8_000_000, 60_000_000  # nodes of walks to read, and edges to draw, before vectors have found their places
_EPOCHS = 1000  # at most
_COUNTED = 1 << 24  # numbers at a time
_ENDS = ("whole", "interrupted", "diverged")  # of a training, the worst last


class NodeEncoder(NamedVectors):
    """A vector a node; zeros for a node without edges, of which nothing is known.

    A family writes `_learn`, which gives a row a node; `directed` is a parameter that each must have, and says how edges are
    read that come from a file or as pairs.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"node"})
    thing: ClassVar[str] = "node"
    unknown: ClassVar[type[UnknownName]] = UnknownNode

    directed: bool
    training_: Training | None = None

    @abstractmethod
    def _learn(self, graph: Graph) -> Float32:
        """The vectors of all nodes, (n, d)."""

    def fit(self, data: Any, y: Any = None, *, validation: Any = None) -> Self:
        """Learn from a `Graph`, a path to an edge list, pairs or triplets of names, or an adjacency matrix of SciPy.

        Raises EmptyInput where there is no edge, InputError for texts, and what `vicino.data.edge_lists.as_graph` raises.
        """
        self._fit(as_graph(_edges(data), directed=self.directed), y, validation)
        return self

    def _fit(self, items: Any, y: Any, validation: Any) -> None:  # noqa: ARG002 - nodes need no labels
        graph: Graph = items
        if not len(graph.neighbours):
            raise EmptyInput(f"a graph of {len(graph):,} nodes and no edges", mend="give at least one edge")
        degrees = graph.degrees + _counted(graph.neighbours, len(graph))
        vectors = self._learn(graph)
        vectors[degrees == 0] = 0
        self.vectors_ = vectors
        self._take(Vocabulary(graph.nodes), degrees)

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> Float32:  # noqa: ARG002
        vectors: Float32 = self._require("vectors_")
        return vectors[[self._row(node) for node in items]]

    def _item(self, row: int, item: Any) -> str:
        if isinstance(item, str):
            return item
        raise InputError(
            f"item {row} is of type {type(item).__name__}; {type(self).__name__} encodes nodes of its graph, by name",
            mend="give the names of nodes as str, or choose an encoder of text: vicino encoders",
        )

    def node_similarity(self, left: str, right: str) -> float:
        """The cosine of two nodes' vectors. Raises UnknownNode."""
        return self._cosine(left, right)

    def encode_graph(self, nodes: Iterable[str] | None = None, pool: Pool = "mean") -> Float32:
        """One vector, (d,), of the whole graph or of some of its nodes: the mean, the greatest or the sum of each column.

        Graphs whose encoders were fitted one by one do not share a space: pool parts of one graph to compare them. Raises
        UnknownNode, UnknownName for another `pool`, EmptyInput for no nodes.
        """
        if pool not in get_args(Pool):
            raise UnknownName.among(str(pool), get_args(Pool), kind="pooling")
        vectors: Float32 = self._require("vectors_")
        rows = vectors if nodes is None else self.encode(list(nodes))
        if not len(rows):
            raise EmptyInput("no nodes to pool", mend="name at least one, or leave nodes out for all")
        pooled: Float32 = getattr(rows, pool)(axis=0)
        return pooled


class DeepWalk(NodeEncoder):
    """Walks that go to any neighbour alike, or by weight, learnt as sentences by skip-gram with negative sampling.

    Perozzi, Al-Rfou and Skiena 2014; `num_walks`, `walk_length` and `window` are theirs (there γ, t and w), and with five
    negatives instead of hierarchical softmax vectors are as good and sooner made. `epochs` None is as many as read 8 million
    nodes of walks, from 1 to 1000: a small graph is read more often. For what the other parameters mean see
    `vicino.learning.walks.Plan` and `vicino.learning.skipgram.Recipe`. With one of `threads` equal graphs give equal vectors to
    the bit; more are faster and not reproducible.

    >>> nodes = DeepWalk(vector_size=8).fit([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])
    >>> nodes["a"].shape, nodes.encode(["a", "d"]).shape, "e" in nodes, len(nodes.most_similar("a", topn=2))
    ((8,), (2, 8), False, 2)
    """

    family: ClassVar[str] = "deepwalk"

    def __init__(  # noqa: PLR0913 - one by one, as scikit-learn's tools and the command line want them
        self,
        *,
        vector_size: int = 128,
        walk_length: int = 40,
        num_walks: int = 80,
        window: int = 10,
        negative: int = 5,
        ns_exponent: float = 0.75,
        alpha: float = 0.025,
        min_alpha: float = 1e-4,
        epochs: int | None = None,
        directed: bool = False,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.vector_size = vector_size
        self.walk_length = walk_length
        self.num_walks = num_walks
        self.window = window
        self.negative = negative
        self.ns_exponent = ns_exponent
        self.alpha = alpha
        self.min_alpha = min_alpha
        self.epochs = epochs
        self.directed = directed
        self.seed = seed
        self.threads = threads

    def _plan(self) -> Plan:
        return Plan(self.num_walks, self.walk_length, seed=self.seed, threads=self.threads)

    def _learn(self, graph: Graph) -> Float32:
        embedding = new_embedding(len(graph), self.vector_size, self.seed)
        with walked(graph.offsets, graph.neighbours, graph.weights, self._plan()) as (ids, offsets):
            counts = _counted(ids, len(graph))
            recipe = _recipe(self, _times(self.epochs, len(ids), _STEPS), window=self.window, sample=0)
            self.training_ = train(ids, offsets, counts, embedding, recipe, label="learning nodes")
        return embedding.vectors


class Node2Vec(DeepWalk):
    """DeepWalk with walks that a small `p` keeps near where they came from, and a small `q` sends away.

    Grover and Leskovec 2016. A step back weighs 1/p, one to a neighbour of the last node too 1, any other 1/q; both 1 give
    DeepWalk. All else is as for `DeepWalk`.

    >>> nodes = Node2Vec(vector_size=8, p=0.5, q=2).fit([("a", "b"), ("b", "c", 2.0)])
    >>> nodes.encode_graph().shape
    (8,)
    """

    family: ClassVar[str] = "node2vec"

    def __init__(  # noqa: PLR0913 - one by one, as scikit-learn's tools and the command line want them
        self,
        *,
        p: float = 1.0,
        q: float = 1.0,
        vector_size: int = 128,
        walk_length: int = 40,
        num_walks: int = 80,
        window: int = 10,
        negative: int = 5,
        ns_exponent: float = 0.75,
        alpha: float = 0.025,
        min_alpha: float = 1e-4,
        epochs: int | None = None,
        directed: bool = False,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        super().__init__(
            vector_size=vector_size,
            walk_length=walk_length,
            num_walks=num_walks,
            window=window,
            negative=negative,
            ns_exponent=ns_exponent,
            alpha=alpha,
            min_alpha=min_alpha,
            epochs=epochs,
            directed=directed,
            seed=seed,
            threads=threads,
        )
        self.p = p
        self.q = q

    def _plan(self) -> Plan:
        return Plan(self.num_walks, self.walk_length, self.p, self.q, seed=self.seed, threads=self.threads)


class LINE(NodeEncoder):
    """Vectors from edges: nodes with an edge between them are near (order 1), or nodes that lead to the same nodes (order 2).

    Tang et al. 2015; see `vicino.learning.edges`. With `order` "both" each has half of `vector_size`. Vectors of an order have
    length one. Each epoch draws as many edges as there are, an undirected one counted twice; `epochs` None is as many as draw
    60 million, from 1 to 1000. Order 1 knows no directions. `threads` as for `DeepWalk`.

    Ctrl-C ends the learning: the last whole epoch of the order that is being learnt is kept, and an order that has not begun
    stays zeros, so that it has no part in cosines. `training_` tells the mean loss of both orders, and the worse end of the two.

    >>> nodes = LINE(vector_size=8).fit([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])
    >>> nodes.vectors_.shape, float(round(nodes["a"] @ nodes["a"], 3))
    ((4, 8), 2.0)
    """

    family: ClassVar[str] = "line"

    def __init__(  # noqa: PLR0913 - likewise
        self,
        *,
        order: Literal[1, 2, "both"] = "both",
        vector_size: int = 128,
        negative: int = 5,
        ns_exponent: float = 0.75,
        alpha: float = 0.025,
        min_alpha: float = 1e-4,
        epochs: int | None = None,
        directed: bool = False,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.order = order
        self.vector_size = vector_size
        self.negative = negative
        self.ns_exponent = ns_exponent
        self.alpha = alpha
        self.min_alpha = min_alpha
        self.epochs = epochs
        self.directed = directed
        self.seed = seed
        self.threads = threads

    @classmethod
    def of(cls, **params: Any) -> Self:
        """As the constructor; the order may be a number."""
        if "order" in params:
            params["order"] = str(params["order"])
        return super().of(**params)

    def _learn(self, graph: Graph) -> Float32:
        orders = {"1": (1,), "2": (2,), "both": (1, 2)}.get(str(self.order))
        if orders is None or not isinstance(self.vector_size, int) or self.vector_size % len(orders):
            raise InputError(
                f"order={self.order!r} with vector_size={self.vector_size!r} cannot be",
                mend='give order=1, order=2, or order="both" with an even vector_size',
            )
        dim = self.vector_size // len(orders)
        vectors = np.zeros((len(graph), self.vector_size), np.float32)
        trainings: list[Training] = []
        for at, order in enumerate(orders):
            try:
                vectors[:, at * dim : (at + 1) * dim], training = self._learn_order(graph, order, dim)
            except KeyboardInterrupt:
                if not trainings:
                    raise
                training = Training(ended="interrupted")
            trainings.append(training)
            if training.ended == "interrupted":
                break
        learnt = [each.losses for each in trainings if each.losses]
        if len(learnt) < len(orders):
            logger.warning("order 1 is kept, and the vectors of order 2 are zeros")
        losses = [float(np.mean(each)) for each in zip(*learnt, strict=False)]
        self.training_ = Training(losses, max((each.ended for each in trainings), key=_ENDS.index))
        return vectors

    def _learn_order(self, graph: Graph, order: int, dim: int) -> tuple[Float32, Training]:
        if graph.directed:
            graph = graph.reversed() if order == 2 else graph.undirected()
        embedding = edges.new_embedding(len(graph), dim, self.seed, order)
        recipe = _recipe(self, _times(self.epochs, len(graph.neighbours), _DRAWS))
        label = f"learning edges, order {order}"
        training = edges.train(graph.offsets, graph.neighbours, graph.weights, embedding, recipe, label=label)
        return normalise(embedding.vectors), training


def _recipe(encoder: DeepWalk | LINE, epochs: int, **more: Any) -> Recipe:
    names = ("negative", "ns_exponent", "alpha", "min_alpha", "seed", "threads")
    return Recipe(epochs=epochs, **{name: getattr(encoder, name) for name in names}, **more)


def _counted(ids: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """How often each of n numbers comes; some millions at a time, because bincount makes int64 of all that it is given."""
    counts = np.zeros(n, np.int64)
    for at in range(0, len(ids), _COUNTED):
        counts += np.bincount(ids[at : at + _COUNTED], minlength=n)
    return counts


def _times(epochs: int | None, size: int, wanted: int) -> int:
    """`epochs`, or as many as make a total of `wanted`."""
    return min(max(round(wanted / size), 1), _EPOCHS) if epochs is None else epochs


def _edges(data: Any) -> Any:
    """The same data, known not to be texts: a list of them is what `vicino compare` would have learnt from."""
    if isinstance(data, str | os.PathLike | Graph) or hasattr(data, "tocsr") or not isinstance(data, Iterable):
        return data
    items = iter(data)
    first = next(items, None)
    if isinstance(first, str | Document | Query | Chunk):
        mend = "give edges, or choose an encoder of text: vicino encoders"
        raise InputError("node encoders learn from a graph, and these are texts", mend=mend)
    return [] if first is None else data if isinstance(data, np.ndarray) else chain([first], items)
