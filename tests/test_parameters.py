"""Parameters: what goes in comes out, and a change makes what was learnt forgotten."""

from __future__ import annotations

import pytest
from sklearn.base import clone

from vicino.errors import InputError, UnknownName
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


class Shelf(Parameterised):
    """One parameter of each kind."""

    def __init__(
        self, *, deep: bool = False, boards: int = 3, width: float = 1.5, wood: str = "oak", owner: object = None
    ) -> None:
        self.deep, self.boards, self.width, self.wood, self.owner = deep, boards, width, wood, owner


@pytest.mark.parametrize(
    "params", [{"deep": True}, {"boards": 4}, {"width": 2}, {"width": 2.5}, {"wood": ""}, {"owner": 1}, {"owner": "x"}]
)
def test_a_typed_value_of_the_right_kind_is_taken(params):
    assert Shelf.of(**params).changed() == params


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"deep": 1}, "bool"),
        ({"deep": "no"}, "bool"),
        ({"boards": True}, "int"),
        ({"boards": 2.5}, "int"),
        ({"boards": "many"}, "int"),
        ({"width": "wide"}, "float"),
        ({"width": True}, "float"),
        ({"wood": 5}, "str"),
        ({"wood": None}, "str"),
    ],
)
def test_a_typed_value_of_another_kind_is_named(params, kind):
    with pytest.raises(InputError, match=f"give a value of type {kind}"):
        Shelf.of(**params)


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
