"""The interface gate: every mistake that is planted is named, sound policies are left alone, what cannot be told is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toyshift.core.arrays import Array
from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError
from toyshift.core.proprioception import names_of, proprioception
from toyshift.diagnostics.interface.gate import ExpertFrames, check_interface, interface_of, readings
from toyshift.diagnostics.interface.miswirings import Interface, Observation, miswirings

STATE = names_of(proprioception(("joint1",)))  # no entry that no environment tells
MOVES = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
ACTION = ActionContract(
    "eef_delta", MOVES, ("m",) * 3 + ("rad",) * 3 + ("1",), (-0.05,) * 3 + (-0.3,) * 3 + (0.0,),
    (0.05,) * 3 + (0.3,) * 3 + (1.0,), 10.0, ("joint1",),
)  # fmt: skip
SEEN = ObservationContract((("front", (8, 8)), ("wrist", (8, 8))), STATE)
SIZE = 2 * (8 * 8 * 3 + 8 * 8)
SPREAD = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.3])
MIDDLE = np.array([0.01, -0.01, 0.01, 0.02, 0.0, 0.03, 0.5])


class LinearPolicy:
    """Answers with a linear function of all that it sees: all pixels, masks and entries of the state count.

    Args:
        sees: (3,) weight of the images, of the masks and of the state.
        seed: of the weights.
    """

    def __init__(self, *sees: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        parts = (384, 128, len(STATE))
        weights = [w * rng.standard_normal((n, 3 * 7)) / np.sqrt(n) for w, n in zip(sees, parts, strict=True)]
        self.weights = np.concatenate(weights) / np.linalg.norm(sees)

    def __call__(self, observations: Sequence[Observation]) -> Array:
        inputs = []
        for one in observations:
            images = [(np.asarray(one["pixels"][c], np.float64).ravel() - 128) / 74 for c in ("front", "wrist")]
            masks = [np.asarray(one["masks"][c], np.float64).ravel() - 1.5 for c in ("front", "wrist")]
            inputs.append(np.concatenate([*images, *masks, (one["agent_pos"] - 0.3) / 0.2]))
        return MIDDLE + SPREAD * np.tanh((np.array(inputs) @ self.weights).reshape(-1, 3, 7))


def states(episodes: int, looks: int) -> tuple[list[dict[str, Any]], Any]:
    rng = np.random.default_rng(1)
    seen = [
        {
            "pixels": {c: rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for c in ("front", "wrist")},
            "masks": {c: rng.integers(0, 4, (8, 8), dtype=np.uint8) for c in ("front", "wrist")},
            "agent_pos": (0.3 + 0.2 * rng.standard_normal(len(STATE))).astype(np.float32),
        }
        for _ in range(episodes * looks)
    ]
    rotation = STATE.index("eef.r11")
    for one, turn in zip(seen, Rotation.random(len(seen), random_state=3), strict=True):
        one["agent_pos"][rotation : rotation + 6] = turn.as_matrix()[:, :2].T.ravel()
    return seen, np.repeat(np.arange(episodes), looks)


def frames_of(policy: LinearPolicy, episodes: int = 16, looks: int = 4, noise: float = 0.1) -> ExpertFrames:
    """Frames in which the expert does what the policy does, but for noise."""
    seen, numbers = states(episodes, looks)
    actions = policy(seen)
    actions = actions + noise * SPREAD * np.random.default_rng(2).standard_normal(actions.shape)
    actions[numbers == 0, 1:] = np.nan  # an episode that ends
    return ExpertFrames(seen, actions, numbers)


POLICY = LinearPolicy(2.0, 2.0, 2.0)
FRAMES = frames_of(POLICY)
INTERFACE = interface_of(FRAMES, ACTION, SEEN)
MISTAKES = {mistake.name: mistake for mistake in miswirings(INTERFACE)}


def test_a_sound_policy_is_sound_and_every_mistake_ruled_out_that_changes_its_answers() -> None:
    report = check_interface(POLICY, FRAMES, INTERFACE, "linear")
    assert report.sound
    assert report.named == ()
    assert {sign.told for sign in report.signs} == {"ruled out"}
    assert report.verdict.startswith("nothing is wrong that shows: actions are 0.")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_named(name: str) -> None:
    report = check_interface(MISTAKES[name].plant(POLICY), FRAMES, INTERFACE)
    assert report.named[0] == name
    assert not report.sound
    assert report.verdict.startswith(f"looks as if {MISTAKES[name].words}")
    assert report.to_json()["named"] == report.named


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_planted_is_taken_back_exactly(name: str) -> None:
    there_and_back = MISTAKES[name].undo(MISTAKES[name].plant(POLICY))
    np.testing.assert_allclose(there_and_back(FRAMES.observations), POLICY(FRAMES.observations), atol=1e-5)


def test_what_a_policy_does_not_look_at_cannot_be_told() -> None:
    blind = LinearPolicy(0.0, 1.0, 2.0)  # sees masks, as detection pooling does, and no colours
    frames = frames_of(blind)
    report = check_interface(MISTAKES["bgr"].plant(blind), frames, interface_of(frames, ACTION, SEEN))
    told = {sign.name: sign.told for sign in report.signs}
    assert told["bgr"] == "cannot be told"
    assert told["front-wrist"] == "ruled out"
    assert report.named == ()
    assert "cannot be told: bgr" in report.verdict


def test_an_inverted_opening_is_named_where_only_the_measured_one_is_sent() -> None:
    """As keys of LIBERO and DROID send it; the environment tells 1 open and 0.012 shut, whatever the hand's width."""
    policy, place = LinearPolicy(0.0, 0.0, 1.0), STATE.index("gripper.opening")
    sent = np.arange(len(policy.weights)) == len(policy.weights) - len(STATE) + place
    policy.weights = np.where(sent[:, None], policy.weights, 0.0)
    seen, numbers = states(16, 4)
    for one, opening in zip(seen, np.random.default_rng(4).uniform(0.012, 1.0, len(seen)), strict=True):
        one["agent_pos"][place] = opening
    frames = ExpertFrames(seen, policy(seen), numbers)

    def inverted(observations: Sequence[Observation]) -> Array:
        there = np.eye(len(STATE), dtype=np.float32)[place]
        turned = [one["agent_pos"] * (1 - 2 * there) + there for one in observations]
        return policy([{**one, "agent_pos": state} for one, state in zip(observations, turned, strict=True)])

    report = check_interface(inverted, frames, interface_of(frames, ACTION, SEEN))
    assert report.named == ("opening-measured", "openings")  # what is commanded is not sent
    told = {sign.name: sign.told for sign in report.signs}
    assert told["opening-commanded"] == "cannot be told"


