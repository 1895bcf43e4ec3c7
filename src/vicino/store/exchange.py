"""Export and import: a whole collection as a folder, and a collection from it, in any kind of store, with its identity.

The folder is an artefact: `about/` (recipe, models, spaces and canaries, as the collection had them), `rows/` (Parquet files),
`lineage.jsonl`. An import is made aside and appears when it is whole; one that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from vicino import artifacts, progress, store
from vicino.data.records import Document
from vicino.errors import ArtifactCorrupt, ArtifactError, ArtifactTooNew, EmptyInput, InputError, SpaceMismatch
from vicino.spaces import Space
from vicino.store import lineage
from vicino.store.base import Row
from vicino.store.collection import Collection, require_name, rows_of, vouch, vouched
from vicino.store.exchange_rows import check_files, read_file, write_files

__all__ = ["Moved", "export", "export_table", "take_in"]

KIND: Final = "export"
FORMAT: Final = 1
CANARIES: Final = 3


@dataclass(frozen=True)
class Moved:
    """What an export wrote, or an import took in."""

    collection: str
    path: str
    documents: int
    passages: int
    spaces: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


# Out ------------------------------------------------------------------------------------------------------------------


def export(collection: Collection, path: Path, *, tenant: str | None = None) -> Moved:
    """A collection as a folder, whole or not at all: documents and their vectors, models, spaces, canaries, lineage.

    With a `tenant`, only what is its own, and canaries of its own texts; a model that was taught here goes along, and knows the
    words of all who taught it. A change of the model that is under way stays behind. Raises ArtifactError (a full disk, a
    folder that is something else), and what reading the store raises.
    """
    kept = collection.store.at(collection.store.version)
    about = collection.about
    files: list[dict[str, Any]] = []
    data: dict[str, Any] = {
        "version": FORMAT,
        "collection": collection.name,
        "tenant": tenant,
        "spaces": [space.to_json() for space in kept.spaces],
        "files": files,
    }

    def rows(folder: Path) -> None:
        files.extend(write_files(kept, folder, tenant=tenant))

    def history(file: Path) -> None:
        data["lineage"] = _copy_lineage(collection.folder, file, tenant)

    own = partial(_about_of, collection, tenant) if tenant is not None else partial(shutil.copytree, about.path)
    artifacts.write(path, kind=KIND, data=data, parts={"about": own, "rows": rows, lineage.FILE: history})
    return _moved(collection.name, path, data)


def _about_of(collection: Collection, tenant: str, folder: Path) -> None:
    """The collection's `about`, with canaries of one tenant's texts only."""
    texts: list[str] = []
    for batch in collection.store.scan(["title", "text"], tenant=tenant):
        texts += [Document("", row["text"], row["title"]).content for row in batch.slice(0, CANARIES).to_pylist()]
        if len(texts) >= CANARIES:
            break
    about, texts = collection.about, texts[:CANARIES]
    arrays = {name: array for name, array in about.arrays.items() if "canaries-" not in name}
    for name in about.arrays:
        if name.startswith("canaries-"):
            number = int(name.rpartition("-")[2])
            arrays[name] = rows_of(collection.encoder(number).encode_document(texts))
    artifacts.write(folder, kind="collection", data={**about.data, "canaries": texts}, arrays=arrays, parts=_parts(about.path))


def _parts(about: Path) -> dict[str, Any]:
    """The models that are saved in it, to be copied."""
    return {part.name: partial(shutil.copytree, part) for part in sorted(about.iterdir()) if part.is_dir()}


def _copy_lineage(folder: Path, file: Path, tenant: str | None) -> dict[str, Any]:
    there = folder / lineage.FILE
    lines = there.read_bytes().splitlines(keepends=True) if there.is_file() else []
    if tenant is not None:
        own = {line.stamp for line in lineage.read(folder, tenant=tenant)}
        lines = [line for line in lines if _stamp(line) in own]
    file.write_bytes(b"".join(lines))
    return {"bytes": file.stat().st_size, "sha256": artifacts.file_digest(file)}


def _stamp(line: bytes) -> str:
    try:
        return str(json.loads(line)["stamp"])
    except (ValueError, KeyError, TypeError):
        return ""


def export_table(collection: Collection, path: Path, *, tenant: str | None = None) -> Moved:
    """The rows and their vectors as one Parquet file, for other tools: no models, so it cannot be taken in again.

    Columns are those of a row, the metadata as JSON, and `vector` (`vector_0`, `vector_1`, ... where there are several spaces);
    what the spaces are stands in the schema's metadata under "vicino". Raises as `export`.
    """
    kept = collection.store.at(collection.store.version)
    spaces = [space.to_json() for space in kept.spaces]
    about = json.dumps({"collection": collection.name, "spaces": spaces}).encode()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            files = write_files(kept, Path(folder) / "rows", tenant=tenant)
            if not files:
                raise EmptyInput(f"there is nothing to export in {collection.name!r}", mend="ingest something first")
            made = Path(folder) / path.name
            _join([Path(folder) / "rows" / file["name"] for file in files], made, about)
            os.replace(made, path)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error}", mend="free some space, or choose another folder") from error
    return _moved(collection.name, path, {"files": files, "spaces": spaces})


def _join(parts: Sequence[Path], path: Path, about: bytes) -> None:
    """One Parquet file of many."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(parts[0]).with_metadata({"vicino": about})
    if "vector_1" not in schema.names and "vector_0" in schema.names:
        schema = schema.set(len(schema) - 1, schema.field("vector_0").with_name("vector"))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, partitioning=None).rename_columns(schema.names).cast(schema))


