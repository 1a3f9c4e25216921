"""Studies as small as they get: cells run once, a stopped study goes on, tables follow from rows."""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toyshift.core.errors import ConfigError, FileError, ToyShiftError, UnknownNameError
from toyshift.core.manifest import manifest
from toyshift.data.store.dataset import open_dataset
from toyshift.diagnostics import Row, read_rows, read_rows_manifest, write_rows
from toyshift.scripts.studies import cells as study_cells
from toyshift.scripts.studies import lego_results as study_lego_results
from toyshift.scripts.studies import mask_iou as study_mask_iou
from toyshift.scripts.studies import recipe as study_recipe
from toyshift.scripts.studies.again import set_name
from toyshift.scripts.studies.cells import Study, write_page
from toyshift.scripts.studies.lego_search import Choice, Try, at_edge, next_choice, ranked
from toyshift.scripts.studies.lego_table import Config, LegoTable, main
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.schedule import Cell, choose, duration, plan, run_cells


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("study")
    return Config(
        out=root / "run", results=root / "results", docs=root / "docs", demos=2, seeds=1, steps=2, batch=4, trials=1,
        rates=(1e-3, 2e-3), tune_steps=1, tune_trials=1, long_steps=3, kept=(1,), poolings=("mean",), workers=1,
        only=("mean-plain-s0", "mean-long-s0"), allow_dirty=True,
    )


TRIES = [f"try-mean-{i}" for i in range(1, 8)]


@pytest.mark.usefixtures("works_here")
def test_a_cell_brings_its_search_and_a_stopped_study_goes_on(config: Config) -> None:
    first = main(dataclasses.replace(config, cells=1))
    assert first["ran"] == TRIES[:1]
    assert first["missing"] == [*TRIES[1:], "mean-plain-s0", "mean-long-s0"]
    second = main(config)
    assert second["ran"] == first["missing"]
    made = {path: path.stat().st_mtime_ns for path in (config.results / "rows").iterdir()}
    assert main(config)["ran"] == []
    assert made == {path: path.stat().st_mtime_ns for path in (config.results / "rows").iterdir()}
    path = config.results / "rows" / "mean-plain-s0.parquet"
    facts, rows = read_rows_manifest(path), read_rows(path)
    assert facts["samples"] == 8
    played = {(r.object_set, r.shift, r.scene, r.seed, r.policy, r.purpose) for r in rows}
    tests = [("toys:train", "", "")]
    tests += [("ycb-like?graspable", *changed) for changed in (("", ""), ("table-texture=5", ""), ("", "clutter=4"))]
    assert played == {(*test, 0, "mean plain", "test") for test in tests}
    tried = read_rows(config.results / "rows" / "try-mean-1.parquet")
    assert {r.purpose for r in tried} == {"validation"}  # choices are made on other starts than are reported
    long = {r.policy for r in read_rows(config.results / "rows" / "mean-long-s0.parquet")}
    assert long == {"mean long", "mean long at 1"}
    table = json.loads((config.results / "table.json").read_text())
    chosen = [{k: x[k] for k in ("lr", "jitter", "norm")} for x in table["search"] if x["best"]]
    assert chosen == [facts["choice"]]
    assert {x["steps"] for x in table["long"]} == {1, 3}
    assert (config.docs / "lego_table.png").stat().st_size > 1000
    assert "`mean`" in (config.docs / "lego_table.md").read_text()


@pytest.mark.usefixtures("works_here")
def test_cells_are_run_again_when_the_search_found_something_better(config: Config) -> None:
    main(config)
    study = LegoTable(config)
    cell = next(c for c in study.cells() if c.name == "mean-plain-s0")
    assert study.is_done(cell)
    other = [one.choice == study.best("mean") for one in study.searched("mean")].index(False)
    path = study.path(TRIES[other])
    facts, rows = read_rows_manifest(path), read_rows(path)
    write_rows(path, [dataclasses.replace(r, success=True) for r in rows] * 2, facts)  # as if that try had been better
    assert not study.is_done(cell)
    write_rows(path, rows, facts)
    assert study.is_done(cell)


