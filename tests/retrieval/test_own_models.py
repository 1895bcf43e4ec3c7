"""Models that vicino did not make, wherever an encoder can stand: on the ladder, in a collection, in a search."""

from __future__ import annotations

import json

import pytest

import vicino
from vicino import workbench
from vicino.catalog import Entry
from vicino.data.records import Document, Query
from vicino.encoders import ENCODERS
from vicino.errors import SpaceMismatch, UnknownName, VicinoError
from vicino.evaluation.tasks import synthetic


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch, need):
    need(Entry("", "", "store"))
    need(ENCODERS.entry("remote"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def remote(endpoint, **more: object) -> str:
    options = {"url": f"{endpoint.url}/v1", "model": "test", "batch_size": 4, "max_concurrent": 1, "retries": 0, **more}
    return f"remote({','.join(f'{name}={value}' for name, value in options.items())})"


def test_an_endpoint_climbs_the_ladder_and_its_cost_is_told(endpoint, documents, capsys):
    from vicino.evaluation.text import comparison_text

    task = synthetic(
        "texts", [Document(d.id, f"{d.text} {d.text[::-1]}. And this is sentence two of {d.id}.") for d in documents]
    )
    name = remote(endpoint)
    comparison = vicino.compare(task, candidates=["bm25", name, f"bm25+{name}"])
    assert not any(candidate.error for candidate in comparison.candidates)
    assert "requests" in comparison[name].found.usage
    assert f"{name}: " in comparison_text(comparison)
    asked = len(endpoint.requests)
    vicino.compare(task, candidates=["bm25", name])
    assert len(endpoint.requests) == asked


@pytest.mark.parametrize("how", ["500", "429", "few", "wide", "nan", "html", "cut"])
def test_a_server_that_fails_midway_loses_nothing_that_was_paid_for(endpoint, documents, how):
    good = 4
    endpoint.misbehave(*[""] * good, *[how] * 20)
    with pytest.raises(VicinoError) as failed:
        workbench.ingest(documents, "c", recipe=remote(endpoint))
    assert endpoint.url in str(failed.value)
    texts = {document.text for document in documents}
    answered = {text for request in endpoint.requests[:good] for text in request["texts"]} & texts
    assert len(answered) >= 4
    endpoint._spoiled.clear()
    before = len(endpoint.texts)
    summary = workbench.ingest(documents, "c", recipe=remote(endpoint))
    assert (summary.new, summary.embedded) == (12, 12)
    assert set(endpoint.texts[before:]) & texts == texts - answered
    assert "requests" in summary.usage
    assert vicino.search("c", "black tea in boiling water", 1)[0].document == "d3"


def test_a_collection_of_an_endpoint_embeds_only_what_changed_and_notices_another_model(endpoint, documents):
    workbench.ingest(documents, "c", recipe=remote(endpoint))
    before = len(endpoint.requests)
    changed = [*documents[:-1], Document("d11", "something else")]
    assert workbench.ingest(changed, "c").embedded == 1
    later = {text for request in endpoint.requests[before:] for text in request["texts"]}
    assert later & {document.text for document in changed} == {"something else"}
    endpoint.version = "2"
    for file in (workbench.home() / "cache" / "remote").iterdir():
        file.unlink()
    with pytest.raises(SpaceMismatch):
        vicino.search("c", "tea")


@pytest.mark.long
def test_vectors_made_elsewhere_are_ingested_and_searched(documents, tmp_path, need):
    need(ENCODERS.entry("minilm"))
    rows = [json.dumps({"id": document.id, "text": document.text}) for document in documents]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    workbench.embed_to_file(tmp_path / "texts.jsonl", tmp_path / "vectors.parquet", encoder="minilm")
    ready = "ready(path=vectors.parquet,queries=minilm)"
    assert workbench.ingest(tmp_path / "texts.jsonl", "c", recipe=f"bm25+{ready}").embedded == 12
    texts = [document.text for document in documents]
    direct = (workbench.embed(["black tea"], encoder="minilm") @ workbench.embed(texts, encoder="minilm").T)[0]
    why = vicino.search("c", "black tea", 1, explain=True)[0].why["parts"][1]["why"]
    assert why["cosine"] == pytest.approx(float(direct.max()), abs=0.01)
    with pytest.raises(UnknownName, match="no vector for 1 of 1 items: 'd99'"):
        workbench.ingest([Document("d99", "no vector was made of this")], "c", source_name="more")


def test_queries_may_be_vectors_too(documents, tmp_path, need):
    need(ENCODERS.entry("minilm"))
    (tmp_path / "questions.txt").write_text("black tea\nviolin and cello")
    with (tmp_path / "questions.txt").open("rb") as lines:
        workbench.embed_to_file(lines, tmp_path / "questions.parquet", encoder="minilm", texts=True)
    rows = [json.dumps({"id": document.id, "text": document.text}) for document in documents]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    workbench.embed_to_file(tmp_path / "texts.jsonl", tmp_path / "vectors.parquet", encoder="minilm")
    workbench.ingest(tmp_path / "texts.jsonl", "c", recipe="ready(path=vectors.parquet,queries=questions.parquet)")
    assert vicino.search("c", "violin and cello", 1)[0].document == "d8"
    with pytest.raises(UnknownName, match="no vector for 1 of 1 items: 'nobody asked this'"):
        vicino.search("c", "nobody asked this")


def test_a_function_is_ingested_and_searched(documents, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import zlib\n"
        "def embed(texts):\n"
        "    rows = [[0.1] * 64 for _ in texts]\n"
        "    for row, text in zip(rows, texts):\n"
        "        for word in text.lower().split():\n"
        "            row[zlib.crc32(word.encode()) % 64] += 1\n"
        "    return rows\n"
    )
    assert workbench.ingest(documents, "c", recipe="bm25+callable(function=mine:embed)").embedded == 12
    assert vicino.search("c", "black tea steeps", 1)[0].document == "d3"
    assert (
        vicino.search("c", Query("q", "black tea steeps").text, 1, explain=True)[0].why["parts"][1]["why"]["part"] == "callable"
    )
