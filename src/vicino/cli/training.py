"""Commands that teach, and that ask what was taught: train words, graph, text, classifier; neighbours, classify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet
from vicino.cli.printing import bars, print_json, printable, say, width

__all__ = ["classifier", "classify", "graph", "neighbours", "text", "train", "words"]

train = typer.Typer(name="train", help="Teach an encoder from data.", no_args_is_help=True)
app.add_typer(train)

Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Where the encoder goes.")]
Threads = Annotated[
    int | None, typer.Option(help="More than one is faster; most families then give other vectors each time (default: 1).")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.")]


@train.command()
def words(
    corpus: Annotated[Path, typer.Argument(help="A folder or file of text: txt, jsonl, csv, parquet, Markdown, .gz, .xz ...")],
    out: Out,
    family: Annotated[
        str, typer.Option(help="word2vec, fasttext, glove, swivel, doc2vec, or such as word2vec(vector_size=200,window=10,sg=0).")
    ] = "word2vec",
    epochs: Annotated[int | None, typer.Option(help="How often the text is read.")] = None,
    threads: Threads = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Word vectors from text."""
    _train(corpus, out, "word", family, {"epochs": epochs, "threads": threads, "seed": seed}, as_json, quiet)


@train.command()
def graph(
    edges: Annotated[Path, typer.Argument(help="An edge list: tsv, csv, txt, jsonl (also .gz, .xz), or a SciPy matrix in .npz.")],
    out: Out,
    family: Annotated[
        str, typer.Option(help="node2vec, deepwalk, line, or such as node2vec(p=0.25,q=4,num_walks=10).")
    ] = "node2vec",
    directed: Annotated[bool, typer.Option("--directed", help="An edge leads from the first node to the second only.")] = False,
    epochs: Annotated[int | None, typer.Option(help="How often walks are read, or edges drawn.")] = None,
    threads: Threads = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Node vectors from a graph."""
    given = {"directed": directed or None, "epochs": epochs, "threads": threads, "seed": seed}
    _train(edges, out, "node", family, given, as_json, quiet)


@train.command()
def text(
    data: Annotated[Path, typer.Argument(help="Pairs, triplets or labelled pairs (jsonl, csv, parquet), or a BEIR folder.")],
    out: Out,
    base: Annotated[str, typer.Option(help="What to begin with: minilm, a folder, or a hub name.")] = "minilm",
    columns: Annotated[str, typer.Option(help='Which column is what, where names do not tell: "anchor=q,positive=a".')] = "",
    split: Annotated[str, typer.Option(help="Which part of a folder to learn from.")] = "train",
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="DATA are texts: make pairs of their titles and sentences.")
    ] = False,
    control: Annotated[
        list[Path] | None, typer.Option(help="Data that must not be forgotten; may be given several times.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="How often the examples are read (default: 3).")] = None,
    params: Annotated[
        str, typer.Option("--set", help='More of the recipe: "learning_rate=2e-5,negatives=2,batch_size=64".')
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take: steps, time, memory.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads of torch (default: all).")] = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a sentence encoder, and accept it only where it is better. Exit 1 where it was rejected."""
    from vicino import workbench
    from vicino.catalog import call

    more = {"epochs": epochs, "threads": threads, "seed": seed}
    recipe = call(f"recipe({params})")[1] | {name: value for name, value in more.items() if value is not None}
    named = call(f"columns({columns})")[1]
    with bars(quiet, "what was learnt is kept, and the same command goes on from there"):
        made: Any = workbench.train_text(
            data,
            out,
            base=base,
            columns=named,
            split=split,
            unlabelled=unlabelled,
            controls=control or None,
            dry_run=dry_run,
            **recipe,
        )
    if dry_run:
        print_json({**vars(made), "bytes": made.bytes, "seconds": made.seconds}) if as_json else print(made)
        return
    if as_json:
        print_json(made.to_json())
    else:
        _tell(made)
    if not made.gate.accepted:
        raise typer.Exit(1)


@train.command()
def classifier(
    data: Annotated[
        Path, typer.Argument(help="Texts with labels (jsonl, csv, parquet), or a folder with a table for each split.")
    ],
    out: Out,
    encoder: Annotated[str, typer.Option(help="Whose vectors to learn on; it stays as it is.")] = "minilm",
    columns: Annotated[str, typer.Option(help='Which column is what, where names do not tell: "text=body,label=topic".')] = "",
    split: Annotated[str, typer.Option(help="Which part of a folder to learn from.")] = "train",
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """A classifier of texts, set against counting words. Exit 1 where it was rejected."""
    from vicino import workbench
    from vicino.catalog import call
    from vicino.evaluation.text import table

    with bars(quiet, "nothing was written"):
        named = call(f"columns({columns})")[1]
        made = workbench.train_classifier(data, out, encoder=encoder, columns=named, split=split, seed=seed or 0)
    if as_json:
        print_json(made.to_json())
    else:
        rows = [[name, f"{score:.4f}"] for name, score in made.scores.items()]
        print(table([f"accuracy on {made.held_out:,} texts that were held back", ""], rows, right=(1,), width=width()))
        print(f"\n{made.gate.sentence}")
        for advice in made.gate.advice:
            say(f"  → {advice}")
        say(f'Ask it:  vicino classify {out} "a text"')
    if not made.gate.accepted:
        raise typer.Exit(1)


@app.command()
def classify(
    path: Annotated[Path, typer.Argument(help="A trained classifier.")],
    text: Annotated[str, typer.Argument(help="A text; - reads one from each line of standard input.")],
    k: Annotated[int, typer.Option("-k", help="How many classes to show for each.")] = 3,
    as_json: AsJson = False,
) -> None:
    """The most probable classes of a text."""
    from vicino import workbench

    given = [line.rstrip("\n") for line in sys.stdin] if text == "-" else [text]
    found = workbench.classify(path, given, k)
    if as_json:
        print_json([{"text": each, "classes": [{"class": name, "probability": p} for name, p in best]} for each, best in found])
        return
    for each, best in found:
        told = ", ".join(f"{name} {p:.3f}" for name, p in best)
        print(told if text != "-" else f"{told}\t{printable(each)}")


@app.command()
def neighbours(
    path: Annotated[Path, typer.Argument(help="A trained encoder of words or nodes, or a file of word vectors.")],
    expression: Annotated[str, typer.Argument(help='A name, or a sum: "king - man + woman", "pizza + 10*pineapple".')],
    k: Annotated[int, typer.Option("-k", help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """The nearest words of a word, or of a sum of words; likewise nodes."""
    from vicino import workbench
    from vicino.evaluation.text import table

    found = workbench.neighbours(path, expression, k)
    if as_json:
        print_json([{"name": name, "cosine": cosine} for name, cosine in found])
    else:
        print(table(["", "cosine"], [[name, f"{cosine:.4f}"] for name, cosine in found], right=(1,), width=width()))


def _tell(made: Any) -> None:
    """What the lint found, what was mined, the scores, and the verdict."""
    from vicino.evaluation.text import table

    say(f"{made.material.found}\n\n{made.mined}\n")
    rows = [[name, f"{score:.4f}"] for name, score in made.scores.items()]
    print(table([f"nDCG@10 on {made.material.judged_by}", ""], rows, right=(1,), width=width()))
    for check in made.gate.controls:
        print(check)
    if made.run.ended == "diverged":
        print(f"the loss grew past all bounds after {made.run.steps:,} steps; the weights are those after step {made.run.kept:,}")
    print(f"\n{made.gate.sentence}")
    for advice in made.gate.advice:
        say(f"  → {advice}")
    place = made.path if made.path.is_absolute() else f"./{made.path}"
    say(f"{made.path} opens with vicino and sentence-transformers:  vicino compare DATA --with {place},bm25")


def _train(data: Path, out: Path, thing: str, family: str, params: dict[str, Any], as_json: bool, quiet: bool) -> None:
    from vicino import workbench

    with bars(quiet, "no epoch was whole yet, and nothing was written"):
        given = {name: value for name, value in params.items() if value is not None}
        made: Any = workbench.train(data, out, family=family, thing=thing, **given)
    size, space = len(made.vectors_), made.space
    about = {"path": str(out), "family": made.family, "space": space.to_json(), "vectors": size, "params": made.get_params()}
    about["training"] = {"ended": made.training_.ended, "epochs": len(made.training_.losses)}
    if as_json:
        print_json(about)
        return
    print(f"{size:,} vectors of {space.dim} dimensions in {out} (space {space.id})")
    say(f'Ask them:  vicino neighbours {out} "{thing.upper()} - OTHER + THIRD"')
