"""The house keeps its order: who may import whom, what nobody may use, what every module must have."""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import vicino
from vicino.catalog import Catalog
from vicino.encoders import Encoder
from vicino.errors import MissingExtra
from vicino.indexes import Index
from vicino.retrieval import Retriever

SOURCE = Path(vicino.__file__).parent

# DESIGN.md: a room may import itself and the rooms listed above it.
ROOMS = (
    *("errors", "catalog", "progress", "artifacts", "parameters", "vectors", "metrics", "spaces", "data", "learning"),
    *("encoders", "indexes", "store", "retrieval", "evaluation", "training", "scale", "workbench"),
    *("client", "adapters", "server", "cli"),
)

# Names for rooms and classes that say nothing about what is inside.
NAMELESS = {"utils", "util", "common", "helpers", "helper", "misc", "shared", "core"}

# `import vicino`, the catalogues and `--help` must be quick: they load none of these.
HEAVY = ("torch", "transformers", "sklearn", "scipy", "numba", "lance", "faiss", "pyarrow")

LONGEST = 400  # lines


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name and its syntax tree."""

    path: Path

    @cached_property
    def name(self) -> str:
        parts = ("vicino", *self.path.relative_to(SOURCE).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def room(self) -> str:
        """The room's name; empty for the package itself, which stands above all rooms."""
        return _room(self.name)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    def imports(self, *, eager: bool = False) -> Iterator[str]:
        """The modules of vicino that it imports; only those of module level and outside TYPE_CHECKING where `eager`."""
        for node in _eager(self.tree) if eager else ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "vicino")
            elif isinstance(node, ast.ImportFrom):
                yield from self._from(node)

    def _from(self, node: ast.ImportFrom) -> Iterator[str]:
        base = node.module or ""
        if node.level:  # relative: one dot is the package that holds this module
            package = self.name.split(".") if self.path.name == "__init__.py" else self.name.split(".")[:-1]
            base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
        if base.split(".")[0] == "vicino":
            for alias in node.names:  # what follows `import` may be a module, or a name inside one
                inner = f"{base}.{alias.name}"
                yield inner if inner in NAMES else base


def _room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def _eager(tree: ast.Module) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


MODULES = [Module(path) for path in sorted(SOURCE.rglob("*.py"))]
NAMES = {module.name for module in MODULES}
PUBLIC = [module for module in MODULES if not module.path.name.startswith("_") or module.path.name == "__init__.py"]
every_module = pytest.mark.parametrize("module", MODULES, ids=[module.name for module in MODULES])
every_public_module = pytest.mark.parametrize("module", PUBLIC, ids=[module.name for module in PUBLIC])


# Who imports whom -----------------------------------------------------------------------------------------------------


@every_module
def test_every_module_stands_in_a_room_of_the_design(module):
    assert module.room in ("", *ROOMS), f"add the room {module.room!r} to DESIGN.md and to ROOMS, in its place"


@every_module
def test_imports_go_only_upward(module):
    allowed = {"", *ROOMS} if module.room == "" else {*ROOMS[: ROOMS.index(module.room) + 1]}
    for name in module.imports():
        room = _room(name)
        # The package itself may be asked for its version only: whatever else it offers comes from the workbench, below.
        assert room in allowed or (room == "" and _asks_only_for_the_version(module)), f"{module.name} may not import {name}"


def _asks_only_for_the_version(module: Module) -> bool:
    plain = [alias.name for node in ast.walk(module.tree) if isinstance(node, ast.Import) for alias in node.names]
    asked = [
        alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "vicino" and not node.level
        for alias in node.names
        if f"vicino.{alias.name}" not in NAMES
    ]
    return "vicino" not in plain and set(asked) <= {"__version__"}


