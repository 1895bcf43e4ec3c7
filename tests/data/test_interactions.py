"""Interactions from columns, tables and folders; what is refused, with its place; and how they are split."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vicino.data.interaction_splits import SPLITS, cold_items, leave_one_out, temporal
from vicino.data.interactions import Interactions, read_interactions
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName, UnreadableSource


def rows(found: Interactions) -> list[tuple]:
    """Each interaction by name."""
    times = [None] * len(found) if found.time is None else found.time.tolist()
    columns = found.user.tolist(), found.item.tolist(), found.weight.tolist(), times
    return [(found.users[user], found.items[item], weight, time) for user, item, weight, time in zip(*columns, strict=True)]


WANTED = [("7", "tea", 4.5, 86400.0), ("8", "tea", 1.0, 86401.5), ("7", "rice cake", 2.0, 0.0)]


# Columns --------------------------------------------------------------------------------------------------------------


def test_columns_are_numbered_as_they_come():
    found = Interactions.of(["b", "a", "b", "b"], ["x", "x", "y", "x"], [1, 2, 3, 4])
    assert (found.users, found.items) == (("b", "a"), ("x", "y"))
    assert (found.user.dtype, found.item.dtype, found.weight.dtype) == (np.int64, np.int64, np.float32)
    assert found.matrix().toarray().tolist() == [[5, 3], [2, 0]]  # what was met twice is summed
    assert repr(found) == "<4 interactions of 2 users with 2 items>"
    assert rows(Interactions.of([1, 2], [3, 3])) == [("1", "3", 1, None), ("2", "3", 1, None)]


def test_weights_of_zero_are_no_interactions():
    found = Interactions.of(["a", "a"], ["x", "y"], [0, 2], times=[5, 6])
    assert rows(found) == [("a", "y", 2, 6)]
    assert found.items == ("x", "y")


def test_a_subset_keeps_users_and_items():
    found = Interactions.of(["a", "b"], ["x", "y"], times=[1, 2]).subset(np.array([False, True]))
    assert (found.users, found.items, rows(found)) == (("a", "b"), ("x", "y"), [("b", "y", 1, 2)])
    with pytest.raises(DimensionMismatch):
        found.subset(np.array([True, True]))


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        (([], []), EmptyInput),
        ((["a"], ["x"], [0.0]), EmptyInput),
        ((["a"], ["x"], [-1.0]), InputError),
        ((["a"], ["x"], [np.nan]), InputError),
        ((["a"], ["x"], [np.inf]), InputError),
        ((["a"], ["x"], [1e39]), InputError),
        ((["a"], ["x", "y"]), DimensionMismatch),
        ((["a"], ["x"], [1.0, 2.0]), DimensionMismatch),
        (([""], ["x"]), InputError),
        (([None], ["x"]), InputError),
        (([True], ["x"]), InputError),
        ((["a"], ["x"], [1.0], [np.nan]), InputError),
    ],
)
def test_columns_that_cannot_be_are_refused(columns, error):
    with pytest.raises(error):
        Interactions.of(*columns)


def test_rows_out_of_range_are_refused():
    with pytest.raises(InputError, match="items"):
        Interactions(("a",), ("x",), np.array([0]), np.array([1]), np.ones(1, np.float32))


def test_unknown_names_are_told_with_near_ones():
    found = Interactions.of(["anna"], ["rice"])
    assert (found.user_row("anna"), found.item_row("rice")) == (0, 0)
    with pytest.raises(UnknownName, match="did you mean anna"):
        found.user_row("annna")
    with pytest.raises(UnknownName):
        found.item_row(0)


# Tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'userId,movieId,rating,timestamp\n7,tea,4.5,86400\n8,tea,1,86401.5\n7,"rice cake",2,0\n'),
        ("a.csv", "movie;customer_id;date;stars\r\ntea;7;86400;4.5\r\ntea;8;86401.5;1\r\n\r\nrice cake;7;0;2\r\n"),
        ("a.tsv", "Item\tUser\tplays\tdate\ntea\t7\t4.5\t1970-01-02\n tea \t8\t1\t1970-01-02T00:00:01.5\n"
                  "rice cake\t7\t2\t1970-01-01T01:00:00+01:00\n"),
        ("a.dat", "7::tea::4.5::86400\n8::tea::1::86401.5\n7::rice cake::2::0\n"),
        ("a.data", "7\ttea\t4.5\t86400\n8\ttea\t1\t86401.5\n7\trice cake\t2\t0"),
        ("a.jsonl", "\n".join(json.dumps(dict(zip(("user", "item", "weight", "time"), row, strict=True))) for row in WANTED)),
    ],
)  # fmt: skip
def test_tables_are_read_by_the_names_of_their_columns(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert rows(read_interactions(tmp_path / name)) == WANTED
    with gzip.open(tmp_path / f"{name}.gz", "wb") as stream:
        stream.write(text.encode("utf-16" if name == "a.tsv" else "utf-8"))
    assert rows(read_interactions(tmp_path / f"{name}.gz")) == WANTED


def test_parquet_has_numbers_dates_and_categories(tmp_path):
    table = pa.table(
        {
            "user_id": pa.array([7, 8, 7]),
            "product": pa.array(["tea", "tea", "rice cake"]).dictionary_encode(),
            "count": pa.array([4.5, 1, 2]),
            "date": pa.array([86400_000, 86401_500, 0], pa.timestamp("ms")),
            "vector": pa.array([[1.0], [2.0], [3.0]]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert rows(read_interactions(tmp_path / "a.parquet")) == WANTED


def test_columns_can_be_named(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("who,user,what\n7,x,tea\n8,x,tea\n", encoding="utf-8")
    found = read_interactions(file, columns={"user": "who", "item": "what"})
    assert rows(found) == [("7", "tea", 1, None), ("8", "tea", 1, None)]
    with pytest.raises(UnknownName, match="whom"):
        read_interactions(file, columns={"user": "whom", "item": "what"})
    with pytest.raises(UnknownName, match="part"):
        read_interactions(file, columns={"thing": "what"})


@pytest.mark.parametrize(
    ("name", "content", "error", "told"),
    [
        ("a.csv", b"user,weight\n1,2\n", UnreadableSource, "items among: user, weight"),
        ("a.csv", b"rating,when\n1,2\n", UnreadableSource, "users and items"),
        ("a.csv", b"user,item,weight\n1,2,3\n1,3,many\n", UnreadableSource, "row 2: weight is 'many'"),
        ("a.csv", b"user,item,weight\n1,2,-3\n", InputError, "weights cannot be"),
        ("a.csv", b"user,item,weight\n1,2,\n", InputError, "weights cannot be"),
        ("a.csv", b"user,item,weight\n1,2,nan\n", InputError, "weights cannot be"),
        ("a.csv", b"user,item,time\n1,2,5\n1,2,yesterday\n", UnreadableSource, "row 2: time is 'yesterday'"),
        ("a.csv", b"user,item,time\n1,2,\n", UnreadableSource, "no time"),
        ("a.csv", b"user,item\n1,2\n,3\n", InputError, "row 2 has no user"),
        ("a.csv", b"user,item\n1,2\n1\n", UnreadableSource, "does not fit"),
        ("a.csv", b"user,item,user\n1,2,3\n", UnreadableSource, "several columns"),
        ("a.csv", b"user,item\n1,caf\xe9\n", UnreadableSource, "not UTF-8"),
        ("a.csv", b"user,item\n", EmptyInput, "no rows"),
        ("a.csv", b"", EmptyInput, "no rows"),
        ("a.jsonl", b'{"user": 1, "item": 2}\n{"user"\n', UnreadableSource, "line 2: broken JSON"),
        ("a.jsonl", b'{"user": 1, "item": 2}\n{"user": 1}\n', InputError, "row 2 has no item"),
        ("a.jsonl", b"", EmptyInput, "no rows"),
        ("a.parquet", b"PAR1", UnreadableSource, "not valid Parquet"),
        ("a.csv.gz", b"user,item\n1,2\n", UnreadableSource, "compressed"),
        ("a.xlsx", b"", UnreadableSource, "not a table"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path, name, content, error, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=told) as caught:
        read_interactions(tmp_path / name)
    assert name in caught.value.what
    assert caught.value.mend


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UnreadableSource):
        read_interactions(tmp_path / "none.csv")


# Folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    files = {
        "user_movies.tsv": "userID\tmovieID\tplays\n1\t10\t3\n2\t10\t1\n2\t11\t1\n",
        "movies.csv": "id,title,genres,url,year\n10,Heat (1995),Crime|Action,u/1,1995\n11,\"Dark, Days\",Crime,u/2,1995\n"
                      "12,Unseen,Drama,u/3,1995\n13,More,Crime|Drama,u/4,1995\n",
        "friends.tsv": "userID\tfriendID\n1\t2\n2\t1\n2\t99\n99\t1\n",
        "users.csv": "id,country,age\n1,IT,41\n2,IT,17\n",
        "tags.tsv": "tagID\ttagValue\n1\tgrim\n",
        "README.md": "what this is",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_folder_tells_its_tables_by_their_columns(folder):
    found = read_interactions(folder)
    assert rows(found) == [("1", "10", 3, None), ("2", "10", 1, None), ("2", "11", 1, None)]
    assert found.item_names == {"10": "Heat (1995)", "11": "Dark, Days"}
    crime = "genres:Crime"
    assert found.item_features == {
        "10": (crime, "genres:Action", "year:1995", "heat", "1995"),
        "11": (crime, "year:1995", "dark", "days"),
    }  # the addresses differ in all rows, and tell nothing
    assert found.user_features == {"1": ("friend:2", "country:IT"), "2": ("friend:1", "friend:99", "country:IT")}


def test_tables_may_lie_elsewhere(folder):
    found = read_interactions(folder / "user_movies.tsv", items=folder / "movies.csv", users=folder / "users.csv")
    assert found.item_names["10"] == "Heat (1995)"
    assert found.user_features == {"1": ("country:IT",), "2": ("country:IT",)}


def test_of_several_tables_the_one_with_weights_is_meant(folder):
    (folder / "tagged.tsv").write_text("userID\tmovieID\ttagID\n1\t10\t1\n", encoding="utf-8")
    assert len(read_interactions(folder)) == 3
    (folder / "user_movies.tsv").write_text("userID\tmovieID\n1\t10\n", encoding="utf-8")
    with pytest.raises(UnreadableSource, match=r"several tables.*tagged.tsv, user_movies.tsv"):
        read_interactions(folder)


def test_a_folder_without_interactions_says_which_columns_there_are(folder):
    (folder / "user_movies.tsv").unlink()
    with pytest.raises(UnreadableSource, match=r"friends.tsv \(userID, friendID\)"):
        read_interactions(folder)
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(EmptyInput):
        read_interactions(empty)


def test_lastfm_is_read_as_it_is(shared_data):
    found = read_interactions(shared_data("lastfm-2k"))
    assert (len(found), len(found.users), len(found.items)) == (92834, 1892, 17632)
    assert (len(found.item_names), len(found.user_features)) == (17632, 1892)
    assert found.item_names["51"] == "Duran Duran"
    assert found.weight[found.user_row("2")] == 13883


# Splits ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def many():
    """Users 0 to 39 with 1 to 8 interactions each, some of them twice with one item; times are all different."""
    random = np.random.default_rng(3)
    users = np.repeat(np.arange(40), 1 + np.arange(40) % 8)
    items = random.integers(0, 15, len(users))
    return Interactions.of(users.tolist(), items.tolist(), random.integers(1, 9, len(users)), random.permutation(len(users)))


def pairs(found: Interactions) -> set[tuple[int, int]]:
    return set(zip(found.user.tolist(), found.item.tolist(), strict=True))


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_held_out_is_nowhere_else(many, split):
    train, held = SPLITS[split](many, 0)
    left = pairs(train)
    asked = {(user, item) for user, items in zip(held.users.tolist(), held.truth, strict=True) for item in items.tolist()}
    assert asked
    assert not asked & left
    assert asked | left <= pairs(many)
    assert (train.users, train.items) == (many.users, many.items)
    for user, truth, seen in zip(held.users.tolist(), held.truth, held.seen, strict=True):
        assert seen.tolist() == sorted(item for each, item in left if each == user) != []
        assert (np.diff(truth) > 0).all()
    again = SPLITS[split](many, 0)[1]
    assert [each.tolist() for each in again.truth] == [each.tolist() for each in held.truth]


def test_one_item_of_each_user_is_left_out(many):
    train, held = leave_one_out(many, 1)
    several = [user for user in range(40) if len({item for each, item in pairs(many) if each == user}) > 1]
    assert held.users.tolist() == several
    assert {len(items) for items in held.truth} == {1}
    assert len(pairs(train)) == len(pairs(many)) - len(several)
    others = [leave_one_out(many, seed)[1].truth for seed in range(2, 30)]
    choices = {tuple(int(truth[0]) for truth in each) for each in others}
    assert len(choices) > 20  # the seed chooses


def test_the_last_item_by_time_is_left_out(many):
    _, held = leave_one_out(many, by_time=True)
    for user, truth in zip(held.users.tolist(), held.truth, strict=True):
        own = many.user == user
        first = {item: many.time[own & (many.item == item)].min() for item in many.item[own].tolist()}
        assert truth.tolist() == [max(first, key=first.get)]


def test_the_future_is_held_out(many):
    train, held = temporal(many, 0.25)
    assert train.time.max() < np.sort(many.time)[-round(0.25 * len(many))] + 1
    assert len(train) == len(many) - round(0.25 * len(many))
    assert len(held) > 0


def test_nobody_has_met_a_cold_item(many):
    train, held = cold_items(many, 0.2, seed=4)
    cold = {item for items in held.truth for item in items.tolist()}
    assert 0 < len(cold) <= 3
    assert not cold & set(train.item.tolist())


def test_splits_refuse_what_they_cannot_part(many):
    timeless = Interactions.of(["a", "a"], ["x", "y"])
    for split in ("last-one", "temporal"):
        with pytest.raises(InputError, match="no times"):
            SPLITS[split](timeless, 0)
    with pytest.raises(InputError, match="nothing to hold out"):
        leave_one_out(Interactions.of(["a", "b"], ["x", "x"]))
    for share in (0, 1, -0.5, float("nan")):
        with pytest.raises(InputError, match="share"):
            cold_items(many, share)
        with pytest.raises(InputError, match="share"):
            temporal(many, share)
