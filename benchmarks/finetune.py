"""Fine-tuning a sentence encoder: what it is worth on questions that nothing in training gives away.

    python benchmarks/finetune.py --data DIR --work FOLDER [--parts folds reranked published stsb ...] [--seeds 3]

Prints one JSON object. Each model that is trained and measured is a file of numbers in FOLDER: what was stopped goes on there,
and parts that were run at other times are joined.

- folds: grouped cross-validation over all questions of SciFact; those that share an answer or nearly repeat each other are in one
  fold. The base is first adapted to the documents (it learns from their own titles and sentences what the ranking fused with BM25
  knows; no question of SciFact and no label is seen), and then learns from the other folds' questions. Every question is asked
  once of a model that learnt nothing near it. nDCG@10 alone, and fused with BM25 (weight .3).
- maps: the base, reading 512 tokens of a document where it reads 256 as it comes, stays; linear maps of its vectors learn from
  SciFact's documents alone what the fused ranking knows (no question and no label is seen). All questions, alone, fused, and
  fused and read again: the base's own tokens are compared (late interaction), and have half of the end's score.
- reranked: the first of these folds (half an hour of a core): a cross-encoder learns from the other folds' questions, and reads
  again the first documents that BM25 and the adapted base find together; alone, and where their score stays half of the end's.
- published: the train split taught, all of it and until its end, whatever it gives away; the test split asked: all of it, and
  what no trained question gives away. Beside BM25's usual weight, the one that is best for the other fifths of the questions.
- stsb: cosines of pairs, by Spearman on its test split, and what Cranfield loses by it.
- conala: sentences that ask for Python, and the lines that do it. Beside the defaults, at the first seed, what each of them is
  worth (hard negatives, their denoising, Matryoshka, a temperature that is learnt, a queue), and what a reranker adds to BM25 and
  the base. What Matryoshka keeps by few dimensions, at all seeds.
- shuffled: the answers of CoNaLa dealt out anew; the gate must reject it.

Intervals are percentile bootstraps of each question's mean over seeds. What is drawn are whole groups of questions that share an
answer or nearly repeat each other: they succeed and fail together, and to draw them one by one would make intervals too narrow.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from rounds import machine
from units import Units
from vicino import progress
from vicino.data.examples import Examples, joined, read_examples
from vicino.data.records import Hits, Judgement, Query
from vicino.data.splits import folds, group_queries
from vicino.encoders.rerankers import LateInteraction
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.crossing import CrossEncoder
from vicino.evaluation.tasks import RetrievalTask
from vicino.indexes.exact import Exact
from vicino.learning.loop import fit
from vicino.learning.turning import turn_to_front
from vicino.metrics.significance import bootstrap_interval
from vicino.metrics.similarity import paired_cosine, spearman
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.fused import combine, pool
from vicino.training.mapped import Mapped
from vicino.training.maps import Maps
from vicino.training.material import Material, Parts, gather, task_of
from vicino.training.outcome import Outcome
from vicino.training.ranking import Ranking
from vicino.training.recipe import TextRecipe
from vicino.training.reranker import RerankerRecipe, train_reranker
from vicino.training.searchable import Searchable, values
from vicino.training.text import train_text
from vicino.vectors import normalise

FOLDS = 3
DEPTH = 200  # answers of each part that are fused
LEXICAL = 0.3  # BM25's weight
NARROW = 64  # dimensions that Matryoshka keeps
ADAPT: dict[str, Any] = {"way": "distil", "epochs": 2, "batch_size": 64, "learning_rate": 6e-5, "limit": 160}
TEACH: dict[str, Any] = {}
PUBLISHED: dict[str, Any] = {"epochs": 5, "learning_rate": 5e-5}
WEIGHTS = tuple(place / 20 for place in range(1, 11))  # of BM25, from which the other questions choose
RERANK: dict[str, Any] = {"negatives": 5, "depth": 30}
BLENDS = (0.0, 0.5)  # the first stage's share of the score: none, and half; the latter was settled before anything was measured
MAPS: dict[str, Any] = {"way": "maps", "towers": "separate"}
READS = 512  # tokens of a document, where it is mapped
READ_AGAIN = 50  # answers of a fused ranking
ABLATIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "in-batch negatives only": {"negatives": 0},
    "hard negatives, not denoised": {"relative": None},
    "three hard negatives": {"negatives": 3},
    "Matryoshka": {"dims": (NARROW,)},
    "a temperature that is learnt": {"temperature": "learned"},
    "a queue of 512 documents": {"queue_size": 512},
}

Values = NDArray[np.float64]


def main() -> None:
    parts = {
        "folds": cross_validated,
        "maps": mapped,
        "reranked": reranked_fold,
        "published": published,
        "stsb": similarity,
        "conala": code,
        "shuffled": shuffled,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds scifact/, stsb/, conala/, cranfield/")
    parser.add_argument("--work", type=Path, required=True, help="where numbers are kept from one call to the next")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.work, options.data, range(options.seeds))
    with progress.bars():
        results = {name: parts[name](bench) for name in options.parts}
    print(
        json.dumps(
            {
                "benchmark": "finetune",
                "machine": machine(),
                "parameters": {
                    "base": "minilm",
                    "folds": FOLDS,
                    "bm25_weighs": LEXICAL,
                    "adapting": ADAPT,
                    "mapping": TextRecipe.of(**MAPS).to_json(),
                    "teaching": TextRecipe.of(**TEACH).to_json(),
                    "published": PUBLISHED,
                },
                "results": results,
            },
            indent=1,
        )
    )


@dataclass(frozen=True)
class Bench(Units):
    """What all parts use; measured once."""

    data: Path
    seeds: Sequence[int]

    @cached_property
    def base(self) -> Transformer:
        return Transformer()

    @cached_property
    def examples(self) -> dict[str, Examples]:
        """SciFact's train and test splits."""
        return {split: read_examples(self.data / "scifact", split=split) for split in ("train", "test")}

    @cached_property
    def whole(self) -> Examples:
        return joined(list(self.examples.values()))

    @cached_property
    def task(self) -> RetrievalTask:
        """All questions of SciFact."""
        return task_of("scifact", self.whole)

    @cached_property
    def dense(self) -> Searchable:
        """SciFact's documents with the base's vectors."""
        return Searchable(self.base, self.task.documents)

    @cached_property
    def lexical(self) -> Callable[[Sequence[Query], int], Hits]:
        return from_recipe(parse("bm25")).build(self.task.documents).search

    @cached_property
    def before(self) -> dict[str, Values]:
        """What the base finds, for each question of `task`."""
        return self.found(self.dense, self.task)

    def found(self, dense: Searchable, task: RetrievalTask) -> dict[str, Values]:
        """nDCG@10 of each question, alone and fused."""
        return {"alone": values(dense.search(task.queries, 10), task), "fused": values(self.fused(dense, task, 10), task)}

    def fused(self, dense: Searchable, task: RetrievalTask, k: int) -> Hits:
        """The k best of BM25 and of vectors together."""
        return self.with_words(dense.search(task.queries, DEPTH), task, k)

    def with_words(self, dense: Hits, task: RetrievalTask, k: int, weight: float = LEXICAL) -> Hits:
        """The k best of BM25 and of what vectors found."""
        pools = pool([self.lexical(task.queries, DEPTH), dense], "convex", floors=[0.0, -1.0])
        return combine(pools, np.array([weight, 1 - weight]), k)

    def weighed(self, dense: Hits, task: RetrievalTask) -> Values:
        """nDCG@10 of each question, fused by the weight that is best for the questions of the other fifths."""
        each = np.array([values(self.with_words(dense, task, 10, weight), task) for weight in WEIGHTS])
        of = folds([{str(one)} for one in task.groups], 5, 0)
        best = [each[:, of != number].mean(axis=1).argmax() for number in range(5)]
        return np.asarray(each[np.array(best)[of], np.arange(len(of))])

    def adapted(self, seed: int) -> Searchable:
        """SciFact's documents with vectors of the base that learnt from them, without questions or labels."""
        place = self.work / f"adapted-{seed}"
        if not place.exists():
            source = self.data / "scifact" / "corpus.jsonl"
            train_text(source, place, recipe=TextRecipe.of(seed=seed, **ADAPT), unlabelled=True)
        return Searchable(Transformer(model=str(place)), self.task.documents)

    def taught(self, parts: Parts, start: Searchable, recipe: TextRecipe, *, choose: bool = True) -> Searchable:
        """SciFact's documents with vectors of a model that learnt from `parts.learn`, as `parts.choose` has it best, or until the
        end."""
        encoder = start.encoder
        if not isinstance(encoder, Transformer):
            raise TypeError("only a transformer is taught")
        lesson = Ranking(Material.of(parts), encoder, recipe, dense=start)
        model = encoder.trainable(limit=recipe.limit, dropout=recipe.dropout)
        with tempfile.TemporaryDirectory() as folder:
            batches = lesson.batches(model, Path(folder))
            chooser = lesson.chooser(model) if choose else None
            run = fit(model, batches, lesson.loss, recipe.settings, evaluate=chooser, label="training")
            print(f"  chosen by: {run.metrics}; {run.examples_per_second:.1f} examples/s", file=sys.stderr)
            place = Path(folder) / "model"
            place.mkdir()
            model.save(place)
            return Searchable(Transformer(model=str(place)), self.task.documents)


