"""Shows what a mask provider finds in a video or a dataset's episode.

toyshift masks try --data runs/demos --episode 3 --camera wrist --provider colour
toyshift masks try --video lab.mp4 --provider track:models/edgetam --click 140 230
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.errors import ConfigError
from toyshift.scripts.options import Common

if TYPE_CHECKING:
    from toyshift.diagnostics.mask_trial import Footage
    from toyshift.policies.masks.provider import Prompt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, episode=0, frames=0):
    """Options of `toyshift masks try`."""

    provider: str
    """detector, background[:FOLDER], colour, box, track:FOLDER or module:name (docs/policies.md)."""
    video: Path | None = None
    """Video file of one camera that stands still, or of one that the robot carries (--camera wrist)."""
    data: Path | None = None
    """Or a dataset folder; where it has masks, the IoU with them is told."""
    episode: int = 0
    """Number of the dataset's episode."""
    camera: str = "front"
    """Camera of the dataset; of a video its name, which matters for background: the wrist's moves."""
    box: tuple[int, int, int, int] | None = None
    """Where the target is in the first frame: top, left, bottom and right [pixels]; of a dataset with masks by default
    the box around the true one."""
    click: tuple[int, int] | None = None
    """Or row and column of a pixel of it."""
    background: Path | None = None
    """Picture of the empty table by this camera, for background; of a dataset by default the median of the first
    images of its episodes."""
    frames: int = 0
    """Stop after so many; 0 is all."""
    out: Path = Path("runs/masks.mp4")
    """Video to write: what was found in magenta, true masks as a white outline."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.video is None) == (self.data is None):
            raise ConfigError("give either --video FILE or --data DIR")
        if self.box is not None and self.click is not None:
            raise ConfigError("give either --box or --click: where the target is in the first frame")
        if self.out.suffix != ".mp4":
            raise ConfigError(f"--out is {self.out}; it must end in .mp4")


def main(cfg: Config) -> dict[str, Any]:
    """Finds the target in every frame, and writes a video with what was found; tells the time and, if known, the IoU.

    Example: toyshift masks try --video lab.mp4 --provider box --box 120 200 180 260
    """
    import numpy as np

    from toyshift.diagnostics.mask_sources import provider_of
    from toyshift.diagnostics.mask_trial import episode_footage, tried, video_footage
    from toyshift.diagnostics.video import write_mp4

    if cfg.data is not None:
        footage = episode_footage(cfg.data, cfg.episode, cfg.camera, cfg.frames)
    else:
        assert cfg.video is not None  # `__post_init__`
        footage = video_footage(cfg.video, cfg.camera, cfg.frames)
    provider = provider_of(cfg.provider, _pictures(cfg))()
    if prompt := _prompt(cfg, footage, bool(getattr(provider, "prompted", False))):
        if not hasattr(provider, "prompt"):
            raise ConfigError(f"--provider {cfg.provider} is not told where the target is: leave out --box and --click")
        provider.prompt({cfg.camera: prompt})
    trial = tried(provider, footage)
    write_mp4(cfg.out, trial.pictures, footage.fps)
    ious = trial.ious
    missed = float(np.mean(np.array(ious) == 0.0)) if ious else None
    result = {
        "frames": len(trial.pictures), "ms": trial.milliseconds, "cpu_ms": trial.cpu_milliseconds,
        "first_ms": trial.first_milliseconds, "found": trial.found, "iou": float(np.mean(ious)) if ious else None,
        "missed": missed, "out": cfg.out,
    }  # fmt: skip
    print(f"{cfg.provider}: {result['frames']} frames, target found in {trial.found}")
    print(f"{trial.milliseconds:.1f} ms a frame (median; CPU {trial.cpu_milliseconds:.1f} ms), the first "
          f"{trial.first_milliseconds:.1f} ms")  # fmt: skip
    if missed is not None:
        told = f"mean {np.mean(ious):.2f}, median {np.median(ious):.2f}, {100 * missed:.0f} % of them missed"
        print(f"IoU with the true masks in {len(ious)} frames that show the target: {told}")
    print(f"video: {cfg.out}")
    return result


def _pictures(cfg: Config) -> dict[str, Any] | None:
    """Returns a picture of the empty table by the camera, for background without a folder."""
    from toyshift.core.pictures import read_picture
    from toyshift.diagnostics.mask_trial import usual_first_image
    from toyshift.policies.masks.providers import BACKGROUND

    if cfg.provider != BACKGROUND:
        if cfg.background is not None:
            raise ConfigError(f"--background goes with --provider {BACKGROUND}, got {cfg.provider}; leave it out")
        return None
    if cfg.background is not None:
        return {cfg.camera: read_picture(cfg.background)}
    if cfg.data is None:
        raise ConfigError("--provider background needs --background FILE, a picture of the empty table by this camera")
    print("the empty table: the median of the first images of the dataset's episodes")
    return {cfg.camera: usual_first_image(cfg.data, cfg.camera)}


def _prompt(cfg: Config, footage: Footage, needed: bool) -> Prompt | None:
    """Returns where the target is in the first frame; None where nobody says, and nobody must."""
    from toyshift.diagnostics.mask_sources import prompts_of
    from toyshift.policies.masks.provider import Prompt

    if cfg.box is not None or cfg.click is not None:
        return Prompt(cfg.box, cfg.click)
    if not needed:
        return None
    told = f"--provider {cfg.provider} must be told where the target is in the first frame"
    if footage.masks is None:
        raise ConfigError(f"{told}: give --box TOP LEFT BOTTOM RIGHT, or --click ROW COLUMN")
    prompts = prompts_of({cfg.camera: footage.masks[0]})
    if cfg.camera not in prompts:
        raise ConfigError(f"{told}, which does not show it: choose another --camera or --episode, or give --box")
    print(f"the target is in the box {prompts[cfg.camera].box} of the first frame, by its true mask")
    return prompts[cfg.camera]
