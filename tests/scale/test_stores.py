"""Collections on real servers: moved from one kind of store to the next and back, and what happens when a server goes away."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino import store
from vicino.catalog import Entry
from vicino.data.filters import parse
from vicino.data.records import Document
from vicino.errors import ArtifactError, EndpointError, InputError, SpaceMismatch
from vicino.indexes.exact import Exact
from vicino.retrieval.indexing import decide, standing
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.maintenance import maintain
from vicino.retrieval.stored import Stored
from vicino.spaces import Space
from vicino.store import STORES, exchange, postgres_reading, retrying
from vicino.store.base import COLUMNS, Row
from vicino.store.collection import Collection
from vicino.store.postgres_reading import index_precision
from vicino.store.rows import vector_column

WORDS = ("wing", "lift", "drag", "tea", "water", "bread", "cello", "violin", "rain", "air")
SPACE = Space("0123456789abcdef", 8)


@pytest.fixture(scope="module")
def servers() -> Any:
    """tests/servers.py, where no import finds it."""
    spec = importlib.util.spec_from_file_location("servers", Path(__file__).parent.with_name("servers.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def postgresql(servers: Any, need: Callable[[Entry], None]) -> Iterator[Any]:
    need(STORES.entry("postgresql"))
    with servers.running("postgresql") as server:
        yield server


@pytest.fixture(scope="module")
def milvus(servers: Any, need: Callable[[Entry], None]) -> Iterator[Any]:
    need(STORES.entry("milvus"))
    with servers.running("milvus") as server:
        yield server


def documents(n: int) -> list[Document]:
    draw = np.random.default_rng(0)
    return [
        Document(f"d{at}", "\n\n".join(" ".join(draw.choice(WORDS, 60)) for _ in range(1 + at % 4)), "On it", {"year": 2000 + at})
        for at in range(n)
    ]


def rows(collection: Collection) -> dict[str, Any]:
    """Every row with the bits of its vector, by key."""
    found = {}
    (space,) = collection.store.spaces
    for batch in collection.store.scan([*COLUMNS, "metadata"], tenant=None, space=space):
        for row in batch.to_pylist():
            row["vector"] = np.array(row["vector"], dtype=np.float32).tobytes()
            found[row["key"]] = row
    return found


def passages(n: int, tenant: str = "us") -> list[Row]:
    keys = [f"{tenant}{at}" for at in range(n)]
    return [Row(key, tenant, "web", f"d{at}", 0, 0, 1, "", "x", key, "1", {"year": at}) for at, key in enumerate(keys)]


def test_a_collection_goes_round_all_stores_and_comes_back_to_the_bit(tmp_path: Path, postgresql: Any, milvus: Any) -> None:
    home, recipe = tmp_path / "home", "bm25+lsa(n_components=8)"
    for tenant, n in (("us", 40), ("them", 5)):
        ingest(home, "first", Source("web", documents(n)), recipe=recipe, cut="passage(max_characters=300)", tenant=tenant)
    first = Collection.open(home, "first")
    expected, asked = rows(first), Stored(first, tenant="us").search("wing and lift", 5)
    before = "first"
    for name, at in (("second", postgresql.url), ("third", milvus.url), ("fourth", None)):
        exchange.export(Collection.open(home, before), tmp_path / before)
        exchange.take_in(tmp_path / before, home, name, at=at)
        collection = Collection.open(home, name)
        assert rows(collection) == expected
        found = Stored(collection, tenant="us").search("wing and lift", 5)
        assert found.ids.tolist() == asked.ids.tolist()
        assert found.scores.tolist() == asked.scores.tolist()
        before = name
    for file in (tmp_path / "first" / "rows").iterdir():
        assert (tmp_path / "third" / "rows" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("kind", ["postgresql", "milvus"])
def test_a_collection_lives_on_a_server_as_it_does_here(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = request.getfixturevalue(kind).url
    home, options = tmp_path / "home", {"recipe": "bm25+lsa(n_components=8)", "cut": "passage(max_characters=300)"}
    here = ingest(home, "here", Source("web", documents(30)), **options)
    there = ingest(home, "there", Source("web", documents(30)), at=url, **options)
    assert (there.new, there.passages) == (here.new, here.passages)
    again = ingest(home, "there", Source("web", documents(29)), at=url)
    assert (again.unchanged, again.removed) == (29, 1)
    with pytest.raises(InputError, match="not at"):
        ingest(home, "there", Source("web", documents(30)), at="postgresql://elsewhere/db")
    other = ingest(home, "here", Source("web", documents(29)))
    assert other.total_passages == again.total_passages
    found = [Stored(Collection.open(home, name)).find("wing and lift", 5, where="year >= 2003") for name in ("here", "there")]
    assert [one.document for one in found[0]] == [one.document for one in found[1]]
    assert rows(Collection.open(home, "here")).keys() == rows(Collection.open(home, "there")).keys()


@pytest.mark.parametrize("kind", ["postgresql", "milvus"])
def test_a_server_that_went_away_is_named_and_comes_back(
    kind: str, servers: Any, need: Callable[[Entry], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need(STORES.entry(kind))
    monkeypatch.setattr(retrying, "PAUSES", [0.1, 0.2])
    monkeypatch.setattr("vicino.store.postgres_server.WAIT", 1.0)
    monkeypatch.setattr("vicino.store.milvus_server.ANSWER", 2.0)
    vectors = {SPACE.id: np.random.default_rng(0).standard_normal((9, 8)).astype(np.float32)}
    with servers.running(kind) as server:
        kept = store.create(servers.location(server.url), [SPACE], scheme=kind)
        kept.replace(passages(9), vectors, tenant="us")
        server.stop()
        for ask in (lambda: kept.count(tenant="us"), lambda: kept.replace(passages(9), vectors, tenant="us")):
            with pytest.raises(EndpointError, match="does not answer") as caught:
                ask()
            assert caught.value.mend
        server.start()
        monkeypatch.setattr(retrying, "PAUSES", [0.5] * 20)
        kept.refresh()
        assert kept.count(tenant="us") == 9
        kept.replace(passages(9)[:3], {SPACE.id: vectors[SPACE.id][:3]}, tenant="us")
        assert kept.count(tenant="us") == 9


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://me:secret@127.0.0.1/db", "password"),
        ("postgresql://127.0.0.1/db?password=secret", "password"),
        ("milvus://me:secret@127.0.0.1:19530", "password"),
        ("milvus://127.0.0.1", "no place"),
        ("milvus://127.0.0.1:19530?token=secret", "more than an address"),
        ("milvus://127.0.0.1:19530?secure=True", "more than an address"),
        ("postgresql://127.0.0.1/db?sslpassword=secret", "password"),
    ],
)
def test_an_address_holds_no_password(address: str, said: str, need: Callable[[Entry], None]) -> None:
    scheme = address.partition(":")[0]
    need(STORES.entry(scheme))
    with pytest.raises(InputError, match=said) as caught:
        store.create(f"{address}#docs", [SPACE], scheme=scheme)
    assert "secret" not in str(caught.value)


# PostgreSQL alone -------------------------------------------------------------------------------------------------------


def test_what_the_server_refuses_is_named(postgresql: Any, servers: Any, need: Callable[[Entry], None]) -> None:
    nowhere = postgresql.url.replace("/postgres?", "/nowhere?")
    with pytest.raises(ArtifactError, match="does not exist") as caught:
        store.create(f"{nowhere}#docs", [SPACE], scheme="postgresql")
    assert "createdb" in caught.value.mend
    with pytest.raises(InputError, match="16,000"):
        store.create(servers.location(postgresql.url), [Space("wide", 16_001)], scheme="postgresql")


@pytest.mark.parametrize("precision", ["float16", "float32"])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_the_index_in_the_database_finds_what_is_near(similarity: Any, precision: str, postgresql: Any, servers: Any) -> None:
    space = Space("s", 16, similarity)
    kept = store.create(servers.location(postgresql.url), [space], scheme="postgresql")
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((3000, 16)).astype(np.float32)
    kept.replace(passages(3000), {space.id: vectors}, tenant="us")
    kept.build_index(space, precision=precision)
    kept.replace(passages(3, "them"), {space.id: vectors[:3]}, tenant="them")
    queries = draw.standard_normal((20, 16)).astype(np.float32)
    exact = kept.search(queries, 10, space=space, tenant="us")
    assert (
        exact.ids.tolist()
        == Exact(similarity=similarity).build(vectors, [f"us{n}" for n in range(3000)]).search(queries, 10).ids.tolist()
    )
    near = kept.search(queries, 10, space=space, tenant="us", effort=0)
    shared = [len(set(one) & set(other)) for one, other in zip(near.ids, exact.ids, strict=True)]
    assert sum(shared) >= 180
    rare = parse("year in (7, 77, 777, 1777, 2777)")  # the index has too few of them near: all five are found all the same
    few = kept.search(queries, 5, space=space, where=rare, tenant="us", effort=0)
    assert all(set(ids) == {"us7", "us77", "us777", "us1777", "us2777"} for ids in few.ids)
    wide = Space("wide", 4_001)
    kept.add_space(wide)
    with pytest.raises(InputError, match="dimensions"):
        kept.build_index(wide)
    with pytest.raises(SpaceMismatch):
        kept.build_index(Space("other", 16))


def test_a_recall_is_chosen_for_the_index_in_the_database(
    tmp_path: Path, postgresql: Any, servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(200)])
    texts = [Document(f"d{number}", " ".join(draw.choice(words, 30))) for number in range(2500)]
    recipe, at = "lsa(n_components=64,index=store)", servers.location(postgresql.url)
    ingest(tmp_path, "there", Source("web", texts), recipe=recipe, cut="whole", at=at)
    there = Collection.open(tmp_path, "there")
    maintain(there)
    (found,) = standing(there)
    assert (found.plan, found.under) == (None, False)
    assert (found.kept[0]["recall"]["asked"], found.kept[0]["recall"]["rows"]) == ("500 vectors of its own", 2500)
    (decision,) = decide(there, recall=0.99)
    effort = decision.choice.plan.effort
    assert effort >= 40
    assert decision.choice.finals[0].nbytes > 100_000
    (found,) = standing(there)
    assert found.kept[0]["recall"]["lower"] >= 0.99
    (space,) = there.spaces
    looked, compare = [], postgres_reading._compare

    def looking(connection: Any, *given: Any) -> Any:
        looked.append(postgres_reading.scalar(connection, "SHOW hnsw.ef_search"))
        return compare(connection, *given)

    monkeypatch.setattr(postgres_reading, "_compare", looking)
    query = draw.standard_normal((1, 64)).astype(np.float32)
    for asked, looks in ((0, 44), (320, 320), (5000, 1000)):
        there.store.search(query, 11, space=space, tenant="", effort=asked)
        assert looked.pop() == str(looks)
    Stored(there).search(["word7 word9"], 10)
    assert looked[-1] == str(effort)


def test_one_process_builds_the_index_in_the_database(postgresql: Any, servers: Any) -> None:
    import psycopg

    kept = store.create(servers.location(postgresql.url), [SPACE], scheme="postgresql")
    kept.replace(passages(9), {SPACE.id: np.eye(9, 8, dtype=np.float32)}, tenant="us")
    with psycopg.connect(postgresql.url, autocommit=True) as other:
        name = f"{kept._place.schema}.near_{vector_column(SPACE)}"
        other.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        assert kept.prepare(SPACE) is False
        assert kept.prepared(SPACE, 10) is None
        other.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])
    assert kept.prepare(SPACE) is True
    assert (kept.prepared(SPACE, 10).nbytes > 0, kept.prepared(SPACE, 100).least) == (True, 400)
    assert kept.prepare(SPACE) is False
    assert postgres_reading.build_index(kept._place, SPACE, "float16", anew=False) is False  # who came a moment late


# Milvus alone -----------------------------------------------------------------------------------------------------------


def test_what_a_killed_writer_left_is_never_seen(milvus: Any, servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from vicino.store import milvus as room
    from vicino.store import milvus_upkeep

    kept = store.create(servers.location(milvus.url), [SPACE], scheme="milvus")
    vectors = {SPACE.id: np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)}
    kept.replace(passages(6), vectors, tenant="us")

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    for place in ("bury", "commit"):  # all new rows are there; the old ones are marked as well
        with monkeypatch.context() as patch:
            patch.setattr(room, place, dies)
            with pytest.raises(KeyboardInterrupt):
                kept.replace(passages(6), vectors, tenant="us")
        reader = store.open(str(kept._place), scheme="milvus")
        assert reader.count(tenant="us") == 6
        assert reader.search(vectors[SPACE.id], 9, space=SPACE, tenant="us").ids.shape == (6, 6)
    kept.replace(passages(2), {SPACE.id: vectors[SPACE.id][:2]}, tenant="us")  # and after the next commit neither
    assert kept.count(tenant="us") == 6
    assert kept.search(vectors[SPACE.id], 9, space=SPACE, tenant="us").ids.shape == (6, 6)
    monkeypatch.setattr(milvus_upkeep, "LATE", -1.0)
    kept.maintain(keep_seconds=0)
    assert kept._view.void == ()
    assert kept.count(tenant="us") == kept._place.count("rows", "born > 0") == 6
    assert kept.search(vectors[SPACE.id], 9, space=SPACE, tenant="us").ids.shape == (6, 6)


def test_upkeep_leaves_what_a_writer_does_meanwhile() -> None:
    from vicino.store.milvus_upkeep import _shown

    kept = np.array([3, 7])
    assert not _shown({"born": 4, "died": 6}, kept, ())
    assert _shown({"born": 4, "died": 8}, kept, ())
    assert _shown({"born": 8, "died": 9}, kept, ())  # 8 was committed after `kept` was read; 9 may never be
    assert _shown({"born": 4, "died": 6}, kept, (6,))


def test_a_text_that_milvus_cannot_keep_is_named(milvus: Any, servers: Any) -> None:
    from dataclasses import replace

    kept = store.create(servers.location(milvus.url), [], scheme="milvus")
    with pytest.raises(InputError, match="65,535"):
        kept.replace([replace(passages(1)[0], text="x" * 70_000)], {}, tenant="us")
    assert kept.count(tenant="us") == 0


@pytest.mark.parametrize("kind", ["postgresql", "milvus"])
def test_vectors_are_searched_where_they_are(
    tmp_path: Path, servers: Any, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is searched on the server answers as what is searched here, filters, tenants and changes included."""
    server, questions = request.getfixturevalue(kind), ["wing and lift", "black tea", "a cello in the rain"]
    for name, index, at in (("here", "", None), ("there", ",index=store", servers.location(server.url))):
        for tenant, n in (("us", 60), ("them", 10)):
            source, recipe = Source("web", documents(n)), f"lsa(n_components=6{index})"
            ingest(tmp_path, name, source, recipe=recipe, cut="passage(max_characters=300)", tenant=tenant, at=at)

    def same(**options: Any) -> None:
        for tenant in ("us", "them"):
            kept = [Stored(Collection.open(tmp_path, name), tenant=tenant) for name in ("here", "there")]
            here, there = (one.search(questions, 10, **options) for one in kept)
            np.testing.assert_allclose(here.scores, there.scores, atol=1e-4)
            for row in range(len(questions)):  # what scores the same to the bit here may not there
                scores = dict(here.top(row))
                assert all(abs(scores.get(name, here.scores[row, -1]) - score) < 1e-4 for name, score in there.top(row))

    def read(*_: Any) -> Any:
        raise AssertionError("vectors were read")

    same()
    same(where="year < 2005")
    monkeypatch.setattr("vicino.retrieval.stored_passages._NAMED", 3)  # a filter that leaves many
    same(where="year > 2003")
    for name in ("here", "there"):
        ingest(tmp_path, name, Source("web", documents(50)), tenant="us", prune=True)
    same()
    there = Collection.open(tmp_path, "there")
    (space,) = there.spaces
    maintain(there)
    assert there.store.prepare(space) is False  # what there is to build, maintenance has built
    with monkeypatch.context() as patch:
        patch.setattr("vicino.retrieval.stored_passages.StoredPassages.vectors", read)
        asked = Stored(Collection.open(tmp_path, "there"), tenant="us")
        assert "in the store" in asked.search(questions, 10).how
    same()
    if kind == "postgresql":
        assert there.store._read(lambda connection: index_precision(connection, there.store._place, space)) == "float16"
