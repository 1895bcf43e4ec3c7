"""Rows of which some are marked: arrays, tables of numbers, texts, and what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.data.marked_rows import read_marked_rows
from vicino.errors import EmptyInput, InputError, InvalidVectors, UnknownName, UnreadableSource


def test_arrays_of_adbench(tmp_path):
    path = tmp_path / "x.npz"
    rows = np.arange(8.0).reshape(4, 2)
    rows[2, 1] = np.nan
    np.savez(path, X=rows, y=[0, 0, 1, 1])
    read = read_marked_rows(path)
    assert read.numbers.tolist() == [[0, 1], [2, 3], [6, 7]]
    assert read.marked.tolist() == [False, False, True]
    assert read.notes == ("left out 1 rows that lack a number",)
    for wrong, kind in (
        ({"X": rows}, UnreadableSource),
        ({"X": rows, "y": [0, 1]}, InvalidVectors),
        ({"X": rows, "y": [0, 1, 2, 3]}, InputError),
        ({"X": rows[2:3], "y": [1]}, EmptyInput),
        ({"X": np.array([{"a": 1}], dtype=object), "y": [1]}, UnreadableSource),  # a pickle is never opened
    ):
        np.savez(path, **wrong)
        with pytest.raises(kind):
            read_marked_rows(path)
    path.write_bytes(b"no archive")
    with pytest.raises(UnreadableSource, match="cannot be read"):
        read_marked_rows(path)


def test_a_table_of_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("height,name,weight,outlier\n1.5,ann,60,no\n1.6,bob,,no\n9.9,zoe,70,Yes\n")
    read = read_marked_rows(path)
    assert read.numbers.tolist() == [[1.5, 60], [9.9, 70]]
    assert read.marked.tolist() == [False, True]
    assert read.notes[:2] == ("2 columns of numbers; marks from outlier", "columns left out: name")
    assert read_marked_rows(path, columns={"text": "name"}).texts == ["ann", "bob", "zoe"]
    assert read_marked_rows(path, columns={"label": "outlier"}).numbers.shape == (2, 2)


def test_a_table_of_texts(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "wings", "anomaly": 0}\n{"text": "oven", "anomaly": true}\n')
    read = read_marked_rows(path)
    assert read.texts == ["wings", "oven"]
    assert read.numbers is None
    assert len(read) == 2


def test_what_cannot_be_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("height,grade\n1,0\n")
    with pytest.raises(UnknownName, match="column of marks"):
        read_marked_rows(path)
    with pytest.raises(UnknownName, match="column of marked rows"):
        read_marked_rows(path, columns={"mark": "grade"})
    with pytest.raises(UnknownName, match="body"):
        read_marked_rows(path, columns={"label": "grade", "text": "body"})
    path.write_text("height,label\n1,maybe\n")
    with pytest.raises(InputError, match="'maybe' is no mark"):
        read_marked_rows(path)
    path.write_text("who,where,label\nann,rome,1\n")
    with pytest.raises(InputError, match="neither numbers nor"):
        read_marked_rows(path)
    path.write_text("height,label\n")
    with pytest.raises(EmptyInput):
        read_marked_rows(path)
    path.write_text("height,label\n1,0\n1,2,3\n")
    with pytest.raises(UnreadableSource, match="line 3"):
        read_marked_rows(path)
    with pytest.raises(UnreadableSource, match="there is no"):
        read_marked_rows(tmp_path / "nowhere.csv")
    with pytest.raises(UnreadableSource, match="no table"):
        read_marked_rows(tmp_path)
