"""What benchmarks/ann.py searches among: real vectors of texts and of images, and a million that are made."""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

K = 10  # answers to a question


@dataclass(frozen=True)
class Set:
    """Vectors to search among, questions, and how far each question's tenth nearest is."""

    name: str
    metric: str
    folder: Path

    def vectors(self) -> NDArray[np.float32]:
        return np.asarray(np.load(self.folder / f"{self.name}-vectors.npy"))

    def queries(self) -> NDArray[np.float32]:
        return np.asarray(np.load(self.folder / f"{self.name}-queries.npy"))

    def borders(self) -> NDArray[np.float64]:
        return np.asarray(np.load(self.folder / f"{self.name}-borders.npy"))

    def scores(self, vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """(q, n), larger is nearer."""
        left, right = queries.astype(np.float64), vectors.astype(np.float64)
        products = left @ right.T
        return products if self.metric == "cosine" else 2 * products - (right * right).sum(axis=1)

    def keep(self, vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> Set:
        """Write them, and the borders last: where those are, all is."""
        np.save(self.folder / f"{self.name}-vectors.npy", np.ascontiguousarray(vectors, dtype=np.float32))
        np.save(self.folder / f"{self.name}-queries.npy", np.ascontiguousarray(queries, dtype=np.float32))
        borders = []
        for query in queries:  # the k nearest by float32, and those again by float64
            near = vectors @ query if self.metric == "cosine" else -((vectors - query) ** 2).sum(axis=1)
            rows = np.argpartition(-near, 4 * K)[: 4 * K]
            borders.append(np.sort(self.scores(vectors[rows], query[None])[0])[-K])
        np.save(self.folder / f"{self.name}-borders.npy", np.array(borders))
        return self

    @property
    def there(self) -> bool:
        return (self.folder / f"{self.name}-borders.npy").exists()


def minilm(folder: Path, options: argparse.Namespace) -> Set:
    made = Set("minilm", "cosine", folder)
    if made.there:
        return made
    vectors, queries = (max(options.vectors.glob(f"{name}-*.npy"), default=None) for name in ("vectors", "queries"))
    if vectors is None or queries is None:
        raise SystemExit(f"{options.vectors} holds no vectors: run benchmarks/paragraphs.py --work {options.vectors} first")
    return made.keep(np.load(vectors), np.load(queries))


def fashion(folder: Path, options: argparse.Namespace) -> Set:
    made = Set("fashion", "euclidean", folder)

    def pixels(name: str) -> NDArray[np.float32]:
        with gzip.open(options.data / "fashion-mnist" / f"{name}-images-idx3-ubyte.gz") as file:
            return np.frombuffer(file.read()[16:], dtype=np.uint8).reshape(-1, 784).astype(np.float32)

    return made if made.there else made.keep(pixels("train"), pixels("t10k")[:1000])


def million(folder: Path, _: argparse.Namespace) -> Set:
    made = Set("million", "cosine", folder)
    if made.there:
        return made
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((1000, 96)).astype(np.float32)
    rows = centres[rng.integers(1000, size=1_001_000)] + rng.standard_normal((1_001_000, 96), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return made.keep(rows[:1_000_000], rows[1_000_000:])


SETS: dict[str, Callable[[Path, argparse.Namespace], Set]] = {"minilm": minilm, "fashion": fashion, "million": million}
