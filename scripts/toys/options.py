"""What the commands on object sets share: the set they are given."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import tyro

from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetConfig(Common):
    """Options of a command on one object set."""

    objects: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SET")]
    """Object set, e.g. toys:train?n=50, ycb-like, ycb:DIR."""
