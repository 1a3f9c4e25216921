"""Checks a robot's camera against a bundle: pose and field of view from a board, light, colours, orientation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Image
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.pictures import read_picture
from toyshift.policies.act.bundle_facts import picture_file
from toyshift.policies.cameras.board import (
    CharucoBoard,
    SeenBoard,
    camera_in_board,
    lens_of,
    pose_spread,
    seen_board,
    tells_little,
)
from toyshift.policies.cameras.likeness import colours_exchanged, light_findings, turned
from toyshift.policies.cameras.placement import Placement, placement
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.runtime.framing import Lens, frame_of

OVERLAY = 384  # height of a picture in the overlay [pixels], at least
UNSHARP = 1.0  # mean distance of corners from a pinhole's [pixels], above which the lens is told to be distorted


@dataclasses.dataclass(frozen=True, eq=False)
class Photographs:
    """What a robot's camera saw.

    Attributes:
        scene: image (H, W, 3) of the table as in training; None: nothing is said of light, colours, orientation.
        boards: images with the board; in the first it lies at `board`, the others tell the lens better.
        board: pose (4, 4) of the board in the robot's base frame [m].
        lens: of the camera, where it is known.
        joints: positions of the arm while the first board was seen, for a camera that the hand carries [rad or m];
            None: it stood at home.
    """

    scene: Image | None = None
    boards: Sequence[Image] = ()
    board: Array | None = None
    lens: Lens | None = None
    joints: Sequence[float] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class CameraReport:
    """What was found.

    Attributes:
        camera: its name.
        wrong: what is wrong, each with what to do.
        told: what else was measured.
        placement: where it stands; None without a board.
        lens: as given or estimated; None without either.
        overlay: training image, the robot's, both over each other, side by side (H, W, 3); None without a scene.
    """

    camera: str
    wrong: list[str]
    told: list[str]
    placement: Placement | None
    lens: Lens | None
    overlay: Image | None


def check_camera(
    folder: Path, contract: Mapping[str, Any], camera: str, seen: Photographs, board: CharucoBoard,
    centimetres: float = 1.0, degrees: float = 1.0,
) -> CameraReport:
    """Compares a camera with what a bundle tells of the training's.

    Args:
        folder: of the bundle.
        contract: its contract.json.
        camera: a name that it tells something of.
        seen: what the robot's camera saw.
        board: the board in the images.
        centimetres, degrees: how far it may be away.

    Raises:
        ConfigError: the bundle tells too little, a board is not seen, or nobody says where it lies.
    """
    facts = (contract.get("cameras") or {}).get(camera)
    if facts is None:
        there = ", ".join(contract.get("cameras") or {}) or "none"
        raise ConfigError(f"{folder} tells nothing of camera {camera} (of: {there}); export it again with --data DIR")
    wrong: list[str] = []
    told: list[str] = []
    lens, place = seen.lens, None
    if seen.boards:
        found = [seen_board(image, board, f"board image {i + 1} of camera {camera}")
                 for i, image in enumerate(seen.boards)]  # fmt: skip
        lens, pose = _measured(found, seen, camera, told)
        place = _placed(folder, contract, facts, pose, seen)
        spread = f"in training it was up to {place.spread_cm:.1f} cm and {place.spread_deg:.1f} degrees from its mean"
        off = f"{place.centimetres:.1f} cm and {place.degrees:.1f} degrees from where it was"
        if place.within(centimetres, degrees):
            told.append(f"it stands {off}: near enough ({spread})")
        else:
            wrong.append(f"it stands {off} ({spread}): {place.move.words()}")
    training = _field(facts, lens, camera, told, wrong)
    overlay = None
    if seen.scene is not None:
        cut = _cut(seen.scene, facts, camera, lens, training, wrong)
        picture = read_picture(folder / picture_file(camera))
        exchanged, way = colours_exchanged(cut, picture), turned(cut, picture)
        wrong += light_findings(cut[..., ::-1] if exchanged else cut, facts)
        if exchanged is None:
            told.append("whether red and blue are exchanged cannot be told: the training's image has too little colour")
        if exchanged:
            wrong.append("red and blue are exchanged: say colours='bgr' instead of 'rgb', or the other way round")
        if way:
            wrong.append(f"its image is {way}: turn the camera, or its image in the driver")
        overlay = side_by_side(picture, cut)
    return CameraReport(camera, wrong, told, place, lens, overlay)


def _measured(
    found: Sequence[SeenBoard], seen: Photographs, camera: str, told: list[str]
) -> tuple[Lens, Array]:
    """Returns lens and pose (4, 4) of the camera in the base frame; notes how well they fit."""
    if seen.board is None:
        raise ConfigError(f"say where the board lies that camera {camera} sees: --board-at X Y Z YAW")
    lens = seen.lens
    if lens is None:
        lens, off, _ = lens_of(found, f"the board before camera {camera}")
        told.append(f"the focal length is known to {100 * off:.1f} % from {len(found)} images of the board")
    elif lens.size != found[0].size:
        raise ConfigError(f"images of camera {camera} are {found[0].size}, its lens is for {lens.size} pixels")
    in_board, error = camera_in_board(found[0], lens)
    told.append(f"{len(found[0].pixels)} corners of the board lie {error:.2f} pixels from where a pinhole puts them")
    if error > UNSHARP:
        told.append("that is much: the lens is distorted, which is not undone, or the board is not flat")
    place, turn = pose_spread(found[0], lens, in_board, error)
    told.append(f"they tell its pose to {1e3 * place:.1f} mm and {np.degrees(turn):.2f} degrees (standard deviations)")
    if tells_little(place, turn):
        told.append(
            "that is much, it may be off by more than 2 mm or 0.3 degrees: put the board nearer to the camera, "
            "where it is seen from 30 to 60 degrees above it, or take a larger one"
        )
    return lens, np.asarray(seen.board @ in_board)


def _placed(
    folder: Path, contract: Mapping[str, Any], facts: Mapping[str, Any], pose: Array, seen: Photographs
) -> Placement:
    if "extrinsics" not in facts:
        raise ConfigError(f"{folder} does not tell where the camera stood; export it again from data with camera poses")
    if facts["frame"] != "hand":
        return placement(pose, facts)
    if not contract.get("arm"):
        raise ConfigError(f"{folder} tells no arm, and the hand carries the camera; export it again with --robot NAME")
    arm = ArmChain.from_json(contract["arm"])
    joints = np.asarray(arm.home if seen.joints is None else seen.joints, dtype=np.float64)
    if len(joints) != len(arm.joints):
        names = ", ".join(joint.name for joint in arm.joints)
        raise ConfigError(f"{len(joints)} joint positions were given; the arm has {len(arm.joints)}: {names}")
    hand = np.eye(4)
    hand[:3, 3], hand[:3, :3] = arm.forward(joints)
    return placement(pose, facts, hand)


def _field(
    facts: Mapping[str, Any], lens: Lens | None, camera: str, told: list[str], wrong: list[str]
) -> Lens | None:
    """Returns the training's lens; notes both fields of view."""
    if "intrinsics" not in facts:
        return None
    size = (int(facts["size"][0]), int(facts["size"][1]))
    training = Lens.of(facts["intrinsics"], size)
    if lens is not None:
        (wide, high), (least_wide, least_high) = field_of_view(lens), field_of_view(training)
        told.append(f"it sees {wide:.1f} x {high:.1f} degrees, in training {least_wide:.1f} x {least_high:.1f}")
        try:
            frame_of(camera, lens.size, lens, training, size)
        except ContractError as error:
            wrong.append(str(error))
    return training


