"""Radius and distance crossed: what a plan holds, what is drawn, the page of planted rows in each direction; a run."""

import collections
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.seeds import episode_rng
from toyshift.data.store.dataset import open_dataset
from toyshift.diagnostics import Row, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.dsl import CUE, INSTRUCTED
from toyshift.diagnostics.swapped_cells import StripCell, half_of
from toyshift.policies.checkpoints import read_policy_config
from toyshift.scripts.studies import shortcut_grid as grid
from toyshift.scripts.studies.shortcut_grid import ARMS, GridPoint, ShortcutGrid
from toyshift.toys import load_objects

TRIALS = 30


def points(tmp_path: Path, **options: Any) -> list[GridPoint]:
    return list(grid.Config(out=tmp_path, **options).points())


@pytest.mark.parametrize("budget", ["small", "paper"])
def test_radius_and_distance_are_crossed_with_a_control_for_every_radius(tmp_path: Path, budget: str) -> None:
    every = points(tmp_path, budget=budget)
    assert list(dict.fromkeys(p.arm for p in every)) == list(ARMS)
    for arm in ARMS:
        told = [(p.radius, p.distance) for p in every if p.arm == arm and p.correlation]
        radii, distances = (sorted(set(values)) for values in zip(*told, strict=True))
        assert sorted(told) == [(r, d) for r in radii for d in distances]
        assert len(radii) > 1
        assert len(distances) > 1
        clean = [(p.radius, p.distance) for p in every if p.arm == arm and not p.correlation]
        assert clean == [(r, max(distances)) for r in radii]
    assert len(every) == {"small": 30, "paper": 144}[budget]
    names = [cell.name for cell in ShortcutGrid(grid.Config(out=tmp_path, budget=budget)).cells()]
    assert len(set(names)) == len(every) * {"small": 1, "paper": 3}[budget]


def drawn(point: GridPoint) -> list[list[tuple[float, float]]]:
    """Returns (place, viewpoint) of 60 episodes of each strip."""
    return [
        [(d["position"], d["azimuth"]) for d in (part.draw(episode_rng(0, i, part.name)) for i in range(60))]
        for part in point.parts()
    ]  # fmt: skip


def test_positions_lie_apart_or_between_each_other_and_are_the_same_ones() -> None:
    apart, between = (drawn(GridPoint(arm, 0.25, 1.0)) for arm in ("plain", "intertwined"))
    order = {}
    for name, strips in (("apart", apart), ("between", between)):
        ordered = sorted((place, int(np.sign(view))) for strip in strips for place, view in strip)
        order[name] = [side for i, (_, side) in enumerate(ordered) if i == 0 or side != ordered[i - 1][1]]
    assert order == {"apart": [-1, 1], "between": [-1, 1, -1, 1]}
    places = [[place for strip in strips for place, _ in strip] for strips in (apart, between)]
    assert places[0] == places[1]
    gaps = np.diff(sorted(places[0]))
    assert sorted(gaps)[-3] > 0.04  # no strip within reach of another


def test_the_radius_widens_and_the_distance_moves_apart() -> None:
    def ranges(radius: float, distance: float) -> list[tuple[float, float]]:
        views = [[view for _, view in strip] for strip in drawn(GridPoint("plain", radius, distance))]
        return [(np.mean([min(v), max(v)]), (max(v) - min(v)) / 2) for v in (views[0] + views[1], views[2] + views[3])]

    for radius in (0.0, 0.5):
        for distance in (0.25, 1.0):
            for (centre, half), side in zip(ranges(radius, distance), (-1, 1), strict=True):
                assert centre == pytest.approx(side * 30 * distance, abs=1.0)
                assert half == pytest.approx(30 * radius, abs=1.0)


def test_a_control_sees_what_the_told_see_and_its_viewpoints_tell_nothing() -> None:
    told, clean = GridPoint("plain", 0.25, 1.0), GridPoint("plain", 0.25, 1.0, 0.0)
    assert told.cells() == clean.cells()
    for strip in drawn(clean):
        assert 15 < sum(view > 0 for _, view in strip) < 45


