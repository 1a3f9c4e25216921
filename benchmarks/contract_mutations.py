"""Bundles and readings with one thing wrong, and sound ones: what a contract refuses by name, and what it cannot see.

python benchmarks/contract_mutations.py BUNDLE            1,000 of either
python benchmarks/contract_mutations.py BUNDLE --cases 60 --json

The bundle tells its arm and cameras: `toyshift export POLICY --out BUNDLE --data DEMOS`.
A bundle with a changed file is refused by its hashes; here whoever changed it wrote new ones. Each kind of mistake is
labelled "seen" or "unseen" beforehand: refused must be all of the former, and none of what is sound. What is unseen is
listed, with how often it is refused by chance (joints in a wrong order, say, where one leaves its limits).
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ToyShiftError
from toyshift.core.files import read_json, write_json
from toyshift.policies import load_policy, verify
from toyshift.policies.act.bundle_format import BUNDLE_FILE, CARD_FILE, MODEL_FILE, full_contract
from toyshift.policies.checkpoints import CONTRACT_FILE, file_hash
from toyshift.policies.runtime import Lens, Readings, Runtime

STEPS = 14  # control steps of a case with readings


class AtOnce(Executor):
    """Computes in the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


# ---------------------------------------------------------------- bundles

Contract = dict[str, Any]


def _swapped(values: list[Any], rng: np.random.Generator) -> list[Any]:
    """Returns a list with two different entries exchanged."""
    i, j = rng.choice([(i, j) for i in range(len(values)) for j in range(i) if values[i] != values[j]])
    values = list(values)
    values[i], values[j] = values[j], values[i]
    return values


def a_camera_renamed(contract: Contract, rng: np.random.Generator) -> None:
    cameras = contract["observation"]["cameras"]
    cameras["overhead"] = cameras.pop(str(rng.choice(list(cameras))))


def image_size(contract: Contract, rng: np.random.Generator) -> None:
    camera = rng.choice(list(contract["observation"]["cameras"]))
    contract["observation"]["cameras"][camera] = [int(side) for side in rng.integers(16, 512, 2)]


def joint_order(contract: Contract, rng: np.random.Generator) -> None:
    contract["action"]["joint_names"] = _swapped(contract["action"]["joint_names"], rng)


def state_order(contract: Contract, rng: np.random.Generator) -> None:
    contract["observation"]["state_names"] = _swapped(contract["observation"]["state_names"], rng)


def units(contract: Contract, rng: np.random.Generator) -> None:
    i = int(rng.integers(len(contract["action"]["units"])))
    contract["action"]["units"][i] = str(rng.choice(["mm", "deg", "cm"]))


def rate(contract: Contract, rng: np.random.Generator) -> None:
    contract["action"]["control_hz"] *= float(rng.choice([0.5, 1.5, 2.0, 3.0]))
    if rng.random() < 0.5:  # consistently wrong: the environment's contract is another
        contract["control_hz"] = contract["action"]["control_hz"]


def gripper_inverted(contract: Contract, rng: np.random.Generator) -> None:
    contract["action"]["gripper"] = "absolute, 0 = open, 1 = closed"


def rotation_convention(contract: Contract, rng: np.random.Generator) -> None:
    contract["action"]["rotation"] = str(rng.choice(["quaternion_wxyz", "quaternion_xyzw", "rpy"]))


def bounds(contract: Contract, rng: np.random.Generator) -> None:
    side, i = str(rng.choice(["low", "high"])), int(rng.integers(len(contract["action"]["low"])))
    contract["action"][side][i] += float(rng.choice([-0.5, 0.5]))


def execute(contract: Contract, rng: np.random.Generator) -> None:
    contract["execute"] += int(rng.integers(1, 4))


def arm_axis(contract: Contract, rng: np.random.Generator) -> None:
    joint = contract["arm"]["joints"][int(rng.integers(len(contract["arm"]["joints"])))]
    joint["axis"] = [-value for value in joint["axis"]]


def arm_offset(contract: Contract, rng: np.random.Generator) -> None:
    joint = contract["arm"]["joints"][int(rng.integers(len(contract["arm"]["joints"])))]
    joint["offset"][int(rng.integers(3))] += float(rng.choice([-1, 1]) * rng.uniform(0.001, 0.1))


def arm_joints(contract: Contract, rng: np.random.Generator) -> None:
    contract["arm"]["joints"] = _swapped(contract["arm"]["joints"], rng)


