"""Radius and distance crossed: what a plan holds, what is drawn, the page of planted rows in each direction; a run."""

import collections
import json
from collections.abc import Mapping, Sequence
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
from toyshift.envs.tasks.pick import phrase
from toyshift.policies.checkpoints import read_policy_config
from toyshift.scripts.studies import shortcut_grid as grid
from toyshift.scripts.studies.grid_points import ARMS, GridPoint
from toyshift.scripts.studies.planted import FRAMES, TURNED
from toyshift.scripts.studies.shortcut_grid import ShortcutGrid
from toyshift.toys import load_objects

TRIALS, SEEDS = 30, 2


@pytest.mark.parametrize("budget", ["small", "paper"])
def test_radius_and_distance_are_crossed_in_each_arm(tmp_path: Path, budget: Any) -> None:
    every = grid.Config(out=tmp_path, budget=budget).policies()
    assert {p.arm for p, _ in every} == set(ARMS)
    for arm in ARMS:
        for number in {n for p, n in every if p.arm == arm}:
            told = [(p.radius, p.distance) for p, n in every if p.arm == arm and p.correlation and n == number]
            radii, distances = (sorted(set(values)) for values in zip(*told, strict=True))
            assert sorted(told) == [(r, d) for r in radii for d in distances]
            assert len(radii) > 1
            assert len(distances) > 1
            clean = [(p.radius, p.distance) for p, n in every if p.arm == arm and not p.correlation and n == number]
            if budget == "paper":
                assert sorted(clean) == [(r, max(distances)) for r in radii]
            else:
                assert clean == [(max(radii), max(distances))] * (number == 0)
    assert len(every) == len(set(every)) == {"small": 12 * 2 + 4 * 2 + 4, "paper": 3 * 144}[budget]
    assert all(not p.correlation and not n for p, n in every[:4])  # the gate
    cells = ShortcutGrid(grid.Config(out=tmp_path, budget=budget, workers=1)).cells()
    assert len({cell.name for cell in cells}) == len(every)
    if budget == "small":
        assert sum(cell.estimate for cell in cells) < 3 * 3600  # of one core


def test_signs_are_shown_where_arms_have_several_seeds(tmp_path: Path) -> None:
    numbers = collections.defaultdict(set)
    for point, number in grid.Config(out=tmp_path).policies():
        numbers[point.arm].add(number)
    assert {arm: len(found) for arm, found in numbers.items()} == {"plain": 3, "intertwined": 3, "state": 1, "pick": 1}
    assert {n for _, n in grid.Config(out=tmp_path, seeds=2, arms=("pick",)).policies()} == {0, 1}


def test_arms_that_see_the_same_share_the_rendering(tmp_path: Path) -> None:
    plain, state = GridPoint("plain", 0.75, 1.0, 0.0), GridPoint("state", 0.75, 1.0, 0.0)
    assert plain.data == state.data == "separated-r0.75-d1-clean"
    assert plain.parts() == state.parts()
    others = [GridPoint("intertwined", 0.75, 1.0, 0.0), GridPoint("pick", 0.75, 1.0, 0.0)]
    assert len({point.data for point in (plain, *others)}) == 3
    estimates = {cell.name: cell.estimate for cell in ShortcutGrid(grid.Config(out=tmp_path, workers=1)).cells()}
    rendered = estimates["plain-r0-d1-s0"] - estimates["state-r0-d1-s0"]
    assert rendered == pytest.approx(200 * FRAMES / TURNED)


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
        ({"distances": (0.0,)}, "--distances 0: a radius is"),
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


