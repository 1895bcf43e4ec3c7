"""Parameters: what goes in comes out, and a change makes what was learnt forgotten."""

from __future__ import annotations

import pytest
from sklearn.base import clone

from vicino.errors import UnknownName
from vicino.parameters import Parameterised


class Box(Parameterised):
    """A thing with two parameters that learns a third."""

    def __init__(self, *, size: int = 1, colour: str = "red") -> None:
        self.size = size
        self.colour = colour

    content_: str | None = None

    def fill(self, content: str) -> Box:
        self.content_ = content
        return self


def test_parameters_are_read_off_the_signature():
    box = Box(size=2)
    assert Box.defaults() == {"size": 1, "colour": "red"}
    assert box.get_params() == box.get_params(deep=False) == {"size": 2, "colour": "red"}
    assert box.changed() == {"size": 2}
    assert repr(box) == "Box(size=2)"
    assert repr(Box()) == "Box()"


def test_positions_are_not_parameters():
    with pytest.raises(TypeError):
        Box(2)


def test_a_typed_parameter_that_does_not_exist_is_named():
    assert Box.of(size=3).size == 3
    with pytest.raises(UnknownName, match=r"no parameter of Box named 'colur'\n  → did you mean colour\?"):
        Box.of(colur="blue")


def test_setting_changes_the_box_and_empties_it():
    box = Box().fill("books")
    assert box.set_params() is box
    assert box.content_ == "books"
    box.set_params(size=5)
    assert (box.size, box.content_) == (5, None)


def test_setting_one_wrong_parameter_changes_nothing():
    box = Box().fill("books")
    with pytest.raises(UnknownName):
        box.set_params(size=5, colur="blue")
    assert (box.size, box.content_) == (1, "books")


@pytest.mark.parametrize("copy", [Box.clone, clone])
def test_a_clone_has_the_parameters_and_nothing_learnt(copy):
    box = Box(size=7).fill("books")
    twin = copy(box)
    assert type(twin) is Box
    assert twin.get_params() == box.get_params()
    assert twin.content_ is None
    assert box.content_ == "books"
