"""The command line: parses, calls `vicino.workbench`, prints. It holds no logic.

Data goes to standard output, progress and hints to standard error. Exit code 0 is fine, 1 a finding, 2 a usage error.
An option's value comes from its flag, else from the environment (VICINO_COMPARE_SEED), else from `vicino.toml` in the
current folder ([compare] seed = 1), else from its default.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vicino.evaluation.compare import Comparison

__all__ = ["app", "main"]

app = typer.Typer(
    name="vicino",
    help="Bring your data; get the embedding that is best for it, with the evidence.",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "VICINO"},
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Split = Annotated[str | None, typer.Option(help="Which qrels of a BEIR folder [default: test].")]
Text = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the text of a table.")]
Queries = Annotated[int, typer.Option(help="How many queries to make where nobody judged any.")]
Metrics = Annotated[
    str | None, typer.Option(metavar="A,B", help="Metrics; the first decides [default: nDCG@10,Recall@100,MRR@10,judged@10].")
]
Report = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report: .html or .json.")]


@app.callback(invoke_without_command=True)
def settings(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """What holds for every command: the version, and settings from `vicino.toml`."""
    if version:
        from vicino import __version__

        print(__version__)
        raise typer.Exit
    if Path("vicino.toml").is_file():
        context.default_map = _config(Path("vicino.toml"))


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

    _say("Which embedding finds a Python function by what its docstring says? Reading the standard library ...")
    with _bars(quiet):
        made = workbench.demo(budget=budget, seed=seed)
    if as_json:
        answers = [vars(answer) for answer in made.answers]
        plain = report.to_json(made.comparison, seconds=made.seconds)
        _print_json(
            {**plain, "sampled": made.sampled, "answers": answers, "winner": str(made.winner), "report": str(made.report)}
        )
        return
    print(f"\nRead {made.sampled}.")
    print(comparison_text(made.comparison, width=_width()))
    print(f"\nThree questions, answered by {made.comparison.verdict.pick}:")
    for answer in made.answers:
        print(f"  {answer.question}?\n    {answer.name}  {answer.place}")
    print(f"\nThe report:  {made.report}\nThe winner:  {made.winner}   ({made.seconds:.0f} seconds in all)")
    print("\nNext, on your own data:  vicino compare path/to/your/folder --report report.html")


@app.command()
def compare(
    path: Annotated[Path, typer.Argument(help="A BEIR folder, a folder of text, or a jsonl, csv or parquet file.")],
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="A,B", help="Candidates, such as bm25,lsa,minilm,bm25+minilm:tuned or a model folder."),
    ] = None,
    split: Split = None,
    text: Text = None,
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
    with _bars(quiet):
        comparison = workbench.compare(
            path,
            **chosen,
            **_metrics(metrics),
            split=split,
            text=text,
            queries=queries,
            seed=seed,
            cache=cache,
            report_to=report,
            save_to=save,
            command=_typed(),
        )
    _show(comparison, as_json)
    for what, place in (("The report", report), ("The winner", save)):
        if place is not None:
            _say(f"{what}: {place}")
    if save is None:
        _say(f"Keep the winner with:  {_typed()} --save winner/")


@app.command()
def evaluate(
    recipe: Annotated[str, typer.Argument(help="A saved winner's folder, or a candidate's name.")],
    data: Annotated[Path, typer.Argument(help="As for compare.")],
    split: Split = None,
    text: Text = None,
    metrics: Metrics = None,
    queries: Queries = 1000,
    seed: Seed = 0,
    report: Report = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Build a saved recipe over data and measure it."""
    from vicino import workbench

    with _bars(quiet):
        comparison = workbench.evaluate(
            recipe,
            data,
            **_metrics(metrics),
            split=split,
            text=text,
            queries=queries,
            seed=seed,
            report_to=report,
            command=_typed(),
        )
    _show(comparison, as_json)


