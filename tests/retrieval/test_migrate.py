"""Another model for a collection: filled beside the first, switched in one commit, back again, and killed anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino import workbench
from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.errors import ArtifactError, InputError, SpaceMismatch, UnknownName
from vicino.learning.alignment import orthogonal
from vicino.retrieval import migrate
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.migrate import begin, command, fill, finish, lacking, model_named, number_of, roll_back, switch
from vicino.retrieval.passages import batches_of, drift, passages, vectors_of
from vicino.retrieval.stored import Stored
from vicino.store import lineage
from vicino.store.base import EVERYONE
from vicino.store.collection import Collection
from vicino.store.succession import adapt, alone, before, pending, served_by

OLD, NEW = "lsa(n_components=3)", "lsa(n_components=4)"
WORDS = ["wing", "lift", "drag", "tea", "black", "green", "bread", "dough", "violin", "cello", "viola", "rain", "cloud", "thrust"]


@pytest.fixture(autouse=True, scope="module")
def _installed(need: Callable[[Entry], None]) -> None:
    need(Entry("", "", "store"))


def documents(n: int, *, start: int = 0) -> list[Document]:
    draw = np.random.default_rng(start)
    return [
        Document(f"d{number}", ".\n\n".join(" ".join(draw.choice(WORDS, 4)) for _ in range(3)), metadata={"n": number})
        for number in range(start, start + n)
    ]


def add(home: Path, docs: list[Document], source: str = "s", **how: Any) -> None:
    ingest(home, "c", Source(source, docs, lacks=lambda _: False), **how)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    add(tmp_path, documents(40), recipe=f"bm25+{OLD}", cut="paragraph")
    return Collection.open(tmp_path, "c")


def again(collection: Collection) -> Collection:
    """As another process finds it."""
    return Collection.open(collection.folder.parent, collection.name)


def found(collection: Collection, query: str = "black tea and bread") -> list[tuple[str, float]]:
    return [(one.document, round(one.score, 6)) for one in Stored(again(collection)).find(query, 5)]


def require_sound(collection: Collection) -> None:
    """Every vector that is stored for a space is what its own model makes of that row."""
    here = again(collection)
    for number in here.stored:
        some = passages(here, 1000)
        made = here.encoder(number).encode_document([document for _, document in some])
        np.testing.assert_allclose(vectors_of(here, number, [key for key, _ in some]), made, atol=1e-5)


# The way there and back -----------------------------------------------------------------------------------------------


def test_the_old_model_serves_until_the_switch_and_the_new_one_after(collection: Collection) -> None:
    before_it = found(collection)
    reader = Stored(again(collection))
    reader.find("tea")
    new = begin(collection, NEW)
    assert lacking(new) == collection.store.stats().rows > 40
    assert fill(new) == lacking(collection) + collection.store.stats().rows
    assert lacking(new) == fill(new) == 0
    assert found(collection) == before_it
    assert again(collection).note == "about"
    assert drift(new, 0) > 0.99
    assert switch(collection, new) == 0
    after = again(collection)
    assert (after.note, after.spaces, after.store.spaces) == (new.note, new.spaces, tuple(new.spaces))
    assert after.store.filling == tuple(collection.spaces)
    assert after.recipe.parts[1].params["encoder_params"]["n_components"] == 4
    require_sound(collection)
    assert [(one.document, round(one.score, 6)) for one in reader.find("black tea and bread", 5)] == found(collection)
    assert reader.collection.note == new.note  # one that was open all the time has followed


def test_a_way_back_embeds_what_was_written_since(collection: Collection, tmp_path: Path) -> None:
    old = found(collection, "violin")
    switch(collection, begin(collection, NEW))
    add(tmp_path, documents(5, start=100), "more")
    here = again(collection)
    assert lacking(before(here)) > 5
    said = roll_back(here)
    assert "lsa serves again" in said
    here = again(collection)
    assert (here.note, here.spaces) == ("about", collection.spaces)
    assert {name for name, _ in found(collection, "violin")} - {name for name, _ in old} <= {f"d{n}" for n in range(100, 105)}
    require_sound(collection)
    assert pending(here).note != "about"  # it stands by, and may be taken up
    switch(here, begin(here, NEW))
    assert again(collection).note != "about"
    require_sound(collection)


def test_finishing_frees_the_column_and_closes_the_way_back(collection: Collection) -> None:
    switch(collection, begin(collection, NEW))
    here = again(collection)
    assert finish(here) == collection.spaces
    here = again(collection)
    assert (here.store.filling, before(here)) == ((), None)
    with pytest.raises(InputError, match="no way back"):
        roll_back(here)
    with pytest.raises(InputError, match="no old vectors"):
        finish(here)
    third = begin(here, "lsa(n_components=5)")
    switch(here, third)
    finish(again(collection))
    here = again(collection)
    assert here.note == third.note
    assert sorted(path.name for path in here.folder.glob("about*")) == ["about", third.note]
    require_sound(collection)


def test_what_was_begun_is_given_up(collection: Collection) -> None:
    with pytest.raises(InputError, match="no way back"):
        roll_back(collection)
    new = begin(collection, NEW)
    fill(new)
    with pytest.raises(InputError, match="does not serve yet"):
        finish(collection)
    assert "gave up" in roll_back(again(collection))
    here = again(collection)
    assert (here.store.filling, pending(here)) == ((), None)
    assert not list(here.folder.glob("about-*"))
    assert begin(here, NEW).note != new.note  # a process that holds the first one would not notice another


def test_back_to_the_first_model_over_a_second_change(collection: Collection) -> None:
    switch(collection, begin(collection, NEW))
    here = again(collection)
    third = begin(here, collection.folder / "about" / "model-0")  # its vectors are there still
    assert third.spaces == collection.spaces
    assert fill(third) == 0
    roll_back(here)
    assert again(collection).store.filling == tuple(collection.spaces)  # the way back needs them
    roll_back(again(collection))
    assert again(collection).note == "about"
    require_sound(collection)


def test_what_cannot_be_changed_is_named(collection: Collection, tmp_path: Path) -> None:
    for to, error, said in [
        (str(collection.folder / "about" / "model-0"), InputError, "already"),
        ("tfidf", InputError, "dense"),
        ("bm25", InputError, "no encoder"),
        ("bm25+lsa", InputError, "no encoder"),
        ("lsaa", UnknownName, "lsaa"),
        ("deepwalk", InputError, "these are texts"),
    ]:
        with pytest.raises(error, match=said):
            begin(collection, to)
        assert (collection.store.filling, pending(collection)) == ((), None)
    begin(collection, NEW)
    with pytest.raises(InputError, match="under way"):
        begin(collection, "lsa(n_components=5)")
    ingest(tmp_path, "words", Source("s", documents(3)), recipe="bm25")
    with pytest.raises(InputError, match="searches by words"):
        number_of(Collection.open(tmp_path, "words"))


def test_of_several_models_one_is_named(tmp_path: Path) -> None:
    add(tmp_path, documents(20), recipe="lsa(n_components=3)+lda(n_components=2)", cut="whole")
    collection = Collection.open(tmp_path, "c")
    with pytest.raises(InputError, match="2 models"):
        number_of(collection)
    with pytest.raises(InputError, match="'tfidf'"):
        number_of(collection, "tfidf")
    number = number_of(collection, "lsa")
    switch(collection, begin(collection, NEW, number=number))
    here = again(collection)
    assert here.spaces[1] == collection.spaces[1]
    assert set(here.store.spaces) == set(here.spaces)
    require_sound(collection)
    assert [part.params["encoder"] for part in here.recipe.parts] == ["lsa", "lda"]


def test_two_models_of_one_name_are_told_apart_by_their_parameters(tmp_path: Path) -> None:
    add(tmp_path, documents(20), recipe=f"{OLD}+{NEW}", cut="whole")
    collection = Collection.open(tmp_path, "c")
    with pytest.raises(InputError, match="no model 'lsa'") as caught:
        number_of(collection, "lsa")
    assert OLD in caught.value.mend
    assert number_of(collection, NEW) == 1
    assert command(collection, 1, "--to x") == f"vicino migrate c --to x --from '{NEW}'"


def test_what_was_begun_beside_an_adapter_is_given_up(tmp_path: Path) -> None:
    add(tmp_path, documents(20), recipe=f"{OLD}+{NEW}", cut="whole")
    collection = Collection.open(tmp_path, "c")
    asks = model_named("lsa(n_components=2)", collection)
    turn = orthogonal(np.eye(2, dtype=np.float32), np.eye(2, 3, dtype=np.float32))
    there = adapt(collection, 0, asks, turn, {"map": "orthogonal"})
    collection.store.serve(served_by(there), note=there.note)
    collection = again(collection)
    assert pending(collection) is None
    begun = begin(collection, "lsa(n_components=5)", number=1)
    assert pending(again(collection)).note == begun.note
    assert "gave up" in roll_back(again(collection))
    assert not again(collection).store.filling


def test_one_process_at_a_time(collection: Collection) -> None:
    with alone(collection), pytest.raises(ArtifactError, match="another process"), alone(again(collection)):
        pass


def test_a_model_that_moved_under_way_is_noticed(collection: Collection) -> None:
    fill(begin(collection, NEW))
    arrays = dict(pending(collection).about.arrays)
    arrays["canaries-0"] = -arrays["canaries-0"]
    waiting = pending(collection)
    object.__setattr__(waiting.about, "arrays", arrays)
    collection.store.delete(parse_all(), tenant=EVERYONE)
    with pytest.raises(SpaceMismatch, match="no longer gives"):
        waiting.encoder(0)


def parse_all() -> Any:
    from vicino.data.filters import parse

    return parse("number = 0")


def test_rows_that_come_between_are_filled_before_the_switch(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = begin(collection, NEW)
    filled, times = migrate.fill, []

    def then(each: Collection) -> int:
        done = filled(each)
        if len(times) < 3:
            times.append(done)
            add(tmp_path, documents(2, start=200 + len(times)), f"s{len(times)}")
        return done

    monkeypatch.setattr(migrate, "fill", then)
    switch(collection, new)
    assert len(times) == 3
    require_sound(collection)
    assert again(collection).store.stats().documents == 40 + 6


def test_a_writer_with_the_old_model_is_refused_and_goes_on_when_called_again(collection: Collection, tmp_path: Path) -> None:
    from vicino.store.changes import read_changes, write_changes

    held = again(collection)
    switch(collection, begin(collection, NEW))
    held.store.refresh = lambda: False  # as where the switch falls inside a batch
    with read_changes(documents(3, start=300), cut="paragraph", known={}) as changes, pytest.raises(SpaceMismatch) as caught:
        write_changes(held, changes, source="late", tenant="")
    assert "run the command again" in caught.value.mend
    assert again(collection).store.stats().documents == 40
    add(tmp_path, documents(3, start=300), "late")
    require_sound(collection)


# Lineage --------------------------------------------------------------------------------------------------------------


def test_lineage_tells_which_batch_a_vector_is_from(collection: Collection, tmp_path: Path) -> None:
    switch(collection, begin(collection, NEW))
    add(tmp_path, documents(2, start=400), "more", tenant="us")
    lines = list(lineage.read(collection.folder))
    assert [line.action for line in lines] == ["ingest", "fill", "switch", "ingest"]
    assert [line.rows for line in lines][1:3] == [lines[0].rows, 0]
    assert {line.pid for line in lines} == {os.getpid()}
    assert len({line.stamp for line in lines}) == 4
    assert [line.tenant for line in lineage.read(collection.folder, tenant="us")] == ["us"]
    old, new = collection.spaces[0].id, again(collection).spaces[0].id
    batches = batches_of(again(collection), "d7", tenant="")
    assert {(one["space"], one["batch"]["stamp"]) for one in batches} == {(old, lines[0].stamp), (new, lines[1].stamp)}
    (late, *_) = batches_of(again(collection), "d400", tenant="us")
    assert (late["space"], late["batch"]["stamp"], late["batch"]["source"]) == (new, lines[3].stamp, "more")
    assert late["batch"]["versions"]["vicino"]
    with pytest.raises(UnknownName):
        batches_of(again(collection), "d400", tenant="")


def test_lineage_of_a_tenant_that_never_was_is_no_empty_answer(collection: Collection, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "collections").symlink_to(tmp_path)
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "kept"))
    add(tmp_path, documents(2, start=400), "more", tenant="us")
    (line,) = workbench.lineage("c", tenant="us")
    assert line["tenant"] == "us"
    with pytest.raises(UnknownName, match="nobody"):
        workbench.lineage("c", tenant="nobody")


# Killed ---------------------------------------------------------------------------------------------------------------

SERVER = """
import json, os, sys, threading
import vicino.encoders.counts, vicino.retrieval.ingest, vicino.retrieval.migrate, vicino.store.lance
import vicino.retrieval.lexical, vicino.indexes.exact, scipy.sparse, sklearn.decomposition, sklearn.feature_extraction.text
import lance
for line in sys.stdin:
    code, given, out = json.loads(line)
    assert threading.active_count() == 1
    pid = os.fork()
    if not pid:
        status = 1
        try:
            handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            sys.argv = ["-c", *given]
            exec(code, {})
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Warm:
    """A process that has imported everything and makes no thread: each run is a fork of it, which may die as it likes."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **ALONE}
        )

    def start(self, code: str, *given: str, out: Path) -> int:
        self._server.stdin.write(json.dumps([code, given, str(out)]) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def wait(self) -> int:
        return int(self._server.stdout.readline())

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    server = Warm()
    yield server
    server.close()


KILLED = """
import os, sys
from pathlib import Path
from vicino import artifacts
from vicino.retrieval import migrate
from vicino.store import lance_spaces, lineage, succession
from vicino.store.collection import Collection
from vicino.store.lance import Lance

