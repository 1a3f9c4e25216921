"""Converts datasets between LeRobot v3, RLDS and robomimic.

toyshift data convert runs/demos demos.hdf5 --to robomimic
toyshift data convert runs/demos runs/demos_rlds --to rlds
toyshift data convert tensorflow_datasets/viola runs/viola --to lerobot
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.choices import DatasetFormat
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, control_hz=(0, 1000)):
    """Options of `toyshift data convert`."""

    src: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SRC")]
    """LeRobot folder, TFDS folder or robomimic HDF5 file."""
    dst: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")]
    """Folder, or HDF5 file, to write."""
    to: DatasetFormat
    """lerobot, rlds (needs the extra oxe) or robomimic (needs the extra robomimic)."""
    contract: Path | None = None
    """JSON file with the action contract, for a LeRobot folder or a robomimic file that was not written here."""
    oxe: str = ""
    """Name of the Open X-Embodiment sub-dataset, where the folder's own name does not tell."""
    control_hz: float = 0.0
    """Actions per second of the source [Hz], where it is not known."""
    skip_damaged: bool = False
    """Leave out episodes that cannot be read, and say which."""


def main(cfg: Config) -> dict[str, Any]:
    """Converts a dataset; between our own formats nothing is lost.

    Example: toyshift data convert runs/demos demos.hdf5 --to robomimic
    """
    from toyshift.data.formats.convert import convert
    from toyshift.data.formats.exchange import ReadOptions

    result = convert(
        cfg.src, cfg.dst, cfg.to, ReadOptions(cfg.contract, cfg.oxe, cfg.control_hz), skip_damaged=cfg.skip_damaged
    )
    for number, why in result["dropped"].items():
        print(f"left out episode {number}: {why}")
    print(f"{result['episodes']} episodes, {result['frames']} frames, {result['from']} to {result['to']}: {cfg.dst}")
    return result
