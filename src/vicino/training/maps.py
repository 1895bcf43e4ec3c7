"""Linear maps of vectors in training: what stands where a lesson learns with a network, and leaves that as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vicino.training.towers import Model

__all__ = ["Maps"]

Float32 = NDArray[np.float32]
Asking = Literal["query", "document"]


class Maps(nn.Module):
    """x -> x + x A, for queries and for documents each its own A, or one for both (`shared`), which begins at 0."""

    def __init__(self, width: int, *, shared: bool) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width, width))
        self.document = self.query if shared else nn.Parameter(torch.zeros(width, width))

    def forward(self, vectors: Tensor, role: Asking) -> Tensor:
        """Vectors (n, d) as they will be, of length one."""
        own: Tensor = getattr(self, role)
        return functional.normalize(vectors + vectors @ own)

    def vectors(self, vectors: Float32, role: Asking) -> Float32:
        """The same without gradients."""
        with torch.no_grad():
            found: Float32 = self(torch.from_numpy(vectors).to(self.query.device), role).cpu().numpy()
        return found

    def put_on(self, model: Model, folder: Path) -> None:
        """Have the networks of `model` give what these maps make of their vectors; layers are written to `folder`."""
        roles: dict[Any, Asking] = {model.tower("query"): "query", model.tower("document"): "document"}
        for tower, role in roles.items():
            own = getattr(self, role).detach().cpu().numpy()
            tower.follow(np.eye(len(own), dtype=np.float32) + own, folder / role)