@pytest.mark.usefixtures("works_here")
def test_other_settings_in_the_same_folder_are_refused(config: Config) -> None:
    main(dataclasses.replace(config, only=TRIES[:1]))
    with pytest.raises(ConfigError, match=r"another configuration \(steps: 3 now, 2 there\)"):
        main(dataclasses.replace(config, steps=3))


def test_the_grid_holds_what_the_budget_says() -> None:
    study = LegoTable(Config())
    names = [cell.name for cell in study.cells()]
    assert len(names) == 2 + 10 * 8 + 10 * 3 + 3 * 2 * 3 + 10
    assert names[2 + 10 * 8] == "detpool-plain-s0"
    assert study.same == {"detpool-post": "detpool"}  # no attention in a conv encoder
    vit = LegoTable(Config(encoder="vit-tiny"))
    assert vit.same == {}
    assert "detpool-post-plain-s2" in vit.kinds
    paper = LegoTable(Config(budget="paper"))
    assert paper.recipe(paper.kinds["box-plain-s1"], Choice(1e-4), "d", "o").policy.policy_net == "transformer-base"
    assert len(LegoTable(Config(long_steps=-1)).cells()) == len(names) - 10


def test_a_pooling_is_made_of_its_name_and_what_was_chosen() -> None:
    study = LegoTable(Config())
    made = study.recipe(study.kinds["attention+mask-plain-s2"], Choice(5e-3, jitter=False, norm=True), "data", "out")
    assert (made.policy.pooling, made.policy.mask_input, made.policy.pooled_norm) == ("attention", True, True)
    assert (made.lr, made.brightness, made.contrast, made.color, made.seed) == (5e-3, 0.0, 0.0, 0.0, 2)
    assert made.state_noise > 0.0  # which is no jitter of images
    usual = study.recipe(study.kinds["detpool-plain-s0"], Choice(5e-3), "data", "out")
    assert (usual.policy.mask_input, usual.policy.pooled_norm, usual.color > 0.0) == (False, False, True)


def test_a_pooling_that_the_encoder_cannot_have_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="mask-channel"):
        LegoTable(Config(budget="paper", encoder_weights="mvp:w.safetensors", freeze_encoder=True))
    poolings = ("detpool", "mean")
    study = LegoTable(
        Config(budget="paper", encoder_weights="mvp:w.safetensors", freeze_encoder=True, poolings=poolings)
    )
    assert study.poolings == list(poolings)


