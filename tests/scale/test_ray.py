"""A job on a real Ray cluster of three nodes, all of them on this machine and none listening beyond it.

Each job must leave the rows and vectors that the same ingest leaves without a cluster, whoever was killed on the way.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vicino import __version__, artifacts
from vicino.data.records import Document
from vicino.errors import ArtifactError, EndpointError, InputError, SpaceMismatch
from vicino.retrieval.ingest import Source, ingest
from vicino.scale import cluster as joining
from vicino.scale import jobs, writing_on
from vicino.scale.cluster import library
from vicino.scale.jobs import spread
from vicino.scale.worker import Worker
from vicino.store.collection import Collection

pytestmark = [
    pytest.mark.filterwarnings("ignore:lance is not fork-safe"),  # Ray starts programs of its own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves the logs of its programs open
]
BATCH = 10  # passages in a block: five documents
SUBJECTS = ("wings", "tea", "bread", "violins", "rain", "engines", "cellos", "dough")
MEMORY = 80 << 20


def documents(count: int = 160) -> list[Document]:
    """Two sentences each, so that some are cut; every tenth has metadata."""
    return [
        Document(
            f"d{n}",
            f"{SUBJECTS[n % 8]} and {SUBJECTS[n // 8 % 8]} number {n}. " * 8,
            metadata={"year": n} if n % 10 == 0 else {},
        )
        for n in range(count)
    ]


OPTIONS: dict[str, Any] = {"recipe": "bm25+lsa(n_components=4)", "cut": "window(size=20)"}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """The cluster: a head and two more, a processor each."""
    ray = library()
    from ray.cluster_utils import Cluster

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    each = {"num_cpus": 1, "object_store_memory": MEMORY, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:  # its door now and then loses the first who knocks, and is slow to say so
        patch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "15")
        made = Cluster(initialize_head=True, head_node_args={**each, "ray_client_server_port": port})
    try:
        for _ in range(2):
            made.add_node(**each)
        made.each, made.door = each, f"ray://127.0.0.1:{port}"
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def joined(nodes) -> Iterator[Any]:
    """This process is part of the cluster."""
    ray = library()
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A home with the collection "docs" as this process alone makes it."""
    home = tmp_path_factory.mktemp("alone")
    ingest(home, "docs", Source("s", documents()), batch=BATCH, **OPTIONS)
    return home


def rows(home: Path) -> dict[str, dict[str, Any]]:
    """What the collection "docs" holds, by key."""
    collection = Collection.open(home, "docs")
    columns = ["key", "source", "document", "number", "start", "end", "title", "text", "digest", "revision", "metadata"]
    batches = collection.store.scan(columns, tenant="", space=collection.spaces[0])
    return {row["key"]: row for batch in batches for row in batch.to_pylist()}


def require_equal(home: Path, other: Path) -> None:
    """Same keys, same rows; the same vectors, up to what another order of additions does."""
    here, there = rows(home), rows(other)
    assert here.keys() == there.keys()
    for key, row in here.items():
        vector, its = row.pop("vector"), there[key].pop("vector")
        assert row == there[key]
        np.testing.assert_allclose(vector, its, atol=1e-5)


