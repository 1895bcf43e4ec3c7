"""The verbs that change a collection's model, and what they say: migrate, lineage, doctor NAME."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino import workbench
from vicino.catalog import Entry
from vicino.cli import main
from vicino.data.records import Document
from vicino.errors import InputError, SpaceMismatch
from vicino.evaluation import migration
from vicino.evaluation.cures import Target
from vicino.retrieval import migrate as steps
from vicino.store.collection import Collection

STEMS = ["wing", "tea", "bread", "violin", "rain", "stone", "river", "lamp", "horse", "glass"]


def documents(n: int) -> list[Document]:
    """Passages of ten subjects, each with words of its own: what is near is told by words."""
    draw = np.random.default_rng(0)
    made = []
    for number in range(n):
        stem = STEMS[number % len(STEMS)]
        own = " ".join(f"{stem}{at}" for at in draw.integers(0, 12, 14))
        made.append(Document(f"d{number}", f"{own} number{number} item{number}.", title=f"{stem}{number % 12} number{number}"))
    return made


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: Callable[[Entry], None]) -> Path:
    need(Entry("", "", "store"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path))
    workbench.ingest(documents(120), "c", recipe="lsa(n_components=60)", chunk="whole")
    return tmp_path


def opened() -> Collection:
    from vicino.artifacts import home

    return Collection.open(home() / "collections", "c")


def run(capsys: Any, *given: str) -> tuple[int, str, str]:
    code = 0
    try:
        main([*given])
    except SystemExit as error:
        code = int(error.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_a_model_that_loses_nothing_serves_and_one_that_does_is_kept_out(kept: Path, capsys: Any) -> None:
    code, out, err = run(capsys, "migrate", "c", "--to", "lsa(n_components=2)", "-q")
    assert code == 1
    assert "worse beyond the interval" in out
    assert "--force" in err
    assert opened().note == "about"
    code, out, _ = run(capsys, "doctor", "c", "--json")
    assert code == 1
    (told,) = [finding for finding in json.loads(out) if finding["state"] == "problem"]
    assert "0 rows lack its vector" in told["value"]
    assert "--rollback" in told["mend"]
    assert told["cause"]
    assert run(capsys, "migrate", "c", "--rollback")[0] == 0

    code, out, _ = run(capsys, "migrate", "c", "--to", "lsa(n_components=62)", "-q", "--json")
    said = json.loads(out)
    assert (code, said["done"], said["embedded"]) == (0, True, 120)
    assert said["verdict"]["accepted"] is True
    assert 0 < said["verdict"]["p"] <= 1
    assert opened().note != "about"

    assert run(capsys, "doctor", "c")[0] == 0
    assert run(capsys, "migrate", "c", "--finish")[0] == 0
    assert opened().store.filling == ()
    assert run(capsys, "migrate", "c", "--rollback")[0] == 2
    code, out, _ = run(capsys, "lineage", "c", "--json")
    assert [line["action"] for line in json.loads(out)] == ["ingest", "fill", "give up", "fill", "switch", "finish"]
    code, out, _ = run(capsys, "lineage", "c", "--document", "d3")
    assert code == 0
    assert "ingest" in out


def test_judged_queries_decide(kept: Path, tmp_path: Path, capsys: Any) -> None:
    asked, judged = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    texts = [(f"q{n}", f"number{n} item{n}", f"d{n}") for n in range(60)]
    asked.write_text("".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text, _ in texts))
    judged.write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{name}\t{answer}\t1\n" for name, _, answer in texts))
    given = ("--queries", str(asked), "--qrels", str(judged), "-q")
    code, out, _ = run(capsys, "migrate", "c", "--to", "lsa(n_components=2)", *given)
    assert code == 1
    assert "60 judged queries, the whole recipe" in out
    assert "stay the same" in out
    code, out, _ = run(capsys, "migrate", "c", "--to", "lsa(n_components=2)", "--force", *given)
    assert code == 0
    assert "(forced)" in out
    assert opened().note != "about"


def test_a_folder_of_queries_brings_its_judgements(kept: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d0", "text": "unread"}) + "\n")
    lines = [json.dumps({"_id": f"q{n}", "text": f"number{n} item{n}"}) for n in range(60)]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    rows = [f"q{n}\td{n}\t1" for n in range(60)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    code, out, _ = run(capsys, "migrate", "c", "--to", "lsa(n_components=2)", "--queries", str(folder), "-q")
    assert code == 1
    assert "60 judged queries, the whole recipe" in out


def test_a_model_that_is_gone_is_replaced_with_force(kept: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Collection._own

    def gone(self: Collection, number: int) -> Any:
        if self.models[number]["params"].get("n_components") == 60:
            raise SpaceMismatch("the old model is gone", mend="bring it back")
        return own(self, number)

    monkeypatch.setattr(Collection, "_own", gone)
    with pytest.raises(SpaceMismatch):
        workbench.migrate("c", "lsa(n_components=62)")
    assert opened().note == "about"
    made = workbench.migrate("c", "lsa(n_components=62)", force=True)
    assert (made.done, made.embedded) == (True, 0)
    assert "not compared: the old model is gone" in str(made)
    assert opened().note != "about"


def test_a_column_that_does_not_hold_what_the_model_makes_is_not_served(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = steps.fill

    def spoilt(collection: Collection) -> int:
        done = fill(collection)
        keys = [key for batch in collection.store.scan(["key"], tenant=None) for key in batch.column("key").to_pylist()]
        collection.store.fill(collection.spaces[0], keys, np.ones((len(keys), collection.spaces[0].dim), np.float32))
        return done

    monkeypatch.setattr(steps, "fill", spoilt)
    made = workbench.migrate("c", "lsa(n_components=62)")
    assert not made.done
    assert "does not hold" in str(made)


@pytest.mark.parametrize("kind", ["orthogonal", "linear"])
def test_an_adapter_asks_old_vectors_with_a_new_model(kind: str, kept: Path, capsys: Any) -> None:
    before = opened()
    rows = before.store.count(tenant=None)
    made = workbench.adapt_queries("c", kind, "lsa(n_components=62)")
    assert made.done, str(made)
    assert made.recovery.share >= 0.9
    after = opened()
    assert after.note != "about"
    assert after.spaces == before.spaces
    encoder = after.encoder(0)
    assert encoder.space == before.spaces[0]
    query = encoder.encode_query("wing1 number10 item10")
    np.testing.assert_allclose(np.linalg.norm(query), 1, atol=1e-4)
    assert not np.allclose(query, before.encoder(0).encode_query("wing1 number10 item10"), atol=1e-6)
    assert workbench.search("c", "number10 item10 wing", 3)
    workbench.ingest([Document("late", "tea1 tea2 tea3 tea4 late.")], "c", source_name="late")  # read by the old model
    (vector,) = [
        row["vector"]
        for batch in opened().store.scan(["document"], tenant=None, space=before.spaces[0])
        for row in batch.to_pylist()
        if row["document"] == "late"
    ]
    np.testing.assert_allclose(vector, before.encoder(0).encode_document(["tea1 tea2 tea3 tea4 late."])[0], atol=1e-5)
    (line,) = [line for line in workbench.lineage("c") if line["action"] == "adapt"]
    assert "by declaration" in line["model"][0]["declared"]
    with pytest.raises(InputError, match="already"):
        workbench.adapt_queries("c", kind, "lsa(n_components=61)")
    with pytest.raises(InputError, match="belongs to its collection"):
        encoder.save(kept / "x")
    assert run(capsys, "doctor", "c")[0] == 0
    assert run(capsys, "migrate", "c", "--adapter", "none")[0] == 0
    assert opened().note == "about"
    assert opened().store.count(tenant=None) == rows + 1
    with pytest.raises(InputError, match="no adapter"):
        workbench.adapt_queries("c", "none")


def test_an_adapter_goes_away_where_there_is_no_way_back(kept: Path) -> None:
    workbench.migrate("c", "lsa(n_components=62)", force=True)
    own = opened().models
    assert workbench.adapt_queries("c", "linear", "lsa(n_components=61)", force=True).done
    workbench.export_collection("c", kept / "out")
    workbench.finish_migration("c")  # which gives up who served before the adapter, too
    workbench.adapt_queries("c", "none")
    assert opened().models == own
    assert not [name for name in opened().about.arrays if name.startswith(("asks", "weights", "shift"))]
    assert workbench.search("c", "tea number11", 3)
    workbench.import_collection(kept / "out", "d")
    made = workbench.adapt_queries("d", "none")
    assert "asks again" in str(made)
    assert workbench.search("d", "tea number11", 3)


def test_a_whole_change_over_an_adapter(kept: Path) -> None:
    workbench.adapt_queries("c", "linear", "lsa(n_components=62)", force=True)
    made = workbench.migrate("c", "lsa(n_components=62)")
    assert made.done, str(made)
    after = opened()
    assert "asks" not in after.models[0]
    assert workbench.search("c", "tea number11", 3)
    workbench.roll_back("c")
    assert "asks" in opened().models[0]
    assert workbench.search("c", "tea number11", 3)


def test_an_adapter_that_recovers_little_changes_nothing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = workbench.adapt_queries("c", "orthogonal", "lsa(n_components=2)")
    assert not made.done
    assert made.recovery.share < migration.RECOVERED
    assert opened().note == "about"
    assert made.to_json()["recovery"]["accepted"] is False


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--to", "lsa", "--rollback"],
        ["--rollback", "--finish"],
        ["--adapter", "linear"],
        ["--adapter", "bent", "--to", "lsa"],
        ["--to", "lsa", "--qrels", "x"],
        ["--to", "lsa(n_components=62)", "--queries", "nowhere.jsonl"],
        ["--to", "lsa(n_components=62)", "--from", "minilm"],
    ],
)
def test_what_cannot_be_asked(given: list[str], kept: Path, capsys: Any) -> None:
    code, _, err = run(capsys, "migrate", "c", *given)
    assert code == 2
    assert "→" in err
    assert opened().store.filling == ()


# Doctor ---------------------------------------------------------------------------------------------------------------


def problems(name: str = "c") -> dict[str, Any]:
    return {finding.about: finding for finding in workbench.doctor(name) if finding.state == "problem"}


def test_a_sound_collection_has_no_problems(kept: Path) -> None:
    assert problems() == {}
    assert {finding.about for finding in workbench.doctor("c")} > {"files", "model lsa", "values of lsa", "duplicates of lsa"}


def test_doctor_says_a_command_that_goes_on(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "switch", lambda *_: pytest.fail("it is kept out"))
    assert not workbench.migrate("c", "lsa(n_components=2)").done
    (found,) = [one for one in workbench.doctor("c") if one.about == "migration"]
    typed = shlex.split(found.mend.partition(" goes on")[0])
    assert typed == ["vicino", "migrate", "c", "--to", "lsa(n_components=2)"]
    assert workbench.migrate("c", typed[-1]).embedded == 0


def test_a_cure_is_migrated_to_as_doctor_names_it(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named inside of its own parameters, goes on under the name that it was begun with, and serves from its folder."""
    cured = Target("lsa(n_components=60)", steps.command(opened(), 0, "--to ENCODER")).cured("centring")
    name = shlex.split(cured)[-1]
    assert name == "isotropic(encoder=lsa(n_components=60), cure=centring)"
    with monkeypatch.context() as patched:
        patched.setattr(steps, "switch", lambda *_: pytest.fail("stopped"))
        with pytest.raises(BaseException, match="stopped"):
            workbench.migrate("c", name, force=True)
    (found,) = [one for one in workbench.doctor("c") if one.about == "migration"]
    assert shlex.split(found.mend.partition(" goes on")[0])[-1] == name
    assert workbench.migrate("c", name, force=True).done
    served = opened()
    assert [steps.called(model) for model in served.models] == [name]
    assert served.encoder(0).inner.family == "lsa"  # type: ignore[attr-defined]
    assert workbench.search("c", "tea3 tea4 tea5", k=1)[0].document.startswith("d")


