"""A map: the vectors of things in two dimensions, how far it can be trusted, and one HTML page that shows it.

The page asks nothing of any other place: one style, one script whose hash its security policy names, pictures inside. The script
is `map.js`, the words are in `map.html.j2`; what captions hold is data to both, and never becomes markup.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from vicino import __version__
from vicino.data.things import Things
from vicino.errors import ArtifactError, DimensionMismatch, EmptyInput, InputError, InvalidVectors, MissingExtra
from vicino.evaluation.thumbnails import ACROSS, sheets
from vicino.learning.projection import PERPLEXITY, K, can_tsne, nearest, neighbours_kept, pca, tsne
from vicino.spaces import Space
from vicino.vectors import as_vectors, normalise

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["METHODS", "Map", "Plane", "draw", "require_html", "to_html", "write_csv", "write_html"]

METHODS = {"tsne": "t-SNE", "pca": "PCA"}

_EXACT = 50_000  # things whose neighbours are all found exactly, in minutes
_STEPS = 65_535  # of a coordinate on the page

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Plane:
    """Coordinates (n, 2) by a method of `METHODS`, and the share of the `K` nearest vectors that are nearest here too."""

    method: str
    coordinates: Float32
    kept: float | None


@dataclass(frozen=True, eq=False)
class Map:
    """Things, their vectors, and one or two planes, the best method first.

    `near` is (n, k), the rows of each thing's nearest vectors; None where there were too many things to look for all. `made_by`
    and `made_of` say which encoder and which data, for people.
    """

    things: Things
    vectors: Any
    space: Space
    planes: Sequence[Plane]
    near: NDArray[np.int64] | None
    made_by: str
    made_of: str
    seed: int
    notes: tuple[str, ...]

    @property
    def k(self) -> int:
        """How many neighbours were counted: `K`, fewer among few points."""
        return min(K, max(1, len(self.things) - 2))

    @property
    def by_chance(self) -> float:
        """The share of neighbours that points thrown anywhere would keep."""
        return self.k / max(1, len(self.things) - 1)

    def to_json(self) -> dict[str, Any]:
        """Everything but the vectors, as JSON says it."""
        things = self.things
        labels: Sequence[str | None] = things.labels or [None] * len(things)
        planes = {plane.method: np.round(plane.coordinates.astype(np.float64), 5).tolist() for plane in self.planes}
        points = [
            {"id": name, "caption": caption, "label": label, **{method: at[row] for method, at in planes.items()}}
            for row, (name, caption, label) in enumerate(zip(things.ids, things.captions, labels, strict=True))
        ]
        return {
            "encoder": self.made_by,
            "data": self.made_of,
            "space": self.space.to_json(),
            "seed": self.seed,
            "things": len(things),
            "of": things.total,
            "neighbours": self.k,
            "kept": {plane.method: plane.kept for plane in self.planes},
            "by_chance": self.by_chance,
            "notes": list(self.notes),
            "points": points,
        }


def draw(
    things: Things, vectors: Any, space: Space, *, method: str | None = None, seed: int = 0, made_by: str = "", made_of: str = ""
) -> Map:
    """Lay things out by their vectors, (n, d) rows or CSR.

    By t-SNE and PCA; `method` asks for one alone. Where a space compares by Euclidean distance vectors are taken as they are,
    otherwise divided by their lengths, and things whose vector is zeros, which have no direction, are left out and counted.

    Raises InputError for another method, EmptyInput where nothing is left, DimensionMismatch and InvalidVectors for vectors that
    are not one finite row a thing, MissingExtra where t-SNE was asked for and is not installed.
    """
    if method is not None and method not in METHODS:
        raise InputError(f"there is no map by {method!r}", mend=f"choose one of {', '.join(METHODS)}")
    if method == "tsne" and not can_tsne():
        raise MissingExtra.named("map", needed_by="t-SNE maps")
    rows = _checked(vectors, len(things))
    things, rows = _placed(things, rows, space)
    n = len(things)
    laid = [method] if method else list(METHODS)
    notes = list(things.notes)
    if things.total > n and not things.notes:
        notes.append(f"{n:,} of {things.total:,}, drawn by chance (seed {seed})")
    near = nearest(rows, int(max(K, 3 * PERPLEXITY))) if n <= _EXACT else None
    planes = []
    for each in laid:
        try:
            flat = tsne(rows, near=near, seed=seed) if each == "tsne" else pca(rows)
        except (InputError, MissingExtra) as error:
            if method:
                raise
            notes.append(f"no t-SNE: {error.what}")
            continue
        planes.append(Plane(each, flat, neighbours_kept(rows, flat, seed=seed)))
    few = None if near is None else near[0][:, :K]
    return Map(things, rows, space, planes, few, made_by, made_of, seed, tuple(notes))


def _checked(vectors: Any, n: int) -> Any:
    if hasattr(vectors, "tocsr"):
        rows = vectors.tocsr()
        if not np.isfinite(rows.data).all():
            raise InvalidVectors("vectors hold NaN or infinite numbers", mend="look at the items, then encode them again")
    else:
        rows = as_vectors(vectors)
    if rows.shape[0] != n:
        raise DimensionMismatch(f"{rows.shape[0]} vectors of {n} things", mend="give one vector a thing")
    return rows


def _placed(things: Things, rows: Any, space: Space) -> tuple[Things, Any]:
    """Unit rows, and only things that have a direction, where the space looks at directions."""
    if space.similarity != "euclidean":
        lengths = np.sqrt(np.asarray((rows * rows).sum(axis=1), dtype=np.float64)).ravel()
        found = np.flatnonzero(lengths > 0)
        if len(found) < len(lengths):
            rows = rows[found]
            things = things.take(found.tolist(), f"{len(lengths) - len(found):,} left out: their vectors are zeros")
        if hasattr(rows, "tocsr"):
            from scipy.sparse import diags_array

            rows = (diags_array(1 / lengths[found]) @ rows).tocsr().astype(np.float32)
        else:
            rows = normalise(rows)
    if not len(things):
        raise EmptyInput("there is nothing to draw", mend="give things whose vectors are not zeros")
    return things, rows


# Written --------------------------------------------------------------------------------------------------------------


def write_csv(drawn: Map, path: str | Path) -> Path:
    """A line a thing: id, label, caption, its coordinates by each method, and its vector where the encoder is not sparse.

    Raises ArtifactError where it cannot be written.
    """
    things = drawn.things
    labels = things.labels or [""] * len(things)
    dense = None if hasattr(drawn.vectors, "tocsr") else drawn.vectors
    head = ["id", "label", "caption", *(f"{plane.method}_{axis}" for plane in drawn.planes for axis in "xy")]
    head += [f"v{column}" for column in range(0 if dense is None else dense.shape[1])]

    def lines() -> Iterator[list[Any]]:
        yield head
        for row, (name, label, caption) in enumerate(zip(things.ids, labels, things.captions, strict=True)):
            numbers = [str(value) for plane in drawn.planes for value in plane.coordinates[row]]
            yield [name, label, caption, *numbers, *(() if dense is None else map(str, dense[row]))]

    with _written(path) as file:
        csv.writer(file, lineterminator="\n").writerows(lines())
    return Path(path)


def write_html(drawn: Map, path: str | Path) -> Path:
    """Write `to_html`. Raises InputError for another ending than .html, ArtifactError where it cannot be written."""
    require_html(path)
    page = to_html(drawn)
    with _written(path) as file:
        file.write(page)
    return Path(path)


@contextmanager
def _written(path: str | Path) -> Iterator[TextIO]:
    """A file of text, in a folder that is made; raises ArtifactError where that cannot be."""
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", errors="replace", newline="") as stream:
            yield stream
    except OSError as error:
        raise ArtifactError(f"cannot write {file}: {error}", mend="choose a folder that you may write to") from error


def require_html(path: str | Path) -> None:
    """Raise InputError for another ending than .html or .htm."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path} is no name of a map", mend="let it end in .html")


