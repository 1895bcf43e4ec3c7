"""Things to draw: read by what an encoder accepts, sampled, labelled, and counted where they cannot be read."""

from __future__ import annotations

import json

import pytest

from vicino.catalog import Entry
from vicino.data.things import READERS, THUMBNAIL, Asked, read_things, sample
from vicino.errors import EmptyInput, InputError, UnknownName, UnreadableSource


def table(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_have_their_content_as_caption_and_a_known_column_as_label(tmp_path):
    rows = [{"id": "a", "title": "On lift", "text": "Wings\nlift.", "topic": "air"}, {"id": "b", "text": "Tea.", "topic": "food"}]
    things = read_things({"text"}, table(tmp_path / "rows.jsonl", rows))
    assert list(things.ids) == ["a", "b"]
    assert list(things.captions) == ["On lift Wings lift.", "Tea."]
    assert list(things.labels) == ["air", "food"]
    assert [item.content for item in things.items] == ["On lift\nWings\nlift.", "Tea."]
    assert (things.total, things.notes, things.pictures) == (2, (), None)


def test_the_column_of_labels_can_be_named(tmp_path):
    rows = [{"text": "x", "label": "no", "colour": "red"}, {"text": "y", "label": "no"}]
    path = table(tmp_path / "rows.jsonl", rows)
    assert list(read_things({"text"}, path, Asked(label="colour")).labels) == ["red", ""]
    with pytest.raises(UnknownName, match="'color'"):
        read_things({"text"}, path, Asked(label="color"))


def test_files_are_labelled_by_their_folder(tmp_path):
    for name in ("air/wing.txt", "food/tea.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("text")
    assert list(read_things({"text"}, tmp_path).labels) == ["air", "food"]
    assert read_things({"text"}, tmp_path / "air").labels is None


def test_what_was_skipped_is_told(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "x"}\nbroken\n')
    assert "broken JSON" in read_things({"text"}, path).notes[0]


def test_a_long_caption_is_cut(tmp_path):
    things = read_things({"text"}, table(tmp_path / "rows.jsonl", [{"text": "word " * 500}]))
    assert len(things.captions[0]) == 301
    assert things.captions[0].endswith("…")


def test_names_come_from_a_table_or_from_lines(tmp_path):
    (tmp_path / "nodes.tsv").write_text("degree\tnode\tclass\n3\tann\tred\n1\tbob\t\n2\t\tred\n")
    (tmp_path / "nodes.txt").write_text("ann\n\n bob \n")
    things = read_things({"node"}, tmp_path / "nodes.tsv")
    assert (list(things.items), list(things.labels)) == (["ann", "bob"], ["red", ""])
    things = read_things({"item", "user"}, tmp_path / "nodes.txt")
    assert (list(things.items), things.labels) == (["ann", "bob"], None)


def test_a_table_without_known_columns_gives_its_first(tmp_path):
    (tmp_path / "nodes.csv").write_text("who,what\nann,x\n")
    assert list(read_things({"node"}, tmp_path / "nodes.csv").items) == ["ann"]


def test_images_have_thumbnails_and_broken_ones_are_left_out(tmp_path, need):
    need(Entry("PIL:Image", "", "images"))
    from PIL import Image

    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (30, 20), "red").save(tmp_path / name)
    (tmp_path / "dog" / "torn.png").write_bytes(b"\x89PNG")
    things = read_things({"image"}, tmp_path)
    assert (list(things.ids), list(things.labels), things.total) == (["cat/a.png", "dog/b.png"], ["cat", "dog"], 3)
    assert things.pictures.shape == (2, THUMBNAIL, THUMBNAIL, 3)
    assert (things.pictures[0, 5, 5] == [255, 0, 0]).all()
    assert "torn.png" in things.notes[0]
    assert len(things.items) == 2
    assert things.take([1], "why").pictures.shape[0] == 1


def test_many_are_sampled_in_order_and_alike_under_a_seed(tmp_path):
    path = table(tmp_path / "rows.jsonl", [{"text": f"text {number}"} for number in range(200)])
    first, again, other = (read_things({"text"}, path, Asked(n=20, seed=seed)) for seed in (1, 1, 2))
    assert (len(first), first.total) == (20, 200)
    assert first.ids == again.ids != other.ids
    assert sorted(first.ids, key=int) == first.ids


def test_a_sample_is_fair():
    """Each of 20 is drawn about as often: 2,000 draws of 5 give each 500, with a deviation of 19."""
    drawn = [each for seed in range(2000) for each in sample(range(20), 5, seed)[0]]
    assert all(380 < drawn.count(each) < 620 for each in range(20))


def test_some_of_the_things_are_taken_with_the_reason(tmp_path):
    (tmp_path / "nodes.tsv").write_text("node\tlabel\na\tx\nb\ty\nc\tz\n")
    few = read_things({"node"}, tmp_path / "nodes.tsv").take([0, 2], "one left out")
    assert (few.ids, few.labels, few.notes, few.total) == (["a", "c"], ["x", "z"], ("one left out",), 3)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UnknownName, match="no reader of smell"):
        read_things({"smell"}, tmp_path)
    with pytest.raises(InputError, match="0 things"):
        Asked(n=0)
    with pytest.raises(EmptyInput):
        read_things({"text"}, tmp_path)
    with pytest.raises(UnreadableSource, match="there is no"):
        read_things({"node"}, tmp_path / "absent.tsv")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(EmptyInput, match="nothing to draw"):
        read_things({"node"}, tmp_path / "empty.txt")
    (tmp_path / "binary.txt").write_bytes(b"\0\1\2")
    with pytest.raises(UnreadableSource):
        read_things({"node"}, tmp_path / "binary.txt")


def test_every_reader_is_of_a_kind_that_some_encoder_accepts():
    assert {"text", "image", "node", "word", "id"} <= set(READERS)