def test_dry_run_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = main(Config(out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", dry_run=True))
    assert len(found["missing"]) == 140
    assert "140 of 140 cells to run" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_study_runs_from_committed_source_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    class Counted(Study):
        def cells(self) -> list[Cell]:
            return [Cell("a", "", 1.0)]

        def is_done(self, cell: Cell) -> bool:
            return cell.name in ran

        def check(self) -> None:
            pass

        def run(self, cell: Cell) -> None:
            ran.append(cell.name)

        def tabulate(self) -> dict[str, int]:
            return {"cells": len(ran)}

    config = StudyConfig(out=tmp_path / "run", results=tmp_path / "results")
    monkeypatch.setattr(study_cells, "git_revision", lambda: "0123456789ab+dirty")
    with pytest.raises(ConfigError, match=r"0123456789ab\+dirty.*--allow-dirty"):
        Counted(config).conduct(config)
    for harmless in ({"dry_run": True}, {"tabulate": True}):
        Counted(config).conduct(dataclasses.replace(config, **harmless))
    assert not ran
    Counted(config).conduct(dataclasses.replace(config, allow_dirty=True))
    assert ran == ["a"]
    for revision in ("0123456789ab", "none"):  # a clean checkout, an installed wheel
        ran.clear()
        monkeypatch.setattr(study_cells, "git_revision", lambda revision=revision: revision)
        Counted(config).conduct(config)
        assert ran == ["a"]


# ---------------------------------------------------------------- the search


def searched(wins: Callable[[Choice], int], tries: int = 8) -> list[Try]:
    """Searches where a choice succeeds as often as `wins` says."""
    done: list[Try] = []
    for _ in range(tries):
        choice = next_choice(done, (2.5e-3, 5e-3, 1e-2))
        done.append(Try(choice, wins(choice), None))
    return done


def test_a_search_tries_rates_then_jitter_then_norm_then_a_finer_rate() -> None:
    tries = [x.choice for x in searched(lambda c: {2.5e-3: 10, 5e-3: 20, 1e-2: 15}.get(c.lr, 0))]
    assert tries[:3] == [Choice(2.5e-3), Choice(5e-3), Choice(1e-2)]
    assert tries[3:5] == [Choice(5e-3, jitter=False), Choice(1e-2, jitter=False)]
    assert tries[5:7] == [Choice(5e-3, norm=True), Choice(5e-3, jitter=False, norm=True)]
    assert tries[7] == Choice(7.1e-3)  # between the best rate and its better neighbour


def test_a_search_finds_what_is_planted_and_goes_beyond_its_edges() -> None:
    found = searched(lambda c: 30 * (not c.jitter) + 9 * c.norm + round(1000 * c.lr))
    assert ranked(found)[0] == Choice(2e-2, jitter=False, norm=True)
    assert at_edge(found)
    low = searched(lambda c: round(1e-2 / c.lr) - 50 * c.norm - 50 * (not c.jitter))
    assert ranked(low)[0] == Choice(1.25e-3)
    assert not at_edge(searched(lambda c: {5e-3: 20}.get(c.lr, 0) - c.norm - (not c.jitter)))


@given(st.lists(st.integers(0, 56), min_size=8, max_size=8))
def test_no_choice_is_tried_twice(wins: list[int]) -> None:
    done: list[Try] = []
    for k in wins:
        done.append(Try(next_choice(done, (2.5e-3, 5e-3, 1e-2)), k, float(len(done))))
    assert len({x.choice for x in done}) == 8


# ---------------------------------------------------------------- the table


def row(policy: str, spec: str, seed: int, episode: int, success: bool) -> Row:
    return Row(
        policy, policy.split()[0], spec, f"object{episode % 4}", seed, episode, success, 0.3, 10,
        "" if success else "dropped", "", 0.1, purpose="test"
    )


def cell(pooling: str, scene: str, seed: int, rows: list[Row], tried: int = 0, **facts: Any) -> Any:
    kind = {"pooling": pooling, "scene": scene, "seed": seed, "tried": tried}
    return {"kind": kind, "config": {"long_steps": 400}, **facts}, rows


def test_table_of_known_rows() -> None:
    cells = []
    for seed in (0, 1, 2):
        for pooling, wins in (("detpool", 8), ("mean", 1)):
            both = ("toys:train", "ycb")
            rows = [row(f"{pooling} plain", spec, seed, i, i < wins) for spec in both for i in range(10)]
            cells.append(cell(pooling, "plain", seed, rows))
    table = study_lego_results.tabulate(cells)
    line = {(x["pooling"], x["set"]): x for x in table["success"]}[("detpool", "ycb")]
    assert (line["n"], line["k"], line["rate"], line["by_seed"]) == (30, 24, 0.8, [0.8, 0.8, 0.8])
    low, high = line["wilson_95"]
    assert (low, high) == pytest.approx((0.627, 0.905), abs=1e-3)  # Wilson's interval of 24 in 30
    assert line["clustered_seeds_95"][0] < low  # three seeds know less than thirty episodes
    assert line["retention"]["value"] == pytest.approx(1.0)
    difference = next(x for x in table["differences"] if x["set"] == "ycb")
    assert difference["by_object"]["value"] == pytest.approx(0.7)
    assert difference["by_seed"]["n"] == 3
    assert difference["n"] == 30
    assert difference["holm_p"] == pytest.approx(min(1.0, 2 * difference["p_value"]))  # of two tests, equal ones
    assert table["undertrained"] == ["mean, trained in the plain scene"]


def test_scenes_are_kept_apart_and_retention_is_of_the_own_scene() -> None:
    def rows(wins: int, spec: str, **scene: str) -> list[Row]:
        return [dataclasses.replace(row("detpool varied", spec, 0, i, i < wins), **scene) for i in range(8)]

    cluttered = {"scene": "clutter=4"}
    cells = [cell("detpool", "varied", 0, [
        *rows(8, "toys:train", shift="table-texture=5"), *rows(6, "ycb"), *rows(4, "ycb", shift="table-texture=5"),
        *rows(2, "ycb", **cluttered),
    ])]
    lines = {x["tested_in"]: x for x in study_lego_results.tabulate(cells)["success"] if x["set"] == "ycb"}
    assert {name: x["k"] for name, x in lines.items()} == {"plain": 6, "table": 4, "clutter": 2}
    kept = {name: x["retention"]["value"] for name, x in lines.items()}
    assert kept == {"plain": 0.75, "table": 0.5, "clutter": 0.25}


def test_where_both_lift_as_many_toys_new_objects_are_compared() -> None:
    def rows(policy: str, toys: int, new: int) -> list[Row]:
        wins = {"toys:train": toys, "ycb": new}
        return [row(policy, spec, 0, i, i < n) for spec, n in wins.items() for i in range(20)]

    along = [*rows("detpool long at 100", 10, 9), *rows("detpool long at 200", 15, 14), *rows("detpool long", 19, 18)]
    cells = [
        cell("detpool", "long", 0, along), cell("cls", "long", 0, rows("cls long", 11, 6)),
        cell("mean", "long", 0, rows("mean long", 3, 3)),  # no weights of detpool lift as few toys
    ]
    table = study_lego_results.tabulate(cells)
    (line,) = table["matched"]
    assert (line["pooling"], line["detpool_steps"], line["detpool_toys"], line["toys"]) == ("cls", 100, 0.5, 0.55)
    assert line["by_object"]["value"] == pytest.approx(0.15)
    steps = {(x["pooling"], x["steps"]) for x in table["long"]}
    assert steps == {("detpool", 100), ("detpool", 200), ("detpool", 400), ("cls", 400), ("mean", 400)}


def test_cells_are_chosen_by_pattern_and_limited() -> None:
    cells = [Cell("a-1", "", 1.0), Cell("b-1", "", 1.0, ("a-1",)), Cell("b-2", "", 1.0)]
    assert [c.name for c in choose(cells, ["b-1"])] == ["a-1", "b-1"]
    assert [c.name for c in choose([Cell("c", "", 1.0, ("b-1",)), *cells], ["c"])] == ["c", "a-1", "b-1"]
    assert [c.name for c in choose(cells, [])] == ["a-1", "b-1", "b-2"]
    with pytest.raises(UnknownNameError, match="b-3"):
        choose(cells, ["b-3"])


def test_a_cell_that_fails_is_not_counted(tmp_path: Path) -> None:
    done: set[str] = set()

    def run(cell: Cell) -> None:
        if cell.name == "b":
            raise ConfigError("no")
        done.add(cell.name)

    cells = [Cell(name, "", 1.0) for name in "abc"]
    with pytest.raises(ConfigError):
        run_cells(cells, run, lambda c: c.name in done, tmp_path / "clock.json")
    assert list(json.loads((tmp_path / "clock.json").read_text())) == ["a"]
    assert [duration(s) for s in (5, 600, 36000)] == ["5 s", "10 min", "10.0 h"]


def test_after_a_run_only_what_can_have_changed_is_looked_at_again(tmp_path: Path) -> None:
    cells = [Cell("try", "", 1.0), Cell("best", "", 1.0, ("try",)), *(Cell(f"x{i}", "", 1.0) for i in range(20))]
    done, looked = {"best", *(f"x{i}" for i in range(20))} - {"x7"}, list[str]()

    def is_done(cell: Cell) -> bool:
        looked.append(cell.name)
        return cell.name in done

    def run(cell: Cell) -> None:
        done.add(cell.name)
        if cell.name == "try":
            done.discard("best")  # it learnt at what is not the best rate any more

    found = run_cells(cells, run, is_done, tmp_path / "clock.json")
    assert found == {"ran": ["try", "best", "x7"], "missing": []}
    assert len(looked) <= 3 * len(cells) + 6  # all of them before and after, each once in between


def test_times_are_unknown_until_something_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells, clock = [Cell("a", "", 1.0), Cell("b", "", 3.0)], tmp_path / "clock.json"
    assert plan(cells, lambda c: False, clock, math.nan)["seconds_left"] is None
    assert "an unknown time" in capsys.readouterr().out
    clock.write_text('{"a": 50.0}')
    assert plan(cells, lambda c: c.name == "a", clock, math.nan)["seconds_left"] == 150


def test_only_the_part_between_the_lines_of_a_page_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    results = tmp_path / "results"
    begin = f"<!-- made by `toyshift study recipe --results {results} --docs {tmp_path} --tabulate` -->"
    end = "<!-- end of what is made -->"
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    write_page(page, "recipe", results, "new")
    assert page.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"
    with pytest.raises(FileError, match="it holds other rows"):
        write_page(page, "recipe", tmp_path / "others", "new")
    write_page(tmp_path / "own.md", "recipe", results, "new")
    assert (tmp_path / "own.md").read_text() == f"{begin}\nnew\n{end}\n"


@pytest.mark.parametrize("kind", [Config, study_recipe.Config, study_mask_iou.Config])
def test_what_is_committed_does_not_count_as_done(kind: type[Any]) -> None:
    config = kind() if kind is not study_mask_iou.Config else kind(policy=("p",))
    assert config.results_dir == config.out / "results"
    assert config.docs_dir == config.out
    assert config.out.parts[0] == "runs"
    again = dataclasses.replace(config, results=Path("results/r"), from_scratch=True)
    places = again.work_dir, again.results_dir, again.docs_dir
    assert {place.parts[:2] for place in places} == {("runs", f"{config.out.name}-from-scratch")}
    with pytest.raises(ConfigError, match="--from-scratch takes --results DIR"):
        dataclasses.replace(config, from_scratch=True)


class Planted(Study):
    """A study of two cells, whose rows are planted."""

    name = "planted"

    def __init__(self, cfg: StudyConfig, steps: int = 1, wins: int = 5) -> None:
        super().__init__(cfg)
        self.steps, self.wins = steps, wins

    def cells(self) -> list[Cell]:
        return [Cell(name, "", 1.0) for name in ("a", "b", "c")]

    def settings(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def is_done(self, cell: Cell) -> bool:
        return self.path(cell.name).exists()

    def check(self) -> None:
        self.claim()

    def run(self, cell: Cell) -> None:
        rows = [row("p", f"ycb:{self.rows}?graspable", 0, i, i < self.wins) for i in range(10)]
        write_rows(self.path(cell.name), rows, manifest(seed=0))

    def tabulate(self) -> dict[str, Any]:
        return {}


def test_rows_made_from_scratch_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = StudyConfig(out=tmp_path / "run", results=tmp_path / "results", allow_dirty=True, cells=2)
    Planted(first).conduct(first)
    there = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.*")}
    again = dataclasses.replace(first, from_scratch=True, cells=1)
    with pytest.raises(ConfigError, match=r"other options \(steps: 2 now, 1 there\)"):
        Planted(again, steps=2).conduct(again)
    nowhere = dataclasses.replace(again, results=tmp_path / "nowhere")
    with pytest.raises(FileError, match="nowhere/rows holds no rows of this study to make anew"):
        Planted(nowhere).conduct(nowhere)
    assert Planted(again).conduct(again)["missing"] == ["b"]  # c is in no rows
    again = dataclasses.replace(again, cells=0)
    equal = Planted(again).conduct(again)
    assert (equal["ran"], equal["missing"], equal["ok"]) == (["b"], [], True)
    assert "same kind of CPU and libraries, 2 cells: 20 of 20 rows are equal but for wall times" in (
        capsys.readouterr().out
    )
    study = Planted(again, wins=7)
    study.run(study.cells()[0])
    looked = dataclasses.replace(again, tabulate=True)
    differs = study.conduct(looked)
    assert differs["ok"] is False  # the exit code is 1
    (found,) = (x for x in differs["same kind"]["rows"] if x["equal"] != x["n"])
    assert (found["policy"], found["object_set"], found["outcomes"]) == ("a: p", "ycb", 2)
    for path in (tmp_path / "results" / "rows").iterdir():  # as another machine would have made them
        facts = read_rows_manifest(path)
        facts["machine"]["kernels"]["instructions"] = "sse"
        write_rows(path, read_rows(path), facts)
    other = study.conduct(looked)
    assert other["ok"] is True
    assert "same kind" not in other
    assert [reason.partition(":")[0] for reason in other["other kind"]["differs"]] == ["instructions"]
    assert "+20.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "run-from-scratch" / "results" / "comparison.json").read_text())["ok"] is True
    assert set((tmp_path / "results").rglob("*.*")) == set(there)  # nothing was written there


@pytest.mark.parametrize(("changes", "told"), [
    ({"objects": "ycb-like"}, "objects: 'ycb-like' now"), ({"clutter": "2-6"}, "clutter: '2-6' now, '4' there"),
    ({"trials": 7}, "trials: 7 now, 50 there"), ({"seed": 2}, "seed: 2 now, 0 there"),
])  # fmt: skip
def test_masks_made_from_scratch_have_the_options_of_their_rows(
    changes: dict[str, Any], told: str
) -> None:
    there = Path(__file__).parents[3] / "results" / "mask_iou"
    asked = study_mask_iou.Config(policy=("anywhere/detpool",), results=there, from_scratch=True)
    study_mask_iou.MaskIou(asked).require_settings(there)
    with pytest.raises(ConfigError, match=re.escape(told)):
        study_mask_iou.MaskIou(dataclasses.replace(asked, **changes)).require_settings(there)


def test_unfinished_rows_of_a_killed_study_are_in_no_table(tmp_path: Path) -> None:
    made = tmp_path / "rows" / "mean-plain-s0.parquet"
    kind = {"pooling": "mean", "scene": "plain", "seed": 0, "tried": 0}
    write_rows(made, [row("mean", "toys:train", 0, i, success=True) for i in range(4)], {"kind": kind})
    (tmp_path / "rows" / ".mean-plain-s0.k3xq0.tmp.parquet").write_bytes(made.read_bytes()[:-9])
    assert [len(rows) for _, rows in study_lego_results.read_cells(tmp_path)] == [4]


def test_a_kill_between_two_markers_leaves_folders_that_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = StudyConfig(out=tmp_path / "run", allow_dirty=True)
    mark, marked = study_cells.claim, list[Path]()

    def second_is_killed(marker: Path, *args: Any) -> None:
        if marked:
            raise KeyboardInterrupt
        marked.append(marker)
        mark(marker, *args)

    with monkeypatch.context() as patched:
        patched.setattr(study_cells, "claim", second_is_killed)
        with pytest.raises(KeyboardInterrupt):
            Planted(config).claim()
    assert marked == [config.out / "settings.json"]
    Planted(config).claim()
    assert (config.results_dir / "settings.json").exists()


def test_sets_go_by_their_names() -> None:
    assert [set_name(s) for s in ("toys:train", "ycb-like?graspable", "ycb:../shared/ycb?graspable")] == [
        "toys:train", "ycb-like", "ycb"
    ]


@pytest.mark.usefixtures("works_here")
def test_mask_iou_on_a_policy(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(dataclasses.replace(config, only=TRIES[:1]))
    (policy,) = map(str, (config.out / "policies").glob("try-mean-1-*"))
    study = study_mask_iou.Config(
        policy=(policy,), objects="toys:train", levels=(5,), errors=("mask-offset", "mask-wrong"), clutter="2",
        providers=("box",),
        trials=1, out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", workers=1,
        allow_dirty=True,
    )
    first = study_mask_iou.main(dataclasses.replace(study, cells=1))
    cell = f"{Path(policy).name}-toys-train"
    assert first["missing"] == [f"{cell}-{case}" for case in (
        "alone-detector", "alone-box", "alone-mask-offset-5", "alone-mask-wrong-5", "clutter-truth",
        "clutter-detector", "clutter-box", "clutter-mask-wrong-5",
    )]  # fmt: skip
    study_mask_iou.main(study)
    table = study_mask_iou.main(dataclasses.replace(study, policy=(), tabulate=True))
    quality = {(x["scene"], x["masks"]): (x["mask_iou"], x["mask_missed"], x["n"]) for x in table["rows"]}
    for scene in ("alone", "clutter"):
        assert quality[scene, "truth"] == (1.0, 0.0, 1)
        assert quality[scene, "mask-wrong"] == (0.0, 1.0, 1)
    assert quality["alone", "mask-offset"][0] == pytest.approx(0.3, abs=0.03)
    assert quality["alone", "detector"][0] > 0.9  # toys are of many colours, the table is not
    assert 0.3 < quality["clutter", "box"][0] < 0.95  # told which one it is
    assert quality["clutter", "detector"][0] < 0.9  # the largest blob, whichever it is
    differences = [x["minus_true_masks"]["difference"]["value"] for x in table["rows"] if x["masks"] != "truth"]
    assert differences == [0.0] * 7  # mean pooling sees no mask
    page = (tmp_path / "docs" / "mask_iou.md").read_text()
    assert "| mask-offset | IoU 0.3 | 0.3" in page
    figure = f"mask_iou_{cell}.png"
    assert f"({figure})" in page
    assert (tmp_path / "docs" / figure).stat().st_size > 1000
    # rows of an older protocol began from other starts: they are played again, and not shown until then
    path = study.results / "rows" / f"{cell}-alone-truth.parquet"
    write_rows(path, read_rows(path), read_rows_manifest(path) | {"protocol": 1, "key": "older"})
    capsys.readouterr()
    left = study_mask_iou.main(dataclasses.replace(study, policy=(), tabulate=True))["rows"]
    assert len(left) == len(table["rows"]) - 1
    assert f"left out, of an older protocol (delete them): {path.name}" in capsys.readouterr().err
    assert study_mask_iou.main(study)["ran"] == [f"{cell}-alone-truth"]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"errors": ("mask-iou",)}, "unknown shift of masks 'mask-iou'"), ({"levels": (0,)}, "from 1 to 5"),
        ({"errors": ("image-blur",)}, "unknown shift of masks 'image-blur'"),
        ({"providers": ("boxes",)}, "unknown mask provider 'boxes'"), ({"providers": ("track",)}, "track:FOLDER"),
    ],
)
def test_a_mask_study_refuses_what_is_no_error_of_masks(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(ToyShiftError, match=match):
        study_mask_iou.Config(policy=("p",), **wrong)


@pytest.mark.usefixtures("works_here")
def test_the_recipe_plays_with_both_kinds_of_toys_and_is_tabulated(tmp_path: Path) -> None:
    config = study_recipe.Config(
        seeds=2, demos=2, steps=2, batch=4, trials=1, out=tmp_path / "run", results=tmp_path / "results",
        docs=tmp_path / "docs", workers=1, cells=1, allow_dirty=True
    )
    first = study_recipe.main(config)
    assert first["ran"] == ["s0"]
    assert first["missing"] == ["s1"]
    rows = read_rows(config.results / "rows" / "s0.parquet")
    sets = ("training toys", "new toys", "YCB-like")
    policies = ("recipe", "quickstart", "oracle", "random")
    assert {(r.policy, r.object_set) for r in rows} == {(p, name) for p in policies for name in sets}
    starts = {p: {(r.object_set, r.object_id, r.seed, r.episode) for r in rows if r.policy == p} for p in policies}
    assert all(starts[p] == starts["oracle"] for p in policies)
    assert {r.purpose for r in rows} == {"test"}
    played = [open_dataset(config.out / "s0" / name).episode(0, ["action"]).meta["object_set"] for name in (
        "toys", "household"
    )]
    assert played == ["toys:train", "toys:train?of=household&n=500"]
    assert first["table"]["success"][0]["n"] == 1
    assert "| recipe | YCB-like | 1 |" in (config.docs / "recipe.md").read_text()
    again = study_recipe.main(dataclasses.replace(config, tabulate=True))
    assert again["table"] == first["table"]
    assert [x["set"] for x in first["table"]["gains"]] == list(sets)
    # rows of before episodes had a purpose are played again
    path = config.results / "rows" / "s0.parquet"
    write_rows(path, [dataclasses.replace(r, purpose="collection") for r in rows], read_rows_manifest(path))
    study = study_recipe.RecipeStudy(config)
    assert not study.is_done(study.cells()[0])
    write_rows(path, rows, read_rows_manifest(path))
    assert study.is_done(study.cells()[0])
    with pytest.raises(ConfigError, match=r"another configuration \(steps: 3 now, 2 there\)"):
        study_recipe.main(dataclasses.replace(config, steps=3))
