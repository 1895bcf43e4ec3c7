"""Encoding text: vicino's Transformer in turn with `SentenceTransformer(...).encode` at its defaults; one model, the same cores.

    python benchmarks/encode.py --data DIR [--threads 2] [--rounds 5] [--documents 2000]

Prints one JSON object. Two sets of real documents: "docstrings" of Python's standard library (of ten words and more: short
texts), and "scifact", abstracts with their titles (most of them longer than the 256 tokens that the model reads). For each:
documents a second of both, the ratio round by round, and how near the vectors are. Then the quality on STS-B's test pairs,
how far the processor's peak is, and where the time goes. Times are wall-clock, so ratios are what to read.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from rounds import alternate, machine, ratio
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.sources import MINILM, find
from vicino.evaluation.tasks import open_task
from vicino.vectors import normalise

PUBLISHED = 0.820  # Spearman of all-MiniLM-L6-v2 on STS-B test
WORDS = 10  # that a docstring has at least
PEAK = 4096  # rows and columns of the product that measures the processor's peak

# What an operator of torch is for, by a part of its name.
KINDS = {
    "linear layers": ("_linear_pointwise", "addmm"),
    "attention": ("bmm", "softmax", "dot_product"),
    "layer normalisation": ("layer_norm",),
    "copies and additions": ("copy", "add", "mul", "clone", "zero", "fill"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds scifact/ and stsb/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=2000)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    began = time.perf_counter()
    ours = Transformer()
    ours.encode("begin")
    opened = time.perf_counter() - began
    encoders = {"vicino": ours.encode, "sentence-transformers": _peer().encode}
    documents = {"docstrings": docstrings(options.documents), "scifact": abstracts(options.data, options.documents)}
    peak = peak_gflops(options.threads)
    report = {
        "benchmark": "encode",
        "machine": machine(),
        "parameters": {"model": MINILM, "threads": options.threads, "rounds": options.rounds},
        "arithmetic": {"vicino": ours.arithmetic, "sentence-transformers": "float32"},
        "seconds_to_import_and_open": round(opened, 2),
        "results": {name: contest(texts, encoders, ours, options.rounds) for name, texts in documents.items()},
        "stsb_test_spearman": {**similarity(options.data / "stsb" / "test.tsv", encoders), "published": PUBLISHED},
        "peak_gflops": peak,
    }
    for name, result in report["results"].items():
        result["share_of_peak"] = round(result["gflops"] / peak, 2)
        result["time_goes_to"] = shares(ours, documents[name][:300])
    report["what_would_close_the_gap"] = outlook(report["results"]["docstrings"], peak)
    print(json.dumps(report, indent=1))


# Documents ------------------------------------------------------------------------------------------------------------


def docstrings(count: int) -> list[str]:
    """Docstrings of the standard library, in an order that mixes its modules."""
    found = {text for file in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")) for text in _docstrings(file)}
    order = np.random.default_rng(0).permutation(len(found))
    return [sorted(found)[place] for place in order[:count]]


def _docstrings(file: Path) -> Iterator[str]:
    if {"test", "tests", "site-packages"} & set(file.parts):
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if len(text.split()) >= WORDS:
                yield text


def abstracts(data: Path, count: int) -> list[str]:
    """Documents of SciFact as a retriever reads them: title and abstract."""
    return [document.content for document in open_task(data / "scifact", split="test").documents[:count]]


# Contestants ----------------------------------------------------------------------------------------------------------


def _peer() -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    return SentenceTransformer(str(find(MINILM)), device="cpu")


def contest(texts: list[str], encoders: Mapping[str, Callable[..., Any]], ours: Transformer, rounds: int) -> dict[str, Any]:
    """Both encode all texts in every round."""
    vectors: dict[str, np.ndarray] = {}
    cpu: dict[str, list[float]] = {name: [] for name in encoders}

    def run(name: str) -> None:
        began = time.process_time()
        vectors[name] = encoders[name](texts)
        cpu[name].append(time.process_time() - began)
        print(f"{name}: {len(texts)} documents", file=sys.stderr)

    for name in encoders:  # first calls are slower
        encoders[name](texts[:50])
    seconds = alternate({name: lambda name=name: run(name) for name in encoders}, rounds)
    cosine = (normalise(vectors["vicino"]) * normalise(vectors["sentence-transformers"])).sum(axis=1)
    truncation = ours.truncation(texts)
    lengths = ours.encode(texts, output_value="token_embeddings").offsets
    work = flops(np.diff(lengths), ours)
    return {
        "documents": len(texts),
        "tokens_a_document": round(float(np.diff(lengths).mean()), 1),
        "share_of_tokens_cut": round(truncation.share, 3) if truncation else 0.0,
        "documents_a_second": {name: round(len(texts) / statistics.median(each), 1) for name, each in seconds.items()},
        "processor_seconds": {name: round(statistics.median(each), 2) for name, each in cpu.items()},
        "times_faster": ratio(seconds["sentence-transformers"], seconds["vicino"]),
        "cosine": {"mean": round(float(cosine.mean()), 6), "lowest": round(float(cosine.min()), 6)},
        "gflops": round(sum(work) / min(seconds["vicino"]) / 1e9, 1),
        "share_of_work_in_linear_layers": round(work[0] / sum(work), 3),
    }


def similarity(file: Path, encoders: Mapping[str, Callable[..., Any]]) -> dict[str, float]:
    """Spearman's correlation of cosines with what people said."""
    with file.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    scores = [float(row["score"]) for row in rows]
    found = {}
    for name, encode in encoders.items():
        left, right = (normalise(encode([row[side] for row in rows])) for side in ("sentence1", "sentence2"))
        found[name] = round(float(spearmanr((left * right).sum(axis=1), scores).statistic), 4)
    return found