def test_no_modules_import_each_other_in_a_circle():
    graph = {module.name: set(module.imports(eager=True)) - {module.name} for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which draws the circle


def test_the_import_reader_sees_every_spelling():
    program = """
from . import base
from ..vectors import top_k
import vicino.spaces
if TYPE_CHECKING:
    from vicino.data import records
def late():
    from vicino import artifacts
"""
    module = Module(SOURCE / "indexes" / "exact.py")
    module.__dict__["tree"] = ast.parse(program)  # cached_property reads it from there
    assert set(module.imports()) == {
        "vicino.indexes.base",
        "vicino.vectors",
        "vicino.spaces",
        "vicino.data.records",
        "vicino.artifacts",
    }
    assert set(module.imports(eager=True)) == {"vicino.indexes.base", "vicino.vectors", "vicino.spaces"}


# What nobody may do ---------------------------------------------------------------------------------------------------


@every_module
def test_names_say_what_is_inside(module):
    assert not NAMELESS & set(module.name.split("."))
    classes = [node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    assert not [name for name in classes if name.endswith("Manager")]


@every_module
def test_only_the_command_line_prints(module):
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    printed = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("print", "pprint")]
    assert module.room == "cli" or not printed, f"{module.path}:{printed}"


@every_module
def test_nothing_is_asserted_nor_left_for_later(module):
    for node in ast.walk(module.tree):
        assert not isinstance(node, ast.Assert), f"{module.path}:{node.lineno}: raise a named error instead"
        assert not (isinstance(node, ast.Name) and node.id == "NotImplementedError"), f"{module.path}:{node.lineno}"


@every_module
def test_nothing_is_ever_unpickled(module):
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            named = [name for name in named if name != "joblib.externals.loky"]  # starts processes; no file comes near it
            forbidden = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
            assert not forbidden & {name.split(".")[0] for name in named}, f"{module.path}:{node.lineno}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "joblib.load", "pickle.load", "pickle.loads"), f"{module.path}:{node.lineno}"
            allowed = [word.arg for word in node.keywords if isinstance(word.value, ast.Constant) and word.value.value is True]
            assert "allow_pickle" not in allowed, f"{module.path}:{node.lineno}"
            assert "trust_remote_code" not in allowed, f"{module.path}:{node.lineno}"


@every_module
def test_a_file_can_be_read_in_one_go(module):
    lines = len(module.path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{module.name} has {lines} lines: give a part of it a file and a name of its own"


# What every module must have ------------------------------------------------------------------------------------------


@every_public_module
def test_all_is_exactly_what_is_public(module):
    own = [node for node in module.tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    public = {node.name for node in own if not node.name.startswith("_") and not _is_command(node)}
    if not module.tree.body:
        return  # an empty __init__.py offers nothing
    loaded = importlib.import_module(module.name)
    listed = list(getattr(loaded, "__all__", []))
    assert set(listed) >= public, f"{module.name}.__all__ lacks {sorted(public - set(listed))}"
    assert len(set(listed)) == len(listed)
    for name in listed:
        made = getattr(loaded, name)
        elsewhere = getattr(made, "__module__", module.name) != module.name
        assert not elsewhere or _is_alias(module, name) or module.path.name == "__init__.py", f"{name} lives elsewhere"


def _is_command(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """A function that a command-line application registers is reached by typing, not by importing."""
    return any(ast.unparse(decorator).startswith("app.") for decorator in node.decorator_list)


def _is_alias(module: Module, name: str) -> bool:
    """`Role = Literal[...]` is defined here although its value lives in typing."""
    targets = [node.targets for node in module.tree.body if isinstance(node, ast.Assign)]
    return any(isinstance(target, ast.Name) and target.id == name for each in targets for target in each)


@every_public_module
def test_everything_public_is_explained(module):
    if not module.tree.body:
        return
    assert ast.get_docstring(module.tree), f"{module.name} does not say what it is for"
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            # The text of an application's callback stands where the application is made.
            told = any("app.callback" in ast.unparse(decorator) for decorator in node.decorator_list)
            assert told or ast.get_docstring(node), f"{module.name}.{node.name} has no docstring"


# The catalogues -------------------------------------------------------------------------------------------------------

CONTRACTS: dict[str, type] = {"encoder": Encoder, "index": Index, "retriever": Retriever}  # other kinds list functions
ALIASES = {"minilm": "transformer"}  # a name for a family with its default model


def _catalogues() -> Iterator[Catalog]:
    for module in MODULES:
        for node in module.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "Catalog":
                yield getattr(importlib.import_module(module.name), ast.unparse(node.targets[0]))


ENTRIES = [(catalogue, name) for catalogue in _catalogues() for name in catalogue]
every_entry = pytest.mark.parametrize(("catalogue", "name"), ENTRIES, ids=[f"{c.kind} {name}" for c, name in ENTRIES])


def test_the_catalogues_of_the_contracts_are_found():
    assert {catalogue.kind for catalogue, _ in ENTRIES} >= {*CONTRACTS, "metric"}


@every_entry
def test_an_entry_is_described_and_leads_somewhere(catalogue, name):
    entry = catalogue.entry(name)
    assert entry.summary.strip()
    assert "\n" not in entry.summary
    try:
        found = catalogue[name]
    except MissingExtra:
        assert entry.extra is not None
        return
    contract = CONTRACTS.get(catalogue.kind)
    if contract is None:
        assert callable(found)
        return
    assert issubclass(found, contract)
    assert not inspect.isabstract(found), f"{found.__name__} still lacks {sorted(found.__abstractmethods__)}"
    assert found.family == ALIASES.get(name, name)
    kinds = {parameter.kind for parameter in list(inspect.signature(found.__init__).parameters.values())[1:]}
    assert kinds <= {inspect.Parameter.KEYWORD_ONLY}


@every_entry
def test_an_entry_that_needs_an_extra_names_one_that_exists(catalogue, name):
    from importlib.metadata import metadata

    extra = catalogue.entry(name).extra
    assert extra is None or extra in metadata("vicino").get_all("Provides-Extra")


# What a quick start loads ---------------------------------------------------------------------------------------------

LOADED = "import sys; print(*[name for name in sys.argv[1:] if name in sys.modules])"


@pytest.mark.parametrize(
    "program",
    [
        "import vicino",
        "from vicino import catalog, encoders, indexes, metrics, retrieval; "
        "[c.entry(n) for c in (encoders.ENCODERS, indexes.INDEXES, metrics.METRICS, retrieval.RETRIEVERS) for n in c]",
        "import vicino.workbench",
        "import vicino.cli",
    ],
)
def test_a_start_loads_nothing_heavy(python, program):
    assert python(f"{program}\n{LOADED}", *HEAVY).split() == []


def test_help_loads_nothing_heavy(python):
    program = f"""
import sys
names, sys.argv = sys.argv[1:], ["vicino", "--help"]
from vicino.cli import main
try:
    code = main()
except SystemExit as stop:
    code = stop.code
if code:
    raise SystemExit(code)
sys.argv = ["", *names]
print("loaded:")
{LOADED}
"""
    shown, _, loaded = python(program, *HEAVY).rpartition("loaded:")
    assert "compare" in shown
    assert loaded.split() == []


@pytest.mark.skipif(not os.environ.get("CI"), reason="a person may leave extras out; what wants them skips then")
def test_in_ci_every_extra_is_there():
    """So that nothing which skips where an extra is missing skips there."""
    wanted = [each for each in map(Requirement, requires("vicino") or []) if "extra ==" in str(each.marker)]
    wanted = [each for each in wanted if '"peers"' not in str(each.marker)]  # of benchmarks only: no test wants them
    assert len(wanted) > 30
    missing = [each.name for each in wanted if not _is_installed(each)]
    assert not missing


def _is_installed(requirement: Requirement) -> bool:
    try:
        return version(requirement.name) in requirement.specifier
    except PackageNotFoundError:
        return False
