"""What a bundle tells beside its network, gathered by whoever knows robots and data; and the card made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from toyshift.core.arrays import Image
from toyshift.policies.provenance import TRAINED_ON

UNKNOWN = "Not told: the bundle was exported without."


@dataclasses.dataclass(frozen=True)
class BundleFacts:
    """Each part may be left out; contract.json then has null in its place.

    Attributes:
        arm: `ArmChain.to_json`.
        cameras: camera -> where it stood in training, how it images, what its images are like.
        pictures: camera -> one image (H, W, 3) of the training.
        success: summaries of evaluations, with their intervals.
        sentences: instructions whose embeddings the bundle holds.
    """

    arm: Mapping[str, Any] | None = None
    cameras: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pictures: Mapping[str, Image] = dataclasses.field(default_factory=dict)
    success: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    sentences: tuple[str, ...] = ()


def picture_file(camera: str) -> str:
    """Returns the name of the file that holds a camera's training image."""
    return f"training_{camera}.png"


def model_card(contract: Mapping[str, Any], pictures: Mapping[str, Image]) -> str:
    """Returns the text of a bundle's README.md, all of it from its contract.json."""
    action, made = contract["action"], contract["trained"]
    lines = [
        f"# {made['folder']}",
        "",
        f"A grasping policy of ToyShift, exported to ONNX (opset {contract['opset']}, {contract['exporter']}). "
        "It was trained in simulation; success on a real robot has not been measured unless it stands below.",
        "",
        "- Check it: `toyshift verify .`. Act with it: `toyshift.policies.runtime.Runtime` (NumPy and onnxruntime).",
        f"- {contract['control_hz']:g} actions per second, {contract['policy']['chunk']} per prediction, of which "
        f"{contract['execute']} are executed. Files are checked by the SHA-256 in `bundle.json`.",
        f"- Trained {made['step']:,} steps, git {made['git'] or 'unknown'}.",
        "",
        "## Actions",
        "",
        f"Mode `{action['mode']}`, frame {action['frame']}, rotations {action['rotation']}, "
        f"gripper {action['gripper']}.",
        "",
        *_table(
            ("entry", "unit", "low", "high"), zip(*(action[k] for k in ("names", "units", "low", "high")), strict=True)
        ),
        "",
        "## Inputs",
        "",
        *_table(
            ("input", "shape", "type", "meaning"),
            [
                (f"`{name}`", " x ".join(map(str, one["shape"])), one["dtype"], one["meaning"])
                for name, one in contract["inputs"].items()
            ],
        ),
        "",
        "## Arm",
        "",
        *_arm(contract["arm"], action),
        "",
        "## Cameras",
        "",
        *_cameras(contract["cameras"], pictures),
        "",
        "## Training data",
        "",
        *_data(contract.get(TRAINED_ON)),
        "",
        "## Measured success",
        "",
        *_success(contract["success"]),
        "",
    ]
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value).replace("|", "\\|")


def _arm(arm: Mapping[str, Any] | None, action: Mapping[str, Any]) -> list[str]:
    if arm is None:
        return [UNKNOWN, f"Its joints are {', '.join(action['joint_names'])}."]
    head = ("joint", "kind", "low", "high", "velocity", "acceleration", "home")
    rows = [
        (*(joint[k] for k in ("name", "kind", "low", "high", "velocity", "acceleration")), home)
        for joint, home in zip(arm["joints"], arm["home"], strict=True)
    ]
    sources = [f"- {name}: {source}" for name, source in arm["sources"].items()]
    wide = f"The gripper of {arm['robot']} opens {1e3 * arm['gripper_width']:.0f} mm"
    hand = f"{wide}; the hand's frame is `{arm['site']}`."
    return [hand, "", *_table(head, rows), "", "Limits are from:", "", *sources]


def _cameras(cameras: Mapping[str, Any], pictures: Mapping[str, Image]) -> list[str]:
    if not cameras:
        return [UNKNOWN]
    lines = []
    for camera, facts in cameras.items():
        lines.append(f"### {camera}")
        lines += ["", f"![a training image of camera {camera}]({picture_file(camera)})"] if camera in pictures else []
        if "position" in facts:
            place, spread = ([f"{value:.3f}" for value in facts[key]] for key in ("position", "position_std"))
            turned = f"{facts['turn_std_deg']:.2f} degrees (at most {facts['turn_max_deg']:.2f})"
            moved = f"spread {', '.join(spread)} m and {turned}"
            lines += ["", f"At {', '.join(place)} m in the frame {facts['frame']}; {moved}."]
        rows = [(name, *values) for name, values in facts["looks"].items()]
        head = ("quantile", *(f"{q:g}" for q in facts["quantiles"]))
        lines += ["", f"Of {facts['images_seen']} training images:", "", *_table(head, rows), ""]
    return lines[:-1]


def _data(data: list[dict[str, Any]] | None) -> list[str]:
    if not data:
        return ["Nobody knows: the policy is from before it was written down."]
    rows = [  # what reinforcement learning played with has neither folder nor hash
        (one.get("folder"), one.get("content_hash"), ", ".join(one["object_sets"]), len(one["object_ids"]))
        for one in data
    ]
    return _table(("dataset", "content hash", "object sets", "objects"), rows)


def _success(success: list[dict[str, Any]]) -> list[str]:
    if not success:
        return [UNKNOWN]
    rows = [
        (
            one["object_set"], one["shift"] or "-", f"{one['k']} of {one['n']}",
            *(f"{100 * low:.0f}-{100 * high:.0f} %" for low, high in (one["wilson"], one["clustered"])),
        )
        for one in success
    ]  # fmt: skip
    return [
        "In simulation, with 95 % intervals.", "",
        *_table(("object set", "shift", "success", "for these objects", "for new objects"), rows),
    ]
