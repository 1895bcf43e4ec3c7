"""Commands that say how good: demo, compare, evaluate, doctor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vicino.catalog import Catalog, Entry
from vicino.cli.app import app
from vicino.cli.options import AsJson, Columns, Metrics, Queries, Quiet, Report, Seed, Split, Tenant, Text
from vicino.cli.printing import bars, print_json, printable, say, typed, width

if TYPE_CHECKING:
    from vicino.evaluation.compare import Comparison
    from vicino.evaluation.doctor import Finding

__all__ = ["KINDS", "compare", "demo", "doctor", "evaluate"]

# What else than documents `compare` takes: each has a verb of the workbench, compare_KIND, and here the text of what it finds.
KINDS = Catalog(
    "kind of data",
    {
        "images": Entry("vicino.evaluation.labelled_text:labelled_text", "images with classes, for encoders of images"),
        "interactions": Entry("vicino.evaluation.recommendation_text:recommendations_text", "users and items, for recommenders"),
    },
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


@app.command()
def compare(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] DATA",
            help="A BEIR folder, a folder of text, or a jsonl, csv or parquet file; or after a KIND, "
            f"{' or '.join(KINDS)}, data of that kind.",
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
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which embedding is best for this data? A ladder of candidates, with intervals, tests and a verdict."""
    from vicino import workbench
    from vicino.catalog import split as split_names

    names = [name for listed in with_ or () for name in split_names(listed, ",")]
    chosen: dict[str, Any] = {"candidates": names} if names else {}
    shared = chosen | _metrics(metrics) | {"split": split, "seed": seed, "report_to": report, "command": typed()}
    kind, path = _kind(data)
    if kind:
        _refuse({"--text": text, "--save": save}, kind)
        _compare_kind(kind, path, shared, columns, as_json, quiet)
        return
    _refuse({"--columns": columns}, "documents")
    with bars(quiet):
        comparison = workbench.compare(path, **shared, text=text, queries=queries, cache=cache, save_to=save)
    _show(comparison, as_json)
    for what, place in (("The report", report), ("The winner", save)):
        if place is not None:
            say(f"{what}: {place}")
    if save is None:
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


@app.command()
def doctor(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Look at this collection; model: at an encoder, on DATA.")
    ] = None,
    data: Annotated[Path | None, typer.Argument(metavar="[DATA]", help="For model: a BEIR folder, or a folder or file.")] = None,
    encoder: Annotated[str, typer.Option(help="For model: which one: a name, a model folder, a hub name.")] = "minilm",
    reference: Annotated[
        Path | None, typer.Option(metavar="DATA", help="For model: what it was chosen on, to see whether the data moved since.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="For model: try the cures on a copy, and measure them on DATA.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What this machine, a collection, or an encoder on DATA lacks, and what mends it. Exit 1 where something is broken."""
    from vicino import workbench
    from vicino.errors import InputError

    if data is None and (fix or reference is not None):
        raise InputError(
            "--fix and --reference are of an encoder, on data", mend="vicino doctor model DATA --encoder minilm --fix"
        )
    if data is not None and name != "model":
        raise InputError(f"{name} is looked at without data", mend="vicino doctor NAME, or vicino doctor model DATA")
    with bars(quiet):
        if data is not None:
            looked = workbench.doctor_model(data, encoder=encoder, reference=reference, fix=fix)
            findings, cures = looked.findings, looked.cures
        else:
            findings, cures = tuple(workbench.doctor(name)), ()
    if as_json:
        plain = [vars(finding) for finding in findings]
        print_json(plain if data is None else {"findings": plain, "cures": [cure.to_json() for cure in cures]})
    else:
        signs = {"ok": "ok", "missing": "not installed", "problem": "PROBLEM"}
        rows = [[f.about, signs[f.state], _found(f)] for f in findings]
        from vicino.evaluation.text import table

        print(table(["", "state", "found"], rows, width=width()))
        for cure in cures:
            print(f"tried on a copy: {cure}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def _found(finding: Finding) -> str:
    """What was found, why, and what mends it, one a line."""
    threshold = f" ({finding.threshold})" if finding.threshold else ""
    mend = f"\n→ {finding.mend}" if finding.mend else ""
    return finding.value + threshold + (f"\n{finding.cause}" if finding.cause else "") + mend


def _show(comparison: Comparison, as_json: bool) -> None:
    from vicino.evaluation import report
    from vicino.evaluation.text import comparison_text

    if as_json:
        print_json(report.to_json(comparison, command=typed()))
    else:
        print(comparison_text(comparison, width=width()))


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


def _compare_kind(kind: str, path: Path, options: dict[str, Any], columns: str, as_json: bool, quiet: bool) -> None:
    """Climb the ladder of a kind, and show it."""
    from vicino import workbench
    from vicino.catalog import call

    with bars(quiet):
        found = getattr(workbench, f"compare_{kind}")(path, **options, columns=call(f"columns({columns})")[1] or None)
    print_json(found.to_json()) if as_json else print(printable(KINDS[kind](found, width=width())))
    if options["report_to"] is not None:
        say(f"The report: {options['report_to']}")


def _metrics(text: str | None) -> dict[str, Any]:
    return {"metrics": [name.strip() for name in text.split(",") if name.strip()]} if text else {}
