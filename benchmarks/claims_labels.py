"""The claim of few labels, and texts with classes, which other claims use too."""

from __future__ import annotations

import json
import lzma
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from claims_evidence import Lab, Trial, Values, plain

DRAWS, PER_CLASS = 5, (1, 4, 16, 64)
PENALTIES = (0.1, 1.0, 10.0, 100.0)  # as scikit-learn's C: the larger, the less penalty
SIZES = 3000, 500, 1500  # texts to draw labels from, to choose a penalty by, to ask

Ints = NDArray[np.int64]


class Labelled(NamedTuple):
    """Texts, and (n,) numbers of their classes."""

    texts: list[str]
    classes: Ints


def labels(lab: Lab) -> dict[str, Any]:
    """Few labels on vectors and on counts of words."""
    trials = []
    for name, read in (("trec", trec), ("20newsgroups", newsgroups)):
        data = sampled(read(lab.data))
        found = lab.unit(f"labels-{name}", lambda n=name, d=data: learnt(lab, n, d))
        for many in found["counts"]:
            ours, theirs = (np.array(found[f"{kind}-{many}"]) for kind in ("minilm", "tfidf"))
            shown = f"{many} labels a class: minilm {ours.mean():.3f}, tfidf {theirs.mean():.3f}"
            trials.append(Trial(name, shown, "accuracy", len(ours), ours - theirs, seeds=DRAWS))
        whole = {kind: float(np.mean(found[f"{kind}-all"])) for kind in ("minilm", "tfidf")}
        shown = f"all {found['pool']:,} labels: minilm {whole['minilm']:.3f}, tfidf {whole['tfidf']:.3f}"
        difference = np.array(found["minilm-all"]) - np.array(found["tfidf-all"])
        trials.append(Trial(name, shown, "accuracy", len(difference), difference, rule="beside"))
    return plain(trials)


def learnt(lab: Lab, name: str, data: Labelled) -> dict[str, Any]:
    """Whether each asked item is told, as a mean over draws of the labels."""
    from vicino.encoders import TfIdf

    pool, choose, ask = np.split(np.arange(sum(SIZES)), np.cumsum(SIZES)[:-1])
    counted = TfIdf().fit([data.texts[row] for row in pool]).encode_document(data.texts)
    kinds = {"minilm": vectors_of(lab, name, data), "tfidf": counted}
    least = int(np.bincount(data.classes[pool]).min())
    counts = [many for many in PER_CLASS if many <= least]
    found: dict[str, Any] = {"counts": counts, "pool": len(pool)}
    for kind, vectors in kinds.items():
        for many in counts:
            drawn = [few(data.classes, pool, many, seed) for seed in range(DRAWS)]
            right = [told(vectors, data.classes, rows, choose, ask) for rows in drawn]
            found[f"{kind}-{many}"] = np.mean(right, axis=0).tolist()
        found[f"{kind}-all"] = told(vectors, data.classes, pool, choose, ask).tolist()
    return found


def sampled(data: Labelled) -> Labelled:
    """As many as are wanted, in a random order."""
    rows = np.random.default_rng(0).permutation(len(data.texts))[: sum(SIZES)]
    return Labelled([data.texts[row] for row in rows], data.classes[rows])


def vectors_of(lab: Lab, name: str, data: Labelled) -> NDArray[np.float32]:
    """The vectors of all-MiniLM-L6-v2."""
    from vicino.encoders.transformer import Transformer

    return lab.array(f"minilm-{name}", lambda: Transformer().encode_document(data.texts))


def posts(lab: Lab) -> tuple[NDArray[np.float32], Ints]:
    """The vectors of some posts, and the numbers of their newsgroups."""
    data = sampled(newsgroups(lab.data))
    return vectors_of(lab, "20newsgroups", data), data.classes


def few(classes: Ints, rows: NDArray[Any], many: int, seed: int) -> NDArray[Any]:
    """So many rows of each class."""
    drawn = np.random.default_rng(seed).permutation(rows)
    return np.concatenate([drawn[classes[drawn] == one][:many] for one in np.unique(classes)])


def told(vectors: Any, classes: Ints, rows: Ints, choose: Ints, ask: Ints) -> Values:
    """Whether each asked item is told, by the penalty that tells most of those it is chosen by."""
    both = np.concatenate([choose, ask])
    found = [probe(vectors[rows], classes[rows], vectors[both], classes[both], penalty) for penalty in PENALTIES]
    return max(found, key=lambda right: float(right[: len(choose)].mean()))[len(choose) :]


def probe(known: Any, labels: Ints, asked: Any, truth: Ints, penalty: float) -> Values:
    """Whether logistic regression tells each, (n,) of 0 and 1."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty, max_iter=2000).fit(known, labels)
    return np.asarray(model.predict(asked) == truth, dtype=np.float64)


def trec(data: Path) -> Labelled:
    """Questions, and what is asked for: one of six."""
    with zipfile.ZipFile(data / "nltk-small-corpora" / "qc.zip") as packed:
        lines = [line for part in ("train", "test") for line in packed.read(f"qc/{part}.txt").decode("latin-1").splitlines()]
    rows = [line.partition(" ") for line in dict.fromkeys(lines) if line.strip()]
    return Labelled(
        [text for _, _, text in rows], np.unique([kind.partition(":")[0] for kind, _, _ in rows], return_inverse=True)[1]
    )


def newsgroups(data: Path) -> Labelled:
    """Posts without headers, and without the lines that quote others, which would tell the group by its regulars."""
    texts, groups = [], []
    for part in ("train", "test"):
        with lzma.open(data / "20newsgroups" / f"{part}.jsonl.xz", "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                text = "\n".join(line for line in row["text"].splitlines() if not line.startswith((">", "In article", "|")))
                if len(text.split()) >= 10:
                    texts.append(text)
                    groups.append(row["label"])
    return Labelled(texts, np.unique(groups, return_inverse=True)[1])