def field_of_view(lens: Lens) -> tuple[float, float]:
    """Returns the horizontal and vertical field of view [deg]."""
    spans = zip((lens.size[1], lens.size[0]), lens.focal, lens.centre, strict=True)
    wide, high = (float(np.degrees(np.arctan(c / f) + np.arctan((span - c) / f))) for span, f, c in spans)
    return wide, high


def _cut(
    scene: Image, facts: Mapping[str, Any], camera: str, lens: Lens | None, training: Lens | None, wrong: list[str]
) -> Image:
    """Returns the part of an image that the training's camera saw, in its size; the whole where nobody can tell."""
    size, target = (scene.shape[0], scene.shape[1]), (int(facts["size"][0]), int(facts["size"][1]))
    try:
        return frame_of(camera, size, lens, training, target).image(scene)
    except ContractError as error:
        if str(error) not in wrong:
            wrong.append(str(error))
        from PIL import Image as Pillow

        return np.asarray(Pillow.fromarray(scene).resize((target[1], target[0]), Pillow.Resampling.BOX))


def side_by_side(training: Image, ours: Image) -> Image:
    """Returns both images (H, W, 3) and their mean next to each other, enlarged to OVERLAY pixels."""
    both = ((training.astype(np.uint16) + ours) // 2).astype(np.uint8)
    times = max(1, -(-OVERLAY // training.shape[0]))
    return np.concatenate([one.repeat(times, 0).repeat(times, 1) for one in (training, ours, both)], axis=1)
