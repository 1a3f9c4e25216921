"""The dialect of DROID's clients: the inverse of the presets with which we ask DROID's policies."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ContractError
from toyshift.policies import ActingPolicy, PolicyConfig
from toyshift.policies.remote.actions import ActionMeaning
from toyshift.policies.remote.droid import DroidArm, DroidSession, at_rate, check_droid, droid_metadata
from toyshift.policies.remote.keys import Keys, Translator, resize_with_pad, without_pad

JOINTS = tuple(f"joint{i}" for i in range(1, 8))
HAND = ("eef.x", "eef.y", "eef.z", *(f"eef.r{row}{column}" for column in (1, 2) for row in (1, 2, 3)))
ACTIONS = ActionContract(
    "joint_delta", (*(f"d{name}" for name in JOINTS), "gripper"), ("rad",) * 7 + ("1",), (-0.2,) * 7 + (0.0,),
    (0.2,) * 7 + (1.0,), 15.0, JOINTS,
)  # fmt: skip
OBSERVATIONS = ObservationContract(
    (("front", (96, 96)), ("wrist", (96, 96))),
    (*JOINTS, "gripper.opening", *HAND, "lag.x", "lag.y", "lag.z", "command.gripper"),
)
LOW, HIGH = np.full(7, -0.5), np.full(7, 3.0)


def forward(joints: Any) -> tuple[Any, Any]:
    """A hand that is where three joints say, and turned about z by another."""
    c, s = np.cos(joints[3]), np.sin(joints[3])
    return np.asarray(joints[:3], float), np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


ARM = DroidArm(forward, LOW, HIGH, gripper_speed=3.0)


class Recorder(ActingPolicy):
    """Answers a chunk that it is given, and remembers what it saw."""

    def __init__(
        self, chunk: Any, actions: ActionContract = ACTIONS, seen: ObservationContract = OBSERVATIONS, **config: Any
    ) -> None:
        self.chunk, self.shown = np.asarray(chunk, np.float32), []
        fields = {"pooling": "mean", "chunk": len(chunk), "execute": 4} | config
        super().__init__("recorder", PolicyConfig(**fields), actions, seen)

    def predict(self, images: Any, masks: Any, state: Any, instruction: Any = None) -> Any:
        self.shown.append((images, state[0]))
        return self.chunk[None]


def chunk_of(rows: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(-0.2, 0.2, (rows, 7)), rng.uniform(0, 1, (rows, 1))], axis=1)


def asked(joints: Any, closed: float = 0.25, **more: Any) -> dict[str, Any]:
    image = np.full((224, 224, 3), 80, np.uint8)
    return {
        "observation/exterior_image_1_left": image, "observation/wrist_image_left": image + 1,
        "observation/joint_position": np.asarray(joints), "observation/gripper_position": np.array([closed]),
        "prompt": "pick up the mug",
    } | more  # fmt: skip


@pytest.mark.parametrize("rows", [8, 9, 10, 16])
def test_answers_are_ten_joint_velocities_and_how_far_the_gripper_is_closed(rows):
    chunk = chunk_of(rows)
    answer = DroidSession(Recorder(chunk), ARM).infer(asked(np.zeros(7)))["actions"]
    assert answer.shape == (10, 8)
    first = min(rows, 10)
    np.testing.assert_allclose(answer[:first, :7], chunk[:first, :7] / 0.2, atol=1e-6)  # 1 is 0.2 rad in a step
    np.testing.assert_allclose(answer[:first, 7], 1 - chunk[:first, 7], atol=1e-6)  # 1 is closed
    assert not answer[first:, :7].any()  # DROID executes 8: what a shorter chunk does not say is to stand still
    assert (answer[first:, 7] == answer[first - 1, 7]).all()


@pytest.mark.parametrize(
    ("hz", "chunk", "rows"), [(10.0, 8, 10), (10.0, 6, 9), (20.0, 12, 9), (15.0, 9, 9), (7.5, 4, 8)]
)
def test_chunks_of_other_rates_go_the_same_way(hz, chunk, rows):
    deltas = chunk_of(chunk) * 0.3
    found = at_rate(deltas, hz)
    assert found.shape == (rows, 8)
    ours, theirs = np.arange(1, chunk + 1) / hz, np.arange(1, rows + 1) / 15.0  # when steps end [s]
    for joint in range(7):
        ended = np.interp(theirs, [0.0, *ours], [0.0, *np.cumsum(deltas[:, joint])])
        np.testing.assert_allclose(np.cumsum(found[:, joint]), ended, atol=1e-12)
    begun = [int(row / 15.0 * hz + 1e-9) for row in range(rows)]
    np.testing.assert_array_equal(found[:, 7], deltas[begun, 7])


def test_a_policy_at_another_rate_is_served():
    deltas = np.zeros((8, 8))
    deltas[:, 0] = 0.06  # at 10 Hz: 0.04 a step at 15 Hz
    policy = Recorder(deltas, dataclasses.replace(ACTIONS, control_hz=10.0))
    check_droid(policy, finds_masks=False)
    session = DroidSession(policy, ARM)
    np.testing.assert_allclose(session.infer(asked(np.zeros(7)))["actions"][:, 0], 0.04 / 0.2, atol=1e-6)
    session.infer(asked(np.zeros(7)))
    assert policy.shown[1][1][17] == pytest.approx(8 * 0.04)  # lag.x


def test_the_presets_turn_it_back():
    chunk = chunk_of(10)
    chunk[:, 7] = np.round(chunk[:, 7])
    policy = Recorder(chunk)
    ours = {
        "pixels": {c: np.full((96, 96, 3), 80, np.uint8) for c in ("front", "wrist")}, "masks": {},
        "agent_pos": np.zeros(21, np.float32), "task": "pick up the mug",
    }  # fmt: skip
    joints = np.linspace(0.1, 0.7, 7, dtype=np.float32)
    ours["agent_pos"][:8] = [*joints, 0.75]
    sent = Translator(Keys.read("droid"), ACTIONS, OBSERVATIONS, "p")(ours)
    answer = DroidSession(policy, ARM).infer(sent)
    np.testing.assert_allclose(ActionMeaning.read("droid").physical(answer["actions"]), chunk, atol=1e-6)
    images, state = policy.shown[0]
    assert all((image == 80).all() and image.shape == (1, 96, 96, 3) for image in images.values())
    position, rotation = forward(joints)
    np.testing.assert_allclose(state[:8], ours["agent_pos"][:8], atol=1e-6)
    np.testing.assert_allclose(state[8:17], [*position, *rotation[:, 0], *rotation[:, 1]], atol=1e-6)
    np.testing.assert_array_equal(state[17:], [0, 0, 0, 1])  # nothing is commanded that is not there; open


def test_what_was_told_is_in_the_next_state():
    chunk = np.zeros((10, 8))
    chunk[:, :3], chunk[:, 7] = [0.1, -0.1, 0.02], 0.0
    chunk[8:] = 0.2  # not executed
    policy = Recorder(chunk)
    session = DroidSession(policy, ARM)
    session.infer(asked(np.zeros(7)))
    session.infer(asked(np.full(7, 0.05)))
    _, state = policy.shown[1]
    # eight steps further, the second joint at its limit; the gripper at a fifth of the opening a step
    np.testing.assert_allclose(state[17:20], np.array([0.8, -0.5, 0.16]) - 0.05, atol=1e-6)
    assert state[20] == 0.0
    session.infer(asked(np.full(7, 0.05)))
    np.testing.assert_allclose(policy.shown[2][1][17:20], np.array([1.6, -0.5, 0.32]) - 0.05, atol=1e-6)
    session.reset()
    session.infer(asked(np.full(7, 0.3)))
    np.testing.assert_array_equal(policy.shown[3][1][17:], [0, 0, 0, 1])


def test_the_gripper_moves_no_faster_than_it_can():
    chunk = np.zeros((10, 8))
    chunk[6:, 7] = 1.0
    policy = Recorder(chunk)
    session = DroidSession(policy, ARM)
    for _ in range(2):
        session.infer(asked(np.zeros(7)))
    assert policy.shown[1][1][20] == pytest.approx(0.4)  # shut by the sixth step, then two steps of a fifth


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"observation/joint_position": np.zeros(6)}, r"joint_position is \(6,\) float64; it must be \(7,\)"),
        ({"observation/joint_position": np.full(7, np.nan)}, "observation/joint_position must be finite"),
        ({"observation/joint_position": np.full(7, 1e300)}, "observation/joint_position must be finite"),
        ({"observation/gripper_position": "open"}, "observation/gripper_position"),
        ({"observation/gripper_position": [[1.0], [1.0, 2.0]]}, "observation/gripper_position must be an array"),
        ({"observation/wrist_image_left": np.zeros((224, 200, 3), np.uint8)}, "must be a square image"),
        ({"observation/wrist_image_left": np.zeros((224, 224, 3))}, "observation/wrist_image_left is .*float64"),
        ({"observation/wrist_image_left": np.zeros((2, 2, 3), np.uint8)}, "a side of 2 pixels"),
        ({"prompt": 5}, "prompt must be text"),
        ({"observation/exterior_image_1_left": ...}, "have 'observation/exterior_image_1_left'; this one has: obs"),
    ],
)
def test_what_is_wrong_is_called_as_droid_calls_it(change, what):
    whole = {key: value for key, value in (asked(np.zeros(7)) | change).items() if value is not ...}
    with pytest.raises(ContractError, match=what):
        DroidSession(Recorder(chunk_of(10)), ARM).infer(whole)


@pytest.mark.parametrize(
    ("policy", "what"),
    [
        (Recorder(chunk_of(10), dataclasses.replace(ACTIONS, mode="joint_pos")), "acts in joint_pos, DROID's"),
        (Recorder(chunk_of(10), dataclasses.replace(ACTIONS, control_hz=20.0)), r"predicts 0.5 s, DROID's"),
        (Recorder(chunk_of(7)), "predicts 0.47 s, DROID's clients execute 0.53 s before they ask again"),
        (Recorder(chunk_of(10), pooling="detpool"), r"needs masks \(--masks finds them\), which no client sends"),
        (
            Recorder(chunk_of(10), seen=dataclasses.replace(OBSERVATIONS, cameras=(("side", (8, 8)),))),
            "needs the camera side",
        ),
        (
            Recorder(chunk_of(10), seen=dataclasses.replace(OBSERVATIONS, state_names=(*JOINTS, "torque1"))),
            "needs torque1 in its state",
        ),
        (
            Recorder(chunk_of(10), policy_net="transformer-tiny", history=3),
            "remembers observations 0.27 s apart, DROID's clients send one every 0.53 s",
        ),
        (Recorder(chunk_of(10), ensemble=0.1), "remembers observations 0.27 s apart"),
    ],
)
def test_policies_that_do_not_fit_are_refused_by_name(policy, what):
    with pytest.raises(ContractError, match=what):
        check_droid(policy, finds_masks=False)
    check_droid(Recorder(chunk_of(10)), finds_masks=False)
    check_droid(Recorder(chunk_of(10), pooling="detpool"), finds_masks=True)
    check_droid(Recorder(chunk_of(10), execute=8, ensemble=0.1), finds_masks=False)


def test_the_metadata_leave_keys_and_actions_to_the_client():
    said = droid_metadata(Recorder(chunk_of(10)), "f00d")["toyshift"]
    assert said["dialect"] == "droid"
    assert not {"action_contract", "observation_contract", "execute"} & set(said)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (72, 96), (90, 160), (160, 90)])
def test_without_pad_is_the_inverse_of_padding(height, width):
    ramp = np.linspace(20, 220, width)[None, :, None] + np.linspace(-20, 20, height)[:, None, None]
    image = np.repeat(ramp, 3, axis=2).astype(np.uint8)
    back = without_pad(resize_with_pad(image, 224), (height, width))
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).max() <= 4  # a slope, twice interpolated
    square = np.zeros((96, 96, 3), np.uint8)
    assert without_pad(square, (96, 96)) is square
