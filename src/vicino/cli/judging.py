"""Commands that say how good: demo, compare, evaluate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vicino.catalog import Catalog, Entry
from vicino.cli.app import app
from vicino.cli.options import AsJson, Columns, Metrics, Queries, Quiet, Report, Seed, Split, Tenant, Text
from vicino.cli.printing import STOPPED, bars, print_json, printable, say, told, typed, width

if TYPE_CHECKING:
    from vicino.evaluation.compare import Comparison

__all__ = ["KINDS", "compare", "demo", "evaluate"]

_TABLE = "vicino.evaluation.suite.text:table_text"

# What else than documents `compare` takes, what candidates these have, and the text of what it finds: a task of
# `vicino.evaluation.suite.TASKS`, or what has a verb of its own in the workbench, compare_KIND.
KINDS = Catalog(
    "kind of data",
    {
        "similarity": Entry(_TABLE, "pairs of texts with a score; candidates: overlap, or any encoder of text"),
        "pairs": Entry(_TABLE, "pairs of texts that belong together (1) or not (0); candidates: overlap, encoders of text"),
        "duplicates": Entry(_TABLE, "texts with groups of duplicates, or such pairs; candidates: overlap, encoders of text"),
        "classes": Entry(_TABLE, "texts with classes, that are told; candidates: majority, encoders of text"),
        "clusters": Entry(_TABLE, "texts with classes, that are found; candidates: chance, encoders of text"),
        "words": Entry(_TABLE, "pairs of words with a score, or analogies; candidates: spelling, minilm, trained encoders"),
        "nodes": Entry(_TABLE, "a graph with labels; candidates: majority, neighbours, deepwalk, node2vec, line"),
        "links": Entry(
            _TABLE, "a graph, of which edges are held out; candidates: common_neighbours, adamic_adar, deepwalk:hadamard"
        ),
        "anomalies": Entry(_TABLE, "rows of which some are marked; candidates: distance, knn, lof, iforest; of texts minilm:lof"),
        "images": Entry("vicino.evaluation.labelled_text:labelled_text", "images with classes; candidates: encoders of images"),
        "interactions": Entry(
            "vicino.evaluation.recommendation_text:recommendations_text", "users and items; candidates: recommenders"
        ),
    },
)
_KINDS_TOLD = "\n\n".join(
    ["Kinds of data, and what --with may name for them:", *(f"{one}: {KINDS.entry(one).summary}" for one in KINDS)]
)


@app.command()
def demo(
    budget: Annotated[float, typer.Option(help="About how many seconds to spend.")] = 240.0,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Climb the ladder on Python's own standard library: no data, no network, a few minutes."""
    from vicino import workbench
    from vicino.evaluation import report
    from vicino.evaluation.text import comparison_text

    say("Which embedding finds a Python function by what its docstring says? Reading the standard library ...")
    with bars(quiet):
        made = workbench.demo(budget=budget, seed=seed)
    if as_json:
        answers = [vars(answer) for answer in made.answers]
        plain = report.to_json(made.comparison, seconds=made.seconds)
        print_json({**plain, "sampled": made.sampled, "answers": answers, "winner": str(made.winner), "report": str(made.report)})
        return
    print(f"\nRead {made.sampled}.")
    print(comparison_text(made.comparison, width=width()))
    print(f"\nThree questions, answered by {made.comparison.verdict.pick}:")
    for answer in made.answers:
        print(f"  {answer.question}?\n    {answer.name}  {answer.place}")
    print(f"\nThe report:  {made.report}\nThe winner:  {made.winner}   ({made.seconds:.0f} seconds in all)")
    print('\nAsk more:  vicino search demo "how to sort a list of dictionaries by a key" --explain')
    print("Next, on your own data:  vicino compare path/to/your/folder --report report.html")