def cut(examples: Examples, source: Path, held: set[str], seed: int) -> Parts:
    """Parts whose judged questions are `held`; a tenth of the groups of the others chooses weights."""
    ids = np.array(examples.query_ids)
    others = examples.subset(~np.isin(ids, list(held)))
    names = list(dict.fromkeys(others.query_ids or ()))
    groups = grouped(others)
    choose = folds([{str(one)} for one in groups], 10, seed) == 0
    chosen = {name for name, its in zip(names, choose, strict=True) if its}
    mask = np.isin(np.array(others.query_ids), list(chosen))
    return Parts(source, others.subset(~mask), others.subset(mask), examples.subset(np.isin(ids, list(held))), tested=True)


def grouped(examples: Examples) -> NDArray[np.intp]:
    """The group of each question, in the order of first rows."""
    texts = dict(zip(examples.query_ids or (), examples.anchors, strict=True))
    pairs = zip(examples.query_ids or (), examples.document_ids or (), strict=True)
    return group_queries([Query(name, text) for name, text in texts.items()], [Judgement(*pair, 1) for pair in pairs])


def fold(bench: Bench, number: int, seed: int) -> set[str]:
    """The ids of the questions in a fold."""
    names = list(dict.fromkeys(bench.whole.query_ids or ()))
    of = folds([{str(one)} for one in grouped(bench.whole)], FOLDS, seed)
    return {name for name, its in zip(names, of, strict=True) if its == number}


