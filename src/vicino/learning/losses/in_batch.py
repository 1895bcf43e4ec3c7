"""Contrast within a batch: each item's partner must score above everybody else's.

For a query i with logits z(i, j) over candidates j, of which p(i) is its own,

    loss = mean over i of  -z(i, p(i)) + log Σ_j exp z(i, j)

with z = similarity / temperature. van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive coding"
(InfoNCE); Henderson et al. 2017, "Efficient natural language response suggestion for Smart Reply" (in-batch negatives).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from vicino.errors import DimensionMismatch, InputError

__all__ = ["FalseNegatives", "Temperature", "info_nce", "nt_xent"]

Similarity = Literal["cosine", "dot"]


class Temperature(torch.nn.Module):
    """A temperature that is learnt: exp of a parameter, kept from `least` on (Radford et al. 2021, CLIP: 0.07, not under 0.01).

    Adam moves every number by about the learning rate, and where weights want a low one a temperature would stand still: its
    logarithm moves `pace` times as far. Raises InputError for what cannot be.

    >>> temperature = Temperature(0.07)
    >>> round(temperature().item(), 4), temperature().requires_grad
    (0.07, True)
    """

    def __init__(self, start: float = 0.07, least: float = 0.01, *, pace: float = 1.0) -> None:
        super().__init__()
        if not 0 < least <= start:
            raise InputError(f"a temperature from {start} on, not under {least}, cannot be", mend="give start=0.07, least=0.01")
        if not 0 < pace < math.inf:
            raise InputError(f"a temperature of pace {pace} cannot be", mend="give pace=1, or 100")
        self.log = torch.nn.Parameter(torch.tensor(start).log() / pace)
        self.least, self.pace = least, pace

    def forward(self) -> Tensor:
        """The temperature as it stands, ()."""
        # The gradient is that of the logarithm itself: what clips gradients must not take a high pace for a steep loss.
        return (self.log + (self.pace - 1) * self.log.detach()).exp().clamp(min=self.least)


@dataclass(frozen=True, eq=False)
class FalseNegatives:
    """Candidates that are no negatives, and are left out.

    `ids` (b,) number the documents: one that comes twice is not its own negative. With a `margin`, a candidate whose similarity
    is above that of the own document less `margin` is taken for a document that nobody judged; similarities are those of `guide`
    (b, candidates) where another model gives them (Solatorio 2024, "GISTEmbed"), else the vectors' own, without gradient.
    `known` (b, candidates) is true of those that are known to be none for other reasons; of the own document it does not count.
    """

    ids: Tensor | None = None
    margin: float | None = None
    guide: Tensor | None = None
    known: Tensor | None = None


def info_nce(
    queries: Tensor,
    documents: Tensor,
    *,
    negatives: Tensor | None = None,
    temperature: float | Tensor = 0.05,
    similarity: Similarity = "cosine",
    symmetric: bool = False,
    left_out: FalseNegatives | None = None,
    log_q: Tensor | None = None,
) -> Tensor:
    """Query i belongs to document i; all other documents of the batch are its negatives.

    `queries` and `documents` are (b, d). `negatives` are more candidates: (b, h, d), hard ones of each query, which are
    everybody's negatives, or (m, d), such as a memory queue. Candidates are the b documents, then the negatives row by row.
    `symmetric` is the mean with the same from documents to queries.

    `log_q` (candidates,) is the logarithm of how probably each candidate is drawn; it is taken from the logits, so that popular
    ones are not pushed away for being drawn often (Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item
    recommendations"). From documents to queries it is not: queries are the candidates there.

    Raises DimensionMismatch for shapes that do not meet.

    >>> at = torch.eye(2)
    >>> round(float(info_nce(at, at, temperature=1.0)), 4)  # log(1 + 1/e)
    0.3133
    """
    _require(queries, documents, negatives)
    if similarity == "cosine":
        queries, documents = functional.normalize(queries, dim=-1), functional.normalize(documents, dim=-1)
        negatives = None if negatives is None else functional.normalize(negatives, dim=-1)
    candidates = documents if negatives is None else torch.cat([documents, negatives.flatten(0, -2)])
    similarities = queries @ candidates.T
    left_out = left_out or FalseNegatives()
    judged = similarities.detach() if left_out.guide is None else left_out.guide
    logits = similarities / temperature
    known = torch.zeros_like(judged, dtype=torch.bool) if left_out.known is None else left_out.known
    loss = _own_first(logits if log_q is None else logits - log_q, judged, known, left_out)
    if symmetric:
        b = len(queries)
        loss = (loss + _own_first(logits[:, :b].T, judged[:, :b].T, known[:, :b].T, left_out)) / 2
    return loss


def nt_xent(left: Tensor, right: Tensor, *, temperature: float | Tensor = 0.5) -> Tensor:
    """Two views of each item: of the 2b vectors, each must find its partner among the 2b - 1 others.

    Chen, Kornblith, Norouzi and Hinton 2020, "A simple framework for contrastive learning of visual representations" (SimCLR).
    Both are (b, d). Raises DimensionMismatch.
    """
    _require(left, right, None)
    views = functional.normalize(torch.cat([left, right]), dim=-1)
    logits = (views @ views.T) / temperature
    logits.fill_diagonal_(-torch.inf)
    partner = torch.arange(len(views), device=views.device).roll(len(left))
    return functional.cross_entropy(logits, partner)


def _own_first(logits: Tensor, judged: Tensor, known: Tensor, left_out: FalseNegatives) -> Tensor:
    """The cross entropy of each row's own candidate, the one on the diagonal, among those that are not left out."""
    b = len(logits)
    out = known.clone()
    if left_out.margin is not None:
        out |= judged > judged.diagonal()[:, None] - left_out.margin
    if left_out.ids is not None:
        out[:, :b] |= left_out.ids[:, None] == left_out.ids[None, :]
    out.fill_diagonal_(False)
    return functional.cross_entropy(logits.masked_fill(out, -torch.inf), torch.arange(b, device=logits.device))


def _require(queries: Tensor, documents: Tensor, negatives: Tensor | None) -> None:
    shapes = [tuple(each.shape) for each in (queries, documents, negatives) if each is not None]
    meets = queries.ndim == 2 and queries.shape == documents.shape
    if negatives is not None:
        own = negatives.ndim == 2 or (negatives.ndim == 3 and len(negatives) == len(queries))
        meets = meets and own and negatives.shape[-1] == queries.shape[-1]
    if not meets or not len(queries):
        raise DimensionMismatch(
            f"vectors of shapes {', '.join(map(str, shapes))} do not pair",
            mend="give (b, d) twice, negatives (b, h, d) or (m, d)",
        )
