"""The network that labels words: windows, first pieces, and the same logits as transformers' own for every family."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.word_labels import windows
from vicino.errors import InputError, UnreadableSource

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LABELS = ["O", "B-X", "I-X"]
SENTENCE = ["wings", "lift", "an", "Aeroplane", "unwinged", "tea", "water", "of"]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 20))
def test_every_word_is_labelled_in_one_window_that_holds_it(sizes, room):
    found = windows(sizes, room)
    assert [word for _, _, own, end in found for word in range(own, end)] == list(range(len(sizes)))
    for start, stop, own, end in found:
        assert start <= own < end <= stop
        assert sum(min(size, room) for size in sizes[start:stop]) <= room


def test_a_word_in_the_midst_of_a_long_sentence_has_words_around_it():
    for start, stop, own, end in windows([1] * 100, 20):
        assert own == 0 or own - start == 5
        assert end == 100 or stop - end == 5


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "modernbert", "distilbert", "t5"])
def test_what_was_saved_is_what_transformers_opens(checkpoint, tmp_path, family):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    model = Transformer(model=str(checkpoint(family))).labeller(LABELS, limit=40, seed=3).eval()
    given = model.read([SENTENCE, SENTENCE[:2]])
    assert [len(each.words) for each in given] == [8, 2]
    model.save(tmp_path)
    network = AutoModelForTokenClassification.from_pretrained(str(tmp_path)).eval()
    assert [network.config.id2label[place] for place in range(3)] == LABELS
    with torch.inference_mode():
        ours = model(given)
        assert ours.shape == (10, 3)
        for each, logits in zip(given, torch.split(ours, [8, 2]), strict=True):
            theirs = network(input_ids=torch.from_numpy(each.ids[None].astype(np.int64))).logits[0, each.places]
            np.testing.assert_allclose(logits.numpy(), theirs.numpy(), atol=1e-5)
    pieces = AutoTokenizer.from_pretrained(str(tmp_path)).convert_ids_to_tokens(given[0].ids.tolist())
    assert len(pieces) == len(given[0].ids)


def test_pieces_are_those_of_the_tokenizer_for_words(checkpoint):
    from transformers import AutoTokenizer

    model = Transformer(model=str(checkpoint("bert"))).labeller(LABELS)
    [window] = model.read([SENTENCE])
    theirs = AutoTokenizer.from_pretrained(str(checkpoint("bert")))(SENTENCE, is_split_into_words=True)
    assert window.ids.tolist() == theirs["input_ids"]
    assert window.places.tolist() == [theirs.word_ids().index(number) for number in range(len(SENTENCE))]


def test_a_word_of_which_nothing_is_left_is_in_no_window(checkpoint):
    model = Transformer(model=str(checkpoint("bert"))).labeller(LABELS)
    given = model.read([["tea", "\u200b", "water"], ["\u200b"], []])
    assert [(each.sentence, each.words.tolist()) for each in given] == [(0, [0, 2])]
    told = model.told(given, [3, 1, 0])
    assert [(each >= 0).tolist() for each in told] == [[True, False, True], [False], []]


def test_a_long_sentence_is_told_in_windows_as_well_as_a_short_one(checkpoint):
    model = Transformer(model=str(checkpoint("bert"))).labeller(LABELS, limit=10)
    sentence = [*SENTENCE, *SENTENCE, *SENTENCE, "aeroplane" * 40]
    given = model.read([sentence])
    assert max(len(each.ids) for each in given) <= model.limit == 10
    [told] = model.told(given, [len(sentence)])
    assert set(told.tolist()) <= {0, 1, 2}


def test_the_new_layer_is_the_seed_s_and_the_rest_the_folder_s(checkpoint):
    encoder = Transformer(model=str(checkpoint("bert")))
    first, again, other = (encoder.labeller(LABELS, seed=seed).network.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {name for name in first if not torch.equal(first[name], other[name])} == {"classifier.weight"}


def test_bad_input_is_named(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "model")
    with pytest.raises(InputError, match="no room"):
        Transformer(model=str(folder)).labeller(LABELS, limit=2)
    from vicino.encoders.transformer.folder import read_folder
    from vicino.encoders.transformer.word_labels import WordLabeller

    with pytest.raises(UnreadableSource, match="classifier"):  # no layer of its own
        WordLabeller(read_folder(folder))


def test_labels_that_a_folder_names_otherwise(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "model")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"config_args": {"id2label": {"0": "x"}, "label2id": {"x": 0}}}))
    model = Transformer(model=str(folder)).labeller(LABELS)
    assert model.labels == LABELS
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    config["id2label"] = {"0": "O", "1": "B-X", "5": "I-X"}
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    from vicino.encoders.transformer.folder import read_folder
    from vicino.encoders.transformer.word_labels import WordLabeller

    with pytest.raises(UnreadableSource, match="one after another"):
        WordLabeller(read_folder(tmp_path / "saved"))