def normalisation(folder: Path, rng: np.random.Generator) -> None:
    """Changes weights that standardise, or any others: a factor on one of the network's arrays."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(folder / MODEL_FILE))
    arrays = [one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT]
    arrays = [one for one in arrays if np.abs(numpy_helper.to_array(one)).max() > 1e-3 and len(one.dims) > 0]
    chosen = arrays[int(rng.integers(len(arrays)))]
    changed = numpy_helper.to_array(chosen) * np.float32(rng.choice([0.5, 1.5, -1.0]))
    chosen.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), chosen.name))
    onnx.save(model, str(folder / MODEL_FILE))


def network_inputs_swapped(folder: Path, rng: np.random.Generator) -> None:
    """Gives two cameras each other's names inside the network."""
    import onnx

    model = onnx.load(str(folder / MODEL_FILE))
    names = [one.name for one in model.graph.input if one.name.startswith("image.")][:2]
    other = dict(zip(names, reversed(names), strict=True))
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = other.get(name, name)
    onnx.save(model, str(folder / MODEL_FILE))


def sound_bundle(folder: Path, rng: np.random.Generator) -> None:
    """Changes what means nothing: text, what later versions may add, what was measured."""
    contract = read_json(folder / CONTRACT_FILE)
    contract |= {"note": f"{rng.random()}"}
    contract["versions"]["numpy"] = "1.0"
    contract["trained"]["folder"] = str(rng.choice(["mine", "yours"]))
    contract["success"] = []
    contract["arm"]["home"] = [home + float(rng.uniform(-0.01, 0.01)) for home in contract["arm"]["home"]]
    write_json(folder / CONTRACT_FILE, contract)
    (folder / CARD_FILE).write_text("another card")


def units_of_the_state(contract: Contract, rng: np.random.Generator) -> None:
    units = contract["inputs"]["state"]["units"]
    units[int(rng.integers(len(units)))] = str(rng.choice(["mm", "deg", "cm"]))


def range_of_an_input(contract: Contract, rng: np.random.Generator) -> None:
    names = [name for name in contract["inputs"] if name.startswith(("image.", "mask."))]
    contract["inputs"][str(rng.choice(names))]["range"] = [0, 1] if rng.random() < 0.5 else [-1, 1]


def frame_of_the_actions(contract: Contract, rng: np.random.Generator) -> None:
    contract["outputs"]["actions"]["frame"] = str(rng.choice(["hand", "world"]))


def arm_limits(contract: Contract, rng: np.random.Generator) -> None:
    """Limits in degrees, a velocity that is none, or a gripper in millimetres."""
    arm = contract["arm"]
    joint, kind = arm["joints"][int(rng.integers(len(arm["joints"])))], int(rng.integers(3))
    if kind == 0:
        joint["low"], joint["high"] = np.degrees(joint["low"]) - 90, np.degrees(joint["high"]) + 90
    elif kind == 1:
        joint[str(rng.choice(["velocity", "acceleration"]))] = float(rng.choice([-1.0, 0.0]))
    else:
        arm["gripper_width"] *= 1000


def arm_home(contract: Contract, rng: np.random.Generator) -> None:
    contract["arm"]["home"] = np.degrees(contract["arm"]["home"]).tolist()


def intrinsics(contract: Contract, rng: np.random.Generator) -> None:
    """In shares of the image, or by columns."""
    facts = contract["cameras"][str(rng.choice(list(contract["cameras"])))]
    height, width = facts["size"]
    matrix = np.asarray(facts["intrinsics"])
    facts["intrinsics"] = (matrix / [[width], [height], [1]] if rng.random() < 0.5 else matrix.T).tolist()


OF_CONTRACTS = (
    a_camera_renamed, image_size, joint_order, state_order, units, rate, gripper_inverted, rotation_convention, bounds,
    execute, arm_axis, arm_offset, arm_joints, units_of_the_state, range_of_an_input, frame_of_the_actions, arm_limits,
    arm_home, intrinsics,
)  # fmt: skip
OF_NETWORKS = (normalisation, network_inputs_swapped)


