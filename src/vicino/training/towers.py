"""Two networks in training, one for queries and one for documents: what stands where a lesson learns with one."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vicino.encoders.base import Role
from vicino.encoders.static_network import StaticNetwork
from vicino.encoders.transformer.routes import ROUTES, RouterFolder
from vicino.encoders.transformer.saving import bind_towers
from vicino.encoders.transformer.trainable import Trainable

__all__ = ["Model", "Towers"]


class Towers(nn.Module):
    """The networks of `query` and `document`, which share no weight; a text of no role is a document.

    Karpukhin et al. 2020, "Dense passage retrieval for open-domain question answering".
    """

    def __init__(self, query: Trainable, document: Trainable) -> None:
        super().__init__()
        self.query, self.document = query, document

    def tower(self, role: Role) -> Trainable:
        """What reads texts of a role."""
        return self.query if role == "query" else self.document

    def save(self, target: Path) -> None:
        """Write a folder that vicino and sentence-transformers open, into an empty one: see `saving.bind_towers`."""
        for route in ROUTES:
            (target / route).mkdir()
            self.tower(route).save(target / route)
        bind_towers(RouterFolder(self.query.folder, self.document.folder, default="document"), target)


Model = Trainable | Towers | StaticNetwork
