"""Processes that are forked when everything is imported, so that hundreds of them can be killed in minutes.

    python tests/crash/nursery.py kills HOME --kind KIND --count N --seed S     each prints one JSON object
    python tests/crash/nursery.py crowd HOME --seconds S
    python tests/crash/nursery.py full HOME

A child tells through a pipe what it begins and what was acknowledged: what it wrote there survives it. The parent never opens the
store, for Lance starts threads, which a fork would lose; each check runs in a child too.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import select
import shutil
import signal
import statistics
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")  # read by what follows
sys.path.insert(0, str(Path(__file__).parent))
import world

from vicino.store.lance_folder import library

FIRST = 0.05  # seconds that an act is thought to last, before one was seen
PATIENCE = 60.0  # seconds without a word from a child
TRIES = 12  # kills for each that counts


class Child:
    """A forked process that runs `work(told)`, and what it told, line by line."""

    def __init__(self, work: Callable[[Callable[[dict[str, Any]], None]], None]) -> None:
        read, write = os.pipe()
        self.pid, self._read, self._buffer = os.fork(), read, b""
        self.told: list[tuple[float, dict[str, Any]]] = []
        if self.pid == 0:
            os.close(read)
            code = 1
            try:
                work(lambda said: os.write(write, (json.dumps(said) + "\n").encode()) and None)
                code = 0
            except BaseException:  # noqa: BLE001 - whatever it is, the parent is told
                os.write(write, (json.dumps({"error": traceback.format_exc()}) + "\n").encode())
            finally:
                os._exit(code)
        os.close(write)

    def listen(self, seconds: float) -> bool:
        """Hear more within so many seconds; False where nothing came, or the child is gone."""
        if not select.select([self._read], [], [], max(0.0, seconds))[0]:
            return False
        heard = os.read(self._read, 1 << 16)
        *lines, self._buffer = (self._buffer + heard).split(b"\n")
        self.told += [(time.monotonic(), json.loads(line)) for line in lines]
        return bool(heard)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.end()

    def end(self, patience: float = PATIENCE) -> None:
        """Hear the rest, and let it go."""
        until = time.monotonic() + patience
        while self.listen(until - time.monotonic()):
            pass
        if time.monotonic() > until:
            os.kill(self.pid, signal.SIGKILL)
            raise SystemExit(f"a child hangs; it told {self.told[-3:]}")
        os.waitpid(self.pid, 0)
        os.close(self._read)
        for _, said in self.told:
            if "error" in said:
                raise SystemExit(f"a child failed:\n{said['error']}")


def asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives, in a child."""
    child = Child(lambda told: told({"result": function(*arguments)}))
    child.end()
    return child.told[-1][1]["result"]


def kills(kind: str, home: Path, count: int, seed: int) -> dict[str, Any]:
    """So many kills inside acts of a kind, each followed by the check."""
    draw = random.Random(f"{kind} {seed}")
    editions, acts = asked(world.prepare, home), 0
    inside, outside, lasted = Counter[str](), 0, [FIRST]
    committed = 0  # acts that had their effect without having been acknowledged
    for number in range(count * TRIES):
        turn = f"{kind} {seed} {number}"
        child = Child(lambda told, turn=turn, editions=editions: world.perform(kind, home, editions, turn, told))
        want = killed_at(child, kind, draw, lasted, said := [])
        for each in said:
            world.apply(editions, each)
        acts += len(said)
        before = dict(editions)
        editions = asked(world.check, home, editions, want[1] if want else {}, turn)
        if want is None:
            outside += 1
        else:
            inside[want[0]] += 1
            committed += editions != before
        if inside[kind] == count:
            break
    return {
        "kind": kind,
        "inside": dict(inside),
        "outside": outside,
        "acknowledged": acts,
        "committed_unacknowledged": committed,
        "act_ms": round(1000 * statistics.median(lasted)),
    }


