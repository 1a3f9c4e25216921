"""The rule of the house: imports go down, from room to room and inside each; nothing goes in a circle, or hides.

Read from the sources, imports inside functions included. Names in tables (`SOURCES`, `FORMATS`, `SHIFT_FACTORS`,
`POOLINGS`, `_PLACES`) are strings that are looked up late, and not counted. CONTRIBUTING draws the same order.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
in_checkout = (ROOT / "pyproject.toml").is_file()
pytestmark = pytest.mark.skipif(not in_checkout, reason="the tests run against an installed wheel")

# Floors, the lowest first: a room may import those before it.
FLOORS = ("core", "toys", "envs", "data", "policies", "augment", "diagnostics", "scripts")
NEVER = {"policies": {"envs", "toys"}}  # an exported policy runs without a simulator
# Room -> inner room -> inner rooms that it may import. All may import their room's root (""), but for those that the
# root imports.
INNER: dict[str, dict[str, tuple[str, ...]]] = {
    "toys": {
        "": (),
        "geometry": (),
        "random_toys": ("geometry",),
        "meshes": ("geometry",),
        "ycb_like": ("geometry",),
        "compare": ("geometry",),
        "show": ("geometry",),
    },
    "envs": {
        "robots": (),
        "": ("robots",),
        "scene": ("robots",),
        "control": ("scene", "robots"),
        "render": ("scene", "robots"),
        "shifted": ("scene", "robots"),
        "tasks": ("scene", "control", "render", "shifted", "robots"),
        "adapters": ("tasks", "scene", "robots"),
    },
    "data": {
        "": (),
        "grasping": (),
        "store": (),
        "collecting": ("grasping", "store"),
        "loading": ("store",),
        "formats": ("store",),
    },
    "policies": {
        "": (),
        "network": (),
        "repairs": ("network",),
        "training": ("network", "repairs"),
        "rl": ("training", "network"),
        "masks": (),
        "act": ("network",),
        "runtime": ("act",),
        "cameras": ("runtime", "act"),
        "safety": ("runtime", "act"),
        "remote": (),
        "robots": ("safety", "runtime", "act", "remote"),
    },
    "diagnostics": {
        "": (),
        "comparing": (),
        "interface": (),
        "measuring": ("comparing",),
        "reporting": ("comparing",),
        "bench": ("comparing", "reporting"),
    },
    "scripts": dict.fromkeys(("", "toys", "data", "envs", "augment", "masks", "robot", "bench", "studies"), ())
    | {"quickstart": ("studies",)},
}
LAZY_MODULES = {"sb3", "envhub"}  # public names that are modules
NOT_GLOBAL = {"default_rng", "SeedSequence", "Generator", "PCG64", "Philox"}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Returns what the rules below look at, of one walk: imports, classes, handlers of errors and calls."""
    kinds = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.ExceptHandler, ast.Call)
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, kinds)]


def words_of(tree: ast.AST) -> Iterator[str]:
    """Yields the names and attributes in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


@functools.cache
def sources() -> dict[str, Path]:
    """Returns module name without "toyshift." -> file; a package is named by its folder."""
    found = {}
    for room in FLOORS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(tree: ast.AST, *, lazy: bool = True) -> Iterator[ast.AST]:
    """Walks a tree's statements without what stands under TYPE_CHECKING, and without functions unless `lazy`."""
    left = [tree]
    while left:
        for child in ast.iter_child_nodes(left.pop()):
            if isinstance(child, ast.expr | ast.expr_context | ast.arguments):  # holds no statement
                continue
            if isinstance(child, ast.If) and any(word == "TYPE_CHECKING" for word in words_of(child.test)):
                continue
            if not lazy and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            yield child
            left.append(child)


@functools.cache
def imported(module: str, *, lazy: bool = True) -> set[str]:
    """Returns the modules of ours that a module imports, without "toyshift."."""
    found = set()
    for node in statements(tree_of(sources()[module]), lazy=lazy):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import; write toyshift.{module.split('.')[0]}..."
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
            # a name may be a module or something inside one
            found |= {name if name.removeprefix("toyshift.") in sources() else base for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("toyshift.") for name in found if name.startswith("toyshift.")}


def dotted(called: ast.expr) -> str:
    """Returns a name with dots, such as np.random.normal; "" for what is something else."""
    if isinstance(called, ast.Name):
        return called.id
    before = dotted(called.value) if isinstance(called, ast.Attribute) else ""
    return f"{before}.{called.attr}" if before else ""


def inner_of(module: str) -> str:
    """Returns the inner room of a module: "" for one at its room's root."""
    room, *rest = module.split(".")
    return rest[0] if rest and rest[0] in INNER.get(room, ()) else ""


