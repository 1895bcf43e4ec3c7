"""The verb that looks at an encoder on somebody's data."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vicino.encoders import Encoder
    from vicino.evaluation.diagnosis import Diagnosis

__all__ = ["doctor_model"]


def doctor_model(
    data: str | PathLike[str],
    *,
    encoder: str | PathLike[str] | Encoder = "minilm",
    reference: str | PathLike[str] | None = None,
    fix: bool = False,
    seed: int = 0,
) -> Diagnosis:
    """What silently ruins an encoder's vectors on this data (a BEIR folder, a folder or file of text): see `diagnose`.

    `reference` is data that it was chosen on, to see a shift between the two. With `fix` the cures are tried on a copy and
    measured. Raises what `vicino.evaluation.tasks.open_task`, making the encoder and `vicino.evaluation.diagnosis.diagnose`
    raise.
    """
    from vicino import encoders
    from vicino.encoders import Encoder
    from vicino.evaluation.diagnosis import diagnose
    from vicino.evaluation.tasks import open_task

    task = open_task(data, seed=seed)
    before = None if reference is None else open_task(reference, seed=seed).documents
    made = encoder if isinstance(encoder, Encoder) else encoders.make(encoder)
    return diagnose(made, task, reference=before, cure=fix, seed=seed)