# The parts ------------------------------------------------------------------------------------------------------------


def cross_validated(bench: Bench) -> dict[str, Any]:
    """The headline: every question of SciFact asked of a model that learnt nothing near it."""
    ids = [one.id for one in bench.task.queries]
    before = plain(bench)
    adapted = [after_adapting(bench, seed) for seed in bench.seeds]
    after: dict[str, list[Values]] = {"alone": [], "fused": []}
    for seed in bench.seeds:
        units = [bench.unit(f"fold-{seed}-{number}", lambda n=number, s=seed: of_fold(bench, n, s)) for number in range(FOLDS)]
        for way in after:
            found = {name: value for one in units for name, value in zip(one["ids"], one[way], strict=True)}
            after[way].append(np.array([found[name] for name in ids]))
    groups = bench.task.groups
    report: dict[str, Any] = {"questions": len(ids), "groups": int(groups.max()) + 1, "seeds": len(bench.seeds)}
    for way in after:
        start = [np.array(each[way]) for each in adapted]
        report[way] = {
            "adapted": contrast(np.array(before[way]), start, groups),
            "adapted and taught": contrast(np.array(before[way]), after[way], groups),
            "taught, beside adapted": interval(np.mean(after[way], axis=0) - np.mean(start, axis=0), groups),
        }
    return report


def plain(bench: Bench) -> dict[str, Any]:
    """What the base finds, for all questions."""
    return bench.unit("base", lambda: {way: each.tolist() for way, each in bench.before.items()})


def after_adapting(bench: Bench, seed: int) -> dict[str, Any]:
    """What it finds once it knows the documents."""

    def found() -> dict[str, Any]:
        return {way: each.tolist() for way, each in bench.found(bench.adapted(seed), bench.task).items()}

    return bench.unit(f"after-adapting-{seed}", found)


def of_fold(bench: Bench, number: int, seed: int) -> dict[str, Any]:
    held = fold(bench, number, seed)
    parts, recipe = cut(bench.whole, bench.data / "scifact", held, seed), TextRecipe.of(seed=seed, **TEACH)
    dense = bench.taught(parts, bench.adapted(seed), recipe)
    task = task_of("scifact", bench.whole.subset(np.isin(np.array(bench.whole.query_ids), list(held))))
    found = {way: each.tolist() for way, each in bench.found(dense, task).items()}
    return {"ids": [one.id for one in task.queries], **found}