def test_doctor_sees_a_model_that_moved(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vicino.encoders.counts import LSA

    encode = LSA._encode
    monkeypatch.setattr(LSA, "_encode", lambda self, *given: -encode(self, *given))
    assert "no longer gives" in problems()["model lsa"].value


def test_doctor_sees_vectors_of_another_model(kept: Path) -> None:
    collection = opened()
    rows = [row for batch in collection.store.scan(["key"], tenant=None) for row in batch.to_pylist()]
    space = collection.spaces[0]
    collection.store.add_space(type(space)("spare", 2))
    collection.store.fill(type(space)("spare", 2), [row["key"] for row in rows], np.ones((len(rows), 2), np.float32))
    collection.store.serve([type(space)("spare", 2)], note="")
    draw = np.random.default_rng(0).standard_normal((len(rows), space.dim)).astype(np.float32)
    draw[0] = 0
    draw[1:9] = draw[1]
    collection.store.fill(space, [row["key"] for row in rows], draw)
    collection.store.serve([space], note="")
    found = problems()
    assert found.keys() == {"vectors of lsa", "migration", "values of lsa", "duplicates of lsa"}
    assert "1 zero" in found["values of lsa"].value
    assert "8 of 120" in found["duplicates of lsa"].value
    assert "nobody uses" in found["migration"].value
    assert all(finding.mend and finding.threshold and finding.cause for finding in found.values())
    assert run_finish() == {"vectors of lsa", "values of lsa", "duplicates of lsa"}


def run_finish() -> set[str]:
    workbench.finish_migration("c")
    return set(problems())


def test_doctor_sees_many_small_files(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vicino.evaluation import checkup

    monkeypatch.setattr(checkup, "MANY_FILES", 3)
    assert "vicino maintain c" in problems()["files"].mend