def to_html(drawn: Map) -> str:
    """The page: one file, that works without a network."""
    script = resources.files("vicino.evaluation").joinpath("map.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    count = len(drawn.things)
    page = _template().render(
        data=_embedded(_page(drawn)),
        script=script,
        digest=digest,
        made_by=drawn.made_by,
        made_of=drawn.made_of,
        version=__version__,
        count=count,
        total=drawn.things.total,
        dim=drawn.vectors.shape[1],
        space=drawn.space,
        seed=drawn.seed,
        notes=drawn.notes,
        near=drawn.near is not None and drawn.near.shape[1] > 0,
        pictures=drawn.things.pictures is not None,
        labelled=bool(drawn.things.labels),
        planes=[
            {"method": plane.method, "name": METHODS[plane.method], "kept": plane.kept, "chance": drawn.by_chance}
            for plane in drawn.planes
        ],
        k=drawn.k,
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # half characters, which no file can hold


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    where = PackageLoader("vicino.evaluation", "")
    page = Environment(loader=where, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {
        "count": lambda number: f"{number:,}",
        "percent": lambda share: f"{share:.0%}" if share >= 0.1 else f"{share:.1%}",
        "pieces": lambda name: re.split(r"(?<=[+:/,(._-])", name),
    }
    return page.get_template("map.html.j2")


def _embedded(plain: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element whatever it holds: no `<`, no `&`."""
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _page(drawn: Map) -> dict[str, Any]:
    """What the script draws: labels by their frequency, coordinates as whole numbers from 0 to `_STEPS`."""
    things = drawn.things
    names = [name for name, _ in Counter(things.labels or ()).most_common()]
    place = {name: number for number, name in enumerate(names)}
    return {
        "ids": list(things.ids),
        "captions": [caption if caption != name else "" for name, caption in zip(things.ids, things.captions, strict=True)],
        "labels": names,
        "label": [place[label] for label in things.labels] if things.labels else None,
        "planes": {plane.method: _steps(plane.coordinates).ravel().tolist() for plane in drawn.planes},
        "near": None if drawn.near is None else drawn.near.ravel().tolist(),
        "k": 0 if drawn.near is None else drawn.near.shape[1],
        "sheets": [] if things.pictures is None else sheets(things.pictures),
        "side": 0 if things.pictures is None else things.pictures.shape[1],
        "across": ACROSS,
    }


def _steps(coordinates: Float32) -> NDArray[np.int64]:
    """Both axes on one scale, the middle in the middle, the second upwards."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    widest = float((high - low).max()) or 1.0
    shares = (coordinates - (low + high) / 2) / widest * [1, -1] + 0.5
    steps: NDArray[np.int64] = np.rint(shares * _STEPS).astype(np.int64)
    return steps
