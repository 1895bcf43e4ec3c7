"""An index that follows a collection: newer rows, removed rows, restricted searches, each against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import artifacts, indexes
from vicino.errors import ArtifactCorrupt, ArtifactError, DuplicateIds, InputError, MissingExtra, UnknownName
from vicino.indexes import INDEXES
from vicino.indexes.base import Index
from vicino.indexes.planned import Planned

N, DIM, K = 4000, 24, 10


@pytest.fixture(scope="module", autouse=True)
def _graphs(need):
    need(INDEXES.entry("hnsw"))


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Clusters, as real vectors have them; unit rows."""
    rng = np.random.default_rng(3)
    made = rng.standard_normal((60, DIM))[rng.integers(60, size=N + 50)] + 0.4 * rng.standard_normal((N + 50, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def names() -> list[str]:
    return [f"v{row}" for row in range(N)]


@pytest.fixture
def planned(vectors, names) -> Planned:
    index = Planned(worth=20, effort=100, restricted_effort=200, index_params={"ef_construction": 60})
    return index.build(vectors[:N], names)


def recall(hits, vectors, queries, held) -> float:
    """The share of the true neighbours among the rows `held` that were found."""
    best = np.asarray(held)[np.argsort(-(queries @ vectors[held].T), axis=1)[:, :K]]
    pairs = zip(hits.ids, best, strict=True)
    return float(np.mean([len(set(found) & {f"v{row}" for row in true}) / len(true) for found, true in pairs]))


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_a_restricted_search_misses_next_to_nothing(planned, vectors, names, share):
    rows = np.sort(np.random.default_rng(5).choice(N, int(N * share), replace=False))
    hits = planned.search(vectors[N:], K, allow=frozenset(names[row] for row in rows))
    assert recall(hits, vectors, vectors[N:], rows) >= 0.99
    assert hits.complete
    assert set(hits.ids.ravel()) <= {names[row] for row in rows}
    exactly = share < 0.1
    assert hits.how.startswith("exact over" if exactly else "hnsw, effort")


def test_where_all_that_is_allowed_is_far_from_the_query_it_is_found_all_the_same(planned, vectors, names):
    query = vectors[N : N + 1]
    far = np.argsort(vectors[:N] @ query[0])[: N // 2]
    hits = planned.search(query, K, allow={names[row] for row in far})
    assert recall(hits, vectors, query, far) == 1
    assert "kept 2,000 allowed" in hits.how
    assert "1 of 1 queries again, exactly" in hits.how


def test_without_a_restricted_effort_a_restriction_is_exact(vectors, names):
    index = Planned(worth=100).build(vectors[:N], names)
    hits = index.search(vectors[N:], K, allow=set(names[: N - 1]))
    assert recall(hits, vectors, vectors[N:], list(range(N - 1))) == 1
    assert hits.how == "exact over 3,999 allowed"


def test_newer_rows_are_found_at_once_and_removed_ones_never(planned, vectors, names):
    planned.remove(names[:500])
    planned.add(vectors[:200], names[:200])
    hits = planned.search(vectors[:200], 1)
    assert hits.ids[:, 0].tolist() == names[:200]
    assert hits.how.startswith("hnsw, effort ")
    assert ", but 500 removed" in hits.how
    assert hits.how.endswith("; 200 newer exactly")
    assert planned.search(vectors[300:301], 1).ids[0, 0] != "v300"
    held = [*range(200), *range(500, N)]
    assert recall(planned.search(vectors[N:], K), vectors, vectors[N:], held) >= 0.99
    allow = frozenset(names[100:2600])
    some = [*range(100, 200), *range(500, 2600)]
    assert recall(planned.search(vectors[N:], K, allow=allow), vectors, vectors[N:], some) >= 0.99
    assert planned.manifest()["vectors"] == N - 300
    with pytest.raises(DuplicateIds):
        planned.add(vectors[:1], ["v700"])


def test_a_neighbourhood_that_went_leaves_full_answers(planned, vectors, names):
    near = np.argsort(-(vectors[:N] @ vectors[N]))[:800]
    planned.remove([names[row] for row in near])
    hits = planned.search(vectors[N : N + 1], K)
    assert recall(hits, vectors, vectors[N : N + 1], np.setdiff1d(np.arange(N), near)) == 1
    assert "again, exactly" in hits.how


def test_few_rows_are_not_indexed(vectors):
    index = Planned(worth=1000).build(vectors[:500])
    assert index.inner_ is None
    assert index.search(vectors[N:], K).how == "exact over 500"
    assert not index.costly
    assert not index.worn
    assert index.add(vectors[500:1600], [str(row) for row in range(500, 1600)]).worn


def test_it_is_worn_when_a_quarter_came_or_went(planned, vectors, names):
    assert not planned.worn
    planned.remove(names[:900])
    assert not planned.worn
    assert planned.remove(names[900:1100]).worn
    fresh = Planned(worth=100).build(vectors[: N // 2], names[: N // 2])
    assert not fresh.add(vectors[N // 2 : N // 2 + 400], names[N // 2 : N // 2 + 400]).worn
    assert fresh.add(vectors[3000:3200], names[3000:3200]).worn


def test_settling_moves_newer_rows_into_a_graph(planned, vectors, names):
    planned.remove(names[:10])
    planned.add(vectors[N : N + 40], [f"v{row}" for row in range(N, N + 40)])
    before = planned.search(vectors[:50], K)
    planned.settle()
    assert planned.fresh == 0
    after = planned.search(vectors[:50], K)
    assert "newer" not in after.how
    same = [len(set(a) & set(b)) / K for a, b in zip(before.ids, after.ids, strict=True)]
    assert np.mean(same) >= 0.98
    assert planned.search(vectors[N : N + 1], 1).top()[0][0] == f"v{N}"


def test_an_index_that_cannot_change_follows_too(monkeypatch, vectors, names):
    """Whatever the family is: it need only build and search."""
    monkeypatch.setattr(INDEXES["hnsw"], "capabilities", frozenset({"effort"}))
    index = Planned(worth=100).build(vectors[:1000], names[:1000]).add(vectors[1000:1100], names[1000:1100])
    assert index.settle().fresh == 100
    assert recall(index.search(vectors[N:], K), vectors, vectors[N:], list(range(1100))) >= 0.98


def test_more_answers_get_more_effort(planned, vectors):
    assert planned.search(vectors[N:], 40).how == "hnsw, effort 400"
    assert planned.search(vectors[N:], 40, effort=50).how == "hnsw, effort 200"
    assert planned.search(vectors[N:], 5).how == "hnsw, effort 100"


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_it_is_kept_with_what_it_holds(vectors, names, similarity, tmp_path):
    index = Planned(worth=50, similarity=similarity, effort=40).build(vectors[:1000], names[:1000])
    index.recall_ = {"k": 10, "value": 0.98}
    index.add(vectors[1000:1030], names[1000:1030]).remove(names[5:25] + names[1003:1005])
    opened = indexes.load(index.save(tmp_path / "index"))
    assert isinstance(opened, Planned)
    assert opened.manifest() == index.manifest()
    for options in ({}, {"allow": frozenset(names[:1010])}):
        hits, expected = opened.search(vectors[N:], K, **options), index.search(vectors[N:], K, **options)
        assert hits.ids.tolist() == expected.ids.tolist()
        np.testing.assert_array_equal(hits.scores, expected.scores)
        assert hits.how == expected.how
    opened.add(vectors[N : N + 1], ["one more"])
    assert opened.search(vectors[N : N + 1], 1).top()[0][0] == "one more"


def test_damage_inside_is_noticed(planned, tmp_path):
    folder = planned.save(tmp_path / "index")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ArtifactError):
            indexes.load(folder)
        file.write_bytes(whole)
    (folder / "inner" / "manifest.json").unlink()
    with pytest.raises(ArtifactCorrupt, match="inner"):
        indexes.load(folder)


@pytest.mark.parametrize("change", [{"index": "hyperbolic"}, {"params": {"curvature": 1}}, {"dim": None}])
def test_an_index_of_another_version_is_named(planned, tmp_path, change):
    folder = planned.save(tmp_path / "index")
    saved = artifacts.read(folder)
    artifacts.write(
        folder, kind="index", data={**saved.data, **change}, arrays=saved.arrays, parts={"inner": planned.inner_.save}
    )
    with pytest.raises(ArtifactCorrupt, match="build it again"):
        indexes.load(folder)


def test_what_cannot_be_is_refused(vectors):
    with pytest.raises(UnknownName, match="did you mean hnsw"):
        Planned(index="hnws", worth=0).build(vectors[:5])
    with pytest.raises(UnknownName):
        Planned(index_params={"mm": 5}, worth=0).build(vectors[:5])
    with pytest.raises(InputError, match="does not rank by"):
        Planned(similarity="maxsim").build(vectors[:5])


def test_what_is_not_installed_is_named(monkeypatch, vectors):
    def missing(self: object, name: str) -> type[Index]:
        raise MissingExtra.named("store", needed_by=name)

    monkeypatch.setattr(type(INDEXES), "__getitem__", missing)
    with pytest.raises(MissingExtra, match="store"):
        Planned(worth=0).build(vectors[:5])


@pytest.fixture(params=[name for name in INDEXES if name not in ("exact", "planned")])
def family(request, need) -> str:
    """Every index that somebody may choose."""
    need(INDEXES.entry(request.param))
    return request.param


def test_every_family_follows_and_is_kept(family, vectors, names, tmp_path):
    """It need only build, search and be saved. What is asked here any of them can do: find what is alone in its corner."""
    most = {"effort": 1000, "restricted_effort": 1000} if "effort" in INDEXES[family].capabilities else {}
    index = Planned(index=family, worth=20, **most).build(vectors[:1500], names[:1500])
    index.add(vectors[1500:1600], names[1500:1600]).remove(names[:100] + names[1590:1600])
    held = list(range(100, 1590))
    found = index.search(vectors[N:], K)
    assert recall(found, vectors, vectors[N:], held) >= 0.9
    assert not set(found.ids.ravel()) & set(names[:100] + names[1590:1600])
    allow = frozenset(names[50:900] + names[1550:])
    some = [*range(100, 900), *range(1550, 1590)]
    restricted = index.search(vectors[N:], K, allow=allow)
    assert recall(restricted, vectors, vectors[N:], some) >= 0.9
    assert restricted.complete
    opened = indexes.load(index.save(tmp_path / "index"))
    assert opened.search(vectors[N:], K).ids.tolist() == found.ids.tolist()
    assert opened.search(vectors[N:], K, allow=allow).ids.tolist() == restricted.ids.tolist()
