"""Training: vicino's loop in turn with the trainer of sentence-transformers, from one base, on the same triplets.

    python benchmarks/train_speed.py --data DIR [--threads 2] [--rounds 3] [--steps 16] [--length 256]

Prints one JSON object. Questions of SciFact's train split with their answers and one mined negative each; the same batch,
length, loss (the batch's other texts are negatives, cosines divided by .05), optimiser, rate and number of steps. Three
contestants: vicino as it comes, sentence-transformers as it comes (float32, with dropout), and sentence-transformers as fast as
its settings make it (bfloat16, no dropout). For each round, which has a seed of its own: pairs a second, and the nDCG@10 of what
came of it on questions that no trained one gives away, among their answers and what BM25 takes for them. Times are wall-clock,
from texts to trained weights: tokenising and what each makes ready is in them, opening the model is not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rounds import machine, ratio
from vicino.data.records import Hits
from vicino.encoders.transformer import Transformer
from vicino.evaluation.tasks import RetrievalTask
from vicino.retrieval import from_recipe, parse
from vicino.training.batches import TextBatches
from vicino.training.candidates import with_negatives
from vicino.training.material import gather
from vicino.training.recipe import TextRecipe
from vicino.training.searchable import Searchable, values
from vicino.vectors import normalise

RATE, TEMPERATURE, BATCH = 2e-5, 0.05, 32
AMONG = 10  # documents that BM25 takes for an answer of each question

Rows = Sequence[tuple[str, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds scifact/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--length", type=int, default=256)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    rows, questions, answers, task = material(options.data / "scifact")
    given = (rows, questions, answers)
    contestants: dict[str, Callable[[int], tuple[float, Any]]] = {
        "vicino": lambda seed: ours(*given, options, seed),
        "sentence-transformers": lambda seed: theirs(rows, options, seed, fast=False),
        "sentence-transformers, bfloat16, no dropout": lambda seed: theirs(rows, options, seed, fast=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    quality: dict[str, list[float]] = {name: [] for name in contestants}
    for seed in range(options.rounds):
        for name in list(contestants) if seed % 2 == 0 else reversed(list(contestants)):
            took, encode = contestants[name](seed)
            seconds[name].append(took)
            quality[name].append(found_by(encode, task))
            print(f"round {seed}, {name}: {took:.1f} s, nDCG@10 {quality[name][-1]:.4f}", file=sys.stderr)
    tokens = counted(rows, options.length)
    print(
        json.dumps(
            {
                "benchmark": "train_speed",
                "machine": machine(),
                "parameters": {
                    **{name: getattr(options, name) for name in ("threads", "rounds", "steps", "length")},
                    "batch": BATCH,
                    "learning_rate": RATE,
                    "temperature": TEMPERATURE,
                    "texts_of_an_example": len(rows[0]),
                },
                "examples": len(rows),
                "tokens_of_an_example": round(tokens, 1),
                "judged_questions": len(task.queries),
                "base": round(found_by(Transformer().encode, task), 4),
                "results": {
                    name: {
                        "pairs_a_second": round(statistics.median(options.steps * BATCH / each for each in took), 2),
                        "tokens_a_second": round(statistics.median(options.steps * BATCH * tokens / each for each in took)),
                        "ndcg@10": [round(one, 4) for one in quality[name]],
                        "vicino_is_faster": ratio(took, seconds["vicino"]),
                    }
                    for name, took in seconds.items()
                },
            },
            indent=1,
        )
    )


def material(source: Path) -> tuple[Rows, list[str], list[str], RetrievalTask]:
    """Triplets to learn from, the ids of their questions and answers, and questions that none of them gives away."""
    found = gather(source, seed=0)
    lexical = from_recipe(parse("bm25")).build(found.judge.documents).search
    negatives, _ = with_negatives(found.learn, Searchable(Transformer(), found.judge.documents), lexical, TextRecipe())
    rows = [(a, p, *n) for a, p, n in zip(found.learn.anchors, found.learn.positives, negatives, strict=True)]
    names = {name for grades in found.choose.rows for name in grades}
    names |= {name for row in lexical(found.choose.queries, AMONG).ids for name in row if name is not None}
    task = replace(found.choose, documents=[one for one in found.choose.documents if one.id in names])
    return rows, list(found.learn.query_ids or ()), list(found.learn.document_ids or ()), task


def counted(rows: Rows, length: int) -> float:
    """Mean tokens of an example."""
    tokenizer = Transformer().trainable(limit=length)
    return float(np.mean([sum(map(len, tokenizer.ids(list(row)))) for row in rows]))


def ours(rows: Rows, questions: list[str], answers: list[str], options: Any, seed: int) -> tuple[float, Any]:
    """Seconds of it all, and what encodes."""
    from vicino.learning.loop import InParts, fit
    from vicino.training.batches import embedded
    from vicino.training.ranking import ranking_loss

    recipe = TextRecipe(epochs=1, learning_rate=RATE, temperature=TEMPERATURE, batch_size=BATCH, limit=options.length, seed=seed)
    model = Transformer().trainable(limit=options.length)
    began = time.perf_counter()
    columns = [model.ids([row[place] for row in rows]) for place in range(len(rows[0]))]
    batches = Few(list(zip(*columns, strict=True)), questions, answers, BATCH, steps=options.steps)
    fit(model, batches, InParts([embedded], partial(ranking_loss, recipe=recipe)), recipe.settings)
    return time.perf_counter() - began, lambda texts: model.vectors(model.ids(list(texts)))


class Few(TextBatches):
    """So many steps, whatever an epoch has."""

    def __init__(self, *given: Any, steps: int) -> None:
        super().__init__(*given)
        self.steps = steps

    def __len__(self) -> int:
        return self.steps


def theirs(rows: Rows, options: Any, seed: int, *, fast: bool) -> tuple[float, Any]:
    """The same by sentence-transformers."""
    import datasets
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    from vicino.encoders.transformer.sources import MINILM, find

    model = SentenceTransformer(str(find(MINILM)), device="cpu")
    model.max_seq_length = options.length
    if fast:
        for module in model.modules():
            if type(module).__name__ == "Dropout":
                module.p = 0.0
            if isinstance(getattr(module, "dropout_prob", None), float):
                module.dropout_prob = 0.0
    names = ["anchor", "positive", *(f"negative_{place}" for place in range(len(rows[0]) - 2))]
    data = datasets.Dataset.from_dict({name: [row[place] for row in rows] for place, name in enumerate(names)})
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            max_steps=options.steps,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            weight_decay=0.01,
            warmup_steps=0.1,
            max_grad_norm=1.0,
            bf16=fast,
            use_cpu=True,
            seed=seed,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        loss = MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
        trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss)
        began = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it measured itself
            trainer.train()
        took = time.perf_counter() - began
    return took, lambda texts: model.encode(list(texts), show_progress_bar=False)


def found_by(encode: Callable[[list[str]], Any], task: RetrievalTask) -> float:
    """The mean nDCG@10 of the task."""
    documents = normalise(np.asarray(encode([one.content for one in task.documents]), dtype=np.float32))
    queries = normalise(np.asarray(encode([one.text for one in task.queries]), dtype=np.float32))
    scores = queries @ documents.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ids = np.array([one.id for one in task.documents], dtype=object)
    return float(values(Hits(ids[best], np.take_along_axis(scores, best, 1)), task).mean())


if __name__ == "__main__":
    main()