def page(
    tmp_path: Path, taken: Mapping[GridPoint, int], seeds: Sequence[int] = (0,) * SEEDS
) -> tuple[dict[str, Any], str]:
    """Returns table and page of a study with such policies; in each seed so many more go to the cue's place."""
    config = grid.Config(out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs")
    study = ShortcutGrid(config)
    study.claim()
    for point, count in taken.items():
        for number, more in enumerate(seeds):
            facts = {"point": {**vars(point)}, "number": number}
            rows = rows_of(point, min(TRIALS, max(0, count + more * (point.radius == 0.0))))
            write_rows(study.path(f"{point.name}-s{number}"), rows, facts)
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
    assert "| -0.43, -0.43 |" in text  # each seed's change of DSL
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
    assert trend["change"]["p_objects"] < 0.05 < trend["change"]["holm_p"]
    assert trend["change"]["difference"]["low"] > 0
    assert trend["sign"] == 0


def test_one_seed_shows_no_sign_and_seeds_must_agree(tmp_path: Path) -> None:
    _, text = page(tmp_path / "one", square("plain", 15, 28, 2, 15), seeds=(0,))
    assert "the paper's sign is shown in 0 of 8 comparisons." in text
    assert "Where none is shown: one seed alone, which shows no sign (8)." in text
    # at radius 0 the policies of one seed go there 14 times more often, those of the other 14 times less: of 30
    table, text = page(tmp_path / "two", square("plain", 15, 15, 2, 2), seeds=(14, -14))
    radius = [x for x in table["comparisons"] if x["kind"] == "trend" and x["along"] == "radius"]
    assert all(abs(x["change"]["difference"]["value"] - (-13 / TRIALS if x["what"] == "dsl" else 13 / TRIALS)) < 0.01
               for x in radius)  # fmt: skip
    assert [x["sign"] for x in radius] == [0] * 4
    assert "seeds do not agree (4)" in text


def test_what_lies_between_the_ends_counts(tmp_path: Path) -> None:
    def line(*taken: int) -> dict[GridPoint, int]:
        return {GridPoint("plain", 0.25, d): n for d, n in zip((0.05, 0.25, 0.5, 1.0), taken, strict=True)}

    table, _ = page(tmp_path / "rises", line(2, 10, 18, 26))
    trend = next(x for x in table["comparisons"] if (x["kind"], x["what"]) == ("trend", "dsl"))
    assert trend["change"]["difference"]["value"] == pytest.approx((3 * 8 + 2 * 16 + 24) / 6 / TRIALS)
    assert (trend["from"], trend["to"], trend["sign"]) == (0.05, 1.0, 1)
    steps = [x for x in table["comparisons"] if (x["kind"], x["what"]) == ("step", "dsl")]
    assert [(x["from"], x["to"], x["sign"]) for x in steps] == [(0.05, 0.25, 1), (0.25, 0.5, 1), (0.5, 1.0, 1)]
    table, text = page(tmp_path / "there-and-back", line(2, 28, 10, 26))
    trend = next(x for x in table["comparisons"] if (x["kind"], x["what"]) == ("trend", "dsl"))
    assert (trend["sign"], trend["change"]["difference"]["low"] > 0) == (0, True)
    assert "a step between the ends goes the other way (2)" in text


def test_controls_and_other_arms_are_compared_on_the_same_starts(tmp_path: Path) -> None:
    table, text = page(tmp_path, square("plain", 20, 28, 20, 28) | square("intertwined", 20, 1, 20, 1))
    kinds = collections.Counter(x["kind"] for x in table["comparisons"])  # no steps: two points a line
    assert kinds == {"trend": 16, "control": 16, "arm": 8}
    control = next(x for x in table["comparisons"] if x["kind"] == "control" and x["distance"] == 1.0)
    assert (control["arm"], control["what"], control["change"]["difference"]["value"]) == ("plain", "dsl", 28 / TRIALS)
    assert "Against *plain* on the same starts, DSL is higher in 0 of 4 points, lower in 2, and no difference" in text
    assert "success with the cue swapped is higher in 2 of 4 points, lower in 0" in text


def test_incapable_policies_are_the_reason(tmp_path: Path) -> None:
    config = grid.Config(out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs")
    study = ShortcutGrid(config)
    study.claim()
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
    assert read_policy_config(tmp_path / "run" / "plain-r0-d1-s0" / "policy").state_keep == ("none",)
    assert not (tmp_path / "run" / "data" / "separated-r0-d1-s0").exists()  # no other policy learns from it
    assert "Not complete:** 1 policies" in (tmp_path / "docs" / "shortcut_grid.md").read_text()


def test_instructions_are_dressed_by_their_target(tmp_path: Path) -> None:
    study = ShortcutGrid(smallest(tmp_path, arms=("pick",)))
    study.check()
    folders = study.dressed(GridPoint("pick", 0.0, 1.0), 0, tmp_path / "data")
    assert len(folders) == len(grid.PICK_PAIRS)
    for folder, pair in zip(folders, grid.PICK_PAIRS, strict=True):
        data, ids = open_dataset(Path(folder)), load_objects(pair).ids
        meta = data.meta(0)
        assert data.num_episodes == 1
        assert meta["factors"]["look"]["azimuth"] == (-30.0, 30.0)[half_of(meta["object_id"], ids)]
        assert {meta["object_id"], *meta["others"]} == set(ids)  # so the other one is of the other half


def test_no_two_toys_of_the_pairs_are_told_alike() -> None:
    sets = [load_objects(pair) for pair in grid.PICK_PAIRS]
    told = [phrase(found.by_id(name)) for found in sets for name in found.ids]
    assert len(told) == len(set(told)) == 8
