"""Open X-Embodiment: the sub-datasets with their keys and encodings, how each is standardised, and named mixtures.

Standardised, as the published loaders (Octo, OpenVLA) do it:
    images  primary (external), secondary (external), wrist
    state   8 numbers: POS_EULER x y z, roll pitch yaw, pad, gripper; POS_QUAT x y z, quaternion, gripper;
            JOINT 7 joints (padded), gripper
    action  EEF_POS: change of x y z, change of roll pitch yaw, gripper; JOINT_POS: change of 7 joints, gripper.
            The gripper is absolute: 1 open, 0 closed.
The datasets differ in units and frames of their movements, and the published loaders leave these as they are; so the
frame in the action contract reads "as recorded in NAME", and two of them never pass for the same contract: mix them
normalised by their own statistics.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

import numpy as np

from toyshift.core.arrays import Float32
from toyshift.core.contract import ACTION, STATE, ActionContract
from toyshift.core.errors import ConfigError, ContractError, UnknownNameError
from toyshift.data.formats.oxe_parts import (
    Part,
    Steps,
    clipped,
    column,
    constant,
    euler,
    from_relative,
    inverted,
    joined,
    settled,
    unpacked,
)


class StateEncoding(enum.Enum):
    """Meaning of the standardised state, entry by entry."""

    NONE = ()
    POS_EULER = ("x", "y", "z", "roll", "pitch", "yaw", "pad", "gripper")
    POS_QUAT = ("x", "y", "z", "qx", "qy", "qz", "qw", "gripper")
    JOINT = ("joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "joint7", "gripper")


class ActionEncoding(enum.Enum):
    """Meaning of the standardised action, entry by entry."""

    EEF_POS = ("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper")
    JOINT_POS = ("djoint1", "djoint2", "djoint3", "djoint4", "djoint5", "djoint6", "djoint7", "gripper")


@dataclasses.dataclass(frozen=True)
class OxeDataset:
    """One sub-dataset and its standardisation.

    Attributes:
        images: "primary", "secondary", "wrist" -> key of the observation, for those there are.
        state: parts that make the standardised state; none: the dataset has no state.
        action: parts that make the standardised action.
        control_hz: nominal rate [Hz].
        state_encoding, action_encoding: what the entries mean.
        task: column of the instruction.
        drop_first: whether the first step is dropped (Bridge's holds an all-zero action).
        reached: whether the movement is replaced by the change of `observation/state[:6]` that it led to; the last step
            is dropped.
    """

    images: Mapping[str, str]
    state: tuple[Part, ...]
    action: tuple[Part, ...]
    control_hz: float
    state_encoding: StateEncoding
    action_encoding: ActionEncoding = ActionEncoding.EEF_POS
    task: str = "language_instruction"
    drop_first: bool = False
    reached: bool = False


_IN, _WORLD = "observation", "action/rel_actions_world"
_CARTESIAN, _REACHED = "end_effector_cartesian_pos", "base_pose_tool_reached"
_TOLD = f"{_IN}/natural_language_instruction"
_PAD = constant(0.0)
EULER, QUAT, JOINT, NONE = StateEncoding.POS_EULER, StateEncoding.POS_QUAT, StateEncoding.JOINT, StateEncoding.NONE


def _views(primary: str = "", secondary: str = "", wrist: str = "") -> dict[str, str]:
    return {role: key for role, key in (("primary", primary), ("secondary", secondary), ("wrist", wrist)) if key}


def _seen(key: str, start: int | None = None, stop: int | None = None) -> Part:
    return column(f"{_IN}/{key}", start, stop)


def _moved(*gripper: Part) -> tuple[Part, ...]:
    """Actions that are dictionaries with world_vector and rotation_delta."""
    return (column("action/world_vector"), column("action/rotation_delta"), *gripper)


# What several rows have in common: pictures, states, movements and grippers.
_IMAGE, _IMAGES = _views("image"), _views("image", wrist="wrist_image")
_STATE, _STATE6 = (_seen("state"),), (_seen("state", 0, 6), _PAD, _seen("state", -1))
_STATE8 = (_seen("state", 0, 8),)
_ACTION, _MOVE, _LAST = column("action"), column("action", 0, 6), column("action", -1)
_QUATERNION_MOVE = (column("action", 0, 3), euler(column("action", 3, 7)))
_CLOSED_LAST = (_MOVE, inverted(clipped(_LAST)))
_CLOSEDNESS = column("action/gripper_closedness_action", 0, 1)
_FUTURE = "action/future"
_CLOSE = column(f"{_FUTURE}/target_close", 0, 1)
_ABSOLUTE, _RELATIVE = inverted(clipped(_CLOSEDNESS)), from_relative(_CLOSEDNESS)
_BRIDGE = OxeDataset(_views("image_0", "image_1"), _STATE6, (_MOVE, settled(_LAST)), 5.0, EULER, reached=True)

# Adding a sub-dataset is adding a row.
OXE_DATASETS: dict[str, OxeDataset] = {
    "fractal20220817_data": OxeDataset(
        _IMAGE, (_seen(_REACHED), _seen("gripper_closed")), _moved(_RELATIVE), 3.0, QUAT, task=_TOLD
    ),
    "kuka": OxeDataset(
        _IMAGE, (unpacked(f"{_IN}/clip_function_input/{_REACHED}", 7), unpacked(f"{_IN}/gripper_closed", 1)),
        _moved(_RELATIVE), 10.0, QUAT, task=_TOLD,
    ),
    "bridge_dataset": _BRIDGE,
    "bridge_orig": dataclasses.replace(_BRIDGE, drop_first=True),
    "taco_play": OxeDataset(
        _views("rgb_static", wrist="rgb_gripper"), (_seen("robot_obs", 0, 6), _PAD, _seen("robot_obs", 7, 8)),
        (column(_WORLD, 0, 6), clipped(column(_WORLD, -1))), 15.0, EULER, task=_TOLD,
    ),
    "jaco_play": OxeDataset(
        _views("image", wrist="image_wrist"), (_seen(_CARTESIAN, 0, 6), _PAD, _seen(_CARTESIAN, -1)),
        (column("action/world_vector"), constant(0.0, 3), _RELATIVE), 10.0, EULER, task=_TOLD,
    ),
    "berkeley_cable_routing": OxeDataset(
        _views("image", "top_image", "wrist45_image"), (_seen("robot_state"), _PAD), _moved(_PAD), 10.0, JOINT,
        task=_TOLD,
    ),
    "roboturk": OxeDataset(_views("front_rgb"), (), _moved(_ABSOLUTE), 10.0, NONE, task=_TOLD),
    "nyu_door_opening_surprising_effectiveness": OxeDataset(
        _views(wrist="image"), (), _moved(_RELATIVE), 3.0, NONE, task=_TOLD
    ),
    "viola": OxeDataset(
        _views("agentview_rgb", wrist="eye_in_hand_rgb"), (_seen("joint_states"), _seen("gripper_states")),
        _moved(_ABSOLUTE), 20.0, JOINT, task=_TOLD,
    ),
    "berkeley_autolab_ur5": OxeDataset(
        _views("image", wrist="hand_image"), (_seen("robot_state", 6, 14),), _moved(_RELATIVE), 5.0, QUAT, task=_TOLD
    ),
    "toto": OxeDataset(_IMAGE, (*_STATE, _PAD), _moved(column("action/open_gripper")), 30.0, JOINT, task=_TOLD),
    "language_table": OxeDataset(
        _views("rgb"), (_seen("effector_translation"), constant(0.0, 6)), (_ACTION, constant(0.0, 4), constant(1.0)),
        10.0, EULER, task=f"{_IN}/instruction",
    ),
    "stanford_hydra_dataset_converted_externally_to_rlds": OxeDataset(
        _IMAGES, (_seen("state", 0, 3), _seen("state", 7, 10), _PAD, _seen("state", -3, -2)),
        (_MOVE, inverted(_LAST)), 10.0, EULER,
    ),
    "austin_buds_dataset_converted_externally_to_rlds": OxeDataset(_IMAGES, _STATE8, _CLOSED_LAST, 20.0, JOINT),
    "nyu_franka_play_dataset_converted_externally_to_rlds": OxeDataset(
        _views("image", "image_additional_view"), (_seen("state", -6), constant(0.0, 2)),
        (column("action", -8, -2), clipped(column("action", -2, -1))), 3.0, EULER,
    ),
    "furniture_bench_dataset_converted_externally_to_rlds": OxeDataset(
        _IMAGES, (_seen("state", 0, 7), _seen("state", -1)), (*_QUATERNION_MOVE, inverted(clipped(_LAST))), 10.0, QUAT
    ),
    "ucsd_kitchen_dataset_converted_externally_to_rlds": OxeDataset(
        _IMAGE, (_seen("state", 0, 7), _PAD), (column("action", 0, -1),), 2.0, JOINT
    ),
    "austin_sailor_dataset_converted_externally_to_rlds": OxeDataset(_IMAGES, _STATE, _CLOSED_LAST, 20.0, QUAT),
    "austin_sirius_dataset_converted_externally_to_rlds": OxeDataset(_IMAGES, _STATE, _CLOSED_LAST, 20.0, QUAT),
    "bc_z": OxeDataset(
        _IMAGE, (_seen("present/xyz"), _seen("present/axis_angle"), _PAD, _seen("present/sensed_close")),
        (*(column(f"{_FUTURE}/{part}_residual", 0, 3) for part in ("xyz", "axis_angle")), inverted(_CLOSE)),
        10.0, EULER, task=_TOLD,
    ),
    "dlr_edan_shared_control_converted_externally_to_rlds": OxeDataset(
        _IMAGE, (*_STATE, _PAD), (_MOVE, inverted(_LAST)), 5.0, EULER
    ),
    "iamlab_cmu_pickup_insert_converted_externally_to_rlds": OxeDataset(
        _IMAGES, _STATE8, (*_QUATERNION_MOVE, column("action", 7, 8)), 20.0, JOINT
    ),
    "utaustin_mutex": OxeDataset(_IMAGES, _STATE8, _CLOSED_LAST, 20.0, JOINT),
    "berkeley_fanuc_manipulation": OxeDataset(
        _IMAGES, (_seen("state", 0, 6), _PAD, _seen("state", 6, 7)), (_ACTION, inverted(_seen("state", 6, 7))), 10.0,
        JOINT,
    ),
    "cmu_stretch": OxeDataset(
        _IMAGE, (_seen("state", 0, 3), constant(0.0, 4), _seen("state", -1)), (column("action", 0, -1),), 10.0, EULER
    ),
    "berkeley_rpt_converted_externally_to_rlds": OxeDataset(
        _views(wrist="hand_image"), (_seen("joint_pos"), _seen("gripper")), (_ACTION,), 30.0, JOINT,
        ActionEncoding.JOINT_POS,
    ),
}

_SOUP: dict[str, float] = {
    "fractal20220817_data": 0.54087122203, "kuka": 0.8341046294, "bridge_orig": 1.0, "taco_play": 2.0, "jaco_play": 1.0,
    "berkeley_cable_routing": 1.0, "roboturk": 2.0, "viola": 2.0, "berkeley_autolab_ur5": 2.0, "toto": 1.0,
    "language_table": 0.1, "stanford_hydra_dataset_converted_externally_to_rlds": 2.0,
    "austin_buds_dataset_converted_externally_to_rlds": 1.0,
    "nyu_franka_play_dataset_converted_externally_to_rlds": 3.0,
    "furniture_bench_dataset_converted_externally_to_rlds": 0.1,
    "ucsd_kitchen_dataset_converted_externally_to_rlds": 2.0,
    "austin_sailor_dataset_converted_externally_to_rlds": 1.0,
    "austin_sirius_dataset_converted_externally_to_rlds": 1.0,
    "dlr_edan_shared_control_converted_externally_to_rlds": 1.0,
    "iamlab_cmu_pickup_insert_converted_externally_to_rlds": 1.0, "utaustin_mutex": 1.0,
    "berkeley_fanuc_manipulation": 2.0, "cmu_stretch": 1.0,
}  # fmt: skip

# Published weights (OpenVLA's; the soup is `papers.md` 1.1): how often a dataset is drawn, beside its size.
OXE_MIXTURES: dict[str, dict[str, float]] = {
    "bridge": {"bridge_orig": 1.0},
    "bridge_rt_1": {"bridge_orig": 1.0, "fractal20220817_data": 1.0},
    "rtx": {
        "fractal20220817_data": 0.54087122203, "kuka": 0.8341046294, "bridge_orig": 1.0, "taco_play": 2.0,
        "jaco_play": 2.0, "berkeley_cable_routing": 3.0, "roboturk": 1.0, "viola": 2.0, "berkeley_autolab_ur5": 1.0,
        "toto": 1.0,
    },
    "oxe_magic_soup": _SOUP,
}  # fmt: skip


def oxe_dataset(name: str) -> OxeDataset:
    """Returns the row of a sub-dataset."""
    if name not in OXE_DATASETS:
        raise UnknownNameError("Open X-Embodiment dataset", name, OXE_DATASETS)
    return OXE_DATASETS[name]


def oxe_mixture(name: str) -> dict[str, float]:
    """Returns the weights of a named mixture."""
    if name not in OXE_MIXTURES:
        raise UnknownNameError("Open X-Embodiment mixture", name, OXE_MIXTURES)
    return dict(OXE_MIXTURES[name])


def standardise(name: str, steps: Steps) -> tuple[dict[str, Float32], slice]:
    """Returns the standardised state and action of one episode, and which of its steps remain.

    Args:
        name: sub-dataset.
        steps: flat columns of the episode, (T, ...) each; images need not be among them.

    Returns:
        {"observation.state": (T', S), "action": (T', A)} (no state where the dataset has none), and the slice of T that
        leaves T'.

    Raises:
        ContractError: a column is missing, or what comes out has not the size of its encoding.
    """
    row = oxe_dataset(name)
    length = len(next(iter(steps.values())))
    keep = slice(int(row.drop_first), length - int(row.reached))
    if keep.stop - keep.start < 1:
        dropped = length - keep.stop + keep.start
        raise ContractError(f"an episode of {name} has {length} steps; {dropped} are dropped, so none is left")
    rest = {key: values[keep.start :] for key, values in steps.items()}
    action = joined(row.action, rest)
    if row.reached:
        pose = _seen("state", 0, 6)(rest)
        action = np.concatenate([np.diff(pose, axis=0), action[:-1, 6:]], axis=1)
    out = {ACTION: action}
    if row.state:
        out[STATE] = joined(row.state, rest)[: len(action)]
    for key, names in ((ACTION, row.action_encoding.value), (STATE, row.state_encoding.value)):
        if key in out and out[key].shape[1] != len(names):
            raise ContractError(
                f"{name}: {key} has {out[key].shape[1]} entries, its encoding has {len(names)} ({', '.join(names)}): "
                "is this folder another dataset, or another version of it?"
            )
    return out, keep


def oxe_contract(name: str, low: Float32, high: Float32, control_hz: float = 0.0) -> ActionContract:
    """Returns the action contract of a standardised sub-dataset, with the bounds that its data have."""
    row = oxe_dataset(name)
    names = row.action_encoding.value
    joints = row.action_encoding is ActionEncoding.JOINT_POS
    if not np.isfinite([low, high]).all() or len(low) != len(names):
        raise ConfigError(f"bounds of {name} must be {len(names)} finite numbers each")
    units = ("rad",) * (len(names) - 1) if joints else ("m",) * 3 + ("rad",) * 3
    return ActionContract(
        mode="joint_delta" if joints else "eef_delta", names=names, units=(*units, "1"),
        low=tuple(map(float, low)), high=tuple(map(float, high)), control_hz=control_hz or row.control_hz,
        joint_names=tuple(n.removeprefix("d") for n in names[:-1]) if joints else (),
        frame=f"as recorded in {name}", rotation="none" if joints else "roll, pitch, yaw about fixed x, y, z",
    )
