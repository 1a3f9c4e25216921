"""Sub-datasets with dials: closed forms of the planted dependence, what dials do alone, samples that measure it."""

import dataclasses
import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.information import entropy, estimated_mutual_information, normalised_mutual_information
from toyshift.core.seeds import episode_rng
from toyshift.data.collecting import collection
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.dials import Fragmentation, Range, SubDataset, fragment
from toyshift.data.collecting.factors import FACTORS, bin_of, range_in_bins
from toyshift.data.collecting.fragment_folder import (
    PLAN,
    Dependence,
    collect_fragments,
    dependence_of,
    measure,
    read_plan,
)
from toyshift.data.store.dataset import open_dataset
from toyshift.envs.scene.scene import Scene
from toyshift.envs.tasks.success import Judge
from toyshift.scripts import collect as scripts_collect
from toyshift.scripts.data import fragment as data_fragment
from toyshift.scripts.data import info as data_info
from toyshift.scripts.data.options import DatasetConfig
from toyshift.scripts.options import parse


def given(*strategies: st.SearchStrategy[object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Tries 40 examples, however slow the machine is."""
    return lambda test: settings(max_examples=40, deadline=None)(hypothesis_given(*strategies)(test))


DIAL = st.floats(0.0, 1.0, allow_nan=False)


def made(
    diversity: float = 0.5, disparity: float = 0.8, correlation: float = 1.0, m: int = 2, **options: object
) -> Fragmentation:
    dials = {"diversity": diversity, "disparity": disparity, "correlation": correlation}
    return fragment(m, **dials, **options)  # type: ignore[arg-type]


def sampled(design: Fragmentation, episodes: int, seed: int) -> Dependence:
    """Draws episodes from the sub-datasets as collection does, and measures them."""
    values = []
    for i, part in enumerate(design.parts):
        drawn = [part.draw(episode_rng(seed, 10_000 * i + k, "sub-dataset")) for k in range(episodes)]
        values.append(
            tuple(np.array([row[name] for row in drawn], dtype=float) for name in (design.relevant, design.factor))
        )
    return measure(design, values, objects=30, samples=300, seed=seed)


def test_information_has_its_textbook_values() -> None:
    assert entropy(np.full(8, 1 / 8)) == pytest.approx(3 * math.log(2))
    assert normalised_mutual_information(np.outer([0.2, 0.8], [0.5, 0.3, 0.2])) == pytest.approx(0.0, abs=1e-12)
    assert normalised_mutual_information(np.diag([0.1, 0.6, 0.3])) == pytest.approx(1.0)
    # binary symmetric channel with flips at 0.1: I = log 2 - H(0.1), both entropies log 2
    channel = np.array([[0.45, 0.05], [0.05, 0.45]])
    assert normalised_mutual_information(channel) == pytest.approx(
        1 - float(entropy(np.array([0.1, 0.9]))) / math.log(2)
    )
    assert math.isnan(normalised_mutual_information(np.array([[1.0]])))


def test_the_correction_removes_most_of_the_bias_of_counting() -> None:
    joint = np.outer(np.full(6, 1 / 6), np.full(6, 1 / 6))
    counts = np.random.default_rng(0).multinomial(200, joint.ravel(), size=500).reshape(500, 6, 6)
    raw, corrected = normalised_mutual_information(counts / 200).mean(), estimated_mutual_information(counts).mean()
    assert raw > 0.03
    assert abs(corrected) < 0.1 * raw


@given(DIAL, DIAL, st.integers(2, 5), st.sampled_from(["azimuth", "light", "table"]))
def test_without_correlation_nothing_is_planted(diversity: float, disparity: float, m: int, factor: str) -> None:
    planted = made(diversity, disparity, 0.0, m, factor=factor).planted()
    assert planted is None or planted == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_points_far_apart_determine_each_other(m: int) -> None:
    assert made(0.0, 1.0, 1.0, m).planted() == pytest.approx(1.0)
    assert made(0.0, 0.0, 1.0, m).planted() is None  # neither varies
    assert made(0.0, 0.2).planted() is None  # not by more than a bin
    assert made(0.0, 0.2, bins=21).planted() == pytest.approx(1.0)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("m", [2, 3])
def test_disjoint_ranges_have_the_closed_form(m: int, correlation: float) -> None:
    design = made(1 / 9, 4 / 3, correlation, m)  # each range is half a bin wide, around the middle of a bin of its own
    shares = np.full(m, (1 - correlation) / m) + np.eye(m)[0] * correlation
    assert design.planted() == pytest.approx((math.log(m) - float(entropy(shares))) / math.log(m))


def test_width_lowers_the_dependence_as_proposition_a_says() -> None:
    design = made(4 / 9, 10 / 9)  # ranges of exactly two bins: H(u|i) = H(v|i) = log 2
    within = [
        float(entropy(part.masses(name, edges)))
        for part in design.parts
        for name, edges in zip(("position", "azimuth"), design.edges(), strict=True)
    ]
    np.testing.assert_allclose(within, math.log(2))
    bits = sum(within) / math.log(2)
    assert design.planted() == pytest.approx(4 / (bits + 4))  # the paper's form for m = 2


@given(st.floats(0.05, 1.0), st.floats(0.3, 1.0), st.integers(2, 4))
def test_dependence_grows_with_correlation(diversity: float, disparity: float, m: int) -> None:
    values = [made(diversity, disparity, correlation, m).planted() for correlation in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(values))  # type: ignore[operator]


@given(DIAL, DIAL, DIAL)
def test_overlap_bounds_the_dependence(diversity: float, disparity: float, correlation: float) -> None:
    """Proposition B: I(u; v) <= min(TV_u, TV_v) bits for two sub-datasets."""
    design = made(diversity, disparity, correlation, relevant_diversity=1 - diversity)
    joint = design.joint()
    bits = float(entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)) / math.log(2)
    (u0, u1), (v0, v1) = (
        [part.masses(name, edges) for part in design.parts]
        for name, edges in zip(("position", "azimuth"), design.edges(), strict=True)
    )
    assert bits <= min(np.abs(u0 - u1).sum(), np.abs(v0 - v1).sum()) / 2 + 1e-9


@given(st.floats(0.0, 0.9), st.floats(0.0, 1.0), st.floats(0.0, 0.9), st.floats(0.0, 1.0))
def test_diversity_and_disparity_are_crossed(
    diversity: float, disparity: float, other_diversity: float, other_disparity: float
) -> None:
    def geometry(design: Fragmentation) -> tuple[np.ndarray, np.ndarray]:
        ranges = [(part.position[0], part.azimuth[0]) for part in design.parts]
        low, high = (np.array([[getattr(r, end) for r in row] for row in ranges]) for end in ("low", "high"))
        return high - low, (high + low) / 2

    widths, centres = geometry(made(diversity, disparity))
    np.testing.assert_allclose(geometry(made(diversity, other_disparity))[0], widths, atol=1e-9)
    np.testing.assert_allclose(geometry(made(other_diversity, disparity))[1], centres, atol=1e-9)
    np.testing.assert_allclose(widths, diversity * np.array([[0.1, 60.0]] * 2), atol=1e-9)
    np.testing.assert_allclose(centres[1] - centres[0], disparity * np.array([0.1, 60.0]), atol=1e-9)


def test_every_factor_is_drawn_from_its_own_numbers() -> None:
    """Turning one dial changes no other factor's draws."""
    narrow, wide = made(0.2).parts[0], made(1.0, relevant_diversity=0.2).parts[0]
    for k in range(20):
        a, b = narrow.draw(episode_rng(0, k)), wide.draw(episode_rng(0, k))
        assert a["azimuth"] != b["azimuth"]
        assert a | {"azimuth": 0} == b | {"azimuth": 0}


@given(st.floats(-1.0, 1.0), st.floats(0.0, 1.0))
def test_masses_of_bins_are_those_of_draws(low: float, width: float) -> None:
    edges, high = np.linspace(-1, 1, 10), min(1.0, low + width)
    masses = range_in_bins(low, high, edges)
    assert masses.sum() == pytest.approx(1.0)
    counted = np.bincount(bin_of(np.linspace(low, high, 4001), edges), minlength=9) / 4001
    np.testing.assert_allclose(counted, masses, atol=2e-3)


CASES = [
    made(), made(0.5, 0.8, 0.0), made(0.5, 0.8, 0.6), made(1.0, 0.3, 1.0), made(0.0, 1.0, 0.5),
    made(0.3, 1.2, 0.8, 4, factor="light"), made(0.5, 0.8, 1.0, factor="table"),
    made(0.5, 0.8, 0.7, relevant="object"),
    made(0.4, 0.6, 1.0, relevant_diversity=0.0, relevant_disparity=1.0),
]  # fmt: skip


@pytest.mark.parametrize("design", CASES, ids=range(len(CASES)))
def test_samples_measure_what_was_planted(design: Fragmentation) -> None:
    results = [sampled(design, 120 // len(design.parts), seed) for seed in range(20)]
    # each agrees with probability 0.95: fewer than 15 of 20 would happen once in 2,500 cases
    assert sum(r.agrees for r in results) >= 15
    planted = design.planted(objects=30)
    assert results[0].planted == planted
    assert np.mean([r.measured for r in results]) == pytest.approx(planted, abs=0.04)


def test_another_dependence_than_the_planted_one_is_noticed() -> None:
    dependent, independent = made(correlation=1.0), made(correlation=0.0)
    values = []
    for i, part in enumerate(independent.parts):
        drawn = [part.draw(episode_rng(0, 10_000 * i + k)) for k in range(50)]
        values.append((np.array([d["position"] for d in drawn]), np.array([d["azimuth"] for d in drawn])))
    assert not measure(dependent, values).agrees
    assert measure(independent, values).agrees


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"m": 1}, ConfigError, "at least 2"),
        ({"correlation": 1.1}, ConfigError, "correlation is 1.1"),
        ({"correlation": math.nan}, ConfigError, "correlation"),
        ({"diversity": -0.1}, ConfigError, "position: diversity is -0.1"),
        ({"relevant_disparity": 9.0}, ConfigError, "position: relevant_diversity is .* relevant_disparity 9"),
        ({"diversity": 1.5}, ConfigError, "at most 2"),
        ({"m": 10**12}, ConfigError, "m is 1000000000000"),
        ({"disparity": math.nan}, ConfigError, "disparity nan"),
        ({"bins": 10}, ConfigError, "bins is 10"),
        ({"factor": "azimut"}, UnknownNameError, "Did you mean 'azimuth'"),
        ({"factor": "position"}, UnknownNameError, "task-irrelevant factor"),
        ({"relevant": "light"}, UnknownNameError, "task-relevant factor"),
        ({"factor": "robot"}, ConfigError, "one robot"),
    ],
)
def test_dials_out_of_range_are_refused(changes: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made(**changes)  # type: ignore[arg-type]


def test_sub_datasets_state_ranges_that_exist() -> None:
    with pytest.raises(ConfigError, match="azimuth has the range 0 to 90"):
        SubDataset("a", azimuth=(Range(0, 90),))
    with pytest.raises(ConfigError, match=r"shares add up to 1, got \[0.5\]"):
        SubDataset("a", light=(Range(1, 1, 0.5),))
    with pytest.raises(ConfigError, match="lie within"):
        SubDataset("a", position=(Range(0.05, -0.05),))


def test_robots_are_a_factor_of_points() -> None:
    design = fragment(2, diversity=0.0, disparity=1.0, correlation=1.0, factor="robot")
    assert len({part.robot_name for part in design.parts}) == 2
    assert design.planted() == pytest.approx(1.0)


def test_normal_sub_datasets_draw_what_collection_draws() -> None:
    drawn = [SubDataset("a").draw(episode_rng(0, i)) for i in range(50)]
    assert max(abs(d["position"]) for d in drawn) <= FACTORS["position"].high
    assert {
        (d["azimuth"], d["light"], d["table"], d["background"], d["object_colour"], d["robot"]) for d in drawn
    } == {(0.0, 1.0, 0, 0, 0, 0)}


# ---------------------------------------------------------------- collected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fragmentation, CollectConfig]:
    out = tmp_path_factory.mktemp("fragments") / "d"
    design = made(0.4, 1.0, 1.0, factor="azimuth")
    config = CollectConfig("toys:train?n=6", 6, out, workers=0, seed=3, image_size=32, cameras=("front",))
    judge = Judge.judge

    def judged(verdict: Judge, scene: Scene, *args: Any) -> None:
        judge(verdict, scene, *args)
        verdict.success = scene.data.time > 0.45

    with pytest.MonkeyPatch.context() as patched:
        # every attempt succeeds: physics does not choose the values that are measured below
        patched.setattr(Judge, "judge", judged)
        collect_fragments(design, config)
    return out, design, config


def test_episodes_are_what_their_sub_dataset_says(folder: tuple[Path, Fragmentation, CollectConfig]) -> None:
    out, design, _ = folder
    poses = []
    for part in design.parts:
        dataset = open_dataset(out / part.name)
        assert dataset.num_episodes == 3
        for episode in dataset:
            found = episode.meta["factors"]["sub_dataset"]
            assert part.azimuth[0].low <= found["azimuth"] <= part.azimuth[0].high
            assert part.position[0].low - 1e-9 <= found["position"] <= part.position[0].high + 1e-9
            assert episode.meta["factors"]["look"]["azimuth"] == found["azimuth"]
            pose = np.array(episode.meta["object_pose"])
            assert abs(pose[1, 3] - found["position"]) < 0.08  # the frame's origin is not far from the centre of mass
            poses.append(episode.frames["camera.front.extrinsics"][0])
    # the camera stands where the azimuth says: turned about the table's vertical, between sub-datasets by more than
    # within them
    assert np.abs(poses[0] - poses[3]).max() > 0.3


def test_the_measured_dependence_agrees_and_a_rerun_changes_nothing(
    folder: tuple[Path, Fragmentation, CollectConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    out, design, config = folder
    before = [open_dataset(out / part.name).content_hash() for part in design.parts]
    assert collect_fragments(design, config)["episodes"] == 6
    assert [open_dataset(out / part.name).content_hash() for part in design.parts] == before
    assert len(set(before)) == 2
    _, dependence = dependence_of(out)
    assert dependence.agrees
    told = data_info.main(DatasetConfig(data=out))
    assert told["dependence"]["planted"] == design.planted()
    assert "they agree" in capsys.readouterr().out


def test_what_is_finished_is_not_opened_and_what_is_missing_is_tried_once(
    folder: tuple[Path, Fragmentation, CollectConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, design, config = folder

    def refused(*_: Any) -> None:
        raise AssertionError("nothing has to be drawn or played")

    with monkeypatch.context() as patched:
        for name in ("gl_renderer_name", "opened"):
            patched.setattr(collection, name, refused)
        patched.setenv("MUJOCO_GL", "nonsense")
        assert collect_fragments(design, config)["episodes"] == 6
        words = "--m 2 --diversity 0.4 --disparity 1 --episodes 6 --objects toys:train?n=6 --seed 3 --image-size 32"
        cfg = parse(data_fragment.main, [*words.split(), "--out", str(tmp_path / "new")], "data fragment")
        with pytest.raises(AssertionError, match="nothing has to be"):
            data_fragment.main(cfg)
        assert not (tmp_path / "new").exists()
    copy, opens, real = shutil.copytree(out, tmp_path / "copy"), [], collection.opened

    def watched(config: CollectConfig) -> Any:
        opens.append(Path(config.out).name)
        return real(config)

    shutil.rmtree(copy / "part-1")
    monkeypatch.setattr(collection, "opened", watched)
    assert collect_fragments(design, dataclasses.replace(config, out=copy))["episodes"] == 6
    assert opens == ["part-1", "part-1"]  # to try, and to play


def test_another_design_or_a_damaged_plan_is_refused(
    folder: tuple[Path, Fragmentation, CollectConfig], tmp_path: Path
) -> None:
    out, design, config = folder
    with pytest.raises(ConfigError, match=r"another configuration \(diversity: 0.3 now, 0.4 there"):
        collect_fragments(made(0.3, 1.0), config)
    with pytest.raises(ConfigError, match="take 8"):
        collect_fragments(design, dataclasses.replace(config, episodes=7))
    with pytest.raises(ConfigError, match="one object, the robot panda"):
        dataclasses.replace(config, sub_dataset=design.parts[0], clutter=2)
    plan = json.loads((out / PLAN).read_text())
    for change, message in (
        ({"version": 9}, "version 9"), ({"m": "two"}, "no plan"), ({"diversity": 0.1}, "not those of its dials")
    ):
        (tmp_path / PLAN).write_text(json.dumps(plan | change))
        with pytest.raises(FileError, match=message):
            read_plan(tmp_path)


def test_ordinary_datasets_keep_their_keys() -> None:
    """A dataset begun before there were sub-datasets goes on."""
    config = CollectConfig("toys:train?n=6", 3, Path("x"), seed=3)
    assert config.key != dataclasses.replace(config, sub_dataset=SubDataset("a")).key



def test_plans_of_older_versions_are_read_and_the_old_names_of_options_understood(tmp_path: Path) -> None:
    plan = {
        "version": 1, "diversity": 0.4, "disparity": 1.0, "correlation": 1.0, "factor": "azimuth",
        "relevant": "position", "relevant_diversity": 0.4, "relevant_disparity": 1.0, "bins": 9, "m": 2,
        "planted": 0.4406, "parts": json.loads(json.dumps(made(0.4, 1.0).to_json()["parts"])),
        "objects": "toys:train?n=6",
        "object_count": 6, "seed": 3,
    }  # fmt: skip
    (tmp_path / PLAN).write_text(json.dumps(plan))
    assert read_plan(tmp_path)[0] == made(0.4, 1.0)
    words = ["--radius", "0.3", "--distance", "0.9", "--rho", "0.5", "--relevant-radius", "0.1"]
    words += ["--relevant-distance", "0.2", "--out", "x"]
    old = parse(data_fragment.main, words, "data fragment")
    assert (old.diversity, old.disparity, old.correlation) == (0.3, 0.9, 0.5)
    assert (old.relevant_diversity, old.relevant_disparity) == (0.1, 0.2)
    collect = parse(scripts_collect.main, ["--env", "pick", "--planner", "6dof", "--out", "x"], "collect")
    assert collect == parse(scripts_collect.main, ["--task", "pick", "--grasp-search", "6dof", "--out", "x"], "collect")
    assert (collect.task, collect.grasp_search) == ("pick", "6dof")
