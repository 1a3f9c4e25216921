"""The points of `toyshift study shortcut-grid`: what a policy's data are, and the cells in which it is tested."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Literal

from toyshift.core.errors import ConfigError

if TYPE_CHECKING:
    from toyshift.data.collecting.dials import Fragmentation, SubDataset
    from toyshift.diagnostics.swapped_cells import CueCell

CUE, REACH = "azimuth", 0.04  # half an open hand [m]
STRIPS: dict[str, Any] = {"relevant": "position", "relevant_diversity": 0.1, "relevant_disparity": 1.9}  # 1 cm each
SOURCES = ("separated", "intertwined", "pick")
Arm = Literal["plain", "state", "intertwined", "pick"]
ARMS: dict[Arm, str] = {
    "plain": "Grasp-v0, positions separated, no proprioception",
    "state": "Grasp-v0, positions separated, with proprioception",
    "intertwined": "Grasp-v0, positions intertwined, no proprioception",
    "pick": "Pick-v0, instructions, no proprioception",
}


@dataclasses.dataclass(frozen=True)
class GridPoint:
    """What one policy's data are.

    Attributes:
        arm: of ARMS.
        radius: half width of a sub-dataset's viewpoints [30 degrees].
        distance: of the centres of the two [60 degrees].
        correlation: 1 where the viewpoint tells what to do, 0 where it tells nothing.
    """

    arm: Arm
    radius: float
    distance: float
    correlation: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.arm}-r{self.radius:g}-d{self.distance:g}{'' if self.correlation else '-clean'}"

    @property
    def source(self) -> str:
        """What its demonstrations are, of SOURCES."""
        return "separated" if self.arm in ("plain", "state") else self.arm

    @property
    def data(self) -> str:
        """Name of what it learns from, which arms of the same demonstrations and viewpoints share."""
        return dataclasses.replace(self, arm="plain").name.replace("plain", self.source, 1)

    @property
    def groups(self) -> tuple[int, ...]:
        """Which sub-dataset each strip of places belongs to, from one side of the table to the other."""
        return (0, 1, 0, 1) if self.arm == "intertwined" else (0, 0, 1, 1)

    def views(self, correlation: float | None = None) -> tuple[SubDataset, ...]:
        """Returns the two sub-datasets, of which the viewpoints count."""
        from toyshift.data.collecting.dials import fragment

        rho = self.correlation if correlation is None else correlation
        return fragment(2, diversity=self.radius, disparity=self.distance, correlation=rho, factor=CUE).parts

    def parts(self) -> list[SubDataset]:
        """Returns what each strip's episodes are drawn from."""
        views = self.views()
        strips = zip(strips_of_places().parts, self.groups, strict=True)
        return [dataclasses.replace(strip, azimuth=views[group].azimuth) for strip, group in strips]

    def cells(self) -> list[CueCell]:
        """Returns the cells of the test, the same for a control as for the policy that was told.

        Raises:
            ConfigError: radius and distance do not fit the span, or the swapped cue is a sub-dataset's own.
        """
        from toyshift.diagnostics.swapped_cells import StripCell, ToldCell

        if not (self.radius >= 0.0 and self.distance > 0.0 and self.radius + self.distance <= 2.0):  # NaN as well
            least = "a radius is at least 0, a distance above 0 (else one's viewpoints are the other's)"
            told = f"{least}, and together they are at most 2, the whole span"
            raise ConfigError(f"--radii {self.radius:g} with --distances {self.distance:g}: {told}")
        first, second = [(r.low, r.high) for view in self.views(1.0) for r in view.azimuth]
        if self.arm == "pick":
            return [ToldCell("asked", cue, CUE, (first, second), REACH) for cue in ("asked", "other")]
        own, edges = (first, second), (first[0], second[1])
        places = [(part.position[0].low, part.position[0].high) for part in strips_of_places().parts]
        cells: list[CueCell] = []
        for i, group in enumerate(self.groups):
            others = [k for k, g in enumerate(self.groups) if g != group]
            swapped, (implied, *beside) = (edges[1 - group],) * 2, [places[k] for k in others]
            for whose, cue in ((i, own[group]), (others[0], swapped)):
                names = f"strip-{i}", f"strip-{whose}"
                cells.append(StripCell(*names, CUE, places[i], cue, implied, False, REACH, tuple(beside)))
        return cells


@functools.cache
def strips_of_places() -> Fragmentation:
    """Returns four strips across the table, 1 cm wide with 5 cm between: both arrangements are made of them."""
    from toyshift.data.collecting.dials import fragment

    return fragment(4, diversity=0.0, disparity=0.0, correlation=0.0, factor="light", **STRIPS)
