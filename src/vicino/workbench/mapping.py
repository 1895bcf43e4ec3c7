"""The verb that draws: any encoder's vectors as a map."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from vicino import encoders
from vicino.data.things import Asked, Things, read_things
from vicino.encoders import Encoder
from vicino.encoders.named import HasNames, NamedVectors
from vicino.errors import InputError
from vicino.evaluation.mapping import Map, draw

__all__ = ["map"]


def map(  # noqa: A001 - the verb
    encoder: str | PathLike[str] | Encoder,
    data: str | PathLike[str] | None = None,
    *,
    n: int = 20_000,
    method: str | None = None,
    label: str | None = None,
    text: str | None = None,
    seed: int = 0,
) -> Map:
    """Lay out things by an encoder's vectors: `vicino.evaluation.mapping` writes the result as a page or a table.

    `encoder` is a name, a saved folder or an encoder; one that has to learn and has not is fitted on what is drawn. `data` is
    read as what it accepts (`vicino.data.things`); without it an encoder of names shows its own: words, nodes, the most
    frequent `n`. More than `n` things are sampled by `seed`. `label` and `text` name columns; `method` is "tsne" or
    "pca", by default both.

    Raises InputError for an encoder without names of its own and no data, and what reading, encoding and `draw` raise.
    """
    made = encoder if isinstance(encoder, Encoder) else encoders.make(encoder)
    named = made.family if isinstance(encoder, Encoder) else Path(encoder).name if Path(encoder).is_dir() else str(encoder)
    asked = Asked(n=n, seed=seed, text=text, label=label)
    things, vectors, source = _own(made, asked) if data is None else _read(made, Path(data), asked)
    return draw(things, vectors, made.space, method=method, seed=seed, made_by=named, made_of=source)


def _own(encoder: Encoder, asked: Asked) -> tuple[Things, Any, str]:
    """The names that an encoder has vectors of."""
    if not isinstance(encoder, HasNames):
        raise InputError(f"{encoder.family} has no names of its own to draw", mend="say what to draw: vicino map ENCODER DATA")
    names, vectors, total = encoder.most_frequent(asked.n)
    notes = (f"the {len(names):,} most frequent of {total:,}",) if len(names) < total else ()
    return Things(names, names, names, total=total, notes=notes), vectors, f"{encoder.thing}s"


def _read(encoder: Encoder, path: Path, asked: Asked) -> tuple[Things, Any, str]:
    things = read_things(encoder.accepts, path, asked)
    if isinstance(encoder, NamedVectors) and isinstance(things.items[0], str):  # names, of which not all need be known
        known = [row for row, name in enumerate(things.items) if name in encoder]
        if len(known) < len(things):
            things = things.take(known, f"{len(things) - len(known):,} left out: the encoder does not know them")
    if not encoder.pretrained and not encoder.__sklearn_is_fitted__():
        encoder.fit(things.items)
    return things, encoder.encode_document(things.items), path.name
