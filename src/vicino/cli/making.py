"""Commands that make vectors: embed, tokens, encoders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, Text
from vicino.cli.printing import bars, print_json, say, width

__all__ = ["embed", "encoders", "tokens"]


@app.command()
def embed(
    path: Annotated[str, typer.Argument(help="A folder or file, or - for one text a line from standard input.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the vectors go: .parquet or .npy.")],
    encoder: Annotated[str, typer.Option(help="An encoder's name, a model folder, or a hub name.")] = "minilm",
    chunk: Annotated[str | None, typer.Option(help="Cut documents: paragraph, sentence, window or code.")] = None,
    text: Text = None,
    normalize: Annotated[bool, typer.Option(help="Divide each vector by its length.")] = False,
    dim: Annotated[int | None, typer.Option(help="Keep only the first so many dimensions.")] = None,
    texts: Annotated[
        bool, typer.Option("--texts", help="Write the texts too, so that vectors are found by text (.parquet).")
    ] = False,
    precision: Annotated[str, typer.Option(help="float32, float16, int8, binary or ubinary.")] = "float32",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """From anything to vectors."""
    from vicino import workbench

    with bars(quiet):
        written = workbench.embed_to_file(
            sys.stdin.buffer if path == "-" else Path(path),
            out,
            encoder=encoder,
            chunk=chunk,
            text=text,
            normalize_embeddings=normalize or None,
            truncate_dim=dim,
            precision=precision,
            texts=texts,
        )
    if as_json:
        print_json(written.to_json())
        return
    count = f"{written.rows:,} vector{'' if written.rows == 1 else 's'}"
    space = written.made["space"]
    print(f"{count} of {space['dim']} dimensions in {written.path} (space {space['id']})")
    for note in written.notes:
        say(note)


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
        print_json({"encoder": encoder, "tokens": rows, "one_hot_shape": shape})
        return
    shown = [[row["piece"], row["id"] if row["known"] else "unknown", _start(row["row"])] for row in rows]
    from vicino.evaluation.text import table

    print(table(["piece", "id", "dense row"], shown, right=(1,), width=width()))
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
        print_json(rows)
    else:
        shown = [[row["name"], row["summary"], row["extra"] or ""] for row in rows]
        from vicino.evaluation.text import table

        print(table(["encoder", "what it is", "needs"], shown, width=width()))


def _start(row: list[float] | None) -> str:
    return "" if row is None else "[" + ", ".join(f"{number:+.3f}" for number in row[:5]) + ", ...]"
