"""Claims of what is learnt: autoencoders, layers, labels, Matryoshka, negatives."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from claims_evidence import SETS, Lab, Trial, plain
from claims_figures import autoencoder_images, layers_of_images
from claims_labels import probe, trec
from claims_search import dimensions as plainly_cut
from claims_search import paired, ranked, searched, share_kept
from claims_words import resampled
from finetune import intents
from vicino.data.examples import read_examples
from vicino.encoders.transformer import Transformer
from vicino.metrics.similarity import paired_cosine, spearman
from vicino.training.batches import TextBatches, embedded, parted
from vicino.training.material import Material, gather

SEEN = (2, 8, 32, 128)  # candidates of each question: its own and the negatives
SEEDS = 2  # a training takes two minutes
BATCH, EPOCHS, RATE, LIMIT, NARROW = 128, 2, 6e-5, 96, 64
TEMPERATURE = 0.05


def autoencoder(lab: Lab) -> dict[str, Any]:
    """The best linear autoencoder of TF-IDF in search, and a convolutional one of images."""
    trials = []
    for name in SETS:
        task = lab.tasks[name]
        trials.append(paired(name, task, {"tfidf": searched(task, "tfidf"), "lsa": searched(task, "lsa")}))
    kept = plain(trials)
    return {"rows": [*kept["rows"], *autoencoder_images(lab)]}


def dimensions(lab: Lab) -> dict[str, Any]:
    """What width gives, and what Matryoshka keeps."""
    trained = {dims: adapted(lab, BATCH, 0, dims) for dims in ((), (NARROW,))}
    trials = []
    for dims, label in (((NARROW,), "taught with Matryoshka"), ((), "taught without")):
        narrow, full = (np.array(trained[dims][key]) for key in ("narrow", "full"))
        rule = "above" if dims else "beside"
        trials.append(share_kept("conala", judge(lab), f"minilm {label}, the first {NARROW}", narrow, full, rule))
    kept = plain(trials)
    return {"rows": [*plainly_cut(lab)["rows"], *kept["rows"]]}


# Negatives in a batch ------------------------------------------------------------------------------------------------


def in_batch(lab: Lab) -> dict[str, Any]:
    """The same training but for how many others of its batch a question is set against."""
    task, seeds = judge(lab), min(SEEDS, lab.seeds)
    found = {seen: np.mean([adapted(lab, seen, seed)["full"] for seed in range(seeds)], axis=0) for seen in SEEN}
    base = np.array(lab.unit("batch-before", lambda: untaught(lab))["full"])
    trials = [
        paired("conala", task, {f"{many - 1} negatives": found[many], f"{few - 1}": found[few]}) for few, many in pairwise(SEEN)
    ]
    trials += [
        paired("conala", task, {f"{seen - 1} negatives": found[seen], "not taught": base}, rule="beside")
        for seen in (SEEN[0], SEEN[-1])
    ]
    return plain([replace(trial, seeds=seeds) for trial in trials])


def untaught(lab: Lab) -> dict[str, Any]:
    """nDCG@10 of each unseen question by the base as it comes."""
    return judged_by(Transformer().trainable(limit=LIMIT), material(lab))


def material(lab: Lab) -> Material:
    """CoNaLa: pairs to learn from, and the questions that nothing among them gives away."""
    with tempfile.TemporaryDirectory() as folder:
        return gather(intents(lab.data, Path(folder), None), seed=0)


def judge(lab: Lab) -> Any:
    return material(lab).judge


def adapted(lab: Lab, seen: int, seed: int, dims: tuple[int, ...] = ()) -> dict[str, Any]:
    """nDCG@10 of each unseen question, by all dimensions and by the first few."""
    name = f"batch-{seen}-{seed}" + ("-matryoshka" if dims else "")
    return lab.unit(name, lambda: trained(lab, seen, seed, dims))


def trained(lab: Lab, seen: int, seed: int, dims: tuple[int, ...]) -> dict[str, Any]:
    from vicino.learning.loop import Settings, fit
    from vicino.learning.losses.in_batch import info_nce

    stuff = material(lab)
    model, own = Transformer().trainable(limit=LIMIT), stuff.learn
    ids = [model.ids(list(side)) for side in (own.anchors, own.positives)]
    batches = TextBatches(list(zip(*ids, strict=True)), own.anchors, own.positives, BATCH)

    def loss(network: Any, batch: Any) -> Any:
        """The mean over blocks of the batch, each of which sees none but its own."""
        asked, told, _ = parted(embedded(network, batch), 2)
        parts = [
            info_nce(asked[at : at + seen, :width], told[at : at + seen, :width], temperature=TEMPERATURE)
            for width in (*dims, asked.shape[1])
            for at in range(0, len(asked), seen)
        ]
        return sum(parts) / len(parts)

    settings = Settings(epochs=EPOCHS, batch_size=BATCH, learning_rate=RATE, seed=seed, threads=lab.threads)
    fit(model, batches, loss, settings, label=f"{seen - 1} negatives, seed {seed}")
    return {"pairs": len(own), **judged_by(model, stuff)}


def judged_by(model: Any, stuff: Material) -> dict[str, list[float]]:
    """By all dimensions, and by the first few."""
    task = stuff.judge
    texts = [one.content for one in task.documents], [one.text for one in task.queries]
    documents, queries = (model.vectors(model.ids(each)) for each in texts)
    widths = {"full": documents.shape[1], "narrow": NARROW}
    return {name: ranked(task, documents[:, :width], queries[:, :width]).tolist() for name, width in widths.items()}


# Layers --------------------------------------------------------------------------------------------------------------


def layers(lab: Lab) -> dict[str, Any]:
    """What a linear probe reads from each layer (a question's length, two swapped words, its class), and where meaning is."""
    found = lab.unit("layers", lambda: probed(lab))
    trials = []
    for feature, rule in (("length", "above"), ("swapped words", "above"), ("class", "beside")):
        told = np.array(found[feature])  # (layers, questions), whether each was told
        choose = np.arange(told.shape[1]) % 2 == 0  # the earlier layer is chosen on these, and judged on the others
        best = int(told[:-1, choose].mean(axis=1).argmax())
        early, last = told[best, ~choose], told[-1, ~choose]
        shown = f"{feature}: layer {best} {early.mean():.3f}, the last {last.mean():.3f}"
        trials.append(Trial("TREC questions", shown, "accuracy", len(early), early - last, rule=rule))
    kept = plain([*trials, of_meaning(lab)])
    return {"rows": [*kept["rows"], *layers_of_images(lab)]}


def of_meaning(lab: Lab) -> Trial:
    """Cosines of the last layer against those of the best earlier one, as people judge sentences; no probe."""
    pairs = read_examples(lab.data / "stsb", split="test")

    def cosines() -> dict[str, Any]:
        sides = [every_layer(list(side)) for side in (pairs.anchors, pairs.positives)]
        return {"layers": [paired_cosine(*each).tolist() for each in zip(*sides, strict=True)]}

    found = np.array(lab.unit("layers-sts", cosines)["layers"])
    whole = np.arange(len(pairs))

    def each(rows: NDArray[Any]) -> list[float]:
        return [spearman(one[rows], pairs.targets[rows]) for one in found]

    told = each(whole)
    best = int(np.argmax(told[:-1]))
    draws = resampled(lambda rows: each(rows)[-1] - max(each(rows)[:-1]), [whole])
    shown = f"likeness of sentences: the last layer {told[-1]:.3f}, layer {best} {told[best]:.3f}"
    return Trial("STS-B", shown, "Spearman", len(whole), estimate=told[-1] - told[best], draws=draws)


def probed(lab: Lab) -> dict[str, Any]:
    asked = trec(lab.data)
    random = np.random.default_rng(0)
    shuffled = random.random(len(asked.texts)) < 0.5
    swapped = [swap(text, random) if yes else text for text, yes in zip(asked.texts, shuffled, strict=True)]
    lengths = np.array([len(text.split()) for text in asked.texts])
    bins = np.searchsorted(np.quantile(lengths, [0.2, 0.4, 0.6, 0.8]), lengths)
    plainly, after = every_layer(asked.texts), every_layer(swapped)
    test = np.zeros(len(asked.texts), bool)
    test[random.permutation(len(test))[: len(test) // 3]] = True
    ways = {"length": (plainly, bins), "swapped words": (after, shuffled.astype(np.int64)), "class": (plainly, asked.classes)}
    return {
        name: [probe(each[~test], labels[~test], each[test], labels[test], 1.0).tolist() for each in vectors]
        for name, (vectors, labels) in ways.items()
    }


def every_layer(texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """The mean over tokens of what each layer of all-MiniLM-L6-v2 gives, from the embeddings (0) on."""
    model = Transformer().trainable()
    ids, stack = model.ids(texts), model.network.encoder.layer
    vectors = []
    for depth in range(len(stack) + 1):
        model.network.encoder.layer = stack[:depth]
        vectors.append(model.vectors(ids))
    return vectors


def swap(text: str, random: np.random.Generator) -> str:
    """Two neighbouring words change places."""
    words = text.split()
    if len(words) > 2:
        at = int(random.integers(len(words) - 1))
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)