home, where, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
migrate._BATCH = migrate._COMMIT = 16
count = 0

def dies(function, at, after):
    def called(*given, **named):
        global count
        count += 1
        if count == at and not after:
            os._exit(9)
        made = function(*given, **named)
        if count == at and after:
            os._exit(9)
        return made
    return called

place, at, after = where.split(":")
owner, name = {"about": (artifacts, "_swap"), "add": (lance_spaces, "add"), "write": (lance_spaces, "_write"),
               "fill": (Lance, "fill"), "serve": (Lance, "serve"), "drop": (Lance, "drop_space"),
               "lineage": (lineage, "_write"), "discard": (migrate, "discard")}[place]
setattr(owner, name, dies(getattr(owner, name), int(at), after == "after"))
if place == "discard":
    succession.discard = migrate.discard

here = Collection.open(home, "c")
if what == "to":
    migrate.switch(here, migrate.begin(here, "lsa(n_components=4)"))
elif what == "back":
    migrate.roll_back(here)
else:
    migrate.finish(here)
"""


def killed(warm: Warm, home: Path, where: str, what: str) -> int:
    warm.start(KILLED, str(home), where, what, out=home / "out")
    status = warm.wait()
    assert status in (0, 9), (home / "out").read_text()
    return status


@pytest.mark.long
@pytest.mark.parametrize(
    ("where", "filled"),
    [
        *(("about:1:before", 0), ("about:1:after", 0), ("add:1:before", 0), ("write:1:before", 0), ("write:1:after", 0)),
        *(("fill:1:before", 0), ("fill:1:after", 16), ("fill:4:after", 64), ("lineage:1:before", 16)),
        *(("serve:1:before", 120), ("serve:1:after", 120)),
    ],
)
def test_a_change_that_was_killed_goes_on(where: str, filled: int, warm: Warm, collection: Collection) -> None:
    home, old = collection.folder.parent, found(collection)
    assert killed(warm, home, where, "to") == 9
    here = again(collection)
    require_sound(collection)
    if where != "serve:1:after":
        assert here.note == "about"
        assert found(collection) == old
        new = begin(here, NEW)
        assert switch(here, new) == 120 - filled  # what was filled is not embedded again
        require_sound(collection)
    assert again(collection).note != "about"


@pytest.mark.long
@pytest.mark.parametrize(
    ("where", "what"),
    [
        *((f"{where}:1:{when}", "back") for where in ("serve", "lineage") for when in ("before", "after")),
        *((f"{where}:1:{when}", "finish") for where in ("drop", "write", "discard", "lineage") for when in ("before", "after")),
    ],
)
def test_the_way_back_and_the_end_may_be_killed_too(where: str, what: str, warm: Warm, collection: Collection) -> None:
    home = collection.folder.parent
    switch(collection, begin(collection, NEW))
    assert killed(warm, home, where, what) == 9
    require_sound(collection)
    here = again(collection)
    if what == "back":
        if here.note != "about":
            roll_back(here)
        assert again(collection).note == "about"
    else:
        if here.store.filling:
            finish(here)
        assert again(collection).store.filling == ()
        assert again(collection).note != "about"
    require_sound(collection)
    assert found(collection)


# Several processes ----------------------------------------------------------------------------------------------------

SEARCHES = """
import sys
from pathlib import Path
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection
stored = Stored(Collection.open(Path(sys.argv[1]), "c"))
print("ready", flush=True)
notes = []
while not (Path(sys.argv[1]) / "stop").exists():
    assert len(stored.find("black tea and bread", 5)) == 5
    if notes and notes[-1] != stored.collection.note:
        assert notes[-1] == "about", notes  # never back again
    notes.append(stored.collection.note)
    print(stored.collection.note, flush=True)
