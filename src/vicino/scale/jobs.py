"""A job: blocks of changed documents, embedded and committed by Ray Data's pool of workers, each block on its own.

The process that reads the source spools blocks of whole documents into the collection's folder, which all machines mount. A
worker opens the collection as anybody does, so the identity of its model is checked as ever, embeds a block, and commits it:
Lance's fragments are written by the worker, and appear at once. A block may be written twice (its worker died after the
commit): the same rows take the place of the same rows. The pipeline itself runs inside the cluster, in an actor without a
processor of its own, for Ray Data cannot be driven over ray://;
where its machine is lost, another takes the blocks that are left.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from vicino import __version__, artifacts, errors
from vicino.errors import ArtifactError, EndpointError, InputError
from vicino.scale.cluster import LOCAL, joined, library
from vicino.scale.worker import Worker
from vicino.store.writing import Tally, Work, Write

if TYPE_CHECKING:
    from vicino.store.changes import Piece

__all__ = ["Job", "spread"]

_LIVES: Final = 3  # of the job, without a block done in between
_ALIVE: Final = ".alive"  # in a job's folder: locked by who runs it
_RETRIES: Final = 10  # of a block whose worker died with it; while a lost machine is not yet known to be, some go for nothing


def spread(address: str) -> Write:
    """A way of writing that gives each batch to the cluster at `address`, as a block: see `vicino.store.writing.take_each`.

    Raises InputError (other machines, for rows in Milvus), MissingExtra, EndpointError (no cluster there; workers that die again
    and again, or another vicino on them), ArtifactError (a worker does not see the collection's folder), and what opening the
    collection, encoding and the store raise in a worker. What was committed stays.
    """

    def write(work: Work, batches: Iterator[list[Piece]]) -> Iterator[int]:
        if address != LOCAL and work.collection.store.scheme == "milvus":
            raise InputError(
                f"the rows of {work.collection.name!r} are in Milvus, which one machine at a time may write to",
                mend="give --on ray, for this machine's processors, or leave out --on",
            )
        with _spooled(work.collection.folder, batches) as sizes:
            if sizes:
                with joined(address) as ray:
                    for block, tally in _done(ray, _terms(work), list(sizes), address):
                        work.tally += tally
                        yield sizes[block]

    return write


def _terms(work: Work) -> dict[str, Any]:
    """What a worker must know, as plain data."""
    folder = work.collection.folder
    return {
        "home": str(folder.parent.absolute()),
        "collection": folder.name,
        "source": work.source,
        "tenant": work.tenant,
        "version": __version__,
        "spaces": [space.to_json() for space in work.collection.spaces],
    }


@contextmanager
def _spooled(folder: Path, batches: Iterator[list[Piece]]) -> Iterator[dict[str, int]]:
    """The batches as files in the collection's folder, while the block runs: path -> passages."""
    try:
        jobs = folder / "jobs"
        jobs.mkdir(exist_ok=True)
        with ExitStack() as held:
            with artifacts.locked(jobs / ".lock"):
                _sweep(jobs)
                spool = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="job-", dir=jobs)))
                held.enter_context(artifacts.locked(spool / _ALIVE))
            spool.chmod(0o755)  # workers may be other users
            sizes = {}
            for number, pieces in enumerate(batches):
                path = spool / f"{number:07}.jsonl"
                path.write_text("".join(f"{piece.to_line()}\n" for piece in pieces), "utf-8", "surrogatepass")
                sizes[str(path.absolute())] = sum(len(piece.spans) for piece in pieces)
            yield sizes
    except OSError as error:
        raise ArtifactError(f"cannot spool the job: {error}", mend="free some space, and run the command again") from error


def _sweep(jobs: Path) -> None:
    """Remove what processes that were killed left; who lives holds the lock of its own job."""
    for left in jobs.glob("job-*"):
        with suppress(FileNotFoundError), artifacts.locked(left / _ALIVE, wait=False) as dead:  # it may end meanwhile
            if dead:
                shutil.rmtree(left, ignore_errors=True)


def _done(ray: ModuleType, terms: Mapping[str, Any], blocks: Sequence[str], address: str) -> Iterator[tuple[str, Tally]]:
    """Each block that is committed, once, and what it counted."""
    left, lives = dict.fromkeys(blocks), _LIVES
    while left:
        job = ray.remote(num_cpus=0)(Job).remote(terms, list(left))
        try:
            while rows := ray.get(job.next.remote()):
                for row in rows:
                    if row["error"]:
                        raise _raised(row["error"])
                    if row["block"] in left:
                        lives = _LIVES
                        del left[row["block"]]
                        tally = json.loads(row["tally"])
                        yield row["block"], Tally(**{**tally, "refused": Counter(tally["refused"])})
        except ray.exceptions.RayError as error:  # the machine of the job itself is lost, or workers die again and again
            lives -= 1
            if not lives:
                raise _lost(address, error) from error
        except ConnectionError as error:
            raise _lost(address, error) from error
        finally:
            ray.kill(job)


def _lost(address: str, error: Exception) -> EndpointError:
    brief = str(getattr(error, "cause", None) or error).strip().splitlines()
    return EndpointError(
        f"the job at {address} failed: {brief[-1][:300] if brief else type(error).__name__}",
        mend="look for lost machines and workers short of memory (ray status); run the command again: it goes on from here",
    )


def _raised(plain: str) -> errors.VicinoError:
    """An error of ours that a worker met, as itself."""
    kind, what, mend = json.loads(plain)
    raised: type[errors.VicinoError] = getattr(errors, kind, EndpointError)
    return raised(what, mend=mend)


class Job:
    """The pipeline, in an actor of the cluster: see the module."""

    def __init__(self, terms: Mapping[str, Any], blocks: Sequence[str]) -> None:
        there = library().cluster_resources()
        from ray import data

        data.DataContext.get_current().enable_progress_bars = False
        graphics = int(there.get("GPU", 0))
        most = max(1, min(graphics or int(there.get("CPU", 1)), len(blocks)))
        found = data.from_items([{"block": block} for block in blocks], override_num_blocks=len(blocks)).map_batches(
            Worker,
            fn_constructor_args=(dict(terms),),
            batch_size=1,
            compute=data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
            num_cpus=1,
            num_gpus=1 if graphics else None,
            max_restarts=-1,
            max_task_retries=_RETRIES,
        )
        self._rows = iter(found.iter_rows())

    def next(self) -> list[dict[str, Any]]:
        """The next block that is done, as a row of `Worker`; none at the end."""
        row = next(self._rows, None)
        return [] if row is None else [row]
