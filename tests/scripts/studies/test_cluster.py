"""Cells of a study on other workers: each after what it needs, as many at once as there are, and it goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from toyshift.core.errors import ConfigError, FileError, MissingDependencyError
from toyshift.core.files import locked, read_json, write_json
from toyshift.core.workers import Job, Pool, play
from toyshift.scripts.studies.cells import Study, made_once
from toyshift.scripts.studies.cluster import for_workers, ready, run_cells_elsewhere
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.schedule import Cell

NEEDS = {"first": (), "left": ("first",), "right": ("first",), "apart": (), "last": ("left", "right")}


def _nothing(_: None, item: str) -> str:
    return item


class Diamond(Study):
    """Cells that write what they found of those that they need."""

    name = "diamond"

    def __init__(self, cfg: StudyConfig) -> None:
        super().__init__(cfg)
        self.cfg = cfg

    def cells(self) -> list[Cell]:
        return [Cell(name, f"the {name} one", 1.0, needs) for name, needs in NEEDS.items()]

    def check(self) -> None:
        self.claim()

    def run(self, cell: Cell) -> None:
        if cell.name == "right" and (self.cfg.work_dir / "broken").exists():
            raise ConfigError("the right one is broken")
        list(play([cell.name], Job("inside", contextlib.nullcontext, _nothing, "playing")))  # as evaluations do
        with made_once(self.cfg.work_dir / "shared"):
            found = [read_json(self.path(name))["cell"] for name in cell.needs]
        facts = {"cell": cell.name, "after": found, "argv": sys.argv[1:], "here": str(Path.cwd())}
        write_json(self.path(cell.name), facts | {"workers": self.cfg.processes})

    def tabulate(self) -> dict[str, Any]:
        return {"rows": sorted(path.stem for path in self.rows.glob("*.parquet"))}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diamond:
    monkeypatch.chdir(tmp_path)
    return Diamond(StudyConfig(out=Path("run"), allow_dirty=True, workers=2, ray="somewhere"))


@pytest.fixture
def threads(study: Diamond) -> Iterator[Pool]:
    """Two workers that are threads of this process, and so have its folder and its command."""
    with ThreadPoolExecutor(2) as executor:
        yield Pool(lambda _, job, item: executor.submit(job.work, job.open.args[0], item), 2, ())


def conducted(study: Diamond, pool: Pool, **limits: Any) -> dict[str, Any]:
    with locked(study.cfg.work_dir / "study"):
        asked = for_workers(study, study.cfg)
        return run_cells_elsewhere(study, study.cells(), asked, pool, **limits)


def test_a_cell_runs_after_those_that_it_needs(study: Diamond, threads: Pool) -> None:
    done = conducted(study, threads)
    assert sorted(done["ran"]) == sorted(NEEDS)
    assert done["missing"] == []
    assert read_json(study.path("last"))["after"] == ["left", "right"]
    assert read_json(study.path("last"))["workers"] == 1
    assert read_json(study.clock).keys() == NEEDS.keys()
    assert study.cfg.processes == 1  # by itself on a cluster
    assert conducted(study, threads)["ran"] == []


def test_as_many_run_at_once_as_there_are_workers_and_limits_hold(
    study: Diamond, threads: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=20)
    run = Diamond.run

    def together(self: Diamond, cell: Cell) -> None:
        if cell.name in ("left", "right"):
            both.wait()  # breaks where they do not run at once
        run(self, cell)

    monkeypatch.setattr(Diamond, "run", together)
    assert conducted(study, threads, most=2)["ran"] == ["first", "apart"]
    assert sorted(conducted(study, threads)["ran"]) == ["last", "left", "right"]


def test_no_cell_starts_when_the_time_is_up(study: Diamond, threads: Pool) -> None:
    assert conducted(study, threads, minutes=1e-9) == {"ran": [], "missing": [*NEEDS]}


def test_a_cell_that_fails_is_named_and_the_study_goes_on_later(study: Diamond, threads: Pool) -> None:
    write_json(study.cfg.work_dir / "broken", 1)
    with pytest.raises(ConfigError, match="the right one is broken"):
        conducted(study, threads)
    (study.cfg.work_dir / "broken").unlink()
    assert "right" in conducted(study, threads)["ran"]
    assert Diamond(study.cfg).tabulate()["rows"] == sorted(NEEDS)


def test_what_a_worker_does_not_share_is_named(
    study: Diamond, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = for_workers(study, study.cfg)
    with pytest.raises(FileError, match=r"run of a worker is not that of `toyshift study`: study\.lock is missing"):
        ready(asked).__enter__()
    with locked(study.cfg.work_dir / "study"):
        other = dataclasses.replace(asked, revision="0123456789ab")
        with pytest.raises(ConfigError, match=r"a worker has the source .*, this machine 0123456789ab"):
            ready(other).__enter__()
        monkeypatch.chdir("/")
        with ready(dataclasses.replace(asked, argv=("toyshift", "study", "diamond"))):
            assert (Path.cwd(), sys.argv[1:]) == (tmp_path, ["study", "diamond"])
        assert Path.cwd() == Path("/")


def test_rows_that_do_not_come_are_missed(study: Diamond, threads: Pool) -> None:
    def lost(*_: Any) -> Any:
        return threads.submit(None, _Nothing(), None)

    with pytest.raises(FileError, match=r"a worker has run (first|apart), and .*\1\.parquet is not there; all mach"):
        conducted(study, dataclasses.replace(threads, submit=lost))


class _Nothing:
    """A job that leaves nothing here."""

    open = functools.partial(contextlib.nullcontext, None)

    @staticmethod
    def work(*_: Any) -> float:
        return 1.0


def test_without_ray_the_extra_is_named_and_nothing_is_written(
    study: Diamond, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "toyshift\[ray\]"'):
        study.conduct(study.cfg)
    assert not list(tmp_path.iterdir())


def test_cells_side_by_side_give_the_rows_of_a_study_without_them(
    study: Diamond, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3])  # so that workers find this module
    alone = dataclasses.replace(study.cfg, ray="", workers=1, out=Path("alone"))
    assert Diamond(alone).conduct(alone)["ran"] == [*NEEDS]
    beside = dataclasses.replace(alone, workers=0, cells_at_once=2, out=Path("beside"))
    assert beside.processes == 1
    capsys.readouterr()
    assert Diamond(beside).conduct(dataclasses.replace(beside, dry_run=True))["missing"] == [*NEEDS]
    assert "5 of 5 cells to run, about 2 s, 2 side by side" in capsys.readouterr().out
    done = Diamond(beside).conduct(beside)
    assert (sorted(done["ran"]), done["missing"]) == (sorted(NEEDS), [])
    assert read_json(Diamond(beside).clock).keys() == NEEDS.keys()
    for name in NEEDS:
        assert read_json(Diamond(beside).path(name)) == read_json(Diamond(alone).path(name))
    write_json(beside.work_dir / "broken", 1)
    Diamond(beside).path("right").unlink()
    with pytest.raises(ConfigError, match="the right one is broken"):
        Diamond(beside).conduct(beside)


@pytest.mark.parametrize(("wrong", "told"), [
    ({"ray": "local"}, "leave out --ray"), ({"workers": 2}, "leave out --workers 2"), ({}, "more than 4 for each core"),
])  # fmt: skip
def test_cells_side_by_side_have_one_process_each(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        StudyConfig(out=Path("run"), cells_at_once=1000, **wrong)


def test_ray_gives_the_rows_of_a_study_without_it(
    study: Diamond, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    found = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", found)  # so that workers find this module
    alone = dataclasses.replace(study.cfg, ray="", workers=1, out=Path("alone"))
    assert sorted(Diamond(alone).conduct(alone)["ran"]) == sorted(NEEDS)
    local = dataclasses.replace(study.cfg, ray="local")
    done = Diamond(local).conduct(local)
    assert (done["missing"], done["table"]["rows"]) == ([], sorted(NEEDS))
    for name in NEEDS:
        assert read_json(Diamond(local).path(name)) == read_json(Diamond(alone).path(name))