assert len(stored.find("black tea and bread", 5)) == 5
print(stored.collection.note, len(notes), flush=True)
"""

INGESTS = """
import sys
from pathlib import Path
from vicino.data.records import Document
from vicino.errors import SpaceMismatch
from vicino.retrieval.ingest import Source, ingest
home, n = Path(sys.argv[1]), 0
print("ready", flush=True)
while not (home / "stop").exists():
    docs = [Document(f"x{n}-{part}", f"green tea {n}. violin and cello {part}.") for part in range(3)]
    try:
        ingest(home, "c", Source(f"s{n}", docs, lacks=lambda _: False))
    except SpaceMismatch:
        continue  # the model changed in the middle of a batch: the same command goes on
    n += 1
    print(n, flush=True)
"""


@pytest.mark.long
def test_one_searches_one_ingests_and_one_migrates(collection: Collection) -> None:
    home = collection.folder.parent
    servers = [Warm(), Warm()]
    outs = [home / "searches", home / "ingests"]
    told = lambda at: outs[at].read_text().split("\n")[:-1]  # noqa: E731 - the whole lines
    try:
        for server, code, out in zip(servers, (SEARCHES, INGESTS), outs, strict=True):
            server.start(code, str(home), out=out)
        _wait(lambda: len(told(0)) > 2 and len(told(1)) > 2)
        new = begin(collection, NEW)
        fill(new)
        _wait(lambda: lacking(again(collection).under(new.note)) > 0)  # it goes on being written to
        switch(collection, new)
        seen = len(told(1))
        _wait(lambda: len(told(1)) > seen + 2 and any(new.note in line for line in told(0)))
    finally:
        (home / "stop").touch()
        statuses = [server.wait() for server in servers]
        for server in servers:
            server.close()
    assert statuses == [0, 0], [out.read_text() for out in outs]
    assert told(0)[-1].startswith(f"{new.note} ")
    require_sound(collection)
    written = max(int(line) for line in told(1)[1:])
    assert again(collection).store.stats().documents in (40 + 3 * written, 40 + 3 * written + 3)


def _wait(until: Callable[[], bool]) -> None:
    for _ in range(1200):
        if until():
            return
        time.sleep(0.05)
    raise AssertionError("nothing came")
