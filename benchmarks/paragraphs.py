"""Real vectors to search among: paragraphs of Wikipedia, and questions about others, through all-MiniLM-L6-v2.

    python benchmarks/paragraphs.py --data DIR --work FOLDER [--count 100000] [--queries 1000] [--threads 1]

Made once: `vectors.npy` and `queries.npy` (float32, unit rows) in FOLDER, with the texts beside them. What was stopped goes on.
A paragraph has 200 to 2,000 characters; a question is the first sentence of a paragraph that is not among the 100,000.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vicino import encoders, progress

SHORTEST, LONGEST = 200, 2_000  # characters
PART = 2_000  # texts that are embedded and written at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds enwiki-2015-slice/")
    parser.add_argument("--work", type=Path, required=True, help="where the vectors are kept")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with progress.bars():
        found = paragraph_vectors(options.data, options.work, options.count, options.queries, threads=options.threads)
    print(json.dumps({name: list(array.shape) for name, array in zip(("vectors", "queries"), found, strict=True)}))


def paragraph_vectors(
    data: Path, work: Path, count: int = 100_000, queries: int = 1_000, *, threads: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(count, 384) and (queries, 384) unit rows, read where they were made before."""
    texts, asked = chosen(data, work, count, queries)
    return _embedded(work / "vectors", texts, threads), _embedded(work / f"queries-after-{count}", asked, threads)


def paragraphs(data: Path) -> Iterator[str]:
    """All paragraphs of the slice that are neither short nor long, in its order."""
    for shard in sorted((data / "enwiki-2015-slice").glob("*.jsonl.xz")):
        with lzma.open(shard, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield from (one for one in json.loads(line)["text"].split("\n") if SHORTEST <= len(one) <= LONGEST)


def chosen(data: Path, work: Path, count: int, queries: int) -> tuple[list[str], list[str]]:
    """The paragraphs, and the questions, chosen by seed 0."""
    file = work / f"texts-{count}-{queries}.jsonl"
    if not file.exists():
        everything = list(dict.fromkeys(paragraphs(data)))
        texts = [everything[at] for at in np.random.default_rng(0).permutation(len(everything))[: count + queries]]
        texts[count:] = [one.partition(". ")[0] for one in texts[count:]]
        work.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    texts = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return texts[:count], texts[count:]


def _embedded(folder: Path, texts: list[str], threads: int) -> NDArray[np.float32]:
    """A file of vectors, part by part: a stopped run goes on."""
    whole = folder.with_name(f"{folder.name}-{len(texts)}.npy")
    if whole.exists():
        return np.asarray(np.load(whole))
    import torch

    torch.set_num_threads(threads)
    folder.mkdir(exist_ok=True)
    encoder, parts = encoders.make("minilm"), []
    for begin in progress.track(range(0, len(texts), PART), f"Embedding {folder.name}", unit="parts"):
        some = texts[begin : begin + PART]
        parts.append(folder / f"{begin:08}-{begin + len(some):08}.npy")
        if not parts[-1].exists():
            made = np.asarray(encoder.encode(some, batch_size=64), dtype=np.float32)
            unfinished = parts[-1].with_suffix(".tmp.npy")
            np.save(unfinished, made)
            unfinished.rename(parts[-1])
    np.save(whole, np.concatenate([np.load(part) for part in parts]))
    return np.asarray(np.load(whole))


if __name__ == "__main__":
    main()
