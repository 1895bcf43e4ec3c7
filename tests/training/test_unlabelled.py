"""Learning from texts alone: SimCSE, TSDAE, and queries that a function writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from vicino import cli, encoders, workbench
from vicino.data.records import Document
from vicino.encoders.transformer import Transformer
from vicino.errors import EmptyInput, InputError, UnreadableSource
from vicino.training import material
from vicino.training.questions import Questions
from vicino.training.recipe import TextRecipe
from vicino.training.unlabelled import Contrast, DamagedTexts, Denoising, TwiceTexts, network_to_train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LEARN = {
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "precision": "float32",
    "threads": 1,
    "seed": 1,
    "controls": [],
    "unlabelled": True,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny networks are faster without others."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def written(path, n):
    """A file of n texts, whose titles are of their words, which are those of no other text."""
    random = np.random.default_rng(0)
    words = str.split("wings lift aeroplane air flows faster tea water boiling bread dough violin cello map world")
    rows = []
    for number in range(n):
        ending = "".join("aeiort"[number // 6**place % 6] for place in range(4))
        own = [word + ending for word in random.permutation(words)[:6].tolist()]
        rows.append({"title": " ".join(own[:3]), "text": " ".join([*own[::-1], "near", "world"])})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return written(tmp_path_factory.mktemp("texts") / "texts.jsonl", 120)


@pytest.fixture(scope="module")
def denoised(texts, base, tmp_path_factory):
    """A training by TSDAE; only for looking."""
    out = tmp_path_factory.mktemp("trained") / "model"
    return workbench.train_text(texts, out, base=base, way="tsdae", **LEARN | {"epochs": 4})


def autoencoder(base, **changes):
    model = Transformer(model=base).trainable()
    return network_to_train(model, TextRecipe(way="tsdae", **changes))


# SimCSE ---------------------------------------------------------------------------------------------------------------


def test_a_text_must_find_itself_through_another_dropout(texts, base):
    import torch

    encoder, recipe = Transformer(model=base), TextRecipe(way="simcse", temperature=0.1, batch_size=8)
    lesson = Contrast(material.gather(texts, unlabelled=True), encoder, recipe)
    model = encoder.trainable(dropout=recipe.dropout)
    batch = next(lesson.batches(model, texts.parent).epoch(0, 0))
    ids = [first for first, _ in batch["texts"]]
    (tower,) = lesson.loss.towers
    torch.manual_seed(3)
    vectors = tower(model, batch)
    found = lesson.loss.of(model, batch, vectors)
    torch.manual_seed(3)
    both = model(ids + ids).detach().double().numpy()
    first, second = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in np.split(both, 2))
    logits = first @ second.T / 0.1
    by_hand = np.mean([np.log(np.exp(row).sum()) - row[place] for place, row in enumerate(logits)])
    assert float(found) == pytest.approx(by_hand, rel=1e-4)
    assert (np.abs(first - second).max(axis=1) > 1e-3).all()  # two masks for each text
    found.backward()
    assert all(torch.isfinite(each.grad).all() for each in model.parameters() if each.grad is not None)


def test_a_text_stands_in_a_batch_once():
    ids = [np.array(own, dtype=np.int32) for own in ([1, 5, 2], [1, 6, 2], [1, 5, 2], [1, 7, 2], [1, 8, 2])]
    batches = TwiceTexts(ids, 2)
    assert len(batches) == 2
    for number in range(3):
        rows = [tuple(first) for batch in batches.epoch(number, 0) for first, _ in batch["texts"]]
        assert len(set(rows)) == len(rows) == 4
    assert [batch["positive"].tolist() for batch in batches.epoch(1, 0)] == [
        batch["positive"].tolist() for batch in batches.epoch(1, 0)
    ]
    with pytest.raises(EmptyInput, match="1 different"):
        TwiceTexts([ids[0], ids[2]], 2)


def test_what_was_taken_out_to_judge_by_is_not_learnt(texts, base):
    found = material.gather(texts, unlabelled=True)
    for kind, way in ((Contrast, "simcse"), (Denoising, "tsdae")):
        lesson = kind(found, Transformer(model=base), TextRecipe(way=way))
        held = {query.text for task in (found.choose, found.judge) for query in task.queries}
        assert len(held) > 20
        assert not held & set(lesson.texts)
        assert not any(title in text for title in held for text in lesson.texts)
        assert {one.content for one in found.judge.documents} <= set(lesson.texts)
        assert set(found.learn.anchors) <= set(lesson.texts)


def test_the_dropout_is_the_networks_own_unless_it_is_given(checkpoint, base):
    assert TextRecipe(way="simcse").dropout is None
    assert TextRecipe(way="simcse", dropout=0.2).dropout == 0.2
    assert TextRecipe().dropout == TextRecipe(way="tsdae").dropout == 0.0
    without = Transformer(model=str(checkpoint("modernbert")))
    with pytest.raises(InputError, match="no dropout") as error:
        network_to_train(without.trainable(dropout=None), TextRecipe(way="simcse"))
    assert "dropout=0.1" in error.value.mend
    model = without.trainable(dropout=0.1)
    assert network_to_train(model, TextRecipe(way="simcse", dropout=0.1)) is model


# TSDAE ----------------------------------------------------------------------------------------------------------------


def test_what_is_deleted_is_words_and_depends_on_seed_epoch_and_text(base):
    model = Transformer(model=base).trainable()
    long = ["wings lift aeroplanes tea waters bread " * 2] * 40
    words = model.tokenizer.words(long)
    ids = model.ids(long)
    assert all(len(own) == len(of) for own, of in zip(ids, words, strict=True))
    assert words[0][0] == words[0][-1] == -1
    assert words[0].max() + 1 == 12 < len(ids[0]) - 2  # several pieces a word
    texts = DamagedTexts(ids, words, 8)
    shares = []
    for row in range(len(ids)):
        left = texts.damaged(row, 0, 1)
        np.testing.assert_array_equal(left, texts.damaged(row, 0, 1))
        assert (left[0], left[-1]) == (ids[row][0], ids[row][-1])
        shares.append((len(left) - 2) / (len(ids[row]) - 2))
        at = 0  # what is left are whole words, in their order
        for place in range(12):
            piece = ids[row][words[row] == place]
            if np.array_equal(left[1:-1][at : at + len(piece)], piece):
                at += len(piece)
        assert at == len(left) - 2
    assert np.mean(shares) == pytest.approx(0.4, abs=0.08)
    kinds = {texts.damaged(*each).tobytes() for each in ((0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2))}
    assert len(kinds) == 4


def test_a_text_is_never_emptied():
    ids, words = np.array([1, 7, 8, 2], dtype=np.int32), np.array([-1, 0, 1, -1], dtype=np.int32)
    empty = np.array([1, 2], dtype=np.int32), np.array([-1, -1], dtype=np.int32)
    texts = DamagedTexts([ids, empty[0]], [words, empty[1]], 4)
    assert len(texts.texts) == 1
    left = [texts.damaged(0, number, 0).tolist() for number in range(200)]
    assert {len(each) for each in left} == {3, 4}
    assert {tuple(each) for each in left} == {(1, 7, 2), (1, 8, 2), (1, 7, 8, 2)}
    with pytest.raises(EmptyInput):
        DamagedTexts([empty[0]], [empty[1]], 4)


def test_words_are_counted_as_far_as_the_text_is_read(base):
    read = Transformer(model=base).trainable().tokenizer
    texts = [" " * 300_000 + "wings lift", "near " * 70_000, "", "wings\ud800lift"]
    for ids, words in zip(read.ids(texts), read.words(texts), strict=True):
        assert len(ids) == len(words)
        assert sorted(set(words.tolist())) == list(range(-1, int(words.max()) + 1))


def test_a_prompt_stays_and_scripts_without_spaces_lose_pieces():
    from vicino.training.unlabelled import _parts

    words = np.array([-1, 0, 1, 1, 2, -1], dtype=np.int32)
    assert _parts(words, 0).tolist() == words.tolist()
    assert _parts(words, 2).tolist() == [-1, -1, 1, 1, 2, -1]
    one = np.array([-1, 0, 0, 0, 0, 0, -1], dtype=np.int32)
    assert _parts(one, 0).tolist() == [-1, 1, 2, 3, 4, 5, -1]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_the_loss_is_that_of_transformers_own_decoder(checkpoint, family):
    import torch

    model = autoencoder(str(checkpoint(family))).eval()
    whole = model.encoder.ids(["wings lift an aeroplane", "tea", "the map of the world is good"])
    vectors = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    one_by_one = []
    for vector, ids in zip(vectors, whole, strict=True):
        tokens = torch.from_numpy(ids.astype(np.int64))[None]
        given = model.decoder(input_ids=tokens, encoder_hidden_states=vector[None, None], labels=tokens)
        one_by_one.append(float(given.loss) * (len(ids) - 1))
    assert float(model.decoded(vectors, whole)) == pytest.approx(sum(one_by_one), rel=1e-4)


def test_the_decoder_sees_the_vector_and_what_it_wrote_and_nothing_else(base, monkeypatch):
    import torch

    model = autoencoder(base).eval()
    whole = model.encoder.ids(["wings lift an aeroplane"])
    damaged, other = model.encoder.ids(["wings aeroplane"]), model.encoder.ids(["tea water"])
    apart = [float(model(each, whole)) for each in (damaged, other)]
    assert apart[0] != apart[1]
    vectors = model.encoder(damaged).detach()
    monkeypatch.setattr(model.encoder, "forward", lambda ids: vectors)
    assert float(model(damaged, whole)) == float(model(other, whole)) == pytest.approx(apart[0], rel=1e-5)
    tokens = torch.from_numpy(whole[0].astype(np.int64))[None]
    changed = tokens.clone()
    changed[0, 3] = 7
    before, after = (model.logits(vectors, each).detach() for each in (tokens, changed))
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:], atol=1e-3)


def test_encoder_and_decoder_share_all_but_what_is_new(base):
    import torch

    model = autoencoder(base)
    own, theirs = dict(model.encoder.network.named_parameters()), dict(model.decoder.base_model.named_parameters())
    new = {name for name in theirs if name not in own}
    assert new
    assert all("crossattention" in name for name in new)
    assert all(theirs[name] is own[name] for name in theirs if name in own)
    assert model.decoder.get_output_embeddings().weight is model.encoder.network.get_input_embeddings().weight
    again = autoencoder(base)
    for name in new:  # drawn by the seed
        torch.testing.assert_close(dict(again.decoder.base_model.named_parameters())[name], theirs[name], atol=0, rtol=0)
    drawn = dict(autoencoder(base, seed=5).decoder.base_model.named_parameters())
    assert any(not torch.equal(drawn[name], theirs[name]) for name in new if name.endswith("weight"))


def test_texts_are_written_better_and_the_folder_is_a_plain_encoder(denoised, sentence_transformers):
    from safetensors import safe_open

    assert denoised.run.losses[-1] < 0.8 * denoised.run.losses[0]
    assert denoised.run.kept in denoised.run.metrics
    assert "synthetic" in denoised.gate.sentence
    assert "written again" in denoised.told
    with safe_open(denoised.path / "model.safetensors", "np") as weights:
        assert not [name for name in weights.keys() if "crossattention" in name or name.startswith("cls.")]  # noqa: SIM118
    texts = ["wings lift an aeroplane", "tea"]
    opened = Transformer(model=str(denoised.path), precision="float32")
    theirs = sentence_transformers.SentenceTransformer(str(denoised.path), device="cpu")
    np.testing.assert_allclose(opened.encode(texts), theirs.encode(texts), atol=1e-5)
    assert json.loads((denoised.path / "training.json").read_text())["recipe"]["way"] == "tsdae"


def test_the_gradient_of_a_batch_is_that_of_its_shares(base):
    """As several processes would share it: a mean over all tokens, whichever texts are whose."""
    from vicino.learning.devices import rows
    from vicino.training.unlabelled import denoising_loss

    model = autoencoder(base).eval()
    texts = ["wings lift an aeroplane", "tea", "the map of the world", "bread"]
    batch = next(DamagedTexts(model.encoder.ids(texts), model.encoder.tokenizer.words(texts), 4).epoch(0, 0))
    whole = float(denoising_loss(model, batch))
    shares = [float(denoising_loss(model, rows(batch, *cut))) * (cut[1] - cut[0]) / 4 for cut in ((0, 1), (1, 4))]
    assert sum(shares) == pytest.approx(whole, rel=1e-4)


def test_vectors_of_another_width_are_written_from_too(base):
    encoder = Transformer(model=base, pooling=["cls", "mean"])
    model = network_to_train(encoder.trainable(), TextRecipe(way="tsdae"))
    ids = model.encoder.ids(["wings lift an aeroplane"])
    model(ids, ids).backward()
    assert model.bridge.weight.shape == (32, 64)
    assert float(model.bridge.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("family", ["mpnet", "modernbert", "t5", "distilbert", "llama"])
def test_architectures_without_such_a_decoder_are_named(checkpoint, family):
    with pytest.raises(InputError, match=f"no decoder of {family}") as error:
        autoencoder(str(checkpoint(family)))
    assert "simcse" in error.value.mend


@pytest.mark.long
def test_texts_alone_teach_to_find_them(base, tmp_path):
    """Random weights learn what texts say, and then find them by titles that they never saw beside them."""
    given = LEARN | {"epochs": 6, "learning_rate": 5e-3, "temperature": 0.1}
    path = written(tmp_path / "texts.jsonl", 300)
    found = workbench.train_text(path, tmp_path / "model", base=base, way="simcse", **given)
    assert found.gate.accepted, found.gate.sentence
    assert found.scores["after"] > found.scores["before"] + 0.1


# Both -----------------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("way", ["simcse", "tsdae"])
def test_what_was_interrupted_goes_on_to_the_same_weights(texts, base, tmp_path, ctrl_c, way):
    from vicino.training import ranking, unlabelled

    given = {**LEARN, "base": base, "way": way}
    whole = workbench.train_text(texts, tmp_path / "whole", **given)
    place, name = (ranking, "ranking_loss") if way == "simcse" else (unlabelled, "denoising_loss")
    with ctrl_c(place, name, at=9):
        workbench.train_text(texts, tmp_path / "model", **given)
    found = workbench.train_text(texts, tmp_path / "model", **given)
    assert found.run.resumed == 9 < found.run.steps
    assert found.run.losses == whole.run.losses
    vectors = [encoders.load(each.path).encode(["wings lift an aeroplane"]) for each in (found, whole)]
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize("way", ["simcse", "tsdae"])
def test_a_dry_run_plans_and_writes_nothing(texts, base, tmp_path, way):
    plan = workbench.train_text(texts, tmp_path / "m", base=base, dry_run=True, **LEARN | {"way": way, "epochs": 1})
    assert plan.steps == plan.epoch_steps > 2
    assert list(tmp_path.iterdir()) == []


def test_parameters_that_cannot_be_are_named(texts, base, tmp_path):
    cannot = [
        ({"way": "luck"}, "way='luck'"),
        ({"way": "tsdae", "dims": [8]}, "neither dims"),
        ({"way": "tsdae", "small_batch": 4}, "neither dims"),
        ({"way": "simcse", "queries": len}, "queries make pairs"),
        ({"way": "simcse", "unlabelled": False}, "simcse learns from"),
        ({"queries": len, "unlabelled": False}, "queries are written for"),
    ]
    for changes, what in cannot:
        with pytest.raises(InputError, match=what):
            workbench.train_text(texts, tmp_path / "m", base=base, **LEARN | changes)
    assert list(tmp_path.iterdir()) == []


# Queries --------------------------------------------------------------------------------------------------------------


def halves(texts):
    """Two queries for each text."""
    words = [text.split() for text in texts]
    return [[" ".join(own[:4]), " ".join(own[4:8])] for own in words]


def test_queries_that_a_function_writes_are_learnt_and_judged_by(texts, base, tmp_path):
    calls, broken = [], [True]

    def asked(texts):
        if broken[0] and len(calls) == 2:
            raise RuntimeError("the service is down")
        calls.append(len(texts))
        return halves(texts)

    out = tmp_path / "model"
    with pytest.raises(RuntimeError, match="service"):
        workbench.train_text(texts, out, base=base, queries=asked, **LEARN)
    assert calls == [32, 32]
    broken[0] = False
    found = workbench.train_text(texts, out, base=base, queries=asked, **LEARN)
    assert calls == [32, 32, 32, 24]  # what was paid for is not asked again
    assert "synthetic: generated by " in found.judged_by
    assert found.judged_by in found.gate.sentence
    kept = [json.loads(line) for line in (out / "queries.jsonl").read_text().splitlines()]
    assert len(kept) == 121
    assert json.loads((out / "training.json").read_text())["recipe"]["queries"] == asked.__qualname__
    assert not list(tmp_path.glob(".*"))
    workbench.train_text(texts, out, base=base, queries=asked, **LEARN | {"learning_rate": 1e-3})
    assert len(calls) == 4  # nor for another training into the same folder
    assert len((out / "queries.jsonl").read_text().splitlines()) == 121
    parts = material.divide(texts, unlabelled=True, questions=Questions(asked, out / "queries.jsonl"), seed=1)
    assert not set(parts.learn.document_ids) & set(parts.judge.document_ids)


def test_each_query_asks_for_its_document(tmp_path):
    documents = [Document("a", "Wings lift."), Document("b", "Tea is hot."), Document("c", "Tea is hot."), Document("d", " ")]
    seen = []

    def asked(texts):
        seen.extend(texts)
        return [[f" what says {text}", "Who knows?", f"what says {text}"] for text in texts]

    found = Questions(asked, tmp_path / "q.jsonl").examples(documents)
    assert seen == ["Wings lift.", "Tea is hot."]  # equal texts once, empty ones never
    assert list(found.anchors) == ["what says Wings lift.", "what says Tea is hot.", "what says Tea is hot."]
    assert list(found.document_ids) == ["a", "b", "c"]
    assert found.query_ids[1] == found.query_ids[2] != found.query_ids[0]
    assert found.corpus.qrels[found.query_ids[1]] == {"b": 1, "c": 1}
    assert found.left_out == {"queries that were written for several texts": 2}
    assert len(found.corpus.documents) == 4
    with pytest.raises(EmptyInput, match="no query that asks for one of 3 texts"):
        Questions(lambda texts: [["who?"] for _ in texts], tmp_path / "other.jsonl").examples(documents)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (None, "a NoneType for 3 texts, documents 'a' to 'c'"),
        ([["x"]], "1 lists for 3 texts"),
        ([["x"], ["y"], "what?"], "for document 'c' .* returned 'what\\?', which is no list"),
        ([["x"], ["y", 5], ["z"]], "for document 'b'"),
        ([["x"], [], ["z"]], "for document 'b' .* no query"),
        ([["x"], ["y"], ["z", " "]], "for document 'c' .* an empty query"),
    ],
    ids=str,
)
def test_what_a_function_returns_is_looked_at(tmp_path, given, what):
    documents = [Document(name, f"text {name}") for name in "abc"]
    with pytest.raises(InputError, match=what) as error:
        Questions(lambda texts: given, tmp_path / "q.jsonl").examples(documents)
    assert "list of queries" in error.value.mend


def test_a_line_that_was_cut_short_costs_no_other(tmp_path, monkeypatch):
    file = tmp_path / "q.jsonl"
    documents = [Document(str(n), f"text {n}") for n in range(40)]
    Questions(lambda texts: [[f"what is {text}?"] for text in texts], file).examples(documents)
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"id": "40", "dig')
    monkeypatch.setattr(Path, "write_bytes", lambda *_: pytest.fail("what is whole is not written again"))
    questions = Questions(lambda texts: pytest.fail("nothing is missing"), file)
    questions.name = json.loads(whole.splitlines()[0])["function"]
    assert len(questions.examples(documents)) == 40
    assert file.read_bytes() == whole


def test_what_was_kept_is_read_again_or_named(tmp_path):
    documents = [Document(str(n), f"text {n}") for n in range(40)]
    file = tmp_path / "q.jsonl"

    def asked(texts):
        return [[f"what is {text}?"] for text in texts]

    whole = Questions(asked, file).examples(documents)
    file.write_bytes(file.read_bytes()[:-7])  # a kill in the middle of a line
    assert list(Questions(asked, file).examples(documents).anchors) == list(whole.anchors)
    assert len(file.read_text().splitlines()) == 41
    file.write_bytes(b'{"func')
    assert list(Questions(asked, file).examples(documents).anchors) == list(whole.anchors)
    with pytest.raises(InputError, match="holds queries of"):
        Questions(halves, file).examples(documents)
    file.write_text("nothing\n")
    with pytest.raises(UnreadableSource, match="damaged"):
        Questions(asked, file).examples(documents)


def test_the_command_names_a_way_or_a_function(texts, base, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("VICINO_DATA", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asking_here.py").write_text("def ask(texts):\n    return [[' '.join(text.split()[:5])] for text in texts]\n")
    told = "batch_size=16,precision=float32"
    common = ["train", "text", str(texts), "--unlabelled", "--base", base, "--epochs", "1", "--set", told, "--quiet", "--json"]
    for more, key, value in (
        (["--way", "simcse"], "judged_by", "taken out of the texts themselves"),
        (["--queries", "asking_here:ask"], "judged_by", "generated by asking_here:ask"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main([*common, *more, "--out", str(tmp_path / more[0])])
        assert int(ended.value.code or 0) in (0, 1)
        assert value in json.loads(capsys.readouterr().out)[key]
    with pytest.raises(SystemExit) as ended:
        cli.main([*common, "--queries", "asking_here:no_such", "--out", str(tmp_path / "other")])
    assert ended.value.code == 2
