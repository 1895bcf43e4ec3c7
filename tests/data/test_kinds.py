"""What collections are made of: the kind that all parts of a recipe take, how it is cut, and how it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from vicino.data.kinds import KINDS, kind_of
from vicino.errors import InputError, UnknownName


def test_the_kind_is_what_all_parts_take():
    assert kind_of([]) is KINDS["text"]
    assert kind_of([{"id"}, {"text"}]) is KINDS["text"]
    assert kind_of([{"image"}, {"image"}]) is KINDS["image"]
    assert kind_of([{"image", "text"}]) is KINDS["text"]
    assert kind_of([{"image", "text"}, {"image"}]) is KINDS["image"]
    with pytest.raises(InputError, match="texts and images"):
        kind_of([{"text"}, {"image"}])
    with pytest.raises(UnknownName, match="no such items"):
        kind_of([{"text"}, {"node"}])


def test_images_are_whole_and_asked_by_a_file():
    images, texts = KINDS["image"], KINDS["text"]
    assert (images.require_cut(None), images.require_cut("whole")) == ("whole", "whole")
    assert (texts.require_cut(None), texts.require_cut("sentence")) == (None, "sentence")
    with pytest.raises(InputError, match="not cut by 'sentence'"):
        images.require_cut("sentence")
    assert images.require_question(Path("a.png")) == "a.png"
    assert texts.require_question("wings") == "wings"
    assert texts.require_question("wings", reranked=True) == "wings"
    with pytest.raises(InputError, match="a reranker reads texts"):
        images.require_question(Path("a.png"), reranked=True)
    with pytest.raises(InputError, match="images is not asked"):
        images.require_question("wings")
    with pytest.raises(InputError, match="texts is not asked"):
        texts.require_question(Path("a.png"))


def test_every_reader_is_there(tmp_path):
    for kind in KINDS.values():
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError):
            list(kind.read(tmp_path / "empty", None))
