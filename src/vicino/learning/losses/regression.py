"""Numbers to be met: a similarity, a teacher's scores, a reconstruction."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from vicino.errors import DimensionMismatch

__all__ = ["cosine_regression", "distil_scores", "margin_mse", "reconstruction"]


def cosine_regression(left: Tensor, right: Tensor, similarities: Tensor) -> Tensor:
    """The mean squared error of the cosines of pairs, (b, d) twice, to the `similarities` that they should have, (b,).

    Reimers and Gurevych 2019, "Sentence-BERT". Raises DimensionMismatch.
    """
    _same(left, right)
    cosines = functional.cosine_similarity(left, right)
    _same(cosines, similarities)
    return functional.mse_loss(cosines, similarities)


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
