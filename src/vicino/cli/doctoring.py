"""The command that says what is wrong: doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, Report, Seed
from vicino.cli.printing import bars, print_json, printable, say, typed, width

if TYPE_CHECKING:
    from vicino.evaluation.doctor import Finding
    from vicino.vectors import Similarity

__all__ = ["doctor"]

_SIMILARITIES = ("cosine", "dot", "euclidean")


@app.command()
def doctor(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Look at this collection; model: at an encoder, on DATA.")
    ] = None,
    data: Annotated[Path | None, typer.Argument(metavar="[DATA]", help="For model: a BEIR folder, or a folder or file.")] = None,
    encoder: Annotated[str, typer.Option(help="For model: which one: a name, a model folder, a hub name.")] = "minilm",
    similarity: Annotated[
        str | None,
        typer.Option(metavar="|".join(_SIMILARITIES), help="For model: what your index ranks by."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="DATA", help="What the model was chosen on, to see whether the data moved since.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Try the cures on a copy, show before and after, and name what applies the best.")
    ] = False,
    precision: Annotated[
        float, typer.Option(metavar="SHARE", help="The share of relevant answers that a threshold of scores is looked for.")
    ] = 0.9,
    report: Report = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What this machine, a collection, or an encoder on DATA lacks, and what mends it. Exit 1 where something is broken."""
    from vicino import workbench
    from vicino.evaluation.diagnosis import Diagnosis
    from vicino.evaluation.text import table

    _require(name, data, similarity, fix or reference is not None or report is not None)
    ranks = cast("Similarity | None", similarity)  # `_require` knows it
    options: dict[str, Any] = {"reference": reference, "fix": fix, "precision": precision, "seed": seed, "report_to": report}
    with bars(quiet, stopped="nothing was changed"):
        if name is None:
            looked = Diagnosis(tuple(workbench.doctor()))
        elif data is None:
            looked = workbench.doctor_collection(name, **options, command=typed())
        else:
            looked = workbench.doctor_model(data, encoder=encoder, similarity=ranks, **options, command=typed())
    findings, cures = looked.findings, looked.cures
    if as_json:
        plain = looked.to_json()
        print_json(plain if fix or data is not None else plain["findings"])
    else:
        signs = {"ok": "ok", "missing": "not installed", "problem": "PROBLEM"}
        rows = [[f.about, signs[f.state], _found(f)] for f in sorted(findings, key=lambda f: f.state != "problem")]
        print(printable(table(["", "state", "found"], rows, width=width())))
        for cure in cures:
            print(f"tried on a copy: {cure}")
        for sentence in looked.advice:
            print(printable(sentence))
        if fix and not cures:
            say("no cure was tried: there are no vectors, or nothing that could be asked")
        if report is not None:
            say(f"The report: {report}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def _require(name: str | None, data: Path | None, similarity: str | None, asked: bool) -> None:
    """Raise InputError for options of one that are given to another."""
    from vicino.errors import InputError, UnknownName

    if asked and name is None:
        raise InputError(
            "--fix, --reference and --report are of a collection, or of an encoder on data",
            mend="vicino doctor NAME --fix, or vicino doctor model DATA --encoder minilm --fix",
        )
    if data is not None and name != "model":
        raise InputError(f"{name} is looked at without data", mend="vicino doctor NAME, or vicino doctor model DATA")
    if similarity is not None and data is None:
        raise InputError("--similarity is of an encoder on data", mend="leave it out: a collection says what it is searched by")
    if similarity is not None and similarity not in _SIMILARITIES:
        raise UnknownName.among(similarity, _SIMILARITIES, kind="similarity")


def _found(finding: Finding) -> str:
    """What was found, why, what mends it, and what it is measured against, one a line."""
    threshold = f" (healthy: {finding.threshold})" if finding.threshold else ""
    mend = f"\n→ {finding.mend}" if finding.mend else ""
    reference = f"\nreference: {finding.reference}" if finding.reference and finding.mend else ""
    return finding.value + threshold + (f"\n{finding.cause}" if finding.cause else "") + mend + reference
