"""Mistakes at the interface between an environment and a policy: what each does, and what undoes it.

One function serves both sides. `plant` makes the mistake, for tests; `undo` is applied around a policy that may suffer
from it, and gives back what it would have done: where its actions then come nearer to the expert's, the mistake is
named (`gate.py`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.contract import ActionContract, ObservationContract

Observation = Mapping[str, Any]  # of an environment: "pixels", "masks", "agent_pos"
Predict = Callable[[Sequence[Observation]], Array]  # observations -> chunks (B, K, A), each a first one
See = Callable[[Observation], Observation]
Do = Callable[[Array], Array]

IMAGES, MASKS, STATE = "pixels", "masks", "agent_pos"
DEGREES = 180.0 / np.pi
SPREAD = 1e-6  # below it an entry does not vary, and is not standardised


@dataclasses.dataclass(frozen=True)
class Interface:
    """What a policy is told and what its actions mean, with the spread of both in the expert's hands.

    Attributes:
        action: the contract of its actions.
        observation: the contract of its observations.
        state: (2, S) mean and standard deviation of the state.
        actions: (2, A) mean and standard deviation of the expert's actions.
    """

    action: ActionContract
    observation: ObservationContract
    state: Array
    actions: Array

    def entries(self, *names: str) -> list[int]:
        """Returns the places of those of these names that the state has, in this order."""
        known = self.observation.state_names
        return [known.index(name) for name in names if name in known]

    def moves(self, *names: str) -> list[int]:
        """Returns the places of those of these names that an action has, in this order."""
        return [self.action.names.index(name) for name in names if name in self.action.names]


@dataclasses.dataclass(frozen=True)
class Miswiring:
    """One mistake.

    Attributes:
        name: short, for tables.
        words: completes "looks as if ...".
        seen: what it does to an observation; None nothing.
        seen_back: undoes that: `seen(seen_back(x))` is x.
        done: what it does to chunks (..., A); None nothing.
        done_back: undoes that: `done_back(done(a))` is a.
    """

    name: str
    words: str
    seen: See | None = None
    seen_back: See | None = None
    done: Do | None = None
    done_back: Do | None = None

    def plant(self, predict: Predict) -> Predict:
        """Returns the policy with this mistake."""
        return _around(predict, self.seen, self.done)

    def undo(self, predict: Predict) -> Predict:
        """Returns the policy with this mistake taken back; without the mistake it gets the opposite one."""
        return _around(predict, self.seen_back, self.done_back)


def _around(predict: Predict, see: See | None, do: Do | None) -> Predict:
    def answer(observations: Sequence[Observation]) -> Array:
        chunks = predict([see(one) for one in observations] if see else observations)
        return do(np.array(chunks, dtype=np.float64)) if do else np.asarray(chunks, dtype=np.float64)

    return answer


def miswirings(interface: Interface) -> list[Miswiring]:
    """Returns the mistakes that an interface can have."""
    return [*_of_cameras(interface), *_of_state(interface), *_of_actions(interface)]


# ---------------------------------------------------------------- images


def _of_cameras(interface: Interface) -> list[Miswiring]:
    cameras = dict(interface.observation.cameras)
    made = []
    for one, other in itertools.combinations(cameras, 2):
        if cameras[one] == cameras[other]:
            swap = _cameras_as({one: other, other: one})
            made.append(_own_inverse(f"{one}-{other}", f"the cameras {one} and {other} were swapped", seen=swap))
    if cameras:
        colours = _images_by(lambda image: image[..., ::-1], cameras, masks=False)
        made.append(_own_inverse("bgr", "red and blue were swapped in the images", seen=colours))
        whole = tuple(cameras)
        for name, words, turn in (
            ("upside-down", "upside down (rows in the opposite order)", lambda image: image[::-1]),
            ("mirrored", "mirrored (columns in the opposite order)", lambda image: image[:, ::-1]),
            ("turned", "turned by 180 degrees", lambda image: image[::-1, ::-1]),
        ):
            made.append(_own_inverse(name, f"the images were {words}", seen=_images_by(turn, whole)))
            made += [
                _own_inverse(f"{name}-{one}", f"the images of {one} were {words}", seen=_images_by(turn, [one]))
                for one in (whole if len(whole) > 1 else ())
            ]
    return made


def _cameras_as(other: Mapping[str, str]) -> See:
    def see(observation: Observation) -> Observation:
        kinds = {
            kind: {camera: images[other.get(camera, camera)] for camera in images}
            for kind, images in observation.items()
            if kind in (IMAGES, MASKS)
        }
        return {**observation, **kinds}

    return see


def _images_by(change: Callable[[Any], Any], cameras: Sequence[str] | Mapping[str, Any], masks: bool = True) -> See:
    def see(observation: Observation) -> Observation:
        kinds = {
            kind: {c: np.ascontiguousarray(change(image)) if c in cameras else image for c, image in images.items()}
            for kind, images in observation.items()
            if kind == IMAGES or (masks and kind == MASKS)
        }
        return {**observation, **kinds}

    return see


# ---------------------------------------------------------------- state

AXES = [[f"{part}.{axis}" for axis in "xyz"] for part in ("eef", "lag")]
ROTATION = [f"eef.r{row}{column}" for column in "12" for row in "123"]  # the first two columns


def _of_state(interface: Interface) -> list[Miswiring]:
    names = interface.observation.state_names
    if not names:
        return []
    mean, std = interface.state[0], np.where(interface.state[1] > SPREAD, interface.state[1], 1.0)
    made = [
        Miswiring(
            "state-normalised", "the state were normalised before it is given",
            seen=_state_by(lambda s: (s - mean) / std), seen_back=_state_by(lambda s: s * std + mean),
        ),
        Miswiring(
            "state-raw", "the state were not normalised, where it must be",
            seen=_state_by(lambda s: s * std + mean), seen_back=_state_by(lambda s: (s - mean) / std),
        ),
    ]  # fmt: skip
    if lengths := interface.entries(*itertools.chain(*AXES)):
        for unit, factor in (("mm", 1000.0), ("cm", 100.0)):
            made.append(_scaled(f"state-{unit}", f"lengths of the state were in {unit}", lengths, factor))
    if angles := [i for i, name in enumerate(names) if name.startswith("joint")]:
        made.append(_scaled("state-degrees", "joint angles of the state were in degrees", angles, DEGREES))
    if len(rotation := interface.entries(*ROTATION)) == len(ROTATION):
        turn = _state_by(lambda s: _transposed(s, rotation))
        made.append(_own_inverse("rotation", "the hand's rotation matrix were read by rows, not columns", seen=turn))
    measured, commanded = interface.entries("gripper.opening"), interface.entries("command.gripper")
    if measured:
        made.append(_inverted("opening-measured", "the gripper's measured opening were inverted", measured))
    if commanded:
        made.append(_inverted("opening-commanded", "the gripper's commanded opening were inverted", commanded))
    if measured and commanded:
        words = "the gripper's openings, measured and commanded, were inverted"
        made.append(_inverted("openings", words, measured + commanded))
    return made


def _inverted(name: str, words: str, entries: list[int]) -> Miswiring:
    """Returns that shares of 0..1 are told as 1..0."""
    return _own_inverse(name, words, seen=_state_by(lambda s: _with(s, entries, 1 - s[entries])))


def _state_by(change: Callable[[Array], Array]) -> See:
    def see(observation: Observation) -> Observation:
        state = np.array(observation[STATE], dtype=np.float64)
        return {**observation, STATE: change(state).astype(np.float32)}

    return see


def _scaled(name: str, words: str, entries: list[int], factor: float) -> Miswiring:
    def by(k: float) -> See:
        return _state_by(lambda s: _with(s, entries, k * s[entries]))

    return Miswiring(name, words, seen=by(factor), seen_back=by(1 / factor))


def _with(vector: Array, entries: list[int], values: Array) -> Array:
    vector[entries] = values
    return vector


def _transposed(state: Array, entries: list[int]) -> Array:
    """Returns a state whose two columns of a rotation matrix are those of its transpose."""
    first, second = state[entries[:3]], state[entries[3:]]
    whole = np.stack([first, second, np.cross(first, second)])  # rows: the columns of the matrix
    return _with(state, entries, np.concatenate([whole[:, 0], whole[:, 1]]))


# ---------------------------------------------------------------- actions


def _of_actions(interface: Interface) -> list[Miswiring]:
    contract, made = interface.action, []
    low, high = np.array(contract.low), np.array(contract.high)
    mean, std = interface.actions[0], np.where(interface.actions[1] > SPREAD, interface.actions[1], 1.0)
    if gripper := interface.moves("gripper"):
        other_way, signed = _entries_by(gripper, lambda a: 1 - a), _entries_by(gripper, lambda a: 2 * a - 1)
        unsigned = _entries_by(gripper, lambda a: (a + 1) / 2)
        words = "the gripper's command were -1 to 1, not 0 to 1"
        made.append(_own_inverse("gripper", "the gripper were inverted", done=other_way))
        made.append(Miswiring("gripper-signed", words, done=signed, done_back=unsigned))
    made += [
        Miswiring(
            "actions-normalised", "actions were given in standard deviations of training's",
            done=lambda a: (a - mean) / std, done_back=lambda a: a * std + mean,
        ),
        Miswiring(
            "actions-scaled", "actions were given in -1 to 1 of their bounds",
            done=lambda a: 2 * (a - low) / (high - low) - 1, done_back=lambda a: low + (a + 1) / 2 * (high - low),
        ),
    ]  # fmt: skip
    metres = [i for i, unit in enumerate(contract.units) if unit == "m"]
    radians = [i for i, unit in enumerate(contract.units) if unit == "rad"]
    for name, words, entries, factor in (
        ("actions-mm", "lengths of actions were in mm", metres, 1000.0),
        ("actions-cm", "lengths of actions were in cm", metres, 100.0),
        ("actions-degrees", "angles of actions were in degrees", radians, DEGREES),
    ):
        if entries:
            made.append(Miswiring(name, words, done=_factor(entries, factor), done_back=_factor(entries, 1 / factor)))
    for axis in "xyz":
        if move := interface.moves(f"d{axis}"):
            made.append(_own_inverse(f"{axis}-flipped", f"{axis} of actions were flipped", done=_factor(move, -1.0)))
    if len(move := interface.moves("dx", "dy")) == 2:
        swap = _entries_by(move, lambda a: a[..., ::-1])
        made.append(_own_inverse("x-y", "x and y of actions were swapped", done=swap))
    if turns := interface.moves("rx", "ry", "rz"):
        made.append(_own_inverse("turns-flipped", "rotations of actions were inverted", done=_factor(turns, -1.0)))
    return made


def _entries_by(entries: list[int], change: Do) -> Do:
    def do(chunks: Array) -> Array:
        chunks = np.array(chunks, dtype=np.float64)
        chunks[..., entries] = change(chunks[..., entries])
        return chunks

    return do


def _factor(entries: list[int], factor: float) -> Do:
    return _entries_by(entries, lambda a: factor * a)


def _own_inverse(name: str, words: str, *, seen: See | None = None, done: Do | None = None) -> Miswiring:
    return Miswiring(name, words, seen, seen, done, done)