def _moved(name: str, path: Path, data: Mapping[str, Any]) -> Moved:
    documents, rows = (sum(file[what] for file in data["files"]) for what in ("documents", "rows"))
    return Moved(name, str(path), documents, rows, [space["id"] for space in data["spaces"]])


# In -------------------------------------------------------------------------------------------------------------------


def take_in(folder: Path, home: Path, name: str, *, at: str | None = None) -> Moved:
    """The collection that `export` wrote, under a name, its rows `at` a server's address if there is one.

    Where the collection is there already, its documents are added, and take the place of those of their ids; its vectors must be
    of the same spaces. Raises SpaceMismatch then, ArtifactError, ArtifactCorrupt or ArtifactTooNew for a folder that is no
    export, is damaged or cut off, InputError, and what the store raises: no collection is left half made.
    """
    exported, about, spaces = _opened(folder)
    require_name(name)
    with _alone(home / ".importing", name):
        return _take_in(folder, home, name, at, (exported, about, spaces))


def _take_in(
    folder: Path, home: Path, name: str, at: str | None, opened: tuple[artifacts.Artifact, artifacts.Artifact, list[Space]]
) -> Moved:
    exported, about, spaces = opened
    if name in Collection.names(home):
        if at is not None:
            raise InputError(f"there is a collection {name!r} already", mend="leave out --store, or choose another name")
        collection = Collection.open(home, name)
        if set(spaces) != set(collection.store.spaces):
            raise SpaceMismatch(
                f"{folder} holds vectors of {_listed(spaces)}, and the collection {name!r} of {_listed(collection.store.spaces)}",
                mend="import it under another name",
            )
        done = collection.folder / f".importing-{_digest(folder)}"  # which goes with the collection
        lineage.adopt(collection.folder, folder)
        _fill(collection, folder, exported, spaces, done, told=True)
        done.unlink()
    else:
        aside = home / ".importing" / name / _digest(folder)
        collection = _beside(aside, name, about, spaces, at)
        _fill(collection, folder, exported, spaces, aside / ".done", told=False)
        if (folder / lineage.FILE).stat().st_size:
            shutil.copyfile(folder / lineage.FILE, collection.folder / lineage.FILE)
        _appear(aside / name, home / name, trusted=vouched(about.path, home))
    shutil.rmtree(home / ".importing" / name, ignore_errors=True)
    return _moved(name, folder, exported.data)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """One process at a time imports under a name. Raises ArtifactError where another does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with artifacts.locked(folder / f".{name}.lock", wait=False) as mine:
            if not mine:
                raise ArtifactError(f"another process is importing {name!r}", mend="wait for it, or stop it: its work is kept")
            yield
    except OSError as error:
        raise ArtifactError(f"cannot write {folder}: {error}", mend="free some space, or set VICINO_HOME elsewhere") from error


def _opened(folder: Path) -> tuple[artifacts.Artifact, artifacts.Artifact, list[Space]]:
    """An export, its about, and its spaces, all checked but for what the rows say."""
    exported = artifacts.read(folder, kind=KIND)
    about = artifacts.read(folder / "about", kind="collection")
    try:
        if exported.data["version"] > FORMAT:
            raise ArtifactTooNew(f"{folder} was exported by a newer vicino", mend="pip install --upgrade vicino")
        spaces = [Space.from_json(plain) for plain in exported.data["spaces"]]
        models = {Space.from_json(model["space"]) for model in about.data["models"] if not model["sparse"]}
        if set(spaces) != models:
            raise _corrupt(folder, "its vectors are not those of its models")
        check_files(folder / "rows", exported.data["files"])
        link = next((path for path in folder.rglob("*") if path.is_symlink()), None)
        if link is not None:
            raise _corrupt(folder, f"{link.relative_to(folder)} leads elsewhere")
        file, promised = folder / lineage.FILE, exported.data["lineage"]
        if not file.is_file() or artifacts.file_digest(file) != promised["sha256"]:
            raise _corrupt(folder, f"{lineage.FILE} is not what was written")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _corrupt(folder, f"it lacks its fields ({error!r})") from error
    return exported, about, spaces


def _beside(aside: Path, name: str, about: artifacts.Artifact, spaces: Sequence[Space], at: str | None) -> Collection:
    """An empty collection in a place where nobody looks for one; or what a killed import left of it, if it is for this store."""
    folder = aside / name
    if (folder / "about").is_dir():
        there = artifacts.read(folder / "about").data
        if there.get("location", "").partition("#")[0] == (at or "").partition("#")[0]:
            return Collection.open(aside, name)
    shutil.rmtree(aside, ignore_errors=True)
    folder.mkdir(parents=True)
    place = {"scheme": "lance"} if at is None else store.place(at, name)
    store.create(place.get("location", folder / "rows"), spaces, scheme=place["scheme"])
    data = {key: value for key, value in about.data.items() if key not in ("scheme", "location", "before")} | place
    artifacts.write(folder / "about", kind="collection", data=data, arrays=about.arrays, parts=_parts(about.path))
    return Collection.open(aside, name)


def _fill(
    collection: Collection, folder: Path, exported: artifacts.Artifact, spaces: Sequence[Space], done: Path, *, told: bool
) -> None:
    """Write the rows, file by file; those that a killed import wrote, and noted in `done`, are passed over. Where it is `told`,
    each commit has its line of lineage."""
    before = set(done.read_text(encoding="utf-8").split()) if done.is_file() else set()
    total = sum(file["rows"] for file in exported.data["files"])
    with progress.task("Importing", total=total, unit="rows") as bar, done.open("a", encoding="utf-8") as written:
        for file in exported.data["files"]:
            if file["name"] not in before:
                for tenant, rows, vectors in read_file(folder / "rows" / file["name"], spaces, file["rows"]):
                    version = collection.store.replace(rows, vectors, tenant=tenant)
                    if told:
                        _tell(collection, tenant, rows, version, folder)
                written.write(f"{file['name']}\n")
                written.flush()
            bar.advance(file["rows"])


def _tell(collection: Collection, tenant: str, rows: Sequence[Row], version: int, folder: Path) -> None:
    """A line of lineage: what an import brought, or put in the place of something else."""
    lineage.append(
        collection.folder,
        "import",
        model=lineage.told(collection),
        version=version,
        tenant=tenant,
        keys=[row.key for row in rows],
        documents=len({row.document for row in rows}),
        note=f"from {folder}",
    )


def _appear(made: Path, target: Path, *, trusted: bool) -> None:
    """Give a whole collection its name. Raises ArtifactError where it was taken meanwhile."""
    try:
        if target.is_dir():
            (target / ".making").unlink(missing_ok=True)  # what opening or making one of this name may have left
            target.rmdir()
        made.rename(target)
    except OSError as error:
        raise ArtifactError(f"cannot make {target}: {error}", mend="choose another name, or move what is there") from error
    if trusted:
        vouch(target / "about")


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / artifacts.MANIFEST).read_bytes()).hexdigest()[:16]


def _listed(spaces: Sequence[Space]) -> str:
    return "; ".join(map(str, spaces)) or "no space"


def _corrupt(folder: Path, why: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{folder} is damaged: {why}", mend="export it again, or restore it from a copy")