def killed_at(
    child: Child, kind: str, draw: random.Random, lasted: list[float], said: list[dict[str, int | None]]
) -> tuple[str, dict[str, int | None]] | None:
    """Kill a child at a random moment of an act of this kind: what it was doing; None where it was between two acts.

    `said` gets what each acknowledged act changed, `lasted` how long acts of the kind took.
    """
    after = draw.randint(1, 3)
    until = time.monotonic() + PATIENCE
    while sum(one.get("in") == kind for _, one in child.told) < after and time.monotonic() < until:
        if not child.listen(until - time.monotonic()):
            break
    time.sleep(draw.uniform(0, 1.2 * statistics.median(lasted[-20:])))
    child.kill()
    doing: tuple[float, dict[str, Any]] | None = None
    for moment, one in child.told:
        if "in" in one:
            doing = (moment, one)
        elif doing is not None:
            if doing[1]["in"] == kind:
                lasted.append(moment - doing[0])
            said.append(doing[1]["want"])
            doing = None
    return (doing[1]["in"], doing[1]["want"]) if doing else None


def crowd(home: Path, seconds: float) -> dict[str, Any]:
    """Two writers, four readers and upkeep at once, for so many seconds; then all that was acknowledged must be there."""
    editions = asked(world.prepare, home)
    until = time.monotonic() + seconds
    documents = [name for name in editions if name != world.MODEL]
    halves = [{name: 0 for name in documents if int(name.split("/d")[1]) % 2 == half} for half in range(2)]
    writers = [Child(lambda told, own=own: world.write(home, own, until, told)) for own in halves]
    others = [Child(lambda told, number=number: world.read(home, until, number, told)) for number in range(4)]
    others.append(Child(lambda told: world.keep_up(home, until, told)))
    patient = seconds + PATIENCE
    for child in (*writers, *others):
        child.end(patient)
    said = [one["wrote"] for child in writers for _, one in child.told]
    for each in said:
        world.apply(editions, each)
    asked(world.check, home, editions, {}, "crowd")
    done = [child.told[-1][1] for child in others]
    return {"commits": len(said), "reads": sum(one["rounds"] for one in done[:4]), "upkeep": done[4]["rounds"]}


def full(home: Path, disk: bool) -> dict[str, Any]:
    """Every act, with ever more room: refused by name, and nothing that was stored is lost.

    `disk`: `home` is on a small one, which is filled; else no file may grow beyond the room, for want of a disk to fill.
    """
    editions, refused, filler = asked(world.prepare, home), Counter[str](), home / "filler"
    for room in (0, 512, 4096, 16_384, 40_000, 80_000, 160_000):
        for kind in world.KINDS[:-1]:
            if disk:
                filler.write_bytes(bytes(max(0, shutil.disk_usage(home).free - room)))
            said = asked(world.refused, kind, home, editions, f"{kind} {room}", None if disk else room)
            refused[said["act"]] += said["refused"]
            editions = asked(world.check, home, editions, said["want"], f"{kind} {room}")  # the disk is still full
            filler.unlink(missing_ok=True)
    for kind in world.KINDS:
        said = asked(world.refused, kind, home, editions, kind, None)
        if said["refused"]:
            raise SystemExit(f"{kind} is refused with room on the disk: {said}")
        editions = asked(world.check, home, editions, said["want"], kind)
    return {"refused": dict(refused)}


def warm() -> None:
    """Import and compile everything that a child would; open no store."""
    warnings.filterwarnings("ignore", "lance is not fork-safe")  # its threads begin in the children
    logging.getLogger("vicino").setLevel(logging.ERROR)  # of upkeep on a full disk
    library()
    import lance.fragment
    import lance.optimize  # noqa: F401
    import pyarrow.compute  # noqa: F401

    import vicino.store.lance  # noqa: F401
    from vicino.retrieval import from_recipe, parse

    made = from_recipe(parse(world.RECIPE)).build([world.document(n, 0) for n in range(8)])
    made.search("word1", 2, allow=["d1", "d2"])
    alive = {
        Path(f"/proc/self/task/{task}/comm").read_text().strip()
        for task in os.listdir("/proc/self/task")
        if task != str(os.getpid())
    }
    if alive - {"jemalloc_bg_thd"}:  # jemalloc begins its thread anew in a child
        raise SystemExit(f"threads run before the first fork: {alive}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["kills", "crowd", "full"])
    parser.add_argument("home", type=Path)
    parser.add_argument("--kind", default="ingest")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--no-disk", action="store_true")
    options = parser.parse_args()
    os.environ["VICINO_HOME"] = str(options.home)
    options.home /= "collections"
    options.home.mkdir(parents=True)
    warm()
    if options.what == "kills":
        report = kills(options.kind, options.home, options.count, options.seed)
    else:
        report = crowd(options.home, options.seconds) if options.what == "crowd" else full(options.home, not options.no_disk)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