def test_an_untrained_policy_is_unlike_the_expert_and_no_mistake_explains_it() -> None:
    report = check_interface(LinearPolicy(1.0, 1.0, 1.0, seed=1), FRAMES, INTERFACE)
    assert not report.alike
    assert report.named == ()
    assert report.verdict.startswith("unlike the expert in every reading")


def test_actions_that_say_little_are_not_made_small_to_be_right() -> None:
    """Turns unlike the expert's come nearer where they are taken to be in degrees, so hardly any."""

    def turning(observations: Sequence[Observation]) -> Array:
        chunks = POLICY(observations)
        chunks[..., 3:6] = MIDDLE[3:6] + (POLICY(observations[::-1])[..., 3:6] - MIDDLE[3:6])
        return chunks

    report = check_interface(turning, FRAMES, INTERFACE)
    degrees = next(sign for sign in report.signs if sign.name == "actions-degrees")
    assert degrees.nearer > 0.05
    assert report.named == ()


def test_what_explains_it_as_well_is_named_beside() -> None:
    """Images that look the same when turned by 180 degrees are upside down where they are mirrored."""
    seen, numbers = states(16, 4)
    for one in seen:
        for kind in ("pixels", "masks"):
            for image in one[kind].values():
                image[4:] = image[3::-1, ::-1]
    frames = ExpertFrames(seen, POLICY(seen), numbers)
    report = check_interface(MISTAKES["mirrored"].plant(POLICY), frames, interface_of(frames, ACTION, SEEN))
    assert set(report.named) == {"mirrored", "upside-down"}
    assert ", or the images were" in report.verdict
    assert next(sign.told for sign in report.signs if sign.name == "turned") == "cannot be told"


def test_a_policy_is_asked_as_often_as_is_said_before() -> None:
    asked = 0

    def counting(observations: Sequence[Observation]) -> Array:
        nonlocal asked
        asked += len(observations)
        return POLICY(observations)

    check_interface(counting, FRAMES, INTERFACE)
    assert asked == len(FRAMES.observations) * readings(INTERFACE)
    assert 24 * 6 * readings(INTERFACE) == 3024  # docs/remote_policies.md, and --help of --interface


def test_too_few_episodes_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 episodes of the expert tell nothing from chance; at least 3"):
        check_interface(POLICY, frames_of(POLICY, episodes=2), INTERFACE)


def test_only_what_an_interface_has_is_asked() -> None:
    bare = Interface(
        ActionContract("joint_pos", ("joint1", "joint2"), ("rad", "rad"), (-3.0, -3.0), (3.0, 3.0), 10.0, ("joint1",)),
        ObservationContract((("front", (8, 8)), ("side", (4, 4))), ("joint1", "joint2")),
        np.ones((2, 2)), np.ones((2, 2)),
    )  # fmt: skip
    names = {mistake.name for mistake in miswirings(bare)}
    assert names == {
        "bgr", "upside-down", "upside-down-front", "upside-down-side", "mirrored", "mirrored-front", "mirrored-side",
        "turned", "turned-front", "turned-side", "state-normalised", "state-raw", "state-degrees",
        "actions-normalised", "actions-scaled", "actions-degrees",
    }  # fmt: skip