def bundle_refusal(bundle: Path, whole: Contract, spoil: Callable[[Path], None]) -> str:
    """Returns why a changed copy of a bundle is refused; "" where it is not."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(bundle, Path(place) / "bundle"))
        spoil(copy)
        recorded = read_json(copy / BUNDLE_FILE)
        recorded["sha256"] = {name: file_hash(copy / name) for name in recorded["sha256"]}
        write_json(copy / BUNDLE_FILE, recorded)
        try:
            verify(copy)
            action, observation = ActionContract.from_json(whole["action"]), whole["observation"]
            load_policy(copy).check(action, ObservationContract.from_json(observation))
            Runtime(copy, colours="rgb", executor=AtOnce())
        except ToyShiftError as error:
            return str(error)
    return ""


def of_contract(
    change: Callable[[Contract, np.random.Generator], None], rng: np.random.Generator
) -> Callable[[Path], None]:
    """Returns what makes a change in a bundle's contract.json."""

    def spoil(folder: Path) -> None:
        contract = read_json(folder / CONTRACT_FILE)
        change(contract, rng)
        write_json(folder / CONTRACT_FILE, contract)

    return spoil


# ---------------------------------------------------------------- readings


@dataclasses.dataclass
class Robot:
    """A robot that stands somewhere, and says so.

    Attributes:
        given: its readings, but for their times.
        period: between its steps [s].
        delay: how old its images are [s].
        lenses: of its cameras.
    """

    given: dict[str, Any]
    period: float
    delay: float
    lenses: dict[str, Lens]


def robot_of(contract: Contract, rng: np.random.Generator) -> Robot:
    """Returns a sound robot: within its limits, with cameras of any size that see enough, and steps on time."""
    arm = contract["arm"]
    low, high = np.array([(joint["low"], joint["high"]) for joint in arm["joints"]]).T
    near = np.clip(np.asarray(arm["home"]) + rng.uniform(-0.4, 0.4, len(low)), low, high)
    images, masks, lenses = {}, {}, {}
    for camera, side in contract["observation"]["cameras"].items():
        matrix = np.asarray(contract["cameras"][camera]["intrinsics"])
        height, width = ((96, 96), (480, 640), (240, 424), (300, 300))[int(rng.integers(4))]
        wider = rng.uniform(1.0, 1.3)  # than the training's field of view
        focal = matrix[0, 0] * min(height, width) / max(side) / wider
        lenses[camera] = Lens((height, width), (focal, focal), (width / 2, height / 2))
        images[camera] = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        masks[camera] = rng.integers(0, 4, (height, width), dtype=np.uint8)
    width = float(rng.uniform(0, arm["gripper_width"]))
    given = {"joints": near, "gripper_width": width, "images": images, "masks": masks}
    return Robot(given, 1.0 / contract["control_hz"], float(rng.uniform(0, 0.05)), lenses)


