"""The verbs from Python, and the demonstration on a small sample."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import pytest

import vicino
from vicino import workbench
from vicino.data.records import Document
from vicino.encoders.counts import LSA
from vicino.errors import ArtifactError, EmptyInput, InputError, UnknownName
from vicino.evaluation import report
from vicino.workbench import comparing


def test_embed_takes_texts_documents_folders_and_one_text(tmp_path, texts):
    (tmp_path / "a.txt").write_text("Wings lift an aeroplane.\n\nTea steeps in hot water.")
    encoder = LSA(n_components=3).fit(texts)
    assert vicino.embed(texts, encoder=encoder).shape == (len(texts), 3)
    assert vicino.embed(texts[0], encoder=encoder).shape == (3,)
    assert vicino.embed(Document("a", texts[0]), encoder=encoder).tolist() == vicino.embed(texts[0], encoder=encoder).tolist()
    assert vicino.embed(tmp_path, encoder=encoder).shape == (1, 3)
    assert vicino.embed(tmp_path, encoder=encoder, chunk="paragraph").shape == (2, 3)
    assert vicino.embed(texts, encoder=encoder, truncate_dim=2, precision="float16").dtype == np.float16


def test_embed_refuses_what_is_not_there(texts):
    with pytest.raises(EmptyInput, match="nothing to learn"):
        vicino.embed([], encoder="lsa")
    with pytest.raises(UnknownName, match="did you mean lsa"):
        vicino.embed(texts, encoder="lsaa")
    with pytest.raises(InputError, match="is of type int"):
        vicino.embed([1, 2], encoder=LSA(n_components=2).fit(texts))


def test_load_opens_encoders_indexes_and_retrievers(tmp_path, texts, documents):
    from vicino.indexes.exact import Exact
    from vicino.retrieval.lexical import Lexical

    LSA(n_components=2).fit(texts).save(tmp_path / "encoder")
    Exact().build(np.eye(3)).save(tmp_path / "index")
    Lexical().build(documents).save(tmp_path / "retriever")
    kinds = [type(vicino.load(tmp_path / name)).__name__ for name in ("encoder", "index", "retriever")]
    assert kinds == ["LSA", "Exact", "Lexical"]
    with pytest.raises(ArtifactError, match="holds nothing that vicino saved"):
        vicino.load(tmp_path)


def test_tokens_of_an_unfitted_family_are_those_of_the_text_itself():
    found = vicino.tokens("wings lift", encoder="lsa(n_components=1)")
    assert found.pieces == ["wings", "lift"]
    assert found.rows.shape == (2, 1)


def test_a_report_of_unknown_kind_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "open_task", lambda *_, **__: pytest.fail("it read"))
    with pytest.raises(InputError, match="report"):
        vicino.compare(tmp_path, report_to=tmp_path / "report.pdf")


def test_vicino_offers_the_verbs_and_nothing_else():
    assert set(vicino.__all__) == {
        *("Client", "__version__", "compare", "context", "embed", "evaluate", "ingest", "load", "search", "tokens"),
    }
    assert vicino.compare is workbench.compare
    with pytest.raises(AttributeError, match="no attribute 'emded'"):
        vicino.emded  # noqa: B018


@pytest.mark.long
def test_the_demonstration_keeps_a_winner_that_answers_and_a_report(tmp_path, monkeypatch):
    monkeypatch.setenv("VICINO_HOME", str(tmp_path))
    made = workbench.demo(budget=1.0)
    standard_library = Path(sysconfig.get_paths()["stdlib"])
    assert len(made.comparison.task.documents) >= 200
    assert len(made.comparison.candidates) == 6
    assert not any(candidate.error for candidate in made.comparison.candidates)
    assert "documented functions" in made.sampled
    for answer in made.answers:
        path, _, line = answer.place.rpartition(":")
        source = (standard_library / path).read_text(encoding="utf-8").splitlines()
        name = answer.name.rpartition(".")[2]
        assert any(name in text for text in source[int(line) - 1 : int(line) + 5])
    assert len(made.answers) == 3
    winner = vicino.load(made.winner)
    score = winner.search(made.answers[0].question, 1).top()[0][1]
    assert score == pytest.approx(made.answers[0].score, abs=1e-3)  # a batch of another shape rounds otherwise
    plain = report.read_json(made.report.with_suffix(".json"))
    assert plain["verdict"]["pick"] in made.report.read_text(encoding="utf-8")
