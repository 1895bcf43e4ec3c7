"""Images of marks: the class is a mark's shape, which may lie anywhere; pixels hardly tell it, and a network soon does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def marks(n: int, classes: int = 4, *, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, size, size) uint8 with two marks of their class on noise, and their classes (n,)."""
    kinds = np.random.default_rng(7)
    shapes = np.stack([kinds.permutation(16).reshape(4, 4) < 8 for _ in range(classes)])
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = random.normal(60, 15, (n, size, size))
    for image, label in zip(images, labels, strict=True):
        for top, left in random.integers(0, size - 3, (2, 2)):
            image[top : top + 4, left : left + 4] += 150 * shapes[label]
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def marked(tmp_path_factory) -> Callable[..., Path]:
    """`marked(n, classes, shuffled=False, labels=True)`: a file of such images."""

    def write(n: int = 960, classes: int = 4, *, shuffled: bool = False, labels: bool = True, seed: int = 0) -> Path:
        pixels, told = marks(n, classes, seed=seed)
        if shuffled:
            told = np.random.default_rng(seed).permutation(told)
        path = tmp_path_factory.mktemp("marks") / "marks.npz"
        np.savez(path, images=pixels, **({"labels": told} if labels else {}))
        return path

    return write
