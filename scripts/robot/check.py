"""Checks a lab's cameras against a bundle.

toyshift robot check bundle --image front=lab.png
toyshift robot check bundle --board front=1.png --board front=2.png --board front=3.png --board-at 0.4 0.1 0.003 -90
toyshift robot check bundle --board wrist=a.png --board-at 0.4 0.1 0.003 -90 --lens lenses.json --joints 0 0 0 -2 0 2 1
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.scripts.robot.board_options import BoardConfig
from toyshift.scripts.robot.lens_file import read_lenses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(BoardConfig, cm=(0.01, 100), degrees=(0.01, 90)):
    """Options of `toyshift robot check`."""

    bundle: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="BUNDLE")]
    """Folder written by `toyshift export`, with --data: it tells where the cameras stood."""
    image: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """CAMERA=FILE: a picture (PNG, JPEG) of the table as in training; once per camera."""
    board: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """CAMERA=FILE: a picture with the board (`toyshift robot board`); of several of one camera, the board lies at
    --board-at in the first, and the others tell the lens better."""
    board_at: tuple[float, float, float, float] | None = None
    """Where the board lies, face up, in the robot's base frame: x, y and z of its top left corner [m], and how far its
    top edge is turned from the base's x axis towards y [deg]."""
    joints: tuple[float, ...] = ()
    """Joint positions while the board was seen, for a camera on the hand [rad or m]; by default the bundle's home."""
    lens: Path | None = None
    """JSON of lenses that are known: {"front": {"size": [480, 640], "intrinsics": [[fx, 0, cx], [0, fy, cy],
    [0, 0, 1]]}}; else they are estimated from the board."""
    cm: float = 1.0
    """How far a camera may stand from its place [cm]; farther than it was in training, in any case."""
    degrees: float = 1.0
    """How far it may be turned [deg]."""
    out: Path = Path("runs/robot-check")
    """Folder for the overlays: training image, the lab's, both over each other."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.image and not self.board:
            raise ConfigError("there is nothing to check: give --image CAMERA=FILE, --board CAMERA=FILE, or both")
        if self.board and self.board_at is None:
            raise ConfigError("--board needs --board-at X Y Z YAW: where the board lies in the robot's base frame")
        cameras = [camera for camera, _ in _named("--image", self.image)]
        if twice := [camera for camera in cameras if cameras.count(camera) > 1]:
            raise ConfigError(f"--image is given twice for camera {twice[0]}; give one picture per camera")


def main(cfg: Config) -> dict[str, Any]:
    """Says whether cameras stand, see and look as in training, and what to move; exits with 1 where something is wrong.

    Example: toyshift robot check bundle --image front=lab.png --board front=board.png --board-at 0.4 0.1 0.003 -90
    """
    from toyshift.core.pictures import read_picture
    from toyshift.policies.act.bundle_format import check_bundle
    from toyshift.policies.cameras.board import board_on_table
    from toyshift.policies.cameras.camera_check import Photographs, check_camera

    board, contract, lenses = cfg.charuco, check_bundle(cfg.bundle), read_lenses(cfg.lens, "--lens")
    scenes, boards = dict(_named("--image", cfg.image)), _named("--board", cfg.board)
    there = None if cfg.board_at is None else board_on_table(*cfg.board_at)
    reports = {}
    for camera in dict.fromkeys([*scenes, *(name for name, _ in boards)]):
        seen = Photographs(
            read_picture(scenes[camera]) if camera in scenes else None,
            [read_picture(path) for name, path in boards if name == camera], there, lenses.get(camera),
            cfg.joints or None,
        )  # fmt: skip
        report = reports[camera] = check_camera(cfg.bundle, contract, camera, seen, board, cfg.cm, cfg.degrees)
        print(f"{camera}: {'wrong' if report.wrong else 'nothing wrong'}")
        for line in report.wrong:
            print(f"  - {line}")
        for line in report.told:
            print(f"    {line}")
        if report.overlay is not None:
            print(f"    overlay: {_write(cfg.out / f'{camera}.png', report.overlay)}")
    wrong = {camera: report.wrong for camera, report in reports.items()}
    places = {c: dataclasses.asdict(r.placement) for c, r in reports.items() if r.placement is not None}
    seen_by = {c: dataclasses.asdict(r.lens) for c, r in reports.items() if r.lens is not None}
    return {"ok": not any(wrong.values()), "wrong": wrong, "placements": places, "lenses": seen_by, "out": cfg.out}


def _named(option: str, values: Sequence[str]) -> list[tuple[str, Path]]:
    """Returns camera and file of every CAMERA=FILE."""
    out = []
    for value in values:
        camera, equals, file = value.partition("=")
        if not (camera and equals and file):
            raise ConfigError(f"{option} is {value!r}; write CAMERA=FILE, such as front=lab.png")
        out.append((camera, Path(file)))
    return out


def _write(path: Path, picture: Any) -> Path:
    from PIL import Image

    from toyshift.core.files import atomic_path

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    return path
