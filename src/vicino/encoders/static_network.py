"""Static vectors that learn: what training asks of a network, of a table of token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vicino.encoders.base import Role
from vicino.encoders.static import Static

__all__ = ["StaticNetwork"]

Ids = NDArray[np.int32]


class StaticNetwork(nn.Module):
    """The token vectors of a `Static`, (tokens, d), all of them to be learnt; it stands where a `Trainable` does.

    Raises NotFitted.
    """

    def __init__(self, encoder: Static) -> None:
        super().__init__()
        self.encoder = encoder
        self.table = nn.Parameter(torch.from_numpy(np.array(encoder._require("vectors_"), dtype=np.float32)))

    def tower(self, role: Role) -> StaticNetwork:  # noqa: ARG002 - one table for all
        """What reads texts of a role: this one table."""
        return self

    @property
    def width(self) -> int:
        """Of a vector."""
        return self.table.shape[1]

    def ids(self, texts: Sequence[str], prompt: str = "") -> list[Ids]:
        """What `forward` takes: the tokens of each text after a prompt."""
        ids, offsets = self.encoder.read([prompt + text for text in texts])
        return np.split(ids, offsets[1:-1])

    def forward(self, ids: list[Ids]) -> Tensor:
        """The sums of the texts' token vectors, (n, d)."""
        tokens = torch.from_numpy(np.concatenate(ids).astype(np.int64))
        begins = torch.from_numpy(np.cumsum([0, *map(len, ids[:-1])], dtype=np.int64))
        device = self.table.device
        found: Tensor = functional.embedding_bag(tokens.to(device), self.table, begins.to(device), mode="sum")
        return found

    def follow(self, matrix: NDArray[np.float32], layer: Path) -> None:  # noqa: ARG002 - no layer is needed
        """Give vectors @ `matrix` (d, d) from now on."""
        with torch.no_grad():
            self.table.copy_(self.table @ torch.from_numpy(matrix).to(self.table))

    def vectors(self, ids: list[Ids]) -> NDArray[np.float32]:
        """What `forward` gives, (n, d), without gradients."""
        with torch.no_grad():
            found: NDArray[np.float32] = self(ids).cpu().numpy()
        return found

    def save(self, target: Path) -> None:
        """Write the encoder that it is by now."""
        self.encoder.with_vectors(self.table.detach().cpu().numpy()).save(target)