def mapped(bench: Bench) -> dict[str, Any]:
    """Linear maps of the base's vectors, learnt from the documents alone."""
    reader = Transformer(max_seq_length=READS)
    whole, asked = Searchable(reader, bench.task.documents), reader.encode_query([one.text for one in bench.task.queries])
    longer = bench.unit("longer", lambda: {way: each.tolist() for way, each in bench.found(whole, bench.task).items()})
    known: list[Searchable] = []

    def learnt(seed: int) -> dict[str, Any]:
        recipe = TextRecipe.of(seed=seed, **MAPS)
        material = gather(bench.data / "scifact" / "corpus.jsonl", unlabelled=True, seed=seed)
        if not known or list(known[0].documents) != list(material.judge.documents):
            known[:] = [Searchable(reader, material.judge.documents)]
        lesson, maps = Mapped(material, reader, recipe, dense=known[0]), Maps(reader.dim, shared=False)
        model = reader.trainable(limit=recipe.limit)
        run = fit(
            maps, lesson.batches(model, bench.work), lesson.loss, recipe.settings, evaluate=lesson.chooser(model), label="maps"
        )
        print(f"  {lesson.told}; chosen by: {run.metrics}; {run.seconds:.0f} s", file=sys.stderr)
        index = Exact(similarity="cosine").build(maps.vectors(whole.vectors, "document"), [one.id for one in whole.documents])
        dense = index.search(maps.vectors(normalise(asked), "query"), DEPTH)
        first = bench.with_words(dense, bench.task, READ_AGAIN)
        again, longer_again = read_again([first, bench.fused(whole, bench.task, READ_AGAIN)], bench.task, LateInteraction(reader))
        found = {"alone": dense, "fused": first, "read again": again, "longer, read again": longer_again}
        best = {way: Hits(hits.ids[:, :10], hits.scores[:, :10]) for way, hits in found.items()}
        return {way: values(hits, bench.task).tolist() for way, hits in best.items()} | {"learnt_in": run.seconds}

    units = [bench.unit(f"maps-{seed}", lambda s=seed: learnt(s)) for seed in bench.seeds]
    report: dict[str, Any] = {"questions": len(bench.task.queries), "seeds": len(bench.seeds), "reads": READS}
    groups, before = bench.task.groups, plain(bench)
    for way in ("alone", "fused"):
        start = np.array(before[way])
        report[way] = {
            "longer": contrast(start, [np.array(longer[way])], groups),
            "mapped": contrast(start, [np.array(unit[way]) for unit in units], groups),
        }
    start = np.array(before["fused"])
    report["read again"] = {
        "longer": contrast(start, [np.array(units[0]["longer, read again"])], groups),
        "mapped": contrast(start, [np.array(unit["read again"]) for unit in units], groups),
    }
    report["learnt_in"] = [round(unit["learnt_in"]) for unit in units]  # seconds
    return report


def read_again(firsts: Sequence[Hits], task: RetrievalTask, reranker: LateInteraction) -> list[Hits]:
    """Rankings with half of their scores from a reranker, which reads each pair once for all of them."""
    texts, contents = {one.id: one.text for one in task.queries}, {one.id: one.content for one in task.documents}
    names = [[(query.id, name) for row, query in enumerate(task.queries) for name in first.ids[row]] for first in firsts]
    pairs = list(dict.fromkeys(pair for each in names for pair in each))
    scores = reranker.predict([(texts[asked], contents[name]) for asked, name in pairs])
    known, found = dict(zip(pairs, scores, strict=True)), []
    for first, each in zip(firsts, names, strict=True):
        read = in_order(Hits(first.ids, np.array([known[pair] for pair in each], dtype=np.float32).reshape(first.ids.shape)))
        pools = pool([first, read], "convex", floors=[0.0, None])
        found.append(combine(pools, np.array([reranker.blend, 1 - reranker.blend]), first.ids.shape[1]))
    return found


