"""Claims that another benchmark has measured already: its figures are read from docs/figures, and its command is named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from claims_evidence import Lab, figure, read

AT = (0.95, 0.99)  # the recalls that HNSW is said to reach
Span = Sequence[float]  # a mean, and what holds it


def hard_negatives(lab: Lab) -> dict[str, Any]:
    """What hard negatives add on CoNaLa, beside what teaching adds at all, and what a reranker adds."""
    code = figure(lab, "finetune")["results"]["conala"]
    n, data = len_of(code["judged_by"]), "conala, unseen intents"
    mean, low, high = code["changes"]["in-batch negatives only"]["beside_defaults"]
    one = (-mean, -high, -low)  # what the default, one hard negative, is above none
    taught, reranked = code["defaults"], code["reranker"]["gate"]["gain"]["difference"]
    gain = (reranked["mean"], reranked["low"], reranked["high"])
    start = taught["before"][0]
    rows = [
        read(
            data,
            f"one hard negative of each pair {taught['after'][0]:.3f}, none {taught['after'][0] - one[0]:.3f}",
            "nDCG@10",
            n,
            one,
        ),
        read(
            data,
            f"what that adds, less what teaching by pairs adds ({start:.3f} to {taught['after'][0]:.3f})",
            "nDCG@10",
            n,
            less(one, taught["gain"]),
        ),
        read(data, "what that adds, less what a reranker adds to BM25 and the base fused", "nDCG@10", n, less(one, gain)),
        read(
            data,
            "three hard negatives beside one",
            "nDCG@10",
            n,
            code["changes"]["three hard negatives"]["beside_defaults"],
            rule="beside",
        ),
    ]
    return {"rows": rows}


def autoencoder_images(lab: Lab) -> list[dict[str, Any]]:
    """An autoencoder of Fashion-MNIST beside raw pixels, PCA, and networks taught otherwise, as 20 neighbours tell the class."""
    found = figure(lab, "images")["results"]["fashion"]
    rows, n = found["rows"], int(found["test"])
    own = rows["autoencoder"]["kNN"]
    told = []
    for other, rule in (("pixels", "beside"), ("eigenimages", "beside"), ("simclr", "above"), ("supervised", "above")):
        theirs = rows[other]["kNN"]
        shown = f"{other} {theirs[0]:.3f}, autoencoder {own[0]:.3f}"
        effect = less(theirs, own)
        told.append(read("fashion-mnist", shown, "accuracy of kNN", n, effect, rule=rule, seeds=int(rows[other]["seeds"])))
    return told


def layers_of_images(lab: Lab) -> list[dict[str, Any]]:
    """An earlier layer of the supervised network of Fashion-MNIST, beside its last."""
    found = figure(lab, "images")["results"]["fashion"]
    rows = found["rows"]
    early, last = rows["supervised, stage2"]["kNN"], rows["supervised"]["kNN"]
    shown = f"the layer before {early[0]:.3f}, the last {last[0]:.3f}, in telling the classes it was taught"
    return [read("fashion-mnist", shown, "accuracy of kNN", int(found["test"]), less(early, last), rule="beside", seeds=3)]


def swivel_speed(lab: Lab) -> list[dict[str, Any]]:
    """CPU seconds until Swivel's vectors are as good as GloVe's ever are, on 26 million words."""
    whole = max(figure(lab, "swivel")["results"], key=lambda each: each["tokens"])
    to = whole["to_the_same"]
    if to["swivel_cpu"] is None:
        return []
    faster = math.log2(to["glove_cpu"] / to["swivel_cpu"])
    shown = f"to a WordSim-353 of {to['wordsim353']:.3f}: GloVe {to['glove_cpu']:.0f} s, Swivel {to['swivel_cpu']:.0f} s"
    measure = "of a processor; log2 of GloVe's / Swivel's"
    span = "median of three seeds; no interval"
    return [read(f"wikipedia, {whole['tokens']:,} words", shown, measure, 1, (faster,) * 3, seeds=3, span=span)]


def hnsw(lab: Lab) -> dict[str, Any]:
    """Milliseconds of a query asked by itself, of graphs that find 95 and 99 % of the true ten nearest."""
    rows = []
    for name, one in figure(lab, "ann")["sets"].items():
        data = f"{name}, {one['vectors']:,} x {one['dim']}"
        for contestant in ("vicino hnsw", "hnswlib", "faiss HNSW", "usearch", "pgvector HNSW"):
            for recall in AT:
                single = one["contestants"].get(contestant, {}).get("at", {}).get(str(recall), {}).get("single")
                if single:
                    rows.append(of_graph(data, contestant, recall, 1000 / single, one["questions"]))
    return {"rows": rows}


def of_graph(data: str, contestant: str, recall: float, ms: float, n: int) -> dict[str, Any]:
    shown = f"{contestant}: {ms:.2f} ms at a recall@10 of {recall:.0%}"
    span = "median of three rounds; no interval"
    return read(data, shown, "milliseconds under one", n, (1 - ms,) * 3, span=span)


def less(one: Span, other: Span) -> tuple[float, float, float]:
    """The difference of two means with intervals that were not paired: half widths as the sides of a right angle.

    >>> [round(each, 2) for each in less((0.9, 0.87, 0.93), (0.5, 0.46, 0.54))]
    [0.4, 0.35, 0.45]
    """
    mean = one[0] - other[0]
    return mean, mean - math.hypot(one[0] - one[1], other[2] - other[0]), mean + math.hypot(one[2] - one[0], other[0] - other[1])


def len_of(judged_by: str) -> int:
    """How many questions a verdict stood on.

    >>> len_of("the test split, 345 of 472 questions")
    345
    """
    return int(judged_by.rpartition(" of ")[0].rpartition(" ")[2].replace(",", ""))
