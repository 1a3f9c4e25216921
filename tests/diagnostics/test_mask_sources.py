"""Where masks come from in an evaluation: the simulator, the simulator made worse by a given IoU, or a detector."""

from __future__ import annotations

import dataclasses
import sys
import types

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.diagnostics.actors import EnvSpec, FolderActor, make_grasp_env
from toyshift.diagnostics.empty_table import empty_table, moving_cameras
from toyshift.diagnostics.evaluation import EvaluateConfig, run_key
from toyshift.diagnostics.mask_sources import mask_source, needs_simulator, target_ious
from toyshift.policies import Policy, PolicyConfig
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.masks.detector import ColourDetector


def iou(a, b):
    return ((a == 1) & (b == 1)).sum() / ((a == 1) | (b == 1)).sum()


class Everything:
    """A provider of one's own: all is target."""

    def masks(self, images):
        return {c: np.ones(i.shape[:2]) for c, i in images.items()}


class Recorder:
    """A policy that keeps what it was shown."""

    name, execute, config = "recorder", 1, None

    def __init__(self, size):
        self.size, self.seen = size, []

    def reset(self):
        pass

    def act(self, obs):
        self.seen.append(obs["masks"])
        return np.zeros((1, self.size))


@pytest.fixture(scope="module")
def env():
    out = make_grasp_env("toys:test?n=4", image_size=96)
    yield out
    out.close()


def shown(env, masks, episode=0):
    """Returns the true masks of an episode's first two observations and those that a policy was shown."""
    env.reset(seed=0, options={"episode": episode})
    policy = Recorder(env.action_contract.size)
    actor = FolderActor(policy, masks)
    actor.reset(env, 0, episode)
    truth = env.observe()["masks"]
    actor.actions(env)
    actor.actions(env)
    return truth, policy.seen


def test_noisy_masks_have_the_iou_that_was_asked_for_and_differ_from_image_to_image(env):
    truth, (first, second) = shown(env, "noisy:0.6")
    for camera, mask in truth.items():
        assert iou(first[camera], mask) == pytest.approx(0.6, abs=0.05)  # a few pixels of a small target
        assert not np.array_equal(first[camera], second[camera])
        assert np.array_equal(first[camera] == 3, (mask == 3) & (first[camera] != 1))  # the robot stays the robot
    again = shown(env, "noisy:0.6")[1]
    assert all(np.array_equal(again[0][c], first[c]) for c in truth)


def test_truth_is_untouched(env):
    truth, (first, _) = shown(env, "truth")
    assert all(np.array_equal(first[c], truth[c]) for c in truth)


@pytest.mark.parametrize("episode", range(4))
def test_the_detector_finds_toys(env, episode):
    truth, (first, _) = shown(env, "detector", episode)
    assert all(iou(first[c], truth[c]) > 0.9 for c in truth)
    # no labels but its own: the environment's are not looked at
    assert {int(v) for c in truth for v in np.unique(first[c])} <= {0, 1}


@pytest.mark.parametrize(("masks", "least"), [("background", 0.9), ("colour", 0.9), ("box", 0.5)])
@pytest.mark.parametrize("episode", [1, 2])  # 0 is a thin ring, of which a box holds a small part
def test_providers_find_toys(env, masks, least, episode):
    truth, (first, second) = shown(env, masks, episode)
    for seen in (first, second):
        assert all(iou(seen[c], truth[c]) > least for c in truth)
        assert {int(v) for c in truth for v in np.unique(seen[c])} <= {0, 1}
    if masks == "box":  # the box around the true mask, and nothing else of the truth
        assert all((first[c] == 1).sum() == boxed(truth[c] == 1) for c in truth)


def boxed(found):
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    return (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)


def test_the_empty_table_is_the_scene_without_its_objects_and_nothing_moves():
    world = make_grasp_env("toys:test?n=4", image_size=48, clutter=2)
    try:
        before = world.reset(seed=0, options={"episode": 0})[0]
        state, pictures = world.sim_state(), empty_table(world)
        np.testing.assert_array_equal(world.sim_state(), state)
        after = world.observe()
        for camera, picture in pictures.items():
            np.testing.assert_array_equal(after["pixels"][camera], before["pixels"][camera])
            rest = np.isin(before["masks"][camera], (0, 3))
            np.testing.assert_array_equal(picture[rest], before["pixels"][camera][rest])
            assert (picture != before["pixels"][camera])[~rest].any(-1).mean() > 0.95
        assert moving_cameras(world) == {"wrist"}
    finally:
        world.close()
    with pytest.raises(ConfigError, match="give background:FOLDER"):
        empty_table(types.SimpleNamespace())