def reranked_fold(bench: Bench) -> dict[str, Any]:
    """What a cross-encoder adds, by the questions of one fold: it learnt nothing near them."""
    ids, seed = [one.id for one in bench.task.queries], bench.seeds[0]
    unit = bench.unit(f"reranked-{seed}-0", lambda: of_reranked_fold(bench, 0, seed))
    rows = [ids.index(name) for name in unit["ids"]]
    groups, first = bench.task.groups[rows], np.array(after_adapting(bench, seed)["fused"])[rows]
    told = {f"first stage weighs {blend}": contrast(first, [np.array(unit[str(blend)])], groups) for blend in BLENDS}
    return {"questions": len(rows), "accepted": unit["accepted"], "said": unit["said"], **told}


def of_reranked_fold(bench: Bench, number: int, seed: int) -> dict[str, Any]:
    held, adapted = fold(bench, number, seed), bench.adapted(seed)
    task = task_of("scifact", bench.whole.subset(np.isin(np.array(bench.whole.query_ids), list(held))))
    with tempfile.TemporaryDirectory() as folder:
        source = split_anew(bench, held, Path(folder))
        place = bench.work / f"adapted-{seed}"
        found = train_reranker(source, Path(folder) / "rr", base=str(place), recipe=RerankerRecipe.of(seed=seed, **RERANK))
        if not isinstance(found, Outcome):
            raise TypeError(f"a training gave a {type(found).__name__}")
        first = bench.fused(adapted, task, RERANK["depth"])
        contents = {one.id: one.content for one in task.documents}
        pairs = [(query.text, contents[name]) for row, query in enumerate(task.queries) for name, _ in first.top(row)]
        read = Hits(first.ids, CrossEncoder(model=str(found.path)).predict(pairs, logits=True).reshape(first.ids.shape))
    pools = pool([first, in_order(read)], "convex", floors=[0.0, None])
    told = {str(blend): values(combine(pools, np.array([blend, 1 - blend]), 10), task).tolist() for blend in BLENDS}
    return {"ids": [one.id for one in task.queries], "accepted": found.gate.accepted, "said": found.gate.sentence, **told}


def in_order(hits: Hits) -> Hits:
    """The same answers, best first."""
    order = np.argsort(-hits.scores, axis=1, kind="stable")
    return Hits(np.take_along_axis(hits.ids, order, axis=1), np.take_along_axis(hits.scores, order, axis=1))


