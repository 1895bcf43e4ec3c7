"""Commands that learn labels and give them: train classifier, train tagger; classify, tag."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, recipe_of
from vicino.cli.printing import bars, print_json, printable, say, width
from vicino.cli.training import DryRun, Out, Seed, train
from vicino.cli.verdicts import show_gate, show_plan

__all__ = ["classifier", "classify", "tag", "tagger"]

_STOPPED = "what was learnt is kept, and the same command goes on from there"
Columns = Annotated[str, typer.Option(help='Which column is what, where names do not tell: "text=body,label=topic".')]
Split = Annotated[str, typer.Option(help="Which part of a folder to learn from.")]
Epochs = Annotated[int | None, typer.Option(help="How often the examples are read (default: 3; for an MLP up to 100).")]
Threads = Annotated[int | None, typer.Option(help="Threads of torch (default: all).")]


@train.command()
def classifier(
    data: Annotated[
        Path, typer.Argument(help="Texts with labels (jsonl, csv, parquet), or a folder with a table for each split.")
    ],
    out: Out,
    encoder: Annotated[str, typer.Option(help="Whose vectors to learn on; a folder or minilm where it is trained.")] = "minilm",
    head: Annotated[str, typer.Option(help="linear, or mlp for a small network.")] = "linear",
    train_encoder: Annotated[
        bool, typer.Option("--train-encoder", help="Train the encoder too, under a linear head; else it stays as it is.")
    ] = False,
    columns: Columns = "",
    split: Split = "train",
    epochs: Epochs = None,
    params: Annotated[
        str, typer.Option("--set", help='More of the recipe: "learning_rate=2e-5,batch_size=16", "hidden=64,dropout=0.5".')
    ] = "",
    threads: Threads = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """A classifier of texts, set against counting words and against simpler heads. Exit 1 where it was rejected."""
    from vicino import workbench
    from vicino.catalog import call
    from vicino.evaluation.text import table

    recipe = recipe_of(params, epochs=epochs, threads=threads, seed=seed)
    by_gradients = train_encoder or head != "linear"
    with bars(quiet, _STOPPED if by_gradients else "nothing was written"):
        made = workbench.train_classifier(
            data,
            out,
            encoder=encoder,
            columns=call(f"columns({columns})")[1],
            split=split,
            head=head,
            train_encoder=train_encoder,
            **recipe,
        )
    if as_json:
        print_json(made.to_json())
    else:
        say(printable(f"{made.found}\n"))
        rows = [[name, f"{score:.4f}", f"{made.macro_f1[name]:.4f}"] for name, score in made.scores.items()]
        head_row = [f"on {made.held_out:,} texts that were held back", "accuracy", "macro-F1"]
        print(table(head_row, rows, right=(1, 2), width=width()))
        show_gate(made.gate)
        say(f'Ask it:  vicino classify {out} "a text"')
    if not made.gate.accepted:
        raise typer.Exit(1)


@train.command()
def tagger(
    data: Annotated[
        Path,
        typer.Argument(help="A CoNLL file (word first, tag last), jsonl with tokens and tags, or a folder: train, dev, test."),
    ],
    out: Out,
    base: Annotated[str, typer.Option(help="What to begin with: minilm, a folder, or a hub name.")] = "minilm",
    epochs: Annotated[int | None, typer.Option(help="How often the sentences are read (default: 4).")] = None,
    params: Annotated[str, typer.Option("--set", help='More of the recipe: "learning_rate=3e-5,batch_size=32,limit=128".')] = "",
    dry_run: DryRun = False,
    threads: Threads = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """A tagger of words, such as named entities, set against a list of words. Exit 1 where it was rejected."""
    from vicino import workbench
    from vicino.evaluation.text import table

    recipe = recipe_of(params, epochs=epochs, threads=threads, seed=seed)
    with bars(quiet, _STOPPED):
        made: Any = workbench.train_tagger(data, out, base=base, dry_run=dry_run, **recipe)
    if dry_run:
        show_plan(made, as_json)
        return
    if as_json:
        print_json(made.to_json())
    else:
        rows = [[name, f"{score:.4f}", ""] for name, score in made.scores.items()]
        rows += [[f"  {name}", f"{score.f1:.4f}", f"{score.items:,}"] for name, score in made.types.items()]
        print(table([f"on {made.judged_by}", "F1", "entities"], rows, right=(1, 2), width=width()))
        show_gate(made.gate)
        say(f'Ask it:  vicino tag {out} "a text"')
    if not made.gate.accepted:
        raise typer.Exit(1)


@app.command()
def tag(
    path: Annotated[Path, typer.Argument(help="A trained tagger.")],
    text: Annotated[str, typer.Argument(help="A text; - reads one from each line of standard input.")],
    as_json: AsJson = False,
) -> None:
    """The entities in a text: where they begin and end, in characters, their type, and themselves."""
    from vicino import workbench

    found = workbench.tag(path, _given(text))
    if as_json:
        print_json([{"text": each, "entities": [one._asdict() for one in entities]} for each, entities in found])
        return
    for number, (_, entities) in enumerate(found, start=1):
        for start, end, kind, named in entities:
            told = f"{start}\t{end}\t{kind}\t{printable(named)}"
            print(told if text != "-" else f"{number}\t{told}")


@app.command()
def classify(
    path: Annotated[Path, typer.Argument(help="A trained classifier.")],
    text: Annotated[str, typer.Argument(help="A text; - reads one from each line of standard input.")],
    k: Annotated[int, typer.Option("-k", help="How many classes to show for each.")] = 3,
    as_json: AsJson = False,
) -> None:
    """The most probable classes of a text."""
    from vicino import workbench

    found = workbench.classify(path, _given(text), k)
    if as_json:
        print_json([{"text": each, "classes": [{"class": name, "probability": p} for name, p in best]} for each, best in found])
        return
    for each, best in found:
        told = ", ".join(f"{name} {p:.3f}" for name, p in best)
        print(told if text != "-" else f"{told}\t{printable(each)}")


def _given(text: str) -> list[str]:
    return [line.rstrip("\n") for line in sys.stdin] if text == "-" else [text]
