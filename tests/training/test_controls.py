"""Controls: what is at hand, what judged retrieval says before and after, and documents of the data that answer nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vicino import workbench
from vicino.data.examples import Examples, JudgedCorpus
from vicino.data.records import Document, Query
from vicino.errors import InputError
from vicino.training import controls
from vicino.training.material import Parts
from vicino.vectors import normalise

WORDS = [f"{first}{last}" for first in ("ba", "do", "ki", "mu", "re", "so") for last in ("lan", "met", "nor", "pil", "rus")]


class Words:
    """Counts words; a deaf one hears only those that begin with "b"."""

    space = SimpleNamespace(similarity="cosine")

    def __init__(self, *, deaf: bool = False) -> None:
        self.deaf = deaf

    def encode_document(self, items, *, normalize_embeddings):
        assert normalize_embeddings
        rows = [[text.lower().replace(".", "").split().count(word) for word in WORDS] for text in items]
        heard = np.array([word.startswith("b") or not self.deaf for word in WORDS])
        return normalise(np.array(rows, dtype=np.float32) * heard + 1e-4)

    encode_query = encode_document


def folder(path: Path, documents: list[str], asked: dict[str, tuple[str, int]]) -> Path:
    """A BEIR folder."""
    (path / "qrels").mkdir(parents=True)
    rows = [{"_id": f"d{row}", "title": "", "text": text} for row, text in enumerate(documents)]
    (path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    queries = [{"_id": name, "text": text} for name, (text, _) in asked.items()]
    (path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    for split in ("train", "test"):
        lines = [f"{name}\td{row}\t1" for name, (_, row) in asked.items()]
        (path / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")
    return path


def sentences(n: int) -> list[str]:
    """Documents of four sentences, each of seven of the ten words that the document is about."""
    random, made = np.random.default_rng(0), []
    for _ in range(n):
        own = random.permutation(WORDS)[:10]
        made.append(" ".join(" ".join(random.permutation(own)[:7]).capitalize() + "." for _ in range(4)))
    return made


def test_what_is_at_hand_lies_under_the_data(tmp_path, monkeypatch):
    monkeypatch.delenv("VICINO_DATA", raising=False)
    assert controls.at_hand() == []
    monkeypatch.setenv("VICINO_DATA", str(tmp_path))
    assert controls.at_hand() == []
    (tmp_path / "cranfield").mkdir()
    assert controls.at_hand() == [tmp_path / "cranfield"]


def test_judged_retrieval_is_asked_of_both(tmp_path):
    words = [word for word in WORDS if not word.startswith("b")][:4]
    data = folder(tmp_path / "other", words, {f"q{row}": (word, row) for row, word in enumerate(words)})
    check = controls.control(data, (Words(), Words(deaf=True)))
    assert check.name == "nDCG@10 on other"
    assert (check.n, check.before) == (4, 1.0)
    assert check.after == pytest.approx(np.mean([1 / np.log2(rank + 2) for rank in range(4)]))  # all are alike to it
    table = tmp_path / "pairs.csv"
    table.write_text("question,answer\na,b\nc,d\n")
    with pytest.raises(InputError, match="control nothing"):
        controls.control(table, (Words(), Words()))


def parts(documents: list[str], answered: int) -> Parts:
    listed = [Document(f"d{row}", text) for row, text in enumerate(documents)]
    corpus = JudgedCorpus(listed, [Query("q", "asks")], {"q": {"d0": 1}})
    names = [f"d{row}" for row in range(answered)]
    some = Examples("pairs", ["asks"] * answered, documents[:answered], query_ids=names, document_ids=names, corpus=corpus)
    return Parts(Path("data"), some, some, some)


def test_documents_that_answer_nothing_are_asked_for_by_what_they_say():
    check = controls.control_by_others(parts(sentences(150), 20), (Words(), Words(deaf=True)))
    assert check is not None
    assert check.n == 130
    assert "130 other documents of the data" in check.name
    assert check.before > 0.8 > 0.6 > check.after


def test_few_others_say_nothing():
    both = (Words(), Words())
    assert controls.control_by_others(parts(sentences(119), 20), both) is None
    assert controls.control_by_others(parts(["word"] * 150, 20), both) is None  # nothing can be taken out of them
    assert controls.control_by_others(parts([*sentences(90), *["word"] * 90], 20), both) is None  # out of too few
    scored = Examples("scored", ["a"], ["b"], scores=np.ones(1, dtype=np.float32))
    assert controls.control_by_others(Parts(Path("data"), scored, scored, scored), both) is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_where_nothing_else_is_at_hand_the_data_control_the_training(checkpoint, tmp_path, monkeypatch):
    monkeypatch.delenv("VICINO_DATA", raising=False)
    documents = sentences(300)
    asked = {f"q{row}": (documents[row].split(". ")[1], row) for row in range(120)}
    data = folder(tmp_path / "data", documents, asked)
    (data / "qrels" / "test.tsv").unlink()
    options = {"base": str(checkpoint("bert")), "epochs": 1, "precision": "float32", "threads": 1}
    found = workbench.train_text(data, tmp_path / "model", **options)
    assert [check.n for check in found.gate.controls] == [180]
    assert "not looked at" not in " ".join(found.gate.advice)
    lines = (data / "corpus.jsonl").read_text().splitlines(keepends=True)
    (data / "corpus.jsonl").write_text("".join(lines[:150]))  # too few others
    alone = workbench.train_text(data, tmp_path / "other", **options)
    assert "not looked at" in " ".join(alone.gate.advice)
    assert alone.gate.controls == ()