def split_anew(bench: Bench, held: set[str], folder: Path) -> Path:
    """SciFact as a BEIR folder whose test split are the questions `held`, and whose train split all others."""
    source, target = bench.data / "scifact", folder / "scifact"
    (target / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (target / name).symlink_to((source / name).resolve())
    rows = list(zip(bench.whole.query_ids or (), bench.whole.document_ids or (), strict=True))
    for split, mine in (("train", False), ("test", True)):
        lines = ["query-id\tcorpus-id\tscore", *(f"{asked}\t{answer}\t1" for asked, answer in rows if (asked in held) == mine)]
        (target / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def contrast(before: Values, after: Sequence[Values], groups: NDArray[np.intp]) -> dict[str, Any]:
    """Means with intervals, of each question's mean over seeds."""
    mean = np.mean(after, axis=0)
    return {
        "before": interval(before, groups),
        "after": interval(mean, groups),
        "gain": interval(mean - before, groups),
        "each_seed": [round(float(each.mean()), 4) for each in after],
    }


def interval(values: Values, groups: NDArray[np.intp]) -> list[float]:
    """The mean, and what holds it in 95 of 100 cases: groups of questions are drawn, with all their values."""
    return [round(float(one), 4) for one in bootstrap_interval(values, groups=groups)]


def published(bench: Bench) -> dict[str, Any]:
    """SciFact's own splits, and the same without what the train split gives away."""
    source = bench.data / "scifact"
    test = task_of("scifact", bench.examples["test"])
    held = {one.id for one in test.queries}
    parts = cut(bench.whole, source, held, 0)
    found = parts.looked_at()
    clean_ids = set(parts.clean(found).query_ids or ())
    clean = np.array([one.id in clean_ids for one in test.queries])

    def weighed_too(dense: Searchable) -> dict[str, Any]:
        found = {way: each.tolist() for way, each in bench.found(dense, test).items()}
        return found | {"weighed": bench.weighed(dense.search(test.queries, DEPTH), test).tolist()}

    base = bench.unit("published-base", lambda: weighed_too(bench.dense))

    def taught(seed: int) -> dict[str, Any]:
        whole = replace(parts, learn=bench.whole.subset(~np.isin(np.array(bench.whole.query_ids), list(held))))
        dense = bench.taught(whole, bench.dense, TextRecipe.of(seed=seed, **PUBLISHED), choose=False)
        return weighed_too(dense)

    units = [bench.unit(f"published-{seed}", lambda s=seed: taught(s)) for seed in bench.seeds]
    report: dict[str, Any] = {
        "lint": [str(one) for one in found.findings if "held-out" in str(one)],
        "questions": len(test.queries),
        "clean": int(clean.sum()),
        "seeds": len(bench.seeds),
    }
    groups = test.groups
    for way in ("alone", "fused", "weighed"):
        before = np.array(base[way])
        after = [np.array(unit[way]) for unit in units]
        report[way] = {
            "all": contrast(before, after, groups),
            "clean": contrast(before[clean], [each[clean] for each in after], groups[clean]),
            "given away": contrast(before[~clean], [each[~clean] for each in after], groups[~clean]),
        }
    return report


def similarity(bench: Bench) -> dict[str, Any]:
    """STS-B's train split taught; its whole test split asked; retrieval as a control."""
    test = read_examples(bench.data / "stsb", split="test")
    controls = [bench.data / "cranfield"]
    units = [bench.unit(f"stsb-{seed}", lambda s=seed: of_stsb(bench, test, controls, s)) for seed in bench.seeds]
    return {"pairs": len(test), "published_base": 0.820, "seeds": units}


def of_stsb(bench: Bench, test: Examples, controls: Sequence[Path], seed: int) -> dict[str, Any]:
    recipe = TextRecipe(epochs=4, learning_rate=2e-5, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        found = trained(bench.data / "stsb", Path(folder) / "m", recipe, controls)
        tuned = Transformer(model=str(found.path))
        told = {"before": bench.base, "after": tuned}
        return {name: round(correlation(each, test), 4) for name, each in told.items()} | {"gate": found.gate.to_json()}


def correlation(encoder: Transformer, examples: Examples) -> float:
    sides = (encoder.encode(list(side)) for side in (examples.anchors, examples.positives))
    return spearman(paired_cosine(*sides), examples.targets)


def code(bench: Bench) -> dict[str, Any]:
    """CoNaLa: the defaults at all seeds, and each change and a reranker beside them at the first."""
    first = bench.seeds[0]
    usual = [bench.unit(f"code-defaults-{seed}", lambda s=seed: of_code(bench, s)) for seed in bench.seeds]
    kept, start = f"ndcg@10_by_{NARROW}_dimensions", np.array(usual[0]["before"])
    with tempfile.TemporaryDirectory() as folder:
        groups = gather(intents(bench.data, Path(folder), None), seed=first).judge.groups
    report: dict[str, Any] = {
        "judged_by": usual[0]["judged_by"],
        "bm25": round(usual[0]["bm25"], 4),
        "groups": len(np.unique(groups)),
        "defaults": contrast(start, [np.array(unit["after"]) for unit in usual], groups),
        "accepted": [unit["accepted"] for unit in usual],
        f"base_{kept}": round(float(np.mean(usual[0]["before_narrow"])), 4),
        "changes": {},
    }
    for name, changes in ABLATIONS.items():
        key = f"code-{name.replace(' ', '-').replace(',', '')}-{first}"
        unit = bench.unit(key, lambda c=changes: of_code(bench, first, **c))
        after, narrow = np.array(unit["after"]), np.array(unit["after_narrow"])
        report["changes"][name] = {
            "ndcg@10": interval(after, groups),
            "beside_defaults": interval(after - np.array(usual[0]["after"]), groups),
            kept: round(float(narrow.mean()), 4),
            "share_kept": round(float(narrow.mean() / after.mean()), 4),
        }
    taught = [bench.unit(f"code-Matryoshka-{s}", lambda s=s: of_code(bench, s, **ABLATIONS["Matryoshka"])) for s in bench.seeds]
    report["matryoshka"] = {
        "ndcg@10": [round(float(np.mean(unit["after"])), 4) for unit in taught],
        kept: [round(float(np.mean(unit["after_narrow"])), 4) for unit in taught],
        "share_kept": [share(unit, "after_narrow") for unit in taught],
        "before_the_turn": [share(unit, "unturned_narrow") for unit in taught],
        "without_matryoshka_turned": share(usual[0], "turned_narrow"),
    }
    report["reranker"] = bench.unit(f"code-reranker-{first}", lambda: reranker(bench, first))
    return report


def of_code(bench: Bench, seed: int, **changes: Any) -> dict[str, Any]:
    """nDCG@10 of each judged question before and after, of all dimensions and of the first few."""
    with tempfile.TemporaryDirectory() as folder:
        source = intents(bench.data, Path(folder), None)
        found = trained(source, Path(folder) / "m", TextRecipe.of(seed=seed, **changes), [])
        task = gather(source, seed=seed).judge
        report: dict[str, Any] = {"judged_by": found.judged_by, "bm25": found.scores["bm25"], "accepted": found.gate.accepted}
        for name, encoder in {"before": bench.base, "after": Transformer(model=str(found.path))}.items():
            dense = Searchable(encoder, task.documents)
            report[name] = values(dense.search(task.queries, 10), task).tolist()
            report[f"{name}_narrow"] = values(narrowed(dense, task, NARROW), task).tolist()
        if changes.get("dims"):
            turn = load_file(found.path / "2_Dense" / "model.safetensors")["linear.weight"]  # back
            report["unturned_narrow"] = values(narrowed(dense, task, NARROW, turn), task).tolist()
        else:
            learn = gather(source, seed=seed).learn
            turn = turn_to_front(encoder.encode(list(learn.anchors)), encoder.encode(list(learn.positives)), [NARROW], seed=seed)
            report["turned_narrow"] = values(narrowed(dense, task, NARROW, turn), task).tolist()
        return report


def share(unit: dict[str, Any], name: str) -> float:
    """What few dimensions keep of what all find once a model has learnt."""
    return round(float(np.mean(unit[name]) / np.mean(unit["after"])), 4)


def narrowed(dense: Searchable, task: RetrievalTask, dim: int, turn: NDArray[np.float32] | None = None) -> Hits:
    """The ten nearest by the first `dim` dimensions, of turned vectors where there is a turn."""
    sides = [each if turn is None else each @ turn for each in (dense.vectors, dense.asked(task.queries))]
    documents, asked = (normalise(each[:, :dim]) for each in sides)
    scores = asked @ documents.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ids = np.array([one.id for one in dense.documents], dtype=object)
    return Hits(ids[best], np.take_along_axis(scores, best, 1))


def reranker(bench: Bench, seed: int) -> dict[str, Any]:
    """What a cross-encoder adds to BM25 and the base together."""
    with tempfile.TemporaryDirectory() as folder:
        source = intents(bench.data, Path(folder), None)
        found = train_reranker(source, Path(folder) / "rr", recipe=RerankerRecipe(seed=seed))
        if not isinstance(found, Outcome):
            raise TypeError(f"a training gave a {type(found).__name__}")
        return {"scores": dict(found.scores), "gate": found.gate.to_json()}


def shuffled(bench: Bench) -> dict[str, Any]:
    """Answers that are none."""

    def deal() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            found = trained(intents(bench.data, Path(folder), 0), Path(folder) / "m", TextRecipe(), [])
            return {"scores": dict(found.scores), "verdict": found.gate.sentence, "accepted": found.gate.accepted}

    return bench.unit("shuffled", deal)


def intents(data: Path, folder: Path, shuffle: int | None) -> Path:
    """CoNaLa as a folder of tables: what is asked for, and the snippet; those of the train split dealt out anew by a seed."""
    target = folder / "conala"
    target.mkdir()
    for split in ("train", "test"):
        lines = (data / "conala" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        pairs = [(row["rewritten_intent"] or row["intent"], row["snippet"]) for row in rows]
        if shuffle is not None and split == "train":
            order = np.random.default_rng(shuffle).permutation(len(pairs))
            pairs = [(asked, pairs[place][1]) for (asked, _), place in zip(pairs, order, strict=True)]
        text = "".join(json.dumps({"query": asked, "answer": answer}) + "\n" for asked, answer in pairs)
        (target / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return target


def trained(data: Path, out: Path, recipe: TextRecipe, controls: Sequence[Path]) -> Outcome:
    found = train_text(data, out, recipe=recipe, controls=controls)
    if not isinstance(found, Outcome):
        raise TypeError(f"a training gave a {type(found).__name__}")
    return found


if __name__ == "__main__":
    main()