@app.command(epilog=_KINDS_TOLD)
def compare(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] DATA",
            help="A BEIR folder, a folder of text, or a jsonl, csv or parquet file; or after a KIND data of that kind: "
            f"{', '.join(KINDS)} (see below); or two .json reports over the same data, to see what changed.",
            show_default=False,
        ),
    ],
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="A,B", help="Candidates, such as bm25,lsa,minilm,bm25+minilm:tuned or a model folder."),
    ] = None,
    split: Split = None,
    text: Text = None,
    columns: Columns = "",
    metrics: Metrics = None,
    queries: Queries = 1000,
    seed: Seed = 0,
    report: Report = None,
    save: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep the winning retriever here.")] = None,
    cache: Annotated[bool, typer.Option(help="Keep what was measured, so that the next run takes seconds.")] = True,
    study: Annotated[
        str,
        typer.Option(
            metavar="ladder|full",
            help="full: family, fusion, precision, scoring, grain and reranking, one after the other from the first family, and "
            "the best together; --with then names families.",
        ),
    ] = "ladder",
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="For the full study: end within 90s, 30m or 2h, the telling ones first.")
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="For the full study: a reranker (minilm, a folder, a hub name) for the first answers."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Learn what is learnt with chance N times over.")] = None,
    margin: Annotated[
        float | None, typer.Option(help="Candidates that surely differ by less are the same (default: 0.01).", show_default=False)
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Show the queries by this metadata too; may be given again.")
    ] = None,
    judgements: Annotated[
        Path | None, typer.Option(metavar="POOL.csv", help="Judgements by hand, in a file of vicino pool.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which embedding is best for this data? A ladder of candidates, with intervals, tests and a verdict."""
    from vicino import workbench
    from vicino.catalog import split as split_names

    if len(data) == 2 and all(word.lower().endswith(".json") for word in data):
        first, second = data
        texts: dict[str, object] = {
            "--with": with_,
            "--split": split,
            "--text": text,
            "--columns": columns,
            "--metrics": metrics,
            "--by": by,
        }
        texts |= {"--report": report, "--save": save, "--study": study != "ladder", "--budget": budget, "--rerank": rerank}
        _refuse({**texts, "--seeds": seeds, "--judgements": judgements}, "two reports")
        _compare_reports(first, second, {"seed": seed} | ({} if margin is None else {"margin": margin}), as_json)
        return
    names = [name for listed in with_ or () for name in split_names(listed, ",")]
    chosen: dict[str, Any] = {"candidates": names} if names else {}
    shared = chosen | _metrics(metrics) | {"split": split, "seed": seed, "report_to": report, "command": typed()}
    given: dict[str, Any] = {"seeds": seeds, "margin": margin, "by": tuple(by or ()), "judgements": judgements}
    given |= {"budget": None if budget is None else _seconds(budget), "reranker": rerank}
    asked = {name: value for name, value in given.items() if value not in (None, ())}
    kind, path = _kind(data)
    if kind:
        _refuse({"--text": text, "--save": save, "--study": study != "ladder"} | {f"--{name}": 1 for name in asked}, kind)
        _compare_kind(kind, path, shared, columns, cache, as_json, quiet)
        return
    _refuse({"--columns": columns}, "documents")
    stopped = STOPPED if cache else "nothing was kept, as --no-cache asked: the same command begins again"
    with told("vicino.evaluation.foreseen"), bars(quiet, stopped):
        options: dict[str, Any] = {"text": text, "queries": queries, "cache": cache, "save_to": save, "study": study}
        comparison = workbench.compare(path, **shared, **options, **asked)
    _show(comparison, as_json)
    for what, place in (("The report", report), ("The winner", save)):
        if place is not None:
            say(f"{what}: {place}")
    if save is None and comparison[comparison.verdict.pick].recipe is not None:
        say(f"Keep the winner with:  {typed()} --save winner/")


@app.command()
def evaluate(
    recipe: Annotated[str, typer.Argument(help="A saved winner's folder, a candidate's name, or a collection.")],
    data: Annotated[Path | None, typer.Argument(help="As for compare; not needed for a collection.")] = None,
    split: Split = None,
    text: Text = None,
    metrics: Metrics = None,
    queries: Annotated[
        str, typer.Option(metavar="N|FILE", help="How many queries to make where nobody judged any; or a file of queries.")
    ] = "1000",
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="Judgements for a collection: BEIR or TREC.")] = None,
    tenant: Tenant = "",
    seed: Seed = 0,
    report: Report = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Build a saved recipe over data and measure it; or measure a collection with --queries FILE --qrels FILE."""
    from vicino import workbench
    from vicino.errors import InputError

    if qrels is not None:
        with bars(quiet):
            scores = workbench.score(recipe, queries, qrels, **_metrics(metrics), tenant=tenant, seed=seed)
        if as_json:
            print_json(scores.to_json())
        else:
            from vicino.evaluation.text import scores_text

            print(scores_text(scores))
        return
    if data is None or not queries.isdecimal():
        raise InputError(
            "there is nothing to measure on",
            mend=f"give DATA, or for a collection: vicino evaluate {recipe} --queries FILE --qrels FILE",
        )
    with bars(quiet):
        comparison = workbench.evaluate(
            recipe,
            data,
            **_metrics(metrics),
            split=split,
            text=text,
            queries=int(queries),
            seed=seed,
            report_to=report,
            command=typed(),
        )
    _show(comparison, as_json)


def _show(comparison: Comparison, as_json: bool) -> None:
    from vicino.evaluation import report
    from vicino.evaluation.text import comparison_text

    if as_json:
        print_json(report.to_json(comparison, command=typed()))
    else:
        print(comparison_text(comparison, width=width()))


def _seconds(text: str) -> float:
    """A time as people write it.

    >>> _seconds("90s"), _seconds("30m"), _seconds("1.5h")
    (90.0, 1800.0, 5400.0)
    """
    from vicino.errors import InputError

    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if found is None:
        raise InputError(f"{text!r} is no time", mend="write 90s, 30m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _compare_reports(first: str, second: str, options: dict[str, Any], as_json: bool) -> None:
    from vicino import workbench
    from vicino.evaluation.beside import beside_text

    found = workbench.compare_reports(first, second, **options)
    print_json(found.to_json()) if as_json else print(printable(beside_text(found, (first, second), width=width())))


def _kind(words: Sequence[str]) -> tuple[str, Path]:
    """What kind of data, "" where it is documents, and where it is."""
    from vicino.errors import InputError

    *kind, path = words
    if len(kind) > 1:
        raise InputError(f"{len(words)} things to compare on", mend="give DATA, or a KIND and DATA")
    if kind:
        KINDS.entry(kind[0])
    return "".join(kind), Path(path)


def _refuse(options: Mapping[str, object], kind: str) -> None:
    from vicino.errors import InputError

    for name, value in options.items():
        if value:
            raise InputError(f"{name} says nothing about {kind}", mend="leave it out")


def _compare_kind(kind: str, path: Path, options: dict[str, Any], columns: str, cache: bool, as_json: bool, quiet: bool) -> None:
    """Climb the ladder of a kind, and show it."""
    from vicino import workbench
    from vicino.catalog import call

    with bars(quiet):
        verb = getattr(workbench, f"compare_{kind}", None) or partial(workbench.compare_task, kind, cache=cache)
        found = verb(path, **options, columns=call(f"columns({columns})")[1] or None)
    print_json(found.to_json()) if as_json else print(printable(KINDS[kind](found, width=width())))
    if options["report_to"] is not None:
        say(f"The report: {options['report_to']}")


def _metrics(text: str | None) -> dict[str, Any]:
    return {"metrics": [name.strip() for name in text.split(",") if name.strip()]} if text else {}
