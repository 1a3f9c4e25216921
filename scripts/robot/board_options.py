"""Options of commands that know the printed board."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from toyshift.scripts.options import Common

if TYPE_CHECKING:
    from toyshift.policies.cameras.board import CharucoBoard


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoardConfig(Common, squares=(3, 33), square=(0.005, 0.5), marker=(0.003, 0.5)):
    """A ChArUco board: markers of 4 x 4 bits, numbers 0 to 49 of OpenCV's DICT_4X4_50."""

    squares: tuple[int, int] = (7, 5)
    """Columns and rows of the board."""
    square: float = 0.036
    """Side of a square as printed [m]: measure it."""
    marker: float = 0.024
    """Side of a marker [m]."""

    @property
    def charuco(self) -> CharucoBoard:
        """The board; raises ConfigError where its sides do not fit each other."""
        from toyshift.policies.cameras.board import CharucoBoard

        return CharucoBoard(self.squares[0], self.squares[1], self.square, self.marker)