def test_swapped_cues_lie_at_the_outermost_ends_and_imply_all_of_the_other() -> None:
    cells = GridPoint("intertwined", 0.25, 1.0).cells()
    assert [cell.swapped for cell in cells] == [False, True] * 4
    starts = (-0.1, -0.0367, 0.0267, 0.09)
    for cell in cells:
        assert isinstance(cell, StripCell)
        group = int(cell.place_of[-1]) % 2
        if cell.swapped:
            assert cell.cue == ((37.5,) * 2, (-37.5,) * 2)[group]
        assert [low for low, _ in cell.implied_spans] == pytest.approx(starts[1 - group :: 2], abs=1e-3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"distances": (0.0,)}, "--radii 0 with --distances 0: a radius is"),
        ({"distances": (1.5,), "radii": (0.75,)}, "--radii 0.75 with --distances 1.5: .* together they are at most 2"),
        ({"radii": (-0.1,)}, "--radii -0.1"), ({"radii": (float("nan"),)}, "radii"),
        ({"demos": 6}, "--demos is 6; four strips"),
        ({"arms": ()}, "--arms names no arm"),
        ({"arms": ("plian",)}, "Did you mean 'plain'"),
        ({"trials": 0}, "--trials"),
    ],
)
def test_bad_input(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=match):
        grid.Config(out=tmp_path, **options)


# ---------------------------------------------------------------- the page


def rows_of(point: GridPoint, taken: int, seed: int = 0) -> list[Row]:
    """Rows of a policy that goes to the cue's place in `taken` of TRIALS episodes of each swapped cell."""
    rows = []
    for number, cell in enumerate(point.cells()):
        for i in range(TRIALS):
            follows = cell.swapped and i < taken
            rows.append(Row(
                policy=point.name, pooling="attention", object_set="toys:train", object_id=f"toy-{number // 2}-{i}",
                seed=seed + number // 2, episode=i, success=not follows, failure="missed" if follows else "", steps=10,
                max_height=0.1, wall_s=0.1, look=cell.label, approached=CUE if follows else INSTRUCTED,
            ))  # fmt: skip
    return rows