def test_a_target_that_no_camera_shows_yet_is_prompted_once_one_does():
    truth = {"front": np.zeros((20, 20), np.uint8)}
    world, images = types.SimpleNamespace(true_masks=lambda: truth), {"front": np.zeros((20, 20, 3), np.uint8)}
    images["front"][5:10, 5:10] = 255
    source = mask_source("box")
    source.reset(0, 0, world)
    assert not source.shown({"pixels": images})["masks"]["front"].any()
    truth["front"][5:10, 5:10] = 1
    np.testing.assert_array_equal(source.shown({"pixels": images})["masks"]["front"], truth["front"])


@pytest.mark.parametrize(("text", "needed"), [
    ("truth", True), ("noisy:0.6", True), ("background", True), ("colour", True), ("box", True), ("detector", False),
])
def test_what_needs_the_simulator_or_a_person(text, needed):
    assert needs_simulator(mask_source(text)) is needed


def test_a_provider_of_ones_own(env, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_detector", types.SimpleNamespace(Everything=Everything))
    _, (first, _) = shown(env, "my_detector:Everything")
    assert all(m.all() and m.dtype == np.uint8 for m in first.values())


def test_masks_are_part_of_the_run(env):
    plain = EvaluateConfig("random", "toys:test")
    masked = {m: dataclasses.replace(plain, env=EnvSpec(masks=m)) for m in ("truth", "noisy:0.5", "detector")}
    keys = {run_key(config, "f") for config in masked.values()}
    assert len(keys) == 3
    assert run_key(masked["truth"], "f") == run_key(plain, "f")


@pytest.mark.parametrize(
    "text",
    [
        "noisy", "noisy:0", "noisy:1.5", "noisy:half", "detektor", "no.such.module:thing",
        "toyshift.policies.masks.detector:Nothing", "track", "box:3", "background:",
    ],
)
def test_bad_input(text):
    with pytest.raises(ConfigError, match=r"masks '"):
        mask_source(text)


@pytest.mark.parametrize(("text", "said"), [
    ("os:getcwd", "returns a str, which has no method masks"), ("os:listdir_", "cannot be imported"),
    ("os:curdir", "cannot be called"), ("math:sqrt", "raises TypeError"), (":", "cannot be imported"),
    (".a:b", "cannot be imported"),
])  # fmt: skip
def test_a_provider_that_is_none_is_refused_before_anything_is_played(text, said):
    with pytest.raises(ConfigError, match=said):
        mask_source(text).reset(0, 0)


def test_protocol():
    provider = ColourDetector()
    assert set(provider.masks({"a": np.zeros((8, 8, 3), np.uint8), "b": np.zeros((9, 7, 3), np.uint8)})) == {"a", "b"}


def test_a_policy_is_told_picks_instruction_and_refuses_one_it_does_not_know(tmp_path):
    world = make_grasp_env("toys:test?n=4", image_size=32, task="pick", clutter=1)
    world.reset(seed=0, options={"episode": 0})
    said = world.task_description
    config = PolicyConfig(pooling="mean", width=32, stem=16, hidden=32, instruction="table", vocabulary=(said, "fly"))
    policy = Policy(config, world.action_contract, world.observation_contract)
    actor = FolderActor(TorchPolicy("it", policy))
    actor.reset(world, 0, 0)
    assert said.startswith("pick up the ")
    ours = actor.actions(world)
    world.task_description = "fly"
    actor.reset(world, 0, 0)
    assert not np.allclose(actor.actions(world), ours)  # the same image, told something else
    world.task_description = "swim"
    with pytest.raises(UnknownNameError, match=r"instruction 'swim'.*fly.*pick up the"):
        actor.actions(world)
    world.close()


@pytest.mark.parametrize(("masks", "shift", "iou"), [
    ("truth", "", 1.0), ("noisy:0.6", "", 0.6), ("truth", "mask-offset=5", 0.3), ("truth", "mask-dropout=3", None),
])
def test_the_iou_of_what_a_policy_is_shown_is_measured_on_the_same_images(env, masks, shift, iou):
    env.reset(seed=0, options={"episode": 0, "shift": shift})
    policy = Recorder(env.action_contract.size)
    actor = FolderActor(policy, masks)
    actor.reset(env, 0, 0)
    for _ in range(6):
        actor.actions(env)
        env.advance(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    assert len(actor.ious) == 12  # both cameras see the target
    if iou is None:
        gone = [not (mask == 1).any() for seen in policy.seen for mask in seen.values()]
        assert actor.ious == [float(not missing) for missing in gone]
        assert 0 < sum(gone) < 12
    else:
        assert actor.ious == pytest.approx([iou] * 12, abs=0.05)
    actor.reset(env, 0, 1)
    assert actor.ious == []


def test_images_that_show_too_little_of_the_target_say_nothing():
    true = np.zeros((8, 8), np.uint8)
    true[0, :3] = 1
    whole = np.ones((8, 8), np.uint8)
    assert target_ious({"a": whole}, {"a": true}) == []
    true[0, :4] = 1
    assert target_ious({"a": whole}, {"a": true}) == [4 / 64]
    assert target_ious({"a": 0 * whole}, {"a": true}) == [0.0]
