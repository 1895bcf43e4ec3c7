"""Controls: what a trained encoder must not have forgotten, measured with it and with what it was trained from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vicino.data.examples import read_examples
from vicino.data.judged import is_beir
from vicino.data.known_items import known_items
from vicino.data.splits import sample
from vicino.encoders.base import Encoder
from vicino.errors import EmptyInput, InputError
from vicino.evaluation.gate import Check, check_correlation, check_means
from vicino.evaluation.tasks import RetrievalTask, judged, open_task
from vicino.metrics.similarity import paired_cosine
from vicino.training.material import Parts
from vicino.training.searchable import METRIC, Searchable, values

__all__ = ["at_hand", "control", "control_by_others", "looked_at"]

_KNOWN = ("stsb/dev.tsv", "cranfield")  # under VICINO_DATA
_OTHERS = (100, 500)  # documents without questions: fewer say nothing, more take long


def at_hand() -> list[Path]:
    """STS-B's dev split and Cranfield, where VICINO_DATA holds them."""
    home = os.environ.get("VICINO_DATA")
    return [] if not home else [Path(home) / name for name in _KNOWN if (Path(home) / name).exists()]


def looked_at(sources: Sequence[Path] | None, parts: Parts, encoders: Sequence[Encoder], *, seed: int = 0) -> list[Check]:
    """`control` of each source; where they are None, of what is `at_hand`, or else what `control_by_others` finds."""
    chosen = at_hand() if sources is None else sources
    if sources is None and not chosen:
        others = control_by_others(parts, encoders, seed=seed)
        return [] if others is None else [others]
    return [control(each, encoders, seed=seed) for each in chosen]


def control(source: Path, encoders: Sequence[Encoder], *, seed: int = 0) -> Check:
    """How two encoders, before and after training, do on a folder of judged retrieval or a table of pairs with scores.

    The first by nDCG@10 of its questions, the second by Spearman's correlation of cosines with the scores. Raises InputError for
    examples of another kind, and what reading raises.
    """
    name = source.resolve().parent.name + "/" + source.name if source.is_file() else source.resolve().name
    if source.is_dir() and is_beir(source):
        task = open_task(source)
        return check_means(f"{METRIC} on {name}", *_found(task, encoders), seed=seed)
    examples = read_examples(source)
    if examples.kind not in ("scored", "labelled"):
        raise InputError(
            f"{source} holds {examples.kind}, which control nothing", mend="give judged retrieval, or pairs of texts with scores"
        )
    cosines = [paired_cosine(each.encode(examples.anchors), each.encode(examples.positives)) for each in encoders]
    return check_correlation(f"Spearman on {name}", examples.targets, *cosines, seed=seed)


def control_by_others(parts: Parts, encoders: Sequence[Encoder], *, seed: int = 0) -> Check | None:
    """How two encoders do on documents of the same data that answer no question: on something that each says of itself, which is
    taken out of it and asked. None where there are few of those.
    """
    if parts.learn.corpus is None:
        return None
    answers = {name for each in (parts.learn, parts.choose, parts.judge) for name in each.document_ids or ()}
    others = [one for one in parts.learn.corpus.documents if one.id not in answers]
    if len(others) < _OTHERS[0]:
        return None
    try:
        made = known_items(sample(others, _OTHERS[1], seed), seed=seed)
    except EmptyInput:
        return None
    if len(made.queries) < _OTHERS[0]:
        return None
    task = judged("others", made.documents, made.queries, made.judgements)
    name = f"{METRIC} on {len(task.queries):,} other documents of the data, each asked for by what was taken out of it"
    return check_means(name, *_found(task, encoders), seed=seed)


def _found(task: RetrievalTask, encoders: Sequence[Encoder]) -> list[NDArray[np.float64]]:
    """The metric of each question, with each encoder."""
    return [values(Searchable(each, task.documents).search(task.queries, 10), task) for each in encoders]