@app.command()
def embed(
    path: Annotated[str, typer.Argument(help="A folder or file, or - for one text a line from standard input.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the vectors go: .parquet or .npy.")],
    encoder: Annotated[str, typer.Option(help="An encoder's name, a model folder, or a hub name.")] = "minilm",
    chunk: Annotated[str | None, typer.Option(help="Cut documents: paragraph, sentence, window or code.")] = None,
    text: Text = None,
    normalize: Annotated[bool, typer.Option(help="Divide each vector by its length.")] = False,
    dim: Annotated[int | None, typer.Option(help="Keep only the first so many dimensions.")] = None,
    precision: Annotated[str, typer.Option(help="float32, float16, int8, binary or ubinary.")] = "float32",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """From anything to vectors."""
    from vicino import workbench

    with _bars(quiet):
        written = workbench.embed_to_file(
            sys.stdin.buffer if path == "-" else Path(path),
            out,
            encoder=encoder,
            chunk=chunk,
            text=text,
            normalize_embeddings=normalize or None,
            truncate_dim=dim,
            precision=precision,
        )
    if as_json:
        _print_json(written.to_json())
        return
    count = f"{written.rows:,} vector{'' if written.rows == 1 else 's'}"
    space = written.made["space"]
    print(f"{count} of {space['dim']} dimensions in {written.path} (space {space['id']})")
    for note in written.notes:
        _say(note)


@app.command()
def tokens(
    text: Annotated[str, typer.Argument(help="A text.")],
    encoder: Annotated[str, typer.Option(help="An encoder's name, a model folder, or a hub name.")] = "minilm",
    as_json: AsJson = False,
) -> None:
    """How a text becomes numbers: pieces, their ids, the one-hot shape, and each piece's dense row."""
    from vicino import workbench

    found = workbench.tokens(text, encoder=encoder)
    rows: list[dict[str, Any]] = [
        {"piece": piece, "id": int(number), "known": bool(known), "row": None if found.rows is None else found.rows[at].tolist()}
        for at, (piece, number, known) in enumerate(zip(found.pieces, found.ids, found.known, strict=True))
    ]
    shape = [len(rows), found.vocabulary]
    if as_json:
        _print_json({"encoder": encoder, "tokens": rows, "one_hot_shape": shape})
        return
    shown = [[row["piece"], row["id"] if row["known"] else "unknown", _start(row["row"])] for row in rows]
    from vicino.evaluation.text import table

    print(table(["piece", "id", "dense row"], shown, right=(1,), width=_width()))
    dense = (
        ""
        if found.rows is None
        else f"; times the table {found.vocabulary:,} x {found.rows.shape[1]} gives these {len(rows)} rows"
    )
    print(f"\nAs one-hot rows: a matrix of {shape[0]} x {shape[1]:,}, with a single 1 in each row{dense}.")


@app.command()
def encoders(as_json: AsJson = False) -> None:
    """List the encoders."""
    from vicino.encoders import ENCODERS

    rows = [{"name": name, "summary": ENCODERS.entry(name).summary, "extra": ENCODERS.entry(name).extra} for name in ENCODERS]
    if as_json:
        _print_json(rows)
    else:
        shown = [[row["name"], row["summary"], row["extra"] or ""] for row in rows]
        from vicino.evaluation.text import table

        print(table(["encoder", "what it is", "needs"], shown, width=_width()))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What this machine has and lacks, with the command that mends it. Exit 1 where something is broken."""
    from vicino import workbench

    findings = workbench.doctor()
    if as_json:
        _print_json([vars(finding) for finding in findings])
    else:
        signs = {"ok": "ok", "missing": "not installed", "problem": "PROBLEM"}
        rows = [[f.about, signs[f.state], f.value + (f"\n→ {f.mend}" if f.mend else "")] for f in findings]
        from vicino.evaluation.text import table

        print(table(["", "state", "found"], rows, width=_width()))
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors that vicino names go to standard error with the command that mends them."""
    from vicino.errors import InputError, MissingExtra, VicinoError

    try:
        app(args=None if arguments is None else list(arguments))
    except VicinoError as error:
        _say(f"error: {error}")
        sys.exit(2 if isinstance(error, InputError | MissingExtra) else 1)


# Printing -----------------------------------------------------------------------------------------------------------


def _show(comparison: Comparison, as_json: bool) -> None:
    from vicino.evaluation import report
    from vicino.evaluation.text import comparison_text

    if as_json:
        _print_json(report.to_json(comparison, command=_typed()))
    else:
        print(comparison_text(comparison, width=_width()))


def _width() -> int:
    """The terminal's width; plenty where the output goes to a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 160


def _print_json(plain: Any) -> None:
    print(json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False))


def _typed() -> str:
    return shlex.join(["vicino", *sys.argv[1:]])


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _bars(quiet: bool) -> Iterator[None]:
    """Long work: with progress bars unless told otherwise, and a word to whoever stops it."""
    from vicino import progress

    try:
        with nullcontext() if quiet else progress.bars():
            yield
    except KeyboardInterrupt:
        _say("\nstopped; what was measured is kept, and the same command goes on from there")
        raise typer.Exit(130) from None


def _start(row: list[float] | None) -> str:
    return "" if row is None else "[" + ", ".join(f"{number:+.3f}" for number in row[:5]) + ", ...]"


def _metrics(text: str | None) -> dict[str, Any]:
    return {"metrics": [name.strip() for name in text.split(",") if name.strip()]} if text else {}


def _config(path: Path) -> dict[str, Any]:
    from vicino.errors import InputError

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", mend="mend the file, or move it away") from error


if __name__ == "__main__":
    main()