def joints_in_degrees(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["joints"] = np.degrees(robot.given["joints"])


def a_joint_missing(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["joints"] = robot.given["joints"][1:]


def not_a_number(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["joints"][int(rng.integers(len(robot.given["joints"])))] = rng.choice([np.nan, np.inf, 1e300])


def width_in_millimetres(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["gripper_width"] = 1000 * max(robot.given["gripper_width"], 0.001)


def floats_for_pixels(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["images"] = {camera: image / 255 for camera, image in robot.given["images"].items()}


def channels_first(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["images"] = {camera: image.transpose(2, 0, 1) for camera, image in robot.given["images"].items()}


def a_camera_missing(robot: Robot, rng: np.random.Generator) -> None:
    del robot.given["images"][rng.choice(list(robot.given["images"]))]


def a_narrow_lens(robot: Robot, rng: np.random.Generator) -> None:
    camera = rng.choice(list(robot.lenses))
    lens = robot.lenses[camera]
    robot.lenses[camera] = dataclasses.replace(lens, focal=(2 * lens.focal[0], 2 * lens.focal[1]))


def another_rate(robot: Robot, rng: np.random.Generator) -> None:
    robot.period *= float(rng.choice([0.5, 0.7, 1.5, 2.0]))


def old_images(robot: Robot, rng: np.random.Generator) -> None:
    robot.delay = float(rng.uniform(0.3, 5.0))


def cameras_exchanged(robot: Robot, rng: np.random.Generator) -> None:
    one, other = list(robot.given["images"])[:2]
    for views in (robot.given["images"], robot.given["masks"], robot.lenses):
        views[one], views[other] = views[other], views[one]


def red_and_blue_exchanged(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["images"] = {c: np.ascontiguousarray(image[..., ::-1]) for c, image in robot.given["images"].items()}


def joints_in_another_order(robot: Robot, rng: np.random.Generator) -> None:
    i, j = rng.choice(len(robot.given["joints"]), 2, replace=False)
    robot.given["joints"][[i, j]] = robot.given["joints"][[j, i]]


def a_joint_reversed(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["joints"][int(rng.integers(len(robot.given["joints"])))] *= -1


def width_inverted(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["gripper_width"] = 0.08 - robot.given["gripper_width"]


def images_upside_down(robot: Robot, rng: np.random.Generator) -> None:
    robot.given["images"] = {camera: image[::-1] for camera, image in robot.given["images"].items()}


SEEN_READINGS = (
    joints_in_degrees, a_joint_missing, not_a_number, width_in_millimetres, floats_for_pixels, channels_first,
    a_camera_missing, a_narrow_lens, another_rate, old_images,
)  # fmt: skip
UNSEEN_READINGS = (
    cameras_exchanged, red_and_blue_exchanged, joints_in_another_order, a_joint_reversed, width_inverted,
    images_upside_down,
)  # fmt: skip


def reading_refusal(bundle: Path, robot: Robot, rng: np.random.Generator) -> str:
    """Returns why a robot is refused within the first control steps; "" where it is not."""
    clock = [0.0]
    runtime = Runtime(bundle, colours="rgb", lenses=robot.lenses, clock=lambda: clock[0], executor=AtOnce())
    try:
        for step in range(STEPS):
            now = clock[0] = step * robot.period + float(rng.uniform(0, 0.01))
            stamps = dict.fromkeys(robot.given["images"], now - robot.delay)
            runtime.step(Readings(**robot.given, time=now, image_times=stamps))
            runtime.sent()
    except ToyShiftError as error:
        return str(error)
    return ""


# ---------------------------------------------------------------- all of it


@dataclasses.dataclass
class Tally:
    """How often a kind was refused, and in what words the first time."""

    cases: int = 0
    refused: int = 0
    words: str = ""

    def add(self, words: str) -> None:
        self.cases, self.refused, self.words = self.cases + 1, self.refused + bool(words), self.words or words


def measure(bundle: Path, cases: int, seed: int = 0) -> dict[str, dict[str, Tally]]:
    """Plays so many cases with one thing wrong and as many sound ones: group -> kind -> tally."""
    whole: Contract = full_contract(bundle)
    groups: dict[str, dict[str, Tally]] = collections.defaultdict(lambda: collections.defaultdict(Tally))
    kinds = (*OF_CONTRACTS, *OF_NETWORKS, *SEEN_READINGS, *UNSEEN_READINGS)
    for number in range(cases):
        rng = np.random.default_rng([seed, number])
        kind: Any = kinds[number % len(kinds)]
        if kind in OF_CONTRACTS or kind in OF_NETWORKS:
            spoil = of_contract(kind, rng) if kind in OF_CONTRACTS else lambda folder, k=kind, r=rng: k(folder, r)
            words, group = bundle_refusal(bundle, whole, spoil), "seen"
        else:
            robot = robot_of(whole, rng)
            kind(robot, rng)
            words, group = reading_refusal(bundle, robot, rng), "seen" if kind in SEEN_READINGS else "unseen"
        groups[group][kind.__name__].add(words)
        if number % 2:
            words = bundle_refusal(bundle, whole, lambda folder, r=rng: sound_bundle(folder, r))
            groups["sound"]["bundle"].add(words)
        else:
            groups["sound"]["readings"].add(reading_refusal(bundle, robot_of(whole, rng), rng))
    return {group: dict(found) for group, found in groups.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.bundle, asked.cases, asked.seed)
    if asked.json:
        print(json.dumps({g: {k: dataclasses.asdict(t) for k, t in kinds.items()} for g, kinds in found.items()}))
        return
    for group, kinds in found.items():
        cases, refused = (sum(getattr(t, name) for t in kinds.values()) for name in ("cases", "refused"))
        print(f"\n{group}: {refused} of {cases} refused")
        for kind, tally in kinds.items():
            print(f"  {kind:<26} {tally.refused:>4} of {tally.cases:<4} {tally.words[:150]}")


if __name__ == "__main__":
    try:
        main()
    except ToyShiftError as error:
        raise SystemExit(f"contract_mutations: {error}") from error
