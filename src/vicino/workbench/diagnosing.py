"""The verbs that look for what silently ruins vectors: of an encoder on somebody's data, and of a collection."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicino.encoders import Encoder
    from vicino.evaluation.diagnosis import Diagnosis
    from vicino.vectors import Similarity

__all__ = ["doctor_collection", "doctor_model"]

_Path = str | PathLike[str]


def doctor_collection(collection: str, *, reference: _Path | None = None, fix: bool = False, seed: int = 0) -> Diagnosis:
    """What is wrong with a collection: its models, rows, texts and vectors; see `vicino.evaluation.checkup.look_at`.

    `reference` is data that its models were chosen on, to see a shift between that and what is there now. With `fix` the cures
    are tried on a copy of some passages, and measured on known items of theirs. Raises UnknownName, and what reading the
    reference and the store raise.
    """
    from vicino.artifacts import home
    from vicino.evaluation.checkup import look_at
    from vicino.store.collection import Collection

    opened = Collection.open(home() / "collections", collection)
    return look_at(opened, reference=None if reference is None else _documents(reference, seed), cure=fix, seed=seed)


def doctor_model(
    data: _Path,
    *,
    encoder: _Path | Encoder = "minilm",
    reference: _Path | None = None,
    similarity: Similarity | None = None,
    fix: bool = False,
    seed: int = 0,
) -> Diagnosis:
    """What silently ruins an encoder's vectors on this data (a BEIR folder, a folder or file of text): see `diagnose`.

    `reference` is data that it was chosen on, to see a shift between the two; `similarity` the metric that the user's index
    ranks by. With `fix` the cures are tried on a copy and measured. Raises what `vicino.evaluation.tasks.open_task`, making the
    encoder and `vicino.evaluation.diagnosis.diagnose` raise.
    """
    from vicino import encoders
    from vicino.encoders import Encoder
    from vicino.evaluation.diagnosis import diagnose
    from vicino.evaluation.tasks import open_task

    task = open_task(data, seed=seed)
    before = None if reference is None else _documents(reference, seed)
    made = encoder if isinstance(encoder, Encoder) else encoders.make(encoder)
    return diagnose(made, task, reference=before, similarity=similarity, cure=fix, seed=seed)


def _documents(data: _Path, seed: int) -> Any:
    from vicino.evaluation.tasks import open_task

    return open_task(data, seed=seed).documents
