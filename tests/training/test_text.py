"""Fine-tuning a sentence encoder: what helps is accepted, what hurts is rejected, and what was killed goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from vicino import artifacts, cli, encoders, workbench
from vicino.data.records import Document, Hits
from vicino.encoders.transformer import Transformer
from vicino.errors import ArtifactError, InputError, UnknownName, VicinoError
from vicino.training.material import as_judged, divide, gather
from vicino.training.recipe import TextRecipe
from vicino.training.rules import require_alone
from vicino.vectors import normalise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LEARN = {
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "temperature": 0.1,
    "evaluate_every": 100.0,
    "precision": "float32",
    "threads": 1,
    "seed": 1,
}


@pytest.fixture(scope="module")
def accepted(ciphered, base, tmp_path_factory):
    """A training that helps; only for looking."""
    out = tmp_path_factory.mktemp("trained") / "model"
    return workbench.train_text(ciphered(), out, base=base, controls=[], **LEARN | {"evaluate_every": 1.0})


def test_what_helps_is_accepted(accepted):
    assert accepted.gate.accepted, accepted.gate.sentence
    assert accepted.scores["after"] > accepted.scores["before"] + 0.2
    assert accepted.gate.gain.difference.low > 0
    assert set(accepted.scores) == {"bm25", "before", "after"}
    assert "negatives" in accepted.told
    assert accepted.run.kept in accepted.run.metrics
    assert accepted.run.best == max(accepted.run.metrics.values())


def test_the_folder_opens_everywhere_and_says_what_it_is(accepted, sentence_transformers):
    texts = ["wings lift an aeroplane", "tea"]
    opened = Transformer(model=str(accepted.path), precision="float32")
    theirs = sentence_transformers.SentenceTransformer(str(accepted.path), device="cpu")
    np.testing.assert_allclose(opened.encode(texts), theirs.encode(texts), atol=1e-5)
    assert encoders.load(accepted.path).space == opened.space
    record = json.loads((accepted.path / "training.json").read_text())
    assert record["gate"]["accepted"] is True
    assert record["recipe"]["epochs"] == 12
    assert not list(accepted.path.parent.glob(".*training"))


def test_shuffled_answers_are_rejected(ciphered, base, tmp_path):
    found = workbench.train_text(ciphered(shuffled=True), tmp_path / "model", base=base, controls=[], **LEARN | {"epochs": 2})
    assert not found.gate.accepted
    assert found.gate.advice
    assert json.loads((tmp_path / "model" / "training.json").read_text())["gate"]["accepted"] is False


@pytest.mark.long
def test_what_forgets_other_data_is_rejected(ciphered, base, tmp_path):
    """The control: texts whose likeness the base tells, and the cipher does not."""
    texts = [json.loads(line)["question"] for line in ciphered().read_text().splitlines()[:60]]
    encoder = encoders.make(base)
    vectors = encoder.encode(texts, normalize_embeddings=True)
    rows = [{"text1": texts[i], "text2": texts[i + 1], "score": float(vectors[i] @ vectors[i + 1])} for i in range(59)]
    control = tmp_path / "alike.jsonl"
    control.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = workbench.train_text(ciphered(), tmp_path / "model", base=base, controls=[control], **LEARN)
    assert found.gate.gain.difference.low > 0
    assert not found.gate.accepted
    assert "worse by more than 0.01 on other data, Spearman on" in found.gate.sentence


def test_what_was_interrupted_goes_on_to_the_same_weights(ciphered, base, tmp_path, ctrl_c):
    from vicino.training import ranking

    changes = {**LEARN, "base": base, "controls": [], "epochs": 3, "dims": [8]}
    whole = workbench.train_text(ciphered(), tmp_path / "whole", **changes)
    with ctrl_c(ranking, "ranking_loss", at=20):
        workbench.train_text(ciphered(), tmp_path / "model", **changes)
    assert not (tmp_path / "model").exists()
    found = workbench.train_text(ciphered(), tmp_path / "model", **changes)
    assert found.run.resumed == 20
    assert found.run.losses == whole.run.losses
    texts = ["wings lift an aeroplane"]
    np.testing.assert_array_equal(encoders.load(found.path).encode(texts), encoders.load(whole.path).encode(texts))
    with ctrl_c(ranking, "ranking_loss", at=20):  # and a checkpoint of another call is not gone on from
        workbench.train_text(ciphered(), tmp_path / "third", **changes)
    with pytest.raises(VicinoError, match="another run"):
        workbench.train_text(ciphered(), tmp_path / "third", **changes | {"learning_rate": 1e-3})


@pytest.mark.long
def test_negatives_are_mined_anew_and_found_again(ciphered, base, tmp_path, monkeypatch, ctrl_c):
    from vicino.training import candidates, ranking

    changes = {**LEARN, "base": base, "controls": [], "epochs": 3, "remine": 1}
    mine, mined = candidates.with_negatives, []

    def told(*given):
        mined.append(mine(*given))
        return mined[-1]

    monkeypatch.setattr(ranking, "with_negatives", told)
    whole = workbench.train_text(ciphered(), tmp_path / "whole", **changes)
    assert len(mined) == 3
    assert mined[0][0] != mined[1][0] != mined[2][0]
    with ctrl_c(ranking, "ranking_loss", at=len(whole.run.losses) // 2):  # in the middle of the second epoch
        workbench.train_text(ciphered(), tmp_path / "model", **changes)
    assert workbench.train_text(ciphered(), tmp_path / "model", **changes).run.losses == whole.run.losses


def test_what_was_killed_while_it_was_judged_is_judged_again_without_training(ciphered, base, tmp_path, monkeypatch):
    from vicino.training import ranking, text

    changes = {**LEARN, "base": base, "controls": [], "epochs": 2}
    workbench.train_text(ciphered(), tmp_path / "model", **changes | {"seed": 2})
    before = (tmp_path / "model" / "training.json").read_text()

    def killed(*_, **__):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(text, "decide", killed)
        with pytest.raises(SystemExit):
            workbench.train_text(ciphered(), tmp_path / "model", **changes)
    assert (tmp_path / "model" / "training.json").read_text() == before  # what stood there still does
    monkeypatch.setattr(ranking, "ranking_loss", killed)
    found = workbench.train_text(ciphered(), tmp_path / "model", **changes)
    assert found.run.resumed == found.run.steps
    assert (tmp_path / "model" / "training.json").read_text() != before


@pytest.mark.parametrize("by", ["dense", "bm25", "hybrid"])
def test_mining_embeds_each_question_once(by):
    from vicino.data.examples import Examples
    from vicino.training.candidates import with_negatives
    from vicino.training.searchable import Searchable

    degrees, asked = {"a": 0, "b": 5, "c": 90, "a?": 1, "b?": 6, "c?": 80}, []

    def vectors(texts, **_):
        angles = np.deg2rad([degrees[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def questions(texts, **_):
        asked.extend(texts)
        return vectors(texts)

    def lexical(queries, k):
        return Hits(np.full((len(queries), 1), "d2", dtype=object), np.ones((len(queries), 1), dtype=np.float32))

    examples = as_judged(Examples("pairs", ["a?", "b?", "c?"], ["a", "b", "c"]))
    encoder = SimpleNamespace(space=SimpleNamespace(similarity="cosine"), encode_document=vectors, encode_query=questions)
    dense = Searchable(encoder, examples.corpus.documents)
    negatives, _ = with_negatives(examples, dense, lexical, TextRecipe(mine=by, negatives=1))
    assert negatives[:2] == [["c"], ["c"]]  # what is as near as the answer is left out
    assert negatives[2][0] in {"a", "b"}
    assert asked == ["a?", "b?", "c?"]


def test_negatives_are_of_the_ranks_that_were_asked_for():
    from vicino.data.examples import Examples
    from vicino.training.candidates import with_negatives

    n = 40
    names = [f"d{row}" for row in range(n)]
    examples = Examples("pairs", ["asks"], ["word 0"], query_ids=["q"], document_ids=["d0"])
    documents = [Document(name, f"word {row}") for row, name in enumerate(names)]
    dense = SimpleNamespace(documents=documents, vectors=np.eye(n, dtype=np.float32))
    dense.asked = lambda queries: np.linspace(1, 0.5, n, dtype=np.float32)[None]

    def lexical(queries, k):
        return Hits(np.array([names[:k]], dtype=object), np.linspace(1, 0.5, n, dtype=np.float32)[None, :k])

    def mined(**recipe):
        return {text for seed in range(200) for text in with_negatives(examples, dense, lexical, made(seed, **recipe))[0][0]}

    def made(seed, **recipe):
        return TextRecipe(mine="bm25", negatives=4, seed=seed, **recipe)

    assert mined(relative=None) == {f"word {row}" for row in range(1, n)}
    assert mined(relative=None, rank_from=5, rank_to=10) == {f"word {row}" for row in range(5, 10)}
    assert min(int(text.split()[1]) for text in mined(relative=0.9)) == 8  # .9 of the answer's nearness is at rank 7.8
    with pytest.raises(InputError, match="no rank is from 9 to 9"):
        TextRecipe(rank_from=9, rank_to=9)


def test_a_cross_encoder_can_say_what_is_an_answer(monkeypatch):
    from vicino.data.examples import Examples
    from vicino.training import candidates

    read = []

    class Reader:
        at_once = 1

        def predict(self, pairs, *, logits):
            read.extend(pairs)
            return np.array([{"yes": 2.0, "near": 1.9, "no": -3.0}[text.split()[0]] for _, text in pairs], dtype=np.float32)

        def shares(self, logits):
            return 1 / (1 + np.exp(-logits.astype(np.float64)))

    monkeypatch.setattr(candidates, "open_reranker", {"rr/": Reader()}.__getitem__)
    texts = ["near first", "yes one", "no two", "near three", "yes four", "no five"]
    documents = [Document(f"d{row}", text) for row, text in enumerate(texts)]
    ids = np.array([[one.id for one in documents]] * 2, dtype=object)
    dense = SimpleNamespace(documents=documents, vectors=np.eye(6, dtype=np.float32))
    dense.asked = lambda queries: np.ones((2, 6), dtype=np.float32)
    examples = Examples("pairs", ["p", "q"], [texts[1], texts[4]], query_ids=["p", "q"], document_ids=["d1", "d4"])
    recipe = TextRecipe(mine="bm25", negatives=2, judge="rr/", rank_from=1)
    hits = Hits(ids, np.ones((2, 6), dtype=np.float32))
    negatives, told = candidates.with_negatives(examples, dense, lambda queries, k: hits, recipe)
    assert [set(each) for each in negatives] == [{"no two", "no five"}] * 2
    assert "4 taken for an answer" in told  # near three, and of each question the other's answer
    assert ("p", "near first") not in read  # rank 0 was not asked for
    assert len(read) == 2 * (5 + 1)


def test_both_directions_can_be_learnt():
    torch = pytest.importorskip("torch")
    from vicino.learning.losses.in_batch import info_nce
    from vicino.training.ranking import ranking_loss

    vectors = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))  # of a question and its answer, side by side
    batch = {"texts": [[0, 0]] * 4, "positive": torch.arange(4)}
    both, one = (
        float(ranking_loss(None, batch, vectors, recipe=TextRecipe(symmetric=symmetric, negatives=0)))
        for symmetric in (True, False)
    )
    expected = info_nce(vectors[:, :5], vectors[:, 5:], symmetric=True)
    assert both == pytest.approx(float(expected))
    assert both != pytest.approx(one)


def test_several_processes_do_not_write_one_folder(ciphered, base, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "")
    require_alone()
    monkeypatch.setenv("WORLD_SIZE", "2")
    for verb in (workbench.train_text, workbench.train_reranker):
        with pytest.raises(InputError, match="2 processes"):
            verb(ciphered(), tmp_path / "model", base=base)
    assert list(tmp_path.iterdir()) == []


def test_what_came_later_does_not_part_a_training_from_its_checkpoints():
    plain = TextRecipe(negatives=2).identity()
    assert "threads" not in plain
    assert {"rank_from", "rank_to", "judge", "schedule", "symmetric", "query_prompt"} & set(plain) == set()
    assert plain["negatives"] == 2
    assert TextRecipe(schedule="cosine").identity()["schedule"] == "cosine"


@pytest.mark.parametrize(
    "wrong",
    [
        {"symmetric": "False"},
        {"query_prompt": 5},
        {"document_prompt": ["a"]},
        {"judge": 5},
        {"judge": "rr", "relative": None},
        {"judge": "rr", "mine": "none"},
        {"judge": "rr", "negatives": 0},
        {"judge": "rr", "way": "maps"},
    ],
)
def test_what_would_change_nothing_or_something_else_is_named(wrong):
    with pytest.raises(InputError):
        TextRecipe(**wrong)


def test_a_judge_that_is_not_there_is_named_before_anything_long(ciphered, base, tmp_path, monkeypatch):
    from vicino.training import text

    monkeypatch.setattr(text, "divide", lambda *_, **__: pytest.fail("the data were read before"))
    with pytest.raises(VicinoError, match="nowhere"):
        workbench.train_text(ciphered(), tmp_path / "model", base=base, judge=str(tmp_path / "nowhere"))


def test_how_steps_are_taken_can_be_chosen():
    settings = TextRecipe.of(warmup=0.0, schedule="constant", clip=None, weight_decay=0.5).settings
    assert (settings.warmup, settings.schedule, settings.clip, settings.weight_decay) == (0.0, "constant", None, 0.5)
    with pytest.raises(InputError, match="schedule"):
        TextRecipe(schedule="sawtooth")


@pytest.mark.long
def test_prompts_are_learnt_with_and_kept(ciphered, base, tmp_path, sentence_transformers):
    prompts = {"query_prompt": "wings: ", "document_prompt": "tea: "}
    made = workbench.train_text(ciphered(), tmp_path / "model", base=base, controls=[], **LEARN, **prompts)
    plain = workbench.train_text(ciphered(), tmp_path / "plain", base=base, controls=[], **LEARN | {"epochs": 1})
    assert made.scores["before"] == plain.scores["before"]  # the base is measured as it is
    assert made.gate.accepted, made.gate.sentence
    opened = Transformer(model=str(made.path), precision="float32")
    assert (opened.prompt("query"), opened.prompt("document")) == ("wings: ", "tea: ")
    bare = Transformer(model=str(made.path), precision="float32", prompts={"query": "", "document": ""})
    text = "lift an aeroplane"
    np.testing.assert_allclose(opened.encode_query([text]), bare.encode_query([f"wings: {text}"]), atol=1e-6)
    assert not np.allclose(opened.encode_query([text]), bare.encode_query([text]), atol=1e-3)
    theirs = sentence_transformers.SentenceTransformer(str(made.path), device="cpu")
    np.testing.assert_allclose(theirs.encode_query([text]), opened.encode_query([text]), atol=1e-5)
    with pytest.raises(InputError, match="maps knows no query_prompt"):
        TextRecipe(way="maps", query_prompt="q: ")


def test_texts_that_the_model_does_not_read_to_their_end_are_found(ciphered, base, tmp_path):
    data = ciphered()
    made = workbench.train_text(data, tmp_path / "model", base=base, controls=[], **LEARN | {"epochs": 1, "limit": 4})
    found = made.found["long positives"]
    assert "more than 4 tokens" in found.sentence
    assert found.count > 0
    whole = workbench.train_text(data, tmp_path / "whole", base=base, controls=[], **LEARN | {"epochs": 1, "limit": 60})
    assert "long positives" not in whole.found


def test_a_full_disk_after_training_is_named_and_what_was_learnt_is_kept(ciphered, base, tmp_path, monkeypatch):
    from safetensors import SafetensorError

    from vicino.training import ranking, text

    changes = {**LEARN, "base": base, "controls": [], "epochs": 2}
    whole = workbench.train_text(ciphered(), tmp_path / "whole", **changes)

    def full(*_):
        raise SafetensorError("Error while serializing: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(text, "save_anew", full)
        with pytest.raises(ArtifactError, match="free some space"):
            workbench.train_text(ciphered(), tmp_path / "model", **changes)
    monkeypatch.setattr(ranking, "ranking_loss", full)  # nothing is learnt again
    assert workbench.train_text(ciphered(), tmp_path / "model", **changes).scores == whole.scores


def test_what_was_stopped_says_the_command_that_goes_on(ciphered, base, tmp_path, capsys, monkeypatch):
    from vicino.training import ranking

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ranking, "ranking_loss", interrupted)
    command = ["train", "text", str(ciphered()), "--base", base, "--out", str(tmp_path / "model"), "--threads", "1", "--quiet"]
    monkeypatch.setattr("sys.argv", ["vicino", *command])
    monkeypatch.delenv("VICINO_DATA", raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == 130
    assert f"the same command goes on from there:\n  vicino {' '.join(command)}" in capsys.readouterr().err


def test_documents_that_fill_up_are_no_answers():
    from vicino.data.examples import Examples
    from vicino.training.candidates import with_negatives

    examples = as_judged(Examples("pairs", ["a?", "a?", "b?"], ["x", "y", "z"]))

    def filled(examples, negatives):
        documents = SimpleNamespace(documents=examples.corpus.documents)
        return with_negatives(examples, documents, None, TextRecipe(mine="none", negatives=negatives))[0]

    assert [set(each) for each in filled(examples, 9)] == [{"z"}, {"z"}, {"x", "y"}]
    with pytest.raises(InputError, match="all documents answer"):
        filled(as_judged(Examples("pairs", ["a?", "a?"], ["x", "y"])), 1)


def test_the_command_tells_the_verdict_and_ends_with_it(ciphered, base, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("VICINO_DATA", raising=False)
    told = "batch_size=16,learning_rate=1e-2,temperature=0.1,precision=float32"
    command = ["train", "text", "--base", base, "--epochs", "8", "--set", told, "--threads", "1", "--quiet"]
    for shuffled, code, verdict in ((False, 0, "accepted: "), (True, 1, "rejected: ")):
        out = tmp_path / verdict[:3]
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, str(ciphered(shuffled=shuffled)), "--out", str(out)])
        shown = capsys.readouterr()
        assert int(ended.value.code or 0) == code
        assert verdict in shown.out
        assert "bm25" in shown.out
        assert "loss by default: info_nce" in shown.err
        assert encoders.load(out).dim == 32


def test_a_dry_run_plans_and_writes_nothing(ciphered, base, tmp_path):
    plan = workbench.train_text(ciphered(), tmp_path / "model", base=base, controls=[], dry_run=True, **LEARN)
    assert (plan.steps, plan.processes) == (12 * plan.epoch_steps, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [
        {"negatives": 0},
        {"mine": "none"},
        {"mine": "bm25", "negatives": 2},
        {"dims": [8, 16]},
        {"small_batch": 8},
        {"margin": 0.1},
        {"dropout": None},
    ],
    ids=str,
)
def test_every_way_of_training_runs(ciphered, base, tmp_path, changes):
    found = workbench.train_text(ciphered(n=120), tmp_path / "model", base=base, controls=[], **LEARN | {"epochs": 1} | changes)
    assert found.run.steps > 2
    assert np.isfinite(found.run.losses).all()


@pytest.mark.long
def test_the_first_dimensions_learn_too_where_they_are_asked_to(ciphered, base, tmp_path):
    task = gather(ciphered(), seed=1).judge

    def place_of_the_answer(seed, dims):
        """The mean share of documents that the first four dimensions find nearer than the answer."""
        recipe = LEARN | {"learning_rate": 6e-3, "seed": seed, "dims": dims}
        found = workbench.train_text(ciphered(), tmp_path / f"{seed}-{dims}", base=base, controls=[], **recipe)
        vectors = encoders.load(found.path)
        asked, told = vectors.encode([q.text for q in task.queries]), vectors.encode([d.text for d in task.documents])
        cosines = normalise(asked[:, :4]) @ normalise(told[:, :4]).T
        ids = [d.id for d in task.documents]
        own = [max(row[ids.index(name)] for name in task.qrels[q.id]) for q, row in zip(task.queries, cosines, strict=True)]
        return np.mean(cosines > np.array(own)[:, None])

    matryoshka, plain = (sum(place_of_the_answer(seed, dims) for seed in (3, 4)) for dims in ([4], []))
    assert matryoshka < 0.9 * plain


def test_a_turn_of_the_vectors_puts_most_into_the_first_dimensions(ciphered, base, tmp_path, sentence_transformers):
    nothing = LEARN | {"epochs": 1, "learning_rate": 1e-12, "dims": [8]}
    found = workbench.train_text(ciphered(n=120), tmp_path / "model", base=base, controls=[], **nothing)
    texts = [json.loads(line)["question"] for line in ciphered().read_text().splitlines()]
    opened, begun = (Transformer(model=str(each), precision="float32") for each in (found.path, base))
    after, before = (each.encode(texts, normalize_embeddings=True) for each in (opened, begun))
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-4)
    by_all = before @ before.T

    def off(vectors):
        """How far the cosines by eight dimensions are from those by all."""
        few = normalise(np.ascontiguousarray(vectors[:, :8]))
        return np.abs(few @ few.T - by_all).mean()

    assert off(after) < 0.8 * off(before)
    theirs = sentence_transformers.SentenceTransformer(str(found.path), device="cpu")
    np.testing.assert_allclose(opened.encode(texts[:9]), theirs.encode(texts[:9]), atol=1e-5)


@pytest.mark.parametrize("loss", [{}, {"loss": "cosent", "temperature": 0.1}], ids=["met", "in order"])
def test_pairs_with_scores_teach_cosines(ciphered, base, tmp_path, loss):
    random = np.random.default_rng(0)
    words = sorted({word for line in ciphered().read_text().splitlines() for word in json.loads(line)["question"].split()})
    topics, others = words[:6], words[6:]
    learn = {name: value for name, value in LEARN.items() if name != "temperature"}
    folder = tmp_path / "scored"
    folder.mkdir()
    for split, n in {"train": 300, "dev": 60, "test": 150}.items():
        lines = ["score\tsentence1\tsentence2"]
        for _ in range(n):
            one, two = random.integers(6), random.integers(6)
            two = one if random.random() < 0.5 else two
            sides = [" ".join([*random.choice(others, 3), topics[topic], *random.choice(others, 3)]) for topic in (one, two)]
            lines.append("\t".join(["5" if one == two else "0", *sides]))
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    found = workbench.train_text(folder, tmp_path / "model", base=base, controls=[], **learn | {"dims": [8]} | loss)
    assert found.metric == "Spearman"
    assert "of 150 pairs" in found.judged_by
    assert found.gate.accepted, found.gate.sentence
    assert set(found.scores) == {"tfidf", "before", "after"}
    with pytest.raises(InputError, match="pairs with scores"):
        gather(folder)


def test_splits_of_tables_are_kept(ciphered, base, tmp_path):
    rows = ciphered().read_text().splitlines(keepends=True)
    for name, part in (("train", rows[:300]), ("test", rows[300:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(part))
    material = gather(tmp_path)
    assert material.judged_by == f"the test split, {len(material.judge.queries)} of 100 questions"
    assert len(material.learn) + len(material.choose.queries) == 300
    assert {query.text for query in material.judge.queries} <= {json.loads(row)["question"] for row in rows[300:]}
    assert len(material.judge.documents) == len({json.loads(row)["answer"] for row in rows})


def test_parameters_that_cannot_be_are_named(ciphered, base, tmp_path):
    with pytest.raises(UnknownName, match="learning_rate"):
        workbench.train_text(ciphered(), tmp_path / "m", base=base, learning_rat=1)
    for changes in ({"mine": "luck"}, {"negatives": -1}, {"temperature": 0}, {"epochs": 0}, {"remine": 0}):
        with pytest.raises(InputError):
            workbench.train_text(ciphered(), tmp_path / "m", base=base, **changes)


def test_questions_are_cut_so_that_nothing_is_asked_that_was_learnt(ciphered):
    material = gather(ciphered(), seed=3)
    learnt = set(material.learn.query_ids)
    choose, judge = ({query.id for query in task.queries} for task in (material.choose, material.judge))
    assert not learnt & choose
    assert not learnt & judge
    assert not choose & judge
    assert len(material.judge.queries) >= 45
    answers = set(material.learn.document_ids)
    assert not any(answers & set(grades) for grades in material.judge.rows)


def test_equal_texts_are_one_question_and_one_document():
    from vicino.data.examples import Examples

    found = as_judged(Examples("triplets", ["a?", "a?", "b?"], ["x", "y", "x"], [["z"], [], ["y"]]))
    assert found.query_ids == ["q0", "q0", "q1"]
    assert found.document_ids == ["d0", "d1", "d0"]
    assert [one.text for one in found.corpus.documents] == ["x", "y", "z"]
    assert found.corpus.qrels == {"q0": {"d0": 1, "d1": 1}, "q1": {"d0": 1}}


def test_texts_without_labels_make_their_own_pairs(base, tmp_path):
    random = np.random.default_rng(0)
    words = str.split("wings lift aeroplane air flows faster tea water boiling bread dough violin cello map world")
    rows = []
    for number in range(150):
        own = [f"{word}{number}" for word in random.permutation(words)[:6]]
        rows.append({"title": " ".join(own[:3]), "text": f"The {' '.join(random.permutation(own))} is near. It is far."})
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    material = gather(path, unlabelled=True)
    assert "synthetic" in material.judged_by
    assert set(material.learn.anchors) <= {row["title"] for row in rows}
    given = LEARN | {"epochs": 1, "learning_rate": 1e-9}  # nothing is learnt
    found = workbench.train_text(path, tmp_path / "m", base=base, unlabelled=True, controls=[], **given)
    assert "synthetic" in found.gate.sentence
    assert found.gate.advice[1:] == ("give more texts, or questions with what answers them",)


def test_too_few_examples_are_named(tmp_path, base):
    path = tmp_path / "few.jsonl"
    path.write_text("".join(json.dumps({"question": f"q{n} {n}", "answer": f"a{n}"}) + "\n" for n in range(20)))
    with pytest.raises(InputError, match="are left"):
        workbench.train_text(path, tmp_path / "m", base=base)


def test_what_was_begun_with_other_content_is_not_gone_on_with(ciphered, base, tmp_path, ctrl_c):
    from vicino.training import ranking

    lines = ciphered(n=120).read_text().splitlines(keepends=True)
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(lines))
    changes = {**LEARN, "base": base, "controls": [], "epochs": 2}
    with ctrl_c(ranking, "ranking_loss", at=3):
        workbench.train_text(data, tmp_path / "m", **changes)
    data.write_text("".join(lines[::-1]))
    with pytest.raises(VicinoError, match="another run"):
        workbench.train_text(data, tmp_path / "m", **changes)
    data.write_text("".join(lines))
    assert workbench.train_text(data, tmp_path / "m", **changes | {"threads": None}).run.resumed == 3  # threads may differ


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_split_that_is_learnt_from_neither_chooses_nor_judges(ciphered, tmp_path, split):
    rows = ciphered().read_text().splitlines(keepends=True)
    for name, part in (("train", rows[:200]), ("dev", rows[200:300]), ("test", rows[300:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(part))
    parts = divide(tmp_path, split=split)
    learnt, chosen, judged = (set(part.query_ids) for part in (parts.learn, parts.choose, parts.judge))
    assert not learnt & chosen
    assert not (learnt | chosen) & judged
    assert len(judged) == 100
    assert len(chosen) == (100 if split == "train" else 10)


def test_a_pair_that_was_learnt_is_not_judged_the_other_way_round(tmp_path):
    texts = [f"{a} {b} of number {n}" for n, (a, b) in enumerate((x, y) for x in "abcdefgh" for y in "klmnopqr")]
    random = np.random.default_rng(0)
    for name in ("train", "dev", "test"):
        rows = ["sentence1\tsentence2\tscore"]
        for n in range(60):
            one, two = random.permutation(64)[:2] if name != "test" or n >= 20 else (n, n + 1)
            rows.append(f"{texts[one]}\t{texts[two]}\t{random.uniform(0, 5):.2f}")
        if name == "train":
            rows += [f"{texts[n + 1].upper()}\t{texts[n]}\t0.0" for n in range(20)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows))
    parts = divide(tmp_path)
    known = {frozenset(map(str.lower, pair)) for pair in zip(parts.learn.anchors, parts.learn.positives, strict=True)}
    found = parts.looked_at()
    everything = replace(found, clean=np.arange(len(parts.judge)))  # as if nothing else were given away
    kept = parts.clean(everything)
    assert 20 <= len(parts.judge) - len(kept) <= 30
    assert not known & {frozenset(map(str.lower, pair)) for pair in zip(kept.anchors, kept.positives, strict=True)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": "abc"},
        {"limit": 2.5},
        {"limit": 0},
        {"temperature": "x"},
        {"relative": "x"},
        {"margin": "x"},
        {"negatives": 1.5},
        {"dims": ("a",)},
        {"dropout": 5},
        {"towers": "two"},
    ],
    ids=str,
)
def test_wrong_values_are_named_before_anything_is_read(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        TextRecipe(**wrong)


def test_pairs_without_scores_have_no_order(ciphered, tmp_path, base):
    with pytest.raises(InputError, match="cosent is for pairs with scores"):
        workbench.train_text(ciphered(n=120), tmp_path / "m", base=base, controls=[], loss="cosent")


def test_what_scores_do_not_use_is_refused(ciphered, tmp_path, base):
    told = [json.loads(line) for line in ciphered(n=120).read_text().splitlines()]
    rows = [f"{n % 6}\t{row['question']}\t{row['answer']}" for n, row in enumerate(told)]
    (tmp_path / "scored.tsv").write_text("\n".join(["score\tsentence1\tsentence2", *rows]))
    with pytest.raises(InputError, match="remine are for pairs without scores"):
        workbench.train_text(tmp_path / "scored.tsv", tmp_path / "m", base=base, controls=[], remine=1)
    for loss in ({"temperature": 0.1}, {"loss": "cosent", "temperature": "learned"}):
        with pytest.raises(InputError, match="temperature are for pairs without scores"):
            workbench.train_text(tmp_path / "scored.tsv", tmp_path / "m", base=base, controls=[], **loss)


def test_the_folder_that_one_stands_in_is_no_target_without_a_name(ciphered, base, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert workbench.train_text(ciphered(n=120), ".", base=base, controls=[], dry_run=True, **LEARN | {"epochs": 1}).steps


def test_a_base_that_leaves_prompts_out_is_refused(accepted, ciphered, tmp_path):
    folder = shutil.copytree(accepted.path, tmp_path / "base")
    (folder / artifacts.MANIFEST).unlink()
    pooling = next(folder.glob("*_Pooling/config.json"))
    pooling.write_text(json.dumps({**json.loads(pooling.read_text()), "include_prompt": False}))
    about = folder / "config_sentence_transformers.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "prompts": {"query": "asked: ", "document": ""}}))
    with pytest.raises(InputError, match="leaves its prompts out"):
        workbench.train_text(ciphered(n=120), tmp_path / "m", base=str(folder), controls=[], **LEARN)
