"""Controls: what a trained encoder must not have forgotten, measured with it and with what it was trained from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vicino import metrics
from vicino.data.examples import read_examples
from vicino.data.judged import is_beir
from vicino.encoders.base import Encoder
from vicino.errors import InputError
from vicino.evaluation.gate import Check, check_correlation, check_means
from vicino.evaluation.tasks import open_task
from vicino.metrics.ranking import judge
from vicino.metrics.similarity import paired_cosine
from vicino.training.searchable import Searchable

__all__ = ["METRIC", "at_hand", "control"]

METRIC = "nDCG@10"
_KNOWN = ("stsb/dev.tsv", "cranfield")  # under VICINO_DATA


def at_hand() -> list[Path]:
    """STS-B's dev split and Cranfield, where VICINO_DATA holds them."""
    home = os.environ.get("VICINO_DATA")
    return [] if not home else [Path(home) / name for name in _KNOWN if (Path(home) / name).exists()]


def control(source: Path, encoders: Sequence[Encoder], *, seed: int = 0) -> Check:
    """How two encoders, before and after training, do on a folder of judged retrieval or a table of pairs with scores.

    The first by nDCG@10 of its questions, the second by Spearman's correlation of cosines with the scores. Raises InputError for
    examples of another kind, and what reading raises.
    """
    before, after = encoders
    name = source.resolve().parent.name + "/" + source.name if source.is_file() else source.resolve().name
    if source.is_dir() and is_beir(source):
        task = open_task(source)
        values = []
        for encoder in (before, after):
            hits = Searchable(encoder, task.documents).search(task.queries, 10)
            values.append(np.asarray(metrics.parse(METRIC)(judge(hits.ids, task.rows)), dtype=np.float64))
        return check_means(f"{METRIC} on {name}", *values, seed=seed)
    examples = read_examples(source)
    if examples.kind not in ("scored", "labelled"):
        raise InputError(
            f"{source} holds {examples.kind}, which control nothing", mend="give judged retrieval, or pairs of texts with scores"
        )
    cosines = [paired_cosine(each.encode(examples.anchors), each.encode(examples.positives)) for each in (before, after)]
    return check_correlation(f"Spearman on {name}", examples.targets, *cosines, seed=seed)
