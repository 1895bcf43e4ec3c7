"""Numbers to be met, or to be put in their order: a similarity, a teacher's scores, a reconstruction."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vicino.errors import DimensionMismatch

__all__ = ["cosent", "cosine_regression", "distil_scores", "margin_mse", "reconstruction"]


def cosine_regression(left: Tensor, right: Tensor, similarities: Tensor) -> Tensor:
    """The mean squared error of the cosines of pairs, (b, d) twice, to the `similarities` that they should have, (b,).

    Reimers and Gurevych 2019, "Sentence-BERT". Raises DimensionMismatch.
    """
    _same(left, right)
    cosines = functional.cosine_similarity(left, right)
    _same(cosines, similarities)
    return functional.mse_loss(cosines, similarities)


def cosent(left: Tensor, right: Tensor, similarities: Tensor, *, temperature: float = 0.05) -> Tensor:
    """log(1 + the sum of exp((cos j - cos i) / temperature) over all i, j of a batch where pair i should be more alike than j).

    The pairs are (b, d) twice. Only the order of their `similarities`, (b,), counts: cosines need not be these numbers, as in
    `cosine_regression`. It is no mean: a larger batch has more to put in order. Su 2022, "CoSENT: a more effective sentence
    vector scheme than Sentence-BERT". Raises DimensionMismatch.

    >>> import torch
    >>> one, other = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> [round(float(cosent(one, other, torch.tensor(order))), 4) for order in ([1.0, 0.0], [0.5, 0.5], [0.0, 1.0])]
    [0.0, 0.0, 20.0]
    """
    _same(left, right)
    cosines = functional.cosine_similarity(left, right) / temperature
    _same(cosines, similarities)
    wrong = (cosines - cosines[:, None])[similarities[:, None] > similarities]  # of row i and column j: how far j is before i
    return torch.logsumexp(torch.cat([cosines.new_zeros(1), wrong]), dim=0)


def margin_mse(positive: Tensor, negative: Tensor, teacher_positive: Tensor, teacher_negative: Tensor) -> Tensor:
    """The mean squared error of a student's margins, positive less negative score, to those of a teacher; each (b,) or (b, h).

    Hofstätter et al. 2020, "Improving efficient neural ranking models with cross-architecture knowledge distillation".
    Raises DimensionMismatch.

    >>> import torch
    >>> float(margin_mse(*map(torch.tensor, ([3.0], [1.0], [5.0], [2.0]))))
    1.0
    """
    _same(positive, negative)
    _same(teacher_positive, teacher_negative)
    _same(positive, teacher_positive)
    return functional.mse_loss(positive - negative, teacher_positive - teacher_negative)


def distil_scores(scores: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """The Kullback-Leibler divergence of a student's distribution over candidates from a teacher's; scores are (b, candidates).

    Both are softmaxes of scores / `temperature`; the loss is times temperature², so that gradients keep their size (Hinton,
    Vinyals and Dean 2015, "Distilling the knowledge in a neural network"). Raises DimensionMismatch.
    """
    _same(scores, teacher)
    student, goal = (functional.log_softmax(each / temperature, dim=-1) for each in (scores, teacher))
    return functional.kl_div(student, goal, log_target=True, reduction="batchmean") * temperature**2


def reconstruction(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean squared error of an output to what went in, over all numbers or, with a bool `mask`, over those that it marks.

    `mask` has the shape of the first axes of `output`. A mask that marks nothing gives 0. Raises DimensionMismatch.
    """
    _same(output, target)
    if mask is None:
        return functional.mse_loss(output, target)
    if mask.shape != output.shape[: mask.ndim]:
        raise DimensionMismatch(f"a mask of {tuple(mask.shape)} for {tuple(output.shape)}", mend="give the first axes' shape")
    errors = (output - target).square()[mask]
    return errors.mean() if errors.numel() else output.sum() * 0


def _same(left: Tensor, right: Tensor) -> None:
    if left.shape != right.shape:
        raise DimensionMismatch(f"shapes {tuple(left.shape)} and {tuple(right.shape)} do not meet", mend="give equal shapes")
