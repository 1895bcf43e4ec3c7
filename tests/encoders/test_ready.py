"""Vectors that were made elsewhere: who is found how, in which space they live, and what is missing is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vicino import encoders, retrieval
from vicino.data.records import Chunk, Document, Query
from vicino.data.writers import write_vectors
from vicino.encoders import ENCODERS
from vicino.encoders.ready import Ready
from vicino.errors import (
    ArtifactCorrupt,
    DimensionMismatch,
    DuplicateIds,
    InputError,
    SpaceMismatch,
    UnknownName,
    UnreadableSource,
)
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.dense import Dense
from vicino.spaces import Space

ROWS = np.eye(4, 5, dtype=np.float32) + 0.1
DOCUMENTS = [Document("a", "wings"), Document("b", "tea leaves"), Document("c", "bread", title="On dough"), Document("d", "rain")]


@pytest.fixture
def table(tmp_path) -> Path:
    """A table of another program: ids, texts, vectors."""
    columns = {"id": [d.id for d in DOCUMENTS], "text": [d.content for d in DOCUMENTS], "vector": ROWS.tolist()}
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


@pytest.fixture
def lsa(tmp_path, texts) -> Path:
    """A saved encoder."""
    return encoders.make("lsa", n_components=5).fit(texts).save(tmp_path / "lsa")


@pytest.fixture
def written(tmp_path, lsa) -> Path:
    """What `vicino embed` writes with that encoder."""
    encoder = encoders.load(lsa)
    return write_vectors(tmp_path / "written.npy", DOCUMENTS, encoder.encode(DOCUMENTS), {"space": encoder.space.to_json()})


def words(path: Path, **vectors: list[float]) -> Path:
    path.write_text("\n".join(f"{word} {' '.join(map(str, row))}" for word, row in vectors.items()) + "\n")
    return path


# Looking up -----------------------------------------------------------------------------------------------------------


def test_documents_and_queries_are_found_by_id_and_text_by_text(table):
    ready = Ready(path=str(table))
    assert ready.accepts == {"id"}
    np.testing.assert_array_equal(ready.encode_document(DOCUMENTS[::-1]), ROWS[::-1])
    np.testing.assert_array_equal(ready.encode([Document("b", "another text")]), ROWS[[1]])  # the id decides
    np.testing.assert_array_equal(ready.encode([Document("unknown", "bread", title="On dough")]), ROWS[[2]])
    np.testing.assert_array_equal(ready.encode_query(["tea leaves", "d"]), ROWS[[1, 3]])
    np.testing.assert_array_equal(ready.encode_query([Query("d", "wings"), Query("?", "wings")]), ROWS[[3, 0]])
    assert ready.encode("a").tolist() == ROWS[0].tolist()


def test_chunks_are_found_by_their_place(tmp_path):
    chunks = [Chunk("a", 0, 5, "wings"), Chunk("a", 6, 9, "tea")]
    for name in ("a.npy", "a.parquet"):
        ready = Ready(path=str(write_vectors(tmp_path / name, chunks, ROWS[:2], {})))
        np.testing.assert_array_equal(ready.encode(chunks[::-1]), ROWS[[1, 0]])
        np.testing.assert_array_equal(ready.encode([Document("a:6-9", "tea")]), ROWS[[1]])  # as a collection names its passages


def test_a_passage_that_begins_a_document_is_the_whole_of_it(table):
    ready = Ready(path=str(table))
    np.testing.assert_array_equal(ready.encode([Document("b:0-10", "tea leaves, all")]), ROWS[[1]])
    with pytest.raises(UnknownName, match="'b:10-20'"):
        ready.encode([Document("b:0-10", "tea leaves"), Document("b:10-20", "more of it")])


def test_what_is_missing_is_counted_and_shown(table):
    unknown = [Document(f"u{number}", f"text {number}") for number in range(7)]
    with pytest.raises(UnknownName, match=r"no vector for 7 of 9 items: 'u0', 'u1', 'u2', 'u3', 'u4', \.\.\.\n.*embed them"):
        Ready(path=str(table)).encode_document([*DOCUMENTS[:2], *unknown])
    with pytest.raises(UnknownName, match=r"1 of 1 items: 'who\?'\n.*queries=minilm"):
        Ready(path=str(table)).encode_query("who?")


def test_an_item_without_text_that_is_missing_is_zero(table):
    vectors = Ready(path=str(table)).encode([Document("empty", " \n"), DOCUMENTS[1]])
    assert not vectors[0].any()
    np.testing.assert_array_equal(vectors[1], ROWS[1])


# Words ----------------------------------------------------------------------------------------------------------------


def test_a_text_is_the_mean_of_its_known_words(tmp_path):
    ready = Ready(path=str(words(tmp_path / "w.txt", wings=[1, 0], lift=[0, 1], Paris=[4, 4], paris=[2, 2], new_york=[0, 6])))
    assert ready.accepts == {"text"}
    assert ready.encode("Wings, lift!").tolist() == [0.5, 0.5]  # as it stands, else in lower case
    assert ready.encode("wings wings unknown lift").tolist() == pytest.approx([2 / 3, 1 / 3])
    assert ready.encode("Paris").tolist() == [4, 4]
    assert ready.encode("PARIS").tolist() == [2, 2]
    assert ready.encode("new_york").tolist() == [0, 6]
    assert ready.encode(["nothing known", ""]).tolist() == [[0, 0], [0, 0]]
    assert ready.encode([Document("wings", "lift")]).tolist() == [[0, 1]]  # the text, not the id: ids such as "1" are words too


def test_words_may_be_ids(tmp_path):
    ready = Ready(path=str(words(tmp_path / "nodes.txt", n1=[1, 0], n2=[0, 1])), words=False)
    assert ready.encode([Document("n2", "n1 n1")]).tolist() == [[0, 1]]
    with pytest.raises(UnknownName, match="1 of 1"):
        ready.encode("n1 n2")
    assert ready.space != Ready(path=ready.path).space


def test_tokens_are_the_words_with_their_rows(tmp_path, table):
    ready = Ready(path=str(words(tmp_path / "w.vec", wings=[1, 0], lift=[0, 1])))
    found = ready.tokens("Wings lift kites")
    assert list(found.pieces) == ["Wings", "lift", "kites"]
    assert found.ids.tolist() == [0, 1, -1]
    assert found.vocabulary == 2
    assert found.rows.tolist() == [[1, 0], [0, 1], [0, 0]]
    with pytest.raises(InputError, match="does not read tokens"):
        Ready(path=str(table)).tokens("wings")


# Queries --------------------------------------------------------------------------------------------------------------


def test_queries_come_from_a_file_of_their_own(tmp_path, table):
    columns = {"id": ["q1", "q2"], "text": ["what lifts?", "what steeps?"], "vector": ROWS[[2, 3]].tolist()}
    pq.write_table(pa.table(columns), tmp_path / "queries.parquet")
    ready = Ready(path=str(table), queries=str(tmp_path / "queries.parquet"))
    np.testing.assert_array_equal(ready.encode_query([Query("q2", "whatever"), Query("", "what lifts?")]), ROWS[[3, 2]])
    np.testing.assert_array_equal(ready.encode_document(DOCUMENTS), ROWS)
    with pytest.raises(UnknownName, match=r"queries\.parquet has no vector for 1 of 1 items: 'wings'"):
        ready.encode_query("wings")
    assert ready.space != Ready(path=str(table)).space


def test_queries_come_from_the_model_that_made_the_file(written, lsa):
    encoder, ready = encoders.load(lsa), Ready(path=str(written), queries=str(lsa))
    np.testing.assert_array_equal(ready.encode_query(["tea and water"]), encoder.encode_query(["tea and water"]))
    np.testing.assert_array_equal(ready.encode_document(DOCUMENTS), encoder.encode_document(DOCUMENTS))
    assert ready.space == encoder.space == Ready(path=str(written)).space


def test_a_model_that_is_cut_to_the_width_of_the_file(tmp_path, lsa):
    encoder = encoders.load(lsa)
    vectors = encoder.encode(DOCUMENTS, truncate_dim=3)
    path = write_vectors(tmp_path / "short.parquet", DOCUMENTS, vectors, {"space": encoder.space.truncated(3).to_json()})
    ready = Ready(path=str(path), queries=str(lsa))
    np.testing.assert_array_equal(ready.encode_query("tea"), encoder.encode_query("tea", truncate_dim=3))


def test_queries_of_another_space_are_refused(tmp_path, table, written, texts):
    other = encoders.make("lsa", n_components=5).fit(texts[:8]).save(tmp_path / "other")
    wide = encoders.make("lsa", n_components=6).fit(texts).save(tmp_path / "wide")
    for path, queries, error in (
        (written, other, SpaceMismatch),
        (written, wide, SpaceMismatch),
        (table, wide, DimensionMismatch),
        (table, words(tmp_path / "narrow.txt", wings=[1, 2]), DimensionMismatch),
    ):
        with pytest.raises(error):
            _ = Ready(path=str(path), queries=str(queries)).space
    with pytest.raises(InputError, match="lsa has not learnt yet"):
        Ready(path=str(table), queries="lsa").encode_query("tea")
    with pytest.raises(UnknownName, match="no encoder named 'lsaa'"):
        Ready(path=str(table), queries="lsaa").encode_query("tea")


# The space ------------------------------------------------------------------------------------------------------------


def test_the_space_is_the_noted_one(written, lsa):
    noted = Space.from_json(json.loads(written.with_name("written.npy.json").read_text())["space"])
    assert Ready(path=str(written)).space == noted == encoders.load(lsa).space


def test_the_space_of_other_files_is_their_content_or_the_name_of_a_model(tmp_path, table):
    grown = tmp_path / "grown.parquet"
    columns = {"id": ["e"], "text": ["more"], "vector": ROWS[:1].tolist()}
    pq.write_table(pa.concat_tables([pq.read_table(table), pa.table(columns)]), grown)
    copied = shutil.copy(table, tmp_path / "copy.parquet")
    assert Ready(path=str(table)).space == Ready(path=str(copied)).space != Ready(path=str(grown)).space
    mine = Ready(path=str(table), model="mine")
    assert mine.space == Ready(path=str(grown), model="mine").space != Ready(path=str(table), model="yours").space


def test_the_similarity_is_the_noted_one(tmp_path):
    path = write_vectors(tmp_path / "a.npy", DOCUMENTS, ROWS, {"space": Space("0" * 16, 5, "dot").to_json()})
    assert Ready(path=str(path)).similarity == "dot"
    hits = Dense(encoder="ready", encoder_params={"path": str(path)}).build(DOCUMENTS).search("b", 1)
    assert hits.scores[0, 0] == pytest.approx(float(ROWS[1] @ ROWS[1]))


# Kept and opened ------------------------------------------------------------------------------------------------------


def test_a_saved_one_needs_neither_its_file_nor_its_model(tmp_path, written, lsa):
    ready = Ready(path=str(written), queries=str(lsa))
    expected = ready.encode_query("tea and water")
    folder = ready.save(tmp_path / "saved")
    for path in (written, written.with_name("written.npy.json")):
        path.unlink()
    shutil.rmtree(lsa)
    opened = encoders.load(folder)
    np.testing.assert_array_equal(opened.encode_query("tea and water"), expected)
    assert opened.space == ready.space
    with pytest.raises(UnreadableSource, match="no such file"):
        opened.clone().encode("a")


def test_a_saved_one_whose_file_was_changed_is_damaged(tmp_path, table):
    folder = Ready(path=str(table)).save(tmp_path / "saved")
    (folder / "vectors.parquet").write_bytes(table.read_bytes() + b" ")
    with pytest.raises(ArtifactCorrupt, match=r"vectors\.parquet is not what was written"):
        encoders.load(folder)


def test_opening_late_and_changing_the_file(tmp_path, table):
    ready = Ready(path="nowhere.npy")
    with pytest.raises(UnreadableSource, match=r"nowhere\.npy: no such file"):
        _ = ready.dim
    assert ready.set_params(path=table).encode("a").tolist() == ROWS[0].tolist()  # a Path will do
    assert encoders.load(ready.save(tmp_path / "saved")).get_params()["path"] == str(table)
    ready.set_params(path=str(words(tmp_path / "w.txt", a=[5, 5])))
    assert ready.encode("a").tolist() == [5, 5]
    with pytest.raises(InputError, match="given no file"):
        _ = Ready().dim
    with pytest.raises(DuplicateIds):
        Ready(path=str(write_vectors(tmp_path / "twice.npy", [DOCUMENTS[0]] * 2, ROWS[:2], {}))).encode("a")


def test_a_recipe_means_the_same_in_another_folder(tmp_path, table, monkeypatch):
    monkeypatch.chdir(table.parent)
    recipe = from_recipe(parse(f"ready(path={table.name},queries=lsa)")).recipe
    assert recipe.params["encoder_params"]["path"] == str(table)
    assert recipe.params["encoder_params"]["queries"] == "lsa"


# Where an encoder can stand -------------------------------------------------------------------------------------------


def test_a_retriever_over_ready_vectors(tmp_path, table):
    retriever = from_recipe(parse(f"ready(path={table})"))
    retriever.warm_up()
    retriever.build(DOCUMENTS)
    assert retriever.search("tea leaves", 2).ids[0, 0] == "b"
    opened = retrieval.load(retriever.save(tmp_path / "saved"))
    assert opened.search("tea leaves", 2).ids.tolist() == retriever.search("tea leaves", 2).ids.tolist()
    assert opened.identity() == retriever.identity()


def test_ready_vectors_rank_as_the_model_that_made_them(need, tmp_path, documents):
    need(ENCODERS.entry("minilm"))
    encoder = encoders.make("minilm")
    vectors = encoder.encode_document(documents)
    path = write_vectors(tmp_path / "minilm.parquet", documents, vectors, {"space": encoder.space.to_json()})
    queries = ["string instruments", "a hot drink"]
    expected = Dense().build(documents).search(queries, 5)
    found = from_recipe(parse(f"ready(path={path},queries=minilm)")).build(documents).search(queries, 5)
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