def processes(wanted: Callable[[str], bool]) -> list[int]:
    """The processes whose command is wanted."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted(path.read_text(errors="replace")):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def worker_ids(name: str) -> list[int]:
    """The processes of the actors of this name, on all nodes."""
    return processes(lambda command: command.startswith(f"ray::{name}"))


def disturbed(disturb: Callable[[], None], *, after: int = 2) -> Callable[..., Iterator[int]]:
    """A way of writing that something happens to once `after` blocks are done, while others are not."""

    def write(work: Any, batches: Any) -> Iterator[int]:
        for number, passages in enumerate(spread("ray")(work, batches), 1):
            yield passages
            if number == after:
                work.collection.store.refresh()
                assert work.collection.store.stats().documents < len(documents())
                disturb()

    return write


# The same result ------------------------------------------------------------------------------------------------------


def test_a_job_leaves_what_an_ingest_here_leaves(joined, undisturbed, tmp_path):
    source = Source("s", documents())
    summary = ingest(tmp_path, "docs", source, batch=BATCH, **OPTIONS, **writing_on("ray"))
    assert (summary.new, summary.embedded, summary.total_documents) == (160, summary.passages, 160)
    require_equal(tmp_path, undisturbed)
    assert not list((tmp_path / "docs" / "jobs").glob("job-*"))

    changed = [Document("d0", "tea, and nothing else"), *documents()[1:150], Document("bad", "rain", metadata={"year": "soon"})]
    again = ingest(tmp_path, "docs", Source("s", changed), **writing_on("ray"))
    assert (again.new, again.changed, again.unchanged, again.removed) == (0, 1, 149, 10)
    assert again.refused == {"'year' is text here and integer in other rows": 1}
    assert len({row["document"] for row in rows(tmp_path).values()}) == 150


@pytest.mark.parametrize("victim", ["MapWorker", "Job"])
def test_a_killed_process_costs_nothing(joined, undisturbed, tmp_path, victim):
    killed = []

    def kill() -> None:
        killed.append(worker_ids(victim)[0])
        os.kill(killed[0], signal.SIGKILL)

    source = Source("s", documents())
    summary = ingest(tmp_path, "docs", source, batch=BATCH, write=disturbed(kill), **OPTIONS)
    assert killed
    assert (summary.new, summary.embedded) == (160, summary.passages)
    require_equal(tmp_path, undisturbed)


def test_a_lost_node_costs_nothing(joined, undisturbed, tmp_path):
    def lose() -> None:
        joined.remove_node(joined.list_all_nodes()[-1], allow_graceful=False)

    try:
        summary = ingest(tmp_path, "docs", Source("s", documents()), batch=BATCH, write=disturbed(lose), **OPTIONS)
    finally:
        joined.add_node(**joined.each)
    assert (summary.new, summary.embedded) == (160, summary.passages)
    require_equal(tmp_path, undisturbed)


def test_what_a_stopped_job_committed_is_not_embedded_again(joined, undisturbed, tmp_path):
    class Stop(Exception):
        """As Ctrl-C, or a driver that is killed."""

    def stop() -> None:
        raise Stop

    source = Source("s", documents())
    with pytest.raises(Stop):
        ingest(tmp_path, "docs", source, batch=BATCH, write=disturbed(stop, after=5), **OPTIONS)
    summary = ingest(tmp_path, "docs", source, batch=BATCH, **writing_on("ray"))
    assert 5 * 5 <= summary.unchanged < 160  # five blocks of five documents, at least
    assert summary.new == 160 - summary.unchanged
    require_equal(tmp_path, undisturbed)


COMMAND = "import sys; from vicino.cli import main; sys.argv[0] = 'vicino'; sys.exit(main())"


def test_the_command_joins_a_cluster_by_its_address(nodes, tmp_path, python):
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"{each.text}\n" for each in documents(40)))
    asked = ["ingest", lines, "--collection", "docs", "--encoder", "lsa(n_components=4)", "--on", nodes.door, "--json", "--quiet"]
    printed = python(COMMAND, *asked, VICINO_HOME=str(tmp_path / "home"))
    assert '"new": ' in printed
    assert Collection.open(tmp_path / "home" / "collections", "docs").store.count(tenant="") >= 1


def test_the_command_starts_a_cluster_of_this_machine_and_ends_it(tmp_path, python):
    """Its programs are known by the folder of their session, which their commands name."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for each in documents(40):
        (texts / f"{each.id}.txt").write_text(each.text)
    asked = ["ingest", texts, "--collection", "docs", "--encoder", "lsa(n_components=4)", "--on", "ray", "--json", "--quiet"]
    with tempfile.TemporaryDirectory() as short:  # a socket's path has 107 bytes at most
        printed = python(COMMAND, *asked, VICINO_HOME=str(tmp_path / "home"), RAY_TMPDIR=short)
        (session,) = Path(short, "ray").glob("session_2*")
        assert not processes(lambda command: session.name in command)
    assert '"new": 40' in printed
    assert Collection.open(tmp_path / "home" / "collections", "docs").store.count(tenant="") >= 40


