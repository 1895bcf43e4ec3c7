"""Taggers of words: what helps is accepted, chance is rejected, and what was saved opens elsewhere."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

import vicino
from vicino import artifacts, cli, workbench
from vicino.data.tagged import Tagged
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, EmptyInput, InputError, UnknownName
from vicino.metrics.spans import Span
from vicino.training.tagger import Tagger, TaggerRecipe, _digest, _held_back, _key, _parts, _WordList

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LEARN = {
    "epochs": 8,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "evaluate_every": 72.0,
    "precision": "float32",
    "threads": 1,
}
WORDS = str.split("near lift aeroplane tea water violin cello map")


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """`tagged(shuffled=False)`: a CoNLL file, where "the" stands before an X and "an" before a Y of two words.

    Which word it is says nothing; where tags are shuffled nothing does.
    """

    def write(*, shuffled: bool = False, n: int = 400):
        random = np.random.default_rng(0)
        sentences = []
        for _ in range(n):
            words, tags = [], []
            for kind in random.integers(3, size=random.integers(2, 4)):
                words += [random.choice(WORDS), *([], ["the", random.choice(WORDS)], ["an", *random.choice(WORDS, 2)])[kind]]
                tags += ["O", *([], ["O", "B-X"], ["O", "B-Y", "I-Y"])[kind]]
            sentences.append((words, tags))
        if shuffled:
            drawn = iter(random.permutation([tag for _, tags in sentences for tag in tags]).tolist())
            sentences = [(words, [next(drawn) for _ in words]) for words, _ in sentences]
        path = tmp_path_factory.mktemp("tagged") / "all.conll"
        lines = ("".join(f"{word} _ {tag}\n" for word, tag in zip(*each, strict=True)) for each in sentences)
        path.write_text("-DOCSTART- -X- O\n\n" + "\n".join(lines))
        return path

    return write


@pytest.fixture(scope="module")
def accepted(tagged, base, tmp_path_factory):
    """A training that helps; only for looking."""
    return workbench.train_tagger(tagged(), tmp_path_factory.mktemp("trained") / "t", base=base, **LEARN)


def test_what_helps_is_accepted(accepted):
    assert accepted.gate.accepted, accepted.gate.sentence
    rival, trained = accepted.scores.values()
    assert trained > 0.6 > 0.4 > rival
    assert set(accepted.types) == {"X", "Y"}
    assert accepted.run.kept in accepted.run.metrics
    assert not list(accepted.path.parent.glob(".*"))
    assert artifacts.read(accepted.path).data["about"]["gate"]["accepted"] is True


def test_entities_have_their_places_in_the_raw_text(accepted):
    opened = vicino.load(accepted.path)
    assert isinstance(opened, Tagger)
    text = "Near  the violin.\n\nLift an map\tcello -- the\u00a0tea!"
    told = opened.tag([text, "", " \n"])
    assert told == accepted.tagger.tag([text, "", " \n"])
    assert told[1:] == [[], []]
    assert told[0]
    assert all(text[one.start : one.end] == one.text for one in told[0])
    assert [one.start for one in told[0]] == sorted(one.start for one in told[0])
    alone = opened.tag([f"lift the {word} near" for word in WORDS])
    assert sum(found == [(9, 9 + len(word), "X", word)] for word, found in zip(WORDS, alone, strict=True)) > len(WORDS) / 2


def test_transformers_opens_the_folder_and_its_logits_agree(accepted):
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(accepted.path))
    network = AutoModelForTokenClassification.from_pretrained(str(accepted.path)).eval()
    assert network.config.id2label == {0: "O", 1: "B-X", 2: "I-X", 3: "B-Y", 4: "I-Y"}
    words = ["near", "the", "violin", "Unwinged", "an", "aeroplane", "cello"]
    ours = Tagger.load(accepted.path).network.eval()
    inputs = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    firsts = [inputs.word_ids().index(number) for number in range(len(words))]
    with torch.inference_mode():
        theirs = network(**inputs).logits[0, firsts]
        np.testing.assert_allclose(ours(ours.read([words])).numpy(), theirs.numpy(), atol=1e-5)


def test_shuffled_tags_are_rejected(tagged, base, tmp_path):
    found = workbench.train_tagger(tagged(shuffled=True), tmp_path / "t", base=base, **LEARN | {"epochs": 2})
    assert not found.gate.accepted
    assert found.gate.advice
    assert artifacts.read(tmp_path / "t").data["about"]["gate"]["accepted"] is False


def test_what_was_interrupted_goes_on_to_the_same_weights(tagged, base, tmp_path, ctrl_c):
    from vicino.training import tagger

    data, changes = tagged(n=150), {**LEARN, "base": base, "epochs": 2, "evaluate_every": 1.0}
    whole = workbench.train_tagger(data, tmp_path / "whole", **changes)
    with ctrl_c(tagger._Batches, "loss", at=5):
        workbench.train_tagger(data, tmp_path / "t", **changes)
    assert not (tmp_path / "t").exists()
    found = workbench.train_tagger(data, tmp_path / "t", **changes)
    assert found.run.resumed == 5
    assert found.run.losses == whole.run.losses
    assert (found.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_a_list_of_words_gives_each_its_usual_tag():
    def sentence(words, tags):
        from vicino.metrics.spans import spans_of

        return words.split(), spans_of(tags.split())

    rows = [
        sentence("Ada met May", "B-PER O B-PER"),
        sentence("in May it rains", "O O O O"),
        sentence("may May", "O O"),
        sentence("New York", "B-LOC I-LOC"),
    ]
    words, spans = zip(*rows, strict=True)
    known = _WordList(Tagged(words, spans))
    asked = [["in", "May", "Ada", "saw", "New", "York"]]
    usual = [[(2, 3, "PER"), (4, 6, "LOC")]]
    same = Tagged(asked, [[Span(2, 3, "PER"), Span(4, 6, "LOC")]])
    assert known.best(same, asked) == usual
    more = Tagged(asked, [[Span(1, 2, "PER"), *same.spans[0]]])  # a third of May is a name
    assert known.best(more, asked) == [[(1, 2, "PER"), (2, 3, "PER"), (4, 6, "LOC")]]
    every = Tagged([["one", "two"]], [[Span(0, 1, "PER"), Span(1, 2, "PER")]])
    assert known.best(every, [["three"]]) == [[(0, 1, "PER")]]


def test_no_sentence_is_in_two_parts(tagged, tmp_path):
    whole = tagged(n=120).read_text().split("\n\n")[1:]
    parts, told = _parts(tagged(n=120), 0)
    keys = {name: {tuple(words) for words in part.sentences} for name, part in parts.items()}
    assert not keys["train"] & (keys["dev"] | keys["test"])
    assert not keys["dev"] & keys["test"]
    assert "held back" in told
    (tmp_path / "train.conll").write_text("\n\n".join(whole[:80]))
    (tmp_path / "test.conll").write_text("\n\n".join(whole[60:]))
    parts, told = _parts(tmp_path, 0)
    seen = {tuple(words) for name in ("train", "dev") for words in parts[name].sentences}
    assert not seen & {tuple(words) for words in parts["test"].sentences}
    assert "the test part" in told
    assert len(parts["test"]) < 60


def test_sentences_that_differ_in_case_and_punctuation_are_one(tagged, tmp_path):
    whole = tagged(n=200).read_text().split("\n\n")[1:]
    (tmp_path / "train.conll").write_text("\n\n".join(whole))
    (tmp_path / "test.conll").write_text("\n\n".join([*(f"{each.rstrip()}\n! _ O" for each in whole), *new_sentences()]))
    loud = [line.replace(line.split()[0], line.split()[0].upper(), 1) for line in whole[0].splitlines() if line]
    (tmp_path / "dev.conll").write_text("\n\n".join(["\n".join(loud), *new_sentences("dev")]))
    parts, told = _parts(tmp_path, 0)
    assert (len(parts["train"]), len(parts["dev"]), len(parts["test"])) == (200, 12, 12)
    assert "12 of 212" in told
    once = Tagged([["The", "Tea", "."], ["the", "tea"], ["!"], ["?"]] * 5, [[]] * 20)
    left, held = _held_back(once, 0.5, 0)
    sides = [{_key(words) for words in part.sentences} for part in (left, held)]
    assert [len(each) for each in sides] == [2, 1]
    assert not sides[0] & sides[1]


def new_sentences(name: str = "test") -> list[str]:
    return [f"the _ O\n{name}{number} _ B-X" for number in range(12)]


def test_a_handful_of_sentences_does_not_decide(tmp_path):
    for name, n in (("train", 30), ("dev", 9), ("test", 9)):
        (tmp_path / f"{name}.conll").write_text("\n\n".join(f"{name}{number} _ B-X" for number in range(n)))
    with pytest.raises(InputError, match="9 sentences are left to judge by, where 10 are wanted"):
        _parts(tmp_path, 0)


def test_the_commands(accepted, tagged, base, tmp_path, capsys, monkeypatch):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([*map(str, arguments)])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    [(text, [first, *others])] = workbench.tag(accepted.path, ["lift the tea near an map cello. Lift the violin near"])
    assert text[first.start : first.end] == first.text
    [answer] = json.loads(run("tag", accepted.path, text, "--json")[1])
    assert answer == {"text": text, "entities": [one._asdict() for one in (first, *others)]}
    line = f"{first.start}\t{first.end}\t{first.type}\t{first.text}"
    assert run("tag", accepted.path, text)[1].splitlines()[0] == line
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\n{text}\n"))
    assert run("tag", accepted.path, "-")[1].splitlines()[0] == f"2\t{line}"
    out = tmp_path / "t"
    made = ["train", "tagger", tagged(n=100, shuffled=True), "--out", out, "--base", base, "--epochs", 1, "--quiet"]
    code, shown, hint = run(*made, "--set", "precision=float32", "--threads", 1)
    assert (code, "rejected" in shown, "vicino tag" in hint) == (1, True, True)
    code, shown, _ = run(*made, "--json", "--threads", 1)
    assert set(json.loads(shown)["by_type"]) <= {"X", "Y"}
    assert "vicino saved" in run("tag", tmp_path / "nothing", "a")[2]


def test_a_dry_run_tells_and_writes_nothing(tagged, base, tmp_path, capsys):
    found = workbench.train_tagger(tagged(), tmp_path / "t", base=base, dry_run=True, **LEARN)
    assert (found.steps, found.processes) == (LEARN["epochs"] * found.epoch_steps, 1)
    assert found.seconds > 0
    command = ["train", "tagger", str(tagged()), "--out", str(tmp_path / "t"), "--base", base, "--dry-run", "--json", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["steps"] > 0
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_is_named(tagged, base, tmp_path, accepted):
    data = tagged(n=100)
    for changes, words in (
        ({"epochs": 0}, "epochs=0"),
        ({"dropout": 1.5}, "dropout"),
        ({"limit": 2}, "no room"),
        ({"base": "tfidf"}, "no transformer"),
    ):
        with pytest.raises(InputError, match=words):
            workbench.train_tagger(data, tmp_path / "t", **{"base": base, **changes})
    with pytest.raises(UnknownName, match="learning_rate"):
        workbench.train_tagger(data, tmp_path / "t", base=base, learning_rat=1)
    with pytest.raises(InputError, match="sentences are left"):
        workbench.train_tagger(tagged(n=12), tmp_path / "t", base=base)
    nothing = tmp_path / "o.conll"
    nothing.write_text("a O\n\nb O\n")
    with pytest.raises(EmptyInput, match="but O"):
        workbench.train_tagger(nothing, tmp_path / "t", base=base)
    assert not (tmp_path / "t").exists()


def test_a_folder_that_was_changed_or_is_newer_is_refused(accepted, tmp_path):
    import shutil

    folder = shutil.copytree(accepted.path, tmp_path / "t")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {}}))
    with pytest.raises(ArtifactCorrupt, match=r"config\.json is not what was written"):
        Tagger.load(folder)
    artifacts.write(tmp_path / "later", kind="tagger", data={"version": 2})
    with pytest.raises(ArtifactTooNew, match="version 2"):
        Tagger.load(tmp_path / "later")


@pytest.mark.parametrize(
    "data",
    [
        *({"limit": 64, "files": {}}, {"version": "9", "limit": 64, "files": {}}, {"version": 1, "limit": 64, "files": 5}),
        *({"version": 1, "limit": 64}, {"version": 1, "limit": "x", "files": {}}, {"version": 1, "files": {}}),
        {"version": 1, "limit": 64, "files": {"manifest.json": 5}},
    ],
    ids=str,
)
def test_a_manifest_that_makes_no_sense_is_named(tmp_path, data):
    with pytest.raises(ArtifactCorrupt, match="does not say what is in it"):
        Tagger.load(artifacts.write(tmp_path / "t", kind="tagger", data=data))


@pytest.mark.parametrize(
    "changes",
    [{"limit": "abc"}, {"limit": 2.5}, {"limit": 0}, {"limit": -1}, {"dropout": "x"}, {"dropout": 5}, {"epochs": 1.5}],
    ids=str,
)
def test_recipes_that_cannot_be_are_named(changes):
    with pytest.raises(InputError) as caught:
        TaggerRecipe.of(**changes)
    assert caught.value.mend


def test_what_goes_on_has_the_same_sentences_in_every_part():
    one, other = (Tagged([["the", word]], [[Span(1, 2, "X")]]) for word in ("tea", "cello"))
    names = {_digest(parts) for parts in ([one, one, one], [one, one, other], [one, other, one], [other, one, one])}
    assert len(names) == 4
    assert _digest([one, other]) == _digest([one, other])
