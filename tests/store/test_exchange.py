"""Export and import: a collection comes back as it was, and what is damaged, foreign or cut off is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from vicino import artifacts
from vicino.data.records import Document
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError, SpaceMismatch, UnknownName
from vicino.retrieval.ingest import Source, ingest
from vicino.store import exchange, exchange_rows, lineage
from vicino.store.base import COLUMNS
from vicino.store.collection import Collection

WORDS = ("wing", "lift", "drag", "tea", "water", "bread", "cello", "violin", "rain", "air")


def documents(n: int, *, seed: int = 0) -> list[Document]:
    """Documents of a few passages each, with metadata."""
    draw = np.random.default_rng(seed)
    return [
        Document(
            f"d{at}",
            "\n\n".join(" ".join(draw.choice(WORDS, 60)) for _ in range(1 + at % 4)),
            f"On {WORDS[at % 10]}",
            {"year": 2000 + at, "tags": [WORDS[at % 7]], "odd": {"x": [None, 0.1, "\x00"]}},
        )
        for at in range(n)
    ]


def made(home: Path, name: str = "docs", *, recipe: str = "bm25+lsa(n_components=8)", n: int = 30, seed: int = 0) -> Collection:
    for tenant, part in (("us", documents(n, seed=seed)), ("them", documents(5, seed=seed + 1))):
        ingest(home, name, Source("web", part), recipe=recipe, cut="passage(max_characters=300)", tenant=tenant)
    return Collection.open(home, name)


def rows(collection: Collection, tenant: str | None = None) -> dict[str, Any]:
    """Every row with the bits of its vectors, by key."""
    found: dict[str, Any] = {}
    kept = collection.store
    for space in [*kept.spaces] or [None]:
        for batch in kept.scan([*COLUMNS, "metadata"], tenant=tenant, space=space):
            for row in batch.to_pylist():
                vector = np.array(row.pop("vector", []), dtype=np.float32).tobytes()
                found.setdefault(row["key"], [row]).append(vector)
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def collection(home: Path) -> Collection:
    return made(home)


@pytest.fixture
def exported(collection: Collection, tmp_path: Path) -> Path:
    exchange.export(collection, tmp_path / "out")
    return tmp_path / "out"


def test_a_collection_comes_back_as_it_was(collection: Collection, exported: Path, tmp_path: Path) -> None:
    moved = exchange.take_in(exported, tmp_path / "home", "copy")
    copy = Collection.open(tmp_path / "home", "copy")
    assert rows(copy) == rows(collection)
    assert (moved.passages, moved.documents) == (len(rows(collection)), 35)
    assert (copy.recipe, copy.cut, copy.spaces) == (collection.recipe, collection.cut, collection.spaces)
    assert copy.about.data["canaries"] == collection.about.data["canaries"]
    texts = ["wing and lift", "tea"]
    assert copy.encoder(0).encode(texts).tobytes() == collection.encoder(0).encode(texts).tobytes()
    assert (copy.folder / "lineage.jsonl").read_bytes() == (collection.folder / "lineage.jsonl").read_bytes()
    exchange.export(copy, tmp_path / "again")
    for file in sorted((exported / "rows").iterdir()):
        assert (tmp_path / "again" / "rows" / file.name).read_bytes() == file.read_bytes()


def test_many_heaps_and_files_make_no_difference(collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_rows, "ROWS", 7)
    monkeypatch.setattr(exchange_rows, "COMMIT", 5)
    exchange.export(collection, tmp_path / "out")
    assert len(list((tmp_path / "out" / "rows").iterdir())) > 5
    exchange.take_in(tmp_path / "out", tmp_path / "home", "copy")
    assert rows(Collection.open(tmp_path / "home", "copy")) == rows(collection)


def test_several_spaces_and_none_are_moved(tmp_path: Path) -> None:
    for at, recipe in enumerate(("bm25", "lsa(n_components=4)+lsa(n_components=8)")):
        kept = made(tmp_path / f"home{at}", recipe=recipe, n=10)
        assert len(kept.store.spaces) == 2 * at
        exchange.export(kept, tmp_path / f"out{at}")
        exchange.take_in(tmp_path / f"out{at}", tmp_path / "home", f"copy{at}")
        assert rows(Collection.open(tmp_path / "home", f"copy{at}")) == rows(kept)


def test_a_tenant_s_export_holds_nothing_of_another(collection: Collection, tmp_path: Path) -> None:
    exchange.export(collection, tmp_path / "out", tenant="them")
    exchange.take_in(tmp_path / "out", tmp_path / "home", "theirs")
    theirs = Collection.open(tmp_path / "home", "theirs")
    assert rows(theirs) == rows(collection, "them")
    own = {row[0]["title"] + " " + row[0]["text"] for row in rows(collection, "them").values()}
    assert len(theirs.about.data["canaries"]) == 3
    assert all(any(canary.split() == text.split() for text in own) for canary in theirs.about.data["canaries"])
    theirs.encoder(0)  # whose canaries are checked
    lines = [json.loads(line) for line in (tmp_path / "out" / "lineage.jsonl").read_text().splitlines()]
    assert {line["tenant"] for line in lines} == {"them"}


def test_rows_as_one_parquet_file_for_other_tools(collection: Collection, tmp_path: Path) -> None:
    moved = exchange.export_table(collection, tmp_path / "rows.parquet", tenant="us")
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table.num_rows == moved.passages == collection.store.count(tenant="us")
    about = json.loads(table.schema.metadata[b"vicino"])
    assert about["spaces"] == [space.to_json() for space in collection.store.spaces]
    assert table["vector"].type.list_size == collection.spaces[0].dim
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


# Into a collection that is there ----------------------------------------------------------------------------------------


def test_into_the_same_space_documents_are_added(home: Path, collection: Collection, exported: Path) -> None:
    before = rows(collection)
    collection.store.refresh()
    exchange.take_in(exported, home, "docs")
    collection.store.refresh()
    assert rows(collection) == before


def test_what_is_added_is_told_with_who_embedded_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    exchange.export(made(home, "ours"), tmp_path / "out")
    exchange.take_in(tmp_path / "out", home, "theirs")
    more = [Document(f"more {at}", f"{one.title} {one.text}") for at, one in enumerate(documents(6, seed=9))]
    ingest(home, "theirs", Source("files", more), tenant="us")
    theirs, ours = (Collection.open(home, name) for name in ("theirs", "ours"))
    exchange.export(theirs, tmp_path / "out", tenant="us")
    before = list(lineage.read(ours.folder))
    for _ in range(2):  # the second time all of theirs is known but the import
        exchange.take_in(tmp_path / "out", home, "ours")
    lines = list(lineage.read(ours.folder))
    own = [line for line in lines if line.action != "import"]
    assert [line.stamp for line in own] == [line.stamp for line in before] + [list(lineage.read(theirs.folder))[-1].stamp]
    imports = [line for line in lines if line.action == "import"]
    ours.store.refresh()
    assert {(line.tenant, line.note, line.source) for line in imports} == {("us", f"from {tmp_path / 'out'}", "")}
    assert imports[-1].version == ours.store.version
    assert sum(line.rows for line in imports) == 2 * ours.store.count(tenant="us")
    (space,) = ours.spaces
    taken = lineage.last_of(lines, rows(ours, "us"))
    assert {line[space.id].action for line in taken.values()} == {"import"}
    assert all(not line.keys for line in own if line.stamp not in {line.stamp for line in before})  # an import says them itself
    assert {line[space.id].action for line in lineage.last_of(lines, rows(ours, "them")).values()} == {"ingest"}


def test_another_space_is_refused(exported: Path, tmp_path: Path) -> None:
    other = made(tmp_path / "home", "other", recipe="lsa(n_components=4)", n=10)
    before = rows(other)
    with pytest.raises(SpaceMismatch, match="other"):
        exchange.take_in(exported, tmp_path / "home", "other")
    assert rows(other) == before


def test_names_and_addresses_that_cannot_be(exported: Path, tmp_path: Path, home: Path, collection: Collection) -> None:
    with pytest.raises(InputError, match="no name"):
        exchange.take_in(exported, tmp_path / "home", "../up")
    with pytest.raises(UnknownName, match="mysql"):
        exchange.take_in(exported, tmp_path / "home", "a", at="mysql://x")
    with pytest.raises(InputError, match="already"):
        exchange.take_in(exported, home, "docs", at="postgresql://x/y")
    assert Collection.names(tmp_path / "home") == []


# What went wrong --------------------------------------------------------------------------------------------------------


def _cut_a_file(folder: Path) -> None:
    file = next((folder / "rows").iterdir())
    file.write_bytes(file.read_bytes()[:-9])


def _flip_a_bit(folder: Path) -> None:
    file = next((folder / "rows").iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def _edit(folder: Path, old: str, new: str) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(old, new))


@pytest.mark.parametrize(
    "harm",
    [
        _cut_a_file,
        _flip_a_bit,
        lambda folder: next((folder / "rows").iterdir()).unlink(),
        lambda folder: (folder / "lineage.jsonl").write_text("more"),
        lambda folder: (folder / "about" / "manifest.json").write_text("{}"),
        lambda folder: (folder / "about" / "arrays.safetensors").write_bytes(b"none"),
        lambda folder: (folder / "manifest.json").write_text("no JSON"),
        lambda folder: _edit(folder, "part-000000.parquet", "../../up.parquet"),
    ],
)
def test_what_is_damaged_is_refused_and_nothing_is_made(harm: Any, exported: Path, tmp_path: Path) -> None:
    harm(exported)
    with pytest.raises(ArtifactCorrupt) as caught:
        exchange.take_in(exported, tmp_path / "home", "copy")
    assert caught.value.mend
    assert Collection.names(tmp_path / "home") == []


def test_a_name_that_leads_out_is_refused_even_where_all_digests_are_right(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for name in ("../up.parquet", "part-1.parquet", "/etc/passwd", ""):
        with pytest.raises(ArtifactCorrupt, match="no name"):
            exchange_rows.check_files(tmp_path / "rows", [{"name": name, "rows": 0, "documents": 0, "bytes": 0, "sha256": ""}])


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [("metadata", "[1]", "names nothing"), ("metadata", "{", "JSON"), ("text", None, "lacks values")],
)
def test_hostile_rows_are_refused(column: str, values: Any, said: str, exported: Path, collection: Collection) -> None:
    import pyarrow as pa

    path = next((exported / "rows").iterdir())
    table = pq.read_table(path, partitioning=None)
    at = table.schema.get_field_index(column)
    table = table.set_column(at, table.schema.field(at), pa.array([values] * table.num_rows, table.schema.field(at).type))
    pq.write_table(table, path)
    with pytest.raises(ArtifactCorrupt, match=said):
        list(exchange_rows.read_file(path, collection.store.spaces, table.num_rows))
    with pytest.raises(ArtifactCorrupt, match="columns"):
        list(exchange_rows.read_file(path, [], table.num_rows))
    with pytest.raises(ArtifactCorrupt, match="1 were written"):
        list(exchange_rows.read_file(path, collection.store.spaces, 1))


def test_text_that_is_none_is_refused(exported: Path, collection: Collection) -> None:
    import pyarrow as pa

    path = next((exported / "rows").iterdir())
    table = pq.read_table(path, partitioning=None)
    at, n = table.schema.get_field_index("title"), table.num_rows
    offsets = pa.py_buffer(np.arange(n + 1, dtype=np.int32).tobytes())
    titles = pa.Array.from_buffers(pa.string(), n, [None, offsets, pa.py_buffer(b"\xff" * n)])
    pq.write_table(table.set_column(at, table.schema.field(at), titles), path)
    with pytest.raises(ArtifactCorrupt, match="cannot be read"):
        list(exchange_rows.read_file(path, collection.store.spaces, n))


@pytest.mark.parametrize(("field", "value"), [("documents", None), ("rows", None), ("rows", "many"), ("bytes", -1), ("rows", 1)])
def test_a_forged_manifest_is_refused(field: str, value: Any, exported: Path, tmp_path: Path) -> None:
    plain = json.loads((exported / "manifest.json").read_text())
    del plain["sha256"]
    for file in plain["data"]["files"]:
        file[field] = value
    (exported / "manifest.json").write_text(json.dumps({**plain, "sha256": artifacts._digest(plain)}))
    with pytest.raises(ArtifactCorrupt):
        exchange.take_in(exported, tmp_path / "home", "copy")
    assert Collection.names(tmp_path / "home") == []


def test_a_link_in_an_export_is_not_followed(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (exported / "about" / "model-9").symlink_to(tmp_path / "private")
    with pytest.raises(ArtifactCorrupt, match="leads elsewhere"):
        exchange.take_in(exported, tmp_path / "home", "copy")


def test_a_folder_that_is_no_export_is_named(tmp_path: Path, collection: Collection) -> None:
    with pytest.raises(ArtifactError):
        exchange.take_in(tmp_path / "none", tmp_path / "home", "copy")
    with pytest.raises(ArtifactError, match="collection"):
        exchange.take_in(collection.folder / "about", tmp_path / "home", "copy")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(ArtifactError):
        exchange.export(collection, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter").read_text() == "dear"


def test_an_import_that_was_killed_goes_on(collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_rows, "ROWS", 9)
    exchange.export(collection, tmp_path / "out")
    real, read = exchange_rows.read_file, list[str]()

    def breaks(path: Path, spaces: Any, count: int) -> Any:
        if len(read) == 3:
            raise KeyboardInterrupt
        read.append(path.name)
        return real(path, spaces, count)

    monkeypatch.setattr(exchange, "read_file", breaks)
    with pytest.raises(KeyboardInterrupt):
        exchange.take_in(tmp_path / "out", tmp_path / "home", "copy")
    assert Collection.names(tmp_path / "home") == []
    first, read[:] = list(read), []
    monkeypatch.setattr(exchange, "read_file", lambda path, *how: (read.append(path.name), real(path, *how))[1])
    exchange.take_in(tmp_path / "out", tmp_path / "home", "copy")
    assert not set(first) & set(read)
    assert rows(Collection.open(tmp_path / "home", "copy")) == rows(collection)
    assert not (tmp_path / "home" / ".importing" / "copy").exists()


def test_one_process_at_a_time_imports_under_a_name(exported: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".importing").mkdir(parents=True)
    with artifacts.locked(home / ".importing" / ".copy.lock"), pytest.raises(ArtifactError, match="another process"):
        exchange.take_in(exported, home, "copy")
    exchange.take_in(exported, home, "copy")


def test_how_far_an_import_came_is_forgotten_with_the_collection(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    exchange.take_in(exported, home, "copy")
    monkeypatch.setattr(exchange, "_moved", lambda *_: pytest.fail("it was stopped before"))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        exchange.take_in(exported, home, "copy")  # when all files are noted
    monkeypatch.undo()
    assert list((home / "copy").glob(".importing-*"))
    assert not list((home / ".importing").glob("copy/*"))


def test_an_import_knows_no_way_back_and_hides_what_is_under_way(collection: Collection, tmp_path: Path) -> None:
    from vicino.store.succession import before

    shutil.copytree(collection.folder.parent, tmp_path / "there")
    there = Collection.open(tmp_path / "there", "docs")
    artifacts.write(
        there.folder / "about",
        kind="collection",
        data={**there.about.data, "before": "about"},
        arrays=there.about.arrays,
        parts=exchange._parts(collection.folder / "about"),
    )
    exchange.export(Collection.open(tmp_path / "there", "docs"), tmp_path / "out")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exchange, "_appear", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            exchange.take_in(tmp_path / "out", tmp_path / "home", "about")
    assert Collection.names(tmp_path / "home") == []
    exchange.take_in(tmp_path / "out", tmp_path / "home", "about")
    assert before(Collection.open(tmp_path / "home", "about")) is None
