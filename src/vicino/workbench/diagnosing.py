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


def doctor_collection(
    collection: str,
    *,
    reference: _Path | None = None,
    fix: bool = False,
    precision: float = 0.9,
    seed: int = 0,
    report_to: _Path | None = None,
    command: str = "",
) -> Diagnosis:
    """What is wrong with a collection: its models, rows, texts and vectors; see `vicino.evaluation.checkup.look_at`.

    `reference` is data that its models were chosen on, to see a shift between that and what is there now. With `fix` the cures
    are tried on a copy of some passages, and measured on known items of theirs. `precision` is the share of relevant answers that
    a threshold of scores is looked for. `report_to` writes a report, .html, .md or .json by the ending, which shows `command`.
    Raises UnknownName, InputError, and what reading the reference and the store raise.
    """
    from vicino.artifacts import home
    from vicino.evaluation.checkup import look_at
    from vicino.store.collection import Collection

    _require(report_to, precision)
    opened = Collection.open(home() / "collections", collection)
    before = None if reference is None else _documents(reference, seed)
    found = look_at(opened, reference=before, cure=fix, precision=precision, seed=seed)
    return _reported(found, report_to, about=f"the collection {collection}", seed=seed, command=command)


def doctor_model(
    data: _Path,
    *,
    encoder: _Path | Encoder = "minilm",
    reference: _Path | None = None,
    similarity: Similarity | None = None,
    fix: bool = False,
    precision: float = 0.9,
    seed: int = 0,
    report_to: _Path | None = None,
    command: str = "",
) -> Diagnosis:
    """What silently ruins an encoder's vectors on this data (a BEIR folder, a folder or file of text): see `diagnose`.

    `reference` is data that it was chosen on, to see a shift between the two; `similarity` the metric that the user's index
    ranks by. With `fix` the cures are tried on a copy and measured. `precision`, `report_to` and `command` are those of
    `doctor_collection`. Raises what `vicino.evaluation.tasks.open_task`, making the encoder and
    `vicino.evaluation.diagnosis.diagnose` raise, and InputError.
    """
    from vicino import encoders
    from vicino.encoders import Encoder
    from vicino.evaluation.cures import UNNAMED, Target
    from vicino.evaluation.diagnosis import diagnose
    from vicino.evaluation.tasks import open_task

    _require(report_to, precision)
    task = open_task(data, seed=seed)
    before = None if reference is None else _documents(reference, seed)
    made, target = (encoder, UNNAMED) if isinstance(encoder, Encoder) else (encoders.make(encoder), Target(str(encoder)))
    found = diagnose(made, task, reference=before, similarity=similarity, cure=fix, precision=precision, target=target, seed=seed)
    name = made.family if isinstance(encoder, Encoder) else str(encoder)
    return _reported(found, report_to, about=f"{name} on {task.name}", seed=seed, command=command)


def _require(report_to: _Path | None, precision: float) -> None:
    """Raise InputError for what cannot be, before the work."""
    from vicino.evaluation import report
    from vicino.metrics.calibration import require_precision

    require_precision(precision)
    if report_to is not None:
        report.require_ending(report_to)


def _reported(found: Diagnosis, report_to: _Path | None, *, about: str, seed: int, command: str) -> Diagnosis:
    """The same, after its report was written, where one is wanted."""
    from vicino.evaluation import diagnosis_report

    if report_to is not None:
        diagnosis_report.write(report_to, diagnosis_report.to_json(found, about=about, seed=seed, command=command))
    return found


def _documents(data: _Path, seed: int) -> Any:
    from vicino.evaluation.tasks import open_task

    return open_task(data, seed=seed).documents
