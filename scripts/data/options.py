"""What the commands on datasets share: the dataset they are given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetConfig(Common):
    """Options of a command on one dataset."""

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Dataset folder, e.g. runs/demos."""
