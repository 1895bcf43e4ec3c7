"""Commands that teach, and that ask what was taught: train words, graph, text, reranker, images; neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.options import AsJson, Quiet, recipe_of
from vicino.cli.printing import bars, print_json, say, width
from vicino.cli.verdicts import show_training

__all__ = ["graph", "images", "neighbours", "reranker", "text", "train", "words"]

_OPENS = "it opens with vicino and sentence-transformers:  vicino compare DATA --with {},bm25"

train = typer.Typer(name="train", help="Teach an encoder from data.", no_args_is_help=True)
app.add_typer(train)

Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Where the encoder goes.")]
Threads = Annotated[
    int | None, typer.Option(help="More than one is faster; most families then give other vectors each time (default: 1).")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.")]
Base = Annotated[str, typer.Option(help="What to begin with: minilm, a folder, or a hub name.")]
Columns = Annotated[str, typer.Option(help='Which column is what, where names do not tell: "anchor=q,positive=a".')]
Part = Annotated[str, typer.Option(help="Which part of a folder to learn from.")]
Unlabelled = Annotated[bool, typer.Option("--unlabelled", help="DATA are texts: make pairs of their titles and sentences.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would take: steps, time, memory.")]
TorchThreads = Annotated[int | None, typer.Option(help="Threads of torch (default: all).")]


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
    base: Annotated[
        str,
        typer.Option(help="What to begin with: minilm, a folder, a hub name, or static: a vector a token."),
    ] = "minilm",
    columns: Columns = "",
    split: Part = "train",
    unlabelled: Unlabelled = False,
    way: Annotated[
        str | None, typer.Option(help="How to learn from --unlabelled texts: pairs (default), distil, maps, simcse, or tsdae.")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="Your function that writes queries for --unlabelled texts; it is run."),
    ] = None,
    control: Annotated[
        list[Path] | None,
        typer.Option(
            help="Data that must not be forgotten, several times if you like (default: what VICINO_DATA has, or other documents)."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="How often the examples are read (default: 3, static 10).")] = None,
    params: Annotated[
        str, typer.Option("--set", help='More of the recipe: "learning_rate=2e-5,negatives=2,batch_size=64".')
    ] = "",
    dry_run: DryRun = False,
    threads: TorchThreads = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a sentence encoder, and accept it only where it is better. Exit 1 where it was rejected."""
    from vicino import workbench
    from vicino.catalog import call

    recipe = recipe_of(params, way=way, queries=queries, epochs=epochs, threads=threads, seed=seed)
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
    show_training(made, dry_run, as_json, _OPENS)


@train.command()
def reranker(
    data: Annotated[Path, typer.Argument(help="Pairs or triplets (jsonl, csv, parquet), or a BEIR folder.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the cross-encoder goes.")],
    base: Base = "minilm",
    columns: Columns = "",
    split: Part = "train",
    unlabelled: Unlabelled = False,
    epochs: Annotated[int | None, typer.Option(help="How often the examples are read (default: 2).")] = None,
    params: Annotated[
        str, typer.Option("--set", help='More of the recipe: "learning_rate=2e-5,negatives=15,first=bm25,depth=100".')
    ] = "",
    dry_run: DryRun = False,
    threads: TorchThreads = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Teach a cross-encoder to rerank, and accept it only where that is better. Exit 1 where it was rejected."""
    from vicino import workbench
    from vicino.catalog import call

    recipe = recipe_of(params, epochs=epochs, threads=threads, seed=seed)
    options: dict[str, Any] = {"base": base, "columns": call(f"columns({columns})")[1], "split": split}
    with bars(quiet, "what was learnt is kept, and the same command goes on from there"):
        made: Any = workbench.train_reranker(data, out, **options, unlabelled=unlabelled, dry_run=dry_run, **recipe)
    show_training(made, dry_run, as_json, "rerank a collection with it:  vicino search NAME QUERY --rerank {}")


@train.command()
def images(
    data: Annotated[Path, typer.Argument(help="A folder of class folders, idx or .npz files, or a table of paths and labels.")],
    out: Out,
    objective: Annotated[
        str,
        typer.Option(
            help="supervised, triplet, arcface, cosface (by labels); simclr, moco, masked, data2vec, autoencoder (without)."
        ),
    ] = "supervised",
    backbone: Annotated[
        str | None, typer.Option(help='small, resnet, convnext, "vit(hidden_size=64)", or a folder or hub name to go on from.')
    ] = None,
    columns: Columns = "",
    split: Annotated[str | None, typer.Option(help="Which part to learn from (default: train, where there is one).")] = None,
    epochs: Annotated[int | None, typer.Option(help="How often the images are read (default: 10).")] = None,
    minutes: Annotated[float | None, typer.Option(help="Or how long training may last.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels to a side (default: that of the images, 64 at most).")] = None,
    params: Annotated[str, typer.Option("--set", help='More: "learning_rate=1e-3,judge=identities,crop=0.5,flip=0".')] = "",
    dry_run: DryRun = False,
    threads: TorchThreads = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on images, and accept it only where it beats raw pixels. Exit 1 where it was rejected."""
    from vicino import workbench
    from vicino.catalog import call

    recipe = recipe_of(params, epochs=epochs, minutes=minutes, size=size, threads=threads, seed=seed)
    options: dict[str, Any] = {"objective": objective, "backbone": backbone, "columns": call(f"columns({columns})")[1]}
    with bars(quiet, "what was learnt is kept, and the same command goes on from there"):
        made: Any = workbench.train_images(data, out, **options, split=split, dry_run=dry_run, **recipe)
    show_training(made, dry_run, as_json, "set it beside others:  vicino compare images DATA --with {},pixels")


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