def up(module: str, other: str) -> bool:
    """Whether an import goes up, to a room or an inner room above."""
    room, there = module.split(".")[0], other.split(".")[0]
    if room != there:
        return there not in FLOORS[: FLOORS.index(room)] or there in NEVER.get(room, set())
    mine, its = inner_of(module), inner_of(other)
    table = INNER.get(room, {"": ()})
    if mine == its or its in table[mine]:
        return False
    return not (its == "" and mine not in table[""])


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """Returns one circle of a graph, [] where there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for following in sorted(edges.get(node, ())):
            if found := visit(following, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(edges) if (found := visit(node, []))), [])


def test_imports_go_down() -> None:
    pairs = ((module, other) for module in sources() for other in sorted(imported(module)))
    wrong = [f"{module} imports {other}" for module, other in pairs if up(module, other)]
    assert not wrong, f"not below it: {'; '.join(wrong)}"


@pytest.mark.parametrize("room", FLOORS)
def test_no_imports_go_in_a_circle(room: str) -> None:
    mine = {module for module in sources() if module.split(".")[0] == room}
    # a package is loaded before what is in it: only what its __init__ holds counts as an import of it
    found = circle({module: (imported(module) & mine) - {module} for module in mine})
    assert not found, f"a circle: {' -> '.join(found)}"


def test_the_table_is_the_house() -> None:
    for room in FLOORS:
        folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
        assert folders == set(INNER.get(room, ())) - {""}, f"{room}/ and the table at the top of this file differ"
        order = {inner: set(below) for inner, below in INNER.get(room, {}).items()}
        assert not circle(order)


@pytest.mark.parametrize("room", FLOORS)
def test_rooms_are_lazy(room: str) -> None:
    mine = (module for module in sources() if module.split(".")[0] == room)
    packages = [module for module in mine if sources()[module].name == "__init__.py"]
    for package in packages:
        early = {name for name in imported(package, lazy=False) if name.split(".")[0] == room}
        assert not early or package == "envs.robots", f"{package} loads {early} at once; name it in its table of places"
    folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
    files = {path.stem for path in (ROOT / room).glob("*.py")}
    assigned = (node for node in tree_of(sources()[room]).body if isinstance(node, ast.Assign))
    tables = [ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == "_PLACES"]
    public = {name for table in tables for name in table} - LAZY_MODULES
    assert not public & (folders | files), "importing a module of that name would put it in the public name's place"


@pytest.mark.parametrize("room", FLOORS)
def test_nothing_hides(room: str) -> None:
    """No pickle, no swallowed error, no global random state."""
    wrong = []
    for module, path in sources().items():
        if module.split(".")[0] != room:
            continue
        name = path.relative_to(ROOT)
        for node in nodes_of(path):
            where = f"{name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [*(alias.name for alias in node.names), getattr(node, "module", "") or ""]
                if {name.split(".")[0] for name in names} & {"pickle", "dill", "cloudpickle"}:
                    wrong.append(f"{where}: pickle")
            if isinstance(node, ast.ExceptHandler) and all(isinstance(line, ast.Pass) for line in node.body):
                kind = "" if node.type is None else ast.unparse(node.type)
                if kind in ("", "Exception", "BaseException"):
                    wrong.append(f"{where}: an error is swallowed")
            if isinstance(node, ast.Call) and (called := dotted(node.func)).startswith(("torch.", "np.", "numpy.")):
                options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if called == "torch.load" and options.get("weights_only") != "True":
                    wrong.append(f"{where}: torch.load without weights_only=True")
                if called in ("np.load", "numpy.load") and options.get("allow_pickle") == "True":
                    wrong.append(f"{where}: np.load with allow_pickle=True")
                if called.startswith(("np.random.", "numpy.random.")) and called.split(".")[-1] not in NOT_GLOBAL:
                    wrong.append(f"{where}: {called} uses the global random state")
    assert not wrong, "; ".join(wrong)


def test_no_class_name_occurs_twice() -> None:
    places: dict[str, list[str]] = {}
    for module, path in sources().items():
        for node in nodes_of(path):
            # `Config` holds the options of a sub-command, and is never seen beside another one
            if isinstance(node, ast.ClassDef) and not (node.name == "Config" and module.startswith("scripts.")):
                places.setdefault(node.name, []).append(module)
    twice = [f"{name} in {', '.join(modules)}" for name, modules in sorted(places.items()) if len(modules) > 1]
    assert not twice, f"two classes of one name; rename one: {'; '.join(twice)}"


def test_every_test_checks_something() -> None:
    words = ("assert", "raises", "check_", "approx", "warns", "holds")

    def checks(test: ast.FunctionDef) -> bool:
        if any(isinstance(node, ast.Assert) for node in ast.walk(test)):
            return True
        return any(word in name for name in words_of(test) for word in words)

    empty = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in tree_of(path).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
        if not checks(node)
    ]
    assert not empty, "; ".join(empty)


def test_a_move_up_and_a_circle_are_found() -> None:
    assert up("toys.geometry.solid", "toys.meshes.repair")
    assert up("toys.model", "toys.geometry.solid")
    assert up("core.files", "toys.model")
    assert up("policies.act.acting_policy", "envs.shifts")
    assert up("envs.robots.panda", "envs.config")
    assert not up("envs.config", "envs.robots.panda")
    assert not up("data.store.checks", "data.episode")
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert all(a != b for a, b in itertools.pairwise(FLOORS))