# The processor --------------------------------------------------------------------------------------------------------


def flops(lengths: np.ndarray, ours: Transformer) -> tuple[float, float]:
    """Multiplications and additions that texts of these lengths need: products in linear layers, and in attention."""
    config = ours._folder.config
    width, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    linear = 2 * (4 * width**2 + 2 * width * inner)
    return float(layers * linear * lengths.sum()), float(layers * 4 * width * (lengths.astype(float) ** 2).sum())


def peak_gflops(threads: int) -> float:
    """The best that a large bfloat16 product reaches in one thread, by that thread's own processor time, times the threads."""
    import torch

    from vicino.encoders.transformer import acceleration
    from vicino.encoders.transformer.network import workers

    dtype = torch.bfloat16 if acceleration.multiplies_bfloat16() else torch.float32
    layer = torch.nn.Linear(PEAK, PEAK).requires_grad_(False)
    acceleration.cast(layer, dtype)
    if acceleration.can_pack(dtype):
        acceleration.pack(layer)
    x = torch.randn(PEAK, PEAK).to(dtype)

    def multiply() -> float:
        began = time.thread_time()
        with torch.inference_mode():
            layer(x)
        return 2 * PEAK**3 / (time.thread_time() - began) / 1e9

    alone = workers(1, 1)
    return round(threads * max(alone.submit(multiply).result() for _ in range(20)), 0)


def shares(ours: Transformer, texts: list[str]) -> dict[str, float]:
    """The shares of the time that kinds of operators take, in one thread."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    began = time.perf_counter()
    ours._network._tokenizer.ids(texts)
    tokenising = time.perf_counter() - began
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        ours.encode(texts)
    torch.set_num_threads(threads)
    found = dict.fromkeys((*KINDS, "tokenising", "everything else"), 0.0)
    found["tokenising"] = tokenising
    for event in profiled.key_averages():
        kind = next((kind for kind, parts in KINDS.items() if any(part in event.key for part in parts)), "everything else")
        found[kind] += event.self_cpu_time_total / 1e6
    total = sum(found.values())
    return {kind: round(seconds / total, 3) for kind, seconds in found.items()}


def outlook(result: Mapping[str, Any], peak: float) -> str:
    """What would bring the encoder nearer to the peak."""
    part = result["time_goes_to"]
    around = part["layer normalisation"] + part["copies and additions"]
    rate = result["gflops"] * result["share_of_work_in_linear_layers"] / part["linear layers"]
    return (
        f"{result['gflops']:.0f} of {peak:.0f} GFLOP/s. Linear layers take {part['linear layers']:.0%} of the time, at some "
        f"{rate:.0f} GFLOP/s: their matrices are small, and to keep a batch in the cache from one to the next would help. "
        f"Attention takes {part['attention']:.0%}, because its scores go to memory and back around the softmax: one fused "
        f"kernel would spare that. Normalisation, additions and copies take {around:.0%} and could be done within the "
        "products. Beyond that only 8-bit weights, of twice the peak and less exact, would be faster."
    )


if __name__ == "__main__":
    main()
