"""Tasks: what does not fit is dropped and counted, and content alone names a task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vicino.data.records import Document, Judgement, Query
from vicino.errors import DuplicateIds, EmptyInput, InputError, UnknownName, UnreadableSource
from vicino.evaluation.tasks import judged, open_task, synthetic

DOCUMENTS = [Document("a", "tea"), Document("b", "bread"), Document("c", "wings")]
QUERIES = [Query("1", "what to drink"), Query("2", "what to eat")]
JUDGEMENTS = [Judgement("1", "a", 2), Judgement("1", "b", 0), Judgement("2", "b", 1)]


def test_a_sound_task_drops_nothing():
    task = judged("meals", DOCUMENTS, QUERIES, JUDGEMENTS)
    assert task.rows == [{"a": 2, "b": 0}, {"b": 1}]
    assert [query.id for query in task.queries] == ["1", "2"]
    assert (task.notes, task.synthetic, task.analyzer, dict(task.train)) == ((), "", "words", {})


def test_what_does_not_fit_is_left_out_and_counted():
    extra = [Judgement("9", "a", 1), Judgement("1", "zz", 1), Judgement("2", "yy", 1), Judgement("3", "c", 0)]
    task = judged("meals", DOCUMENTS, [*QUERIES, Query("3", "nothing"), Query("4", "never judged")], [*JUDGEMENTS, *extra])
    assert [query.id for query in task.queries] == ["1", "2"]
    assert set(task.qrels) == {"1", "2"}
    assert sorted(task.notes) == [
        "1 judgements name a query that is not there; they are left out",
        "2 judgements name a document that is not there; they are left out",
        "2 of 4 queries have no relevant document here and are left out",
    ]


def test_nothing_to_run_is_named():
    with pytest.raises(EmptyInput, match="holds no documents"):
        judged("meals", [], QUERIES, JUDGEMENTS)
    for judgements in ([], [Judgement("1", "a", 0)], [Judgement("1", "zz", 1)]):
        with pytest.raises(EmptyInput, match="no query of meals has a relevant document"):
            judged("meals", DOCUMENTS, QUERIES, judgements)


def test_repeated_ids_are_named():
    with pytest.raises(DuplicateIds, match=r"1 document ids repeat \(first: 'a'\)"):
        judged("meals", [*DOCUMENTS, DOCUMENTS[0]], QUERIES, JUDGEMENTS)
    with pytest.raises(DuplicateIds, match=r"1 query ids repeat \(first: '2'\)"):
        judged("meals", DOCUMENTS, [*QUERIES, QUERIES[1]], JUDGEMENTS)


def test_answers_that_a_train_split_gave_away_are_counted():
    task = judged("meals", DOCUMENTS, QUERIES, JUDGEMENTS, train=[Judgement("7", "a", 1), Judgement("8", "b", 0)])
    assert len(task.notes) == 1
    assert task.notes[0].startswith("1 of 2 queries have a relevant document that is relevant in the train split too")
    assert task.train == {"7": {"a": 1}, "8": {"b": 0}}


def test_mostly_code_is_cut_as_code():
    code = [Document(name, "x", metadata={"language": "python"}) for name in "abc"]
    assert judged("code", code, QUERIES, JUDGEMENTS).analyzer == "code"
    assert judged("code", [code[0], *DOCUMENTS[1:]], QUERIES, JUDGEMENTS).analyzer == "words"


def test_content_and_nothing_else_names_a_task():
    task = judged("meals", DOCUMENTS, QUERIES, JUDGEMENTS)
    same = [
        judged("another name", DOCUMENTS, QUERIES, JUDGEMENTS, notes=["a note"], synthetic="made"),
        judged("meals", iter(DOCUMENTS), iter(QUERIES), reversed(JUDGEMENTS)),
    ]
    assert {each.fingerprint for each in same} == {task.fingerprint}
    other = [
        judged("meals", DOCUMENTS[::-1], QUERIES, JUDGEMENTS),
        judged("meals", [*DOCUMENTS[:2], Document("c", "Wings")], QUERIES, JUDGEMENTS),
        judged("meals", [*DOCUMENTS[:2], Document("c", "wings", title="t")], QUERIES, JUDGEMENTS),
        judged("meals", DOCUMENTS, [QUERIES[0], Query("2", "what to bake")], JUDGEMENTS),
        judged("meals", DOCUMENTS, QUERIES, [Judgement("1", "a", 1), *JUDGEMENTS[1:]]),
        judged("meals", DOCUMENTS, QUERIES[:1], JUDGEMENTS),
    ]
    prints = [each.fingerprint for each in other]
    assert len({task.fingerprint, *prints}) == 1 + len(other)
    assert [each.documents_fingerprint == task.documents_fingerprint for each in other] == [False] * 3 + [True] * 3


# From disk ------------------------------------------------------------------------------------------------------------


def beir(folder: Path, **splits: str) -> Path:
    """A BEIR folder with a split for each "query document grade" text."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": each.id, "title": "", "text": each.text} for each in DOCUMENTS]
    queries = [{"_id": each.id, "text": each.text} for each in QUERIES]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    for name, rows in splits.items():
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(row.split()) for row in rows.split(","))]
        (folder / "qrels" / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_beir_folder_is_judged_by_its_test_split(tmp_path):
    folder = beir(tmp_path / "meals", test="1 a 2,1 b 0", train="2 b 1")
    task = open_task(folder)
    assert (task.name, task.synthetic) == ("meals (test)", "")
    assert [document.id for document in task.documents] == ["a", "b", "c"]
    assert task.qrels == {"1": {"a": 2, "b": 0}}
    assert task.train == {"2": {"b": 1}}
    assert task.notes == ()
    assert open_task(folder, split="train").qrels == {"2": {"b": 1}}
    assert dict(open_task(folder, split="train").train) == {}


def test_without_a_test_split_the_first_one_is_taken_and_a_wrong_one_named(tmp_path):
    folder = beir(tmp_path / "meals", dev="1 a 1")
    assert open_task(folder).name == "meals (dev)"
    with pytest.raises(UnknownName, match="dev"):
        open_task(folder, split="test")


def test_judgements_of_strangers_on_disk_are_counted(tmp_path):
    task = open_task(beir(tmp_path / "meals", test="1 a 1,1 zz 1,77 a 1"))
    assert sorted(task.notes) == [
        "1 judgements name a document that is not there; they are left out",
        "1 judgements name a query that is not there; they are left out",
        "1 of 2 queries have no judgements and are left out",
    ]


def test_a_folder_of_text_gives_a_task_that_says_it_is_synthetic(tmp_path, texts):
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text(f"{texts[2 * number]} {texts[2 * number + 1]}")
    task = open_task(tmp_path, queries=4, seed=1)
    assert "synthetic" in task.synthetic
    assert 0 < len(task.queries) <= 4
    assert len(task.documents) == 6
    by_id = {document.id: document for document in task.documents}
    for query in task.queries:
        (answer,) = task.qrels[query.id]
        assert query.text not in by_id[answer].content  # the withheld text left its document
    assert open_task(tmp_path, queries=4, seed=1).fingerprint == task.fingerprint


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(InputError, match="has no splits"):
        open_task(tmp_path, split="test")
    with pytest.raises((EmptyInput, UnreadableSource)):
        open_task(tmp_path)
    with pytest.raises(UnreadableSource):
        open_task(tmp_path / "nowhere")


def test_documents_that_give_no_queries_are_named():
    with pytest.raises(EmptyInput):
        synthetic("short", [Document("a", "tea")])