# What goes wrong --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["", "rays", "ray://", "ray://host", "http://host:10001", "ray://host:port"])
def test_an_address_that_is_none(address):
    with pytest.raises(InputError, match="no address of a Ray cluster"):
        writing_on(address)


def test_other_machines_do_not_write_to_milvus(tmp_path):
    kept = SimpleNamespace(name="docs", folder=tmp_path, store=SimpleNamespace(scheme="milvus"))
    with pytest.raises(InputError, match="one machine at a time"):
        list(writing_on("ray://host:10001")["write"](SimpleNamespace(collection=kept), iter(())))


def test_a_job_leaves_those_that_run_alone(tmp_path):
    with jobs._spooled(tmp_path, iter(())):
        second = jobs._spooled(tmp_path, iter(()))
        second.__enter__()
    (tmp_path / "jobs" / "job-dead").mkdir()
    with jobs._spooled(tmp_path, iter(())):
        assert len(list((tmp_path / "jobs").glob("job-*"))) == 2  # the second and the third
    second.__exit__(None, None, None)
    assert not list((tmp_path / "jobs").glob("job-*"))


def test_nobody_at_the_address(tmp_path, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setattr(joining, "_WAITS", (0.01, 0.01))
        door = f"ray://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(EndpointError, match="no Ray cluster answers"):
            ingest(tmp_path, "docs", Source("s", documents(20)), **OPTIONS, **writing_on(door))
    assert ingest(tmp_path, "docs", Source("s", documents(20))).new == 20  # nothing was lost: the collection goes on here


@pytest.fixture
def terms(tmp_path) -> dict[str, Any]:
    """The terms of a job on a small collection."""
    ingest(tmp_path, "docs", Source("s", documents(20)), **OPTIONS)
    spaces = [space.to_json() for space in Collection.open(tmp_path, "docs").spaces]
    return {
        "home": str(tmp_path), "collection": "docs", "source": "s", "tenant": "", "version": __version__,
        "spaces": spaces,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"version": "0.0.1"}, EndpointError),
        ({"home": "/nowhere"}, ArtifactError),
        ({"spaces": [{"id": "another", "dim": 4, "similarity": "cosine"}]}, SpaceMismatch),
    ],
)
def test_a_worker_refuses_what_is_not_the_same_everywhere(terms, change, error):
    done = Worker({**terms, **change})({"block": ["none.jsonl"]})
    assert done["block"] == ["none.jsonl"]
    assert done["tally"] == [""]
    assert f'"{error.__name__}"' in done["error"][0]


def test_a_worker_refuses_a_model_that_moved(terms, tmp_path, joined):
    """Its canaries tell: the job ends with the error that the worker met, and nothing is committed."""
    about = tmp_path / "docs" / "about"
    before = rows(tmp_path)
    kept = artifacts.read(about, kind="collection")
    moved = {name: -array if name.startswith("canaries") else array for name, array in kept.arrays.items()}
    parts = {f"model-{n}": Collection.open(tmp_path, "docs").encoder(n).save for n in range(1)}
    artifacts.write(about, kind="collection", data=kept.data, arrays=moved, parts=parts)
    fresh = [*documents(20), Document("new", "rain and tea")]
    with pytest.raises(SpaceMismatch, match="no longer gives the vectors"):
        ingest(tmp_path, "docs", Source("s", fresh), **writing_on("ray"))
    assert rows(tmp_path) == before
