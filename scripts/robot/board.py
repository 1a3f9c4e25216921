"""Draws the board that the camera check looks for, to be printed.

toyshift robot board --out board.pdf
toyshift robot board --squares 9 6 --square 0.03 --marker 0.022 --out board.pdf
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.scripts.robot.board_options import BoardConfig

DPI = 300
MARGIN = 0.012  # white around the pattern [m]
INCH = 0.0254


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(BoardConfig):
    """Options of `toyshift robot board`."""

    out: Path = Path("board.pdf")
    """File to write, .pdf or .png."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out.suffix not in (".pdf", ".png"):
            raise ConfigError(f"--out is {self.out}; it must end in .pdf or .png")


def main(cfg: Config) -> dict[str, Any]:
    """Draws a ChArUco board in its true size, to be printed at 100 % and glued to something flat.

    Example: toyshift robot board --out board.pdf
    """
    import numpy as np
    from PIL import Image

    from toyshift.core.files import atomic_path

    board = cfg.charuco
    side = round(cfg.square / INCH * DPI)
    resolution = side * INCH / cfg.square  # a whole number of pixels to a square
    margin = round(MARGIN / INCH * resolution)
    picture = np.pad(board.drawn(side), ((margin, margin), (margin, margin), (0, 0)), constant_values=255)
    with atomic_path(cfg.out) as path:
        kind = cfg.out.suffix.removeprefix(".").upper()
        Image.fromarray(picture).save(path, format=kind, resolution=resolution, dpi=(resolution, resolution))
    width, height = (1000 * side for side in board.size)
    told = f"print it at 100 %, and measure a square: {1000 * cfg.square:g} mm"
    print(f"{cfg.out}: {width:.0f} x {height:.0f} mm; {told}")
    return {"out": cfg.out, "width_mm": width, "height_mm": height}