def page(tmp_path: Path, taken: Mapping[GridPoint, int]) -> tuple[dict[str, Any], str]:
    """Returns table and page of a study with such policies."""
    config = grid.Config(out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs")
    study = ShortcutGrid(config)
    study.check()
    for point, count in taken.items():
        facts = {"point": {**vars(point)}, "number": 0}
        write_rows(study.path(f"{point.name}-s0"), rows_of(point, count), facts)
    return study.tabulate(), (tmp_path / "docs" / "shortcut_grid.md").read_text()


def square(arm: Any, near: int, far: int, wide_near: int, wide_far: int) -> dict[GridPoint, int]:
    """Followers at radius 0 and 0.75 by distance 0.05 and 1, and none in the controls."""
    told = {(0.0, 0.05): near, (0.0, 1.0): far, (0.75, 0.05): wide_near, (0.75, 1.0): wide_far}
    found = {GridPoint(arm, r, d): count for (r, d), count in told.items()}
    return found | {GridPoint(arm, r, 1.0, 0.0): 0 for r in (0.0, 0.75)}


def test_rows_with_the_papers_signs_say_so(tmp_path: Path) -> None:
    table, text = page(tmp_path, square("plain", 15, 28, 2, 15))
    trends = [x for x in table["comparisons"] if x["kind"] == "trend"]
    assert [(x["along"], x["what"], x["at"], x["sign"]) for x in trends] == [
        ("radius", "dsl", 0.05, -1), ("radius", "success", 0.05, 1), ("radius", "dsl", 1.0, -1),
        ("radius", "success", 1.0, 1), ("distance", "dsl", 0.0, 1), ("distance", "success", 0.0, -1),
        ("distance", "dsl", 0.75, 1), ("distance", "success", 0.75, -1),
    ]  # fmt: skip
    change = trends[0]["change"]["difference"]
    assert change["value"] == pytest.approx(-13 / TRIALS)
    assert "With the radius, DSL falls in 2 of 2 lines, as in the paper, rises in 0, and no change" in text
    assert "With the distance, success with the cue swapped falls in 2 of 2 lines" in text
    assert "the paper's sign is shown in 8 of 8 comparisons." in text
    assert "Where none is shown" not in text
    line = next(x for x in table["points"] if (x["radius"], x["distance"], x["correlation"]) == (0.0, 1.0, 1.0))
    assert line["dsl"]["value_low_high"][0] == pytest.approx(28 / TRIALS)
    assert "| MiniVLA 1.00, 0.00; pi0 0.96, 0.00 |" in text  # radius 0, distance 1
    assert (tmp_path / "docs" / "shortcut_grid.png").stat().st_size > 1000
    assert json.loads((tmp_path / "results" / "table.json").read_text())["missing"]


def test_rows_with_the_reverse_say_so(tmp_path: Path) -> None:
    _, text = page(tmp_path, square("plain", 15, 2, 28, 15))
    assert "With the radius, DSL falls in 0 of 2 lines, as in the paper, rises in 2, and no change" in text
    assert "the paper's sign is shown in 0 of 8 comparisons." in text
    assert text.count("DSL: the reverse; success: the reverse") == 4


def test_rows_that_show_nothing_say_so_and_why(tmp_path: Path) -> None:
    _, text = page(tmp_path, square("plain", 15, 15, 15, 15))
    assert "rises in 0, and no change is shown in 2." in text
    assert "the paper's sign is shown in 0 of 8 comparisons. Where none is shown: shortcut at both ends (8)." in text
    _, text = page(tmp_path / "none", square("plain", 0, 0, 0, 0))
    assert "Where none is shown: no shortcut shown at either end (8)." in text


def test_a_difference_that_is_nothing_after_holm_is_not_shown(tmp_path: Path) -> None:
    table, _ = page(tmp_path, square("plain", 0, 2, 0, 2))
    trend = next(x for x in table["comparisons"] if (x["kind"], x["along"], x["what"]) == ("trend", "distance", "dsl"))
    assert trend["change"]["p_value"] < 0.05 < trend["change"]["holm_p"]
    assert trend["change"]["difference"]["low"] > 0
    assert trend["sign"] == 0


def test_controls_and_other_arms_are_compared_on_the_same_starts(tmp_path: Path) -> None:
    table, text = page(tmp_path, square("plain", 20, 28, 20, 28) | square("intertwined", 20, 1, 20, 1))
    kinds = collections.Counter(x["kind"] for x in table["comparisons"])
    assert kinds == {"trend": 16, "control": 16, "arm": 8}
    control = next(x for x in table["comparisons"] if x["kind"] == "control" and x["distance"] == 1.0)
    assert (control["arm"], control["what"], control["change"]["difference"]["value"]) == ("plain", "dsl", 28 / TRIALS)
    assert "Against *plain* on the same starts, DSL is higher in 0 of 4 points, lower in 2, and no difference" in text
    assert "success with the cue swapped is higher in 2 of 4 points, lower in 0" in text


def test_incapable_policies_are_the_reason(tmp_path: Path) -> None:
    config = grid.Config(out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs")
    study = ShortcutGrid(config)
    study.check()
    for distance in (0.05, 1.0):
        point = GridPoint("plain", 0.0, distance)
        rows = [Row(**{**vars(row), "success": False, "failure": "missed"}) for row in rows_of(point, 5)]
        write_rows(study.path(f"{point.name}-s0"), rows, {"point": {**vars(point)}, "number": 0})
    study.tabulate()
    assert "incapable with its own cue at one end or both (2)" in (tmp_path / "docs" / "shortcut_grid.md").read_text()


# ---------------------------------------------------------------- a run


def smallest(tmp_path: Path, **options: Any) -> grid.Config:
    return grid.Config(
        out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", demos=4, seeds=1, steps=2, batch=4,
        trials=1, radii=(0.0,), distances=(1.0,), workers=1, allow_dirty=True, **options,
    )  # fmt: skip


@pytest.mark.usefixtures("works_here")
def test_it_runs_and_goes_on(tmp_path: Path) -> None:
    config = smallest(tmp_path, arms=("plain",), only=("plain-r0-d1-s0",))
    assert grid.main(config)["ran"] == ["plain-r0-d1-s0"]
    assert grid.main(config)["ran"] == []
    path = tmp_path / "results" / "rows" / "plain-r0-d1-s0.parquet"
    facts, rows = read_rows_manifest(path), read_rows(path)
    point = GridPoint(**facts["point"])
    assert [row.look for row in rows] == [cell.label for cell in point.cells()]
    assert len({row.seed for row in rows}) == 4  # each strip has starts of its own, with either cue
    folder = tmp_path / "run" / "plain-r0-d1-s0"
    assert read_policy_config(folder / "policy").state_keep == ("none",)
    assert not (folder / "data").exists()
    assert "Not complete:** 1 policies" in (tmp_path / "docs" / "shortcut_grid.md").read_text()


def test_instructions_are_dressed_by_their_target(tmp_path: Path) -> None:
    study = ShortcutGrid(smallest(tmp_path, arms=("pick",)))
    study.check()
    (folder,) = study.dressed(GridPoint("pick", 0.0, 1.0), 0, tmp_path / "data")
    data, ids = open_dataset(Path(folder)), load_objects(grid.PICK_TOYS).ids
    metas = [data.meta(i) for i in range(data.num_episodes)]
    assert len(metas) == 4
    for meta in metas:
        assert meta["factors"]["look"]["azimuth"] == (-30.0, 30.0)[half_of(meta["object_id"], ids)]
        assert len(meta["others"]) == 1
