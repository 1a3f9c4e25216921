"""Cells of a test with swapped cues: targets where one sub-dataset has them, and the look that told of another.

Made of the plan of a folder of sub-datasets (`toyshift data fragment`); its episodes are not read.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.fields import check_fields
from toyshift.core.seeds import episode_rng
from toyshift.core.world import World
from toyshift.diagnostics.dsl import REACH, UNDEFINED, first_approach

if TYPE_CHECKING:
    from toyshift.data.collecting.dials import Fragmentation
    from toyshift.envs.tasks.grasp import GraspEnv

Span = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class CueCell(abc.ABC):
    """One cell: which cue is shown in episodes that ask for something, and where each of the two would send the hand.

    Attributes:
        place_of: sub-dataset that has such episodes.
        cue_of: sub-dataset whose cue is shown; the same in a control.
        factor: what the cue is, a field of `Look`.
    """

    place_of: str
    cue_of: str
    factor: str

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def swapped(self) -> bool:
        """Whether the cue is not that of such episodes."""
        return self.place_of != self.cue_of

    @property
    def name(self) -> str:
        return f"{self.place_of} under {self.factor} of {self.cue_of}"

    @property
    def label(self) -> str:
        """As "factor=value" pairs, for rows."""
        return f"{self.factor}={self.cue_of},place={self.place_of}"

    @abc.abstractmethod
    def begin(self, world: World, seed: int, episode: int, purpose: str) -> None:
        """Makes an episode that was just reset one of the cell's, and shows the cue."""

    @abc.abstractmethod
    def implied_boxes(self, env: GraspEnv) -> Array:
        """Returns where another's cue sends the hand, boxes (k, 2, 3); of none, episodes are undefined."""

    @property
    @abc.abstractmethod
    def within(self) -> float:
        """See `dsl.first_approach` [m]."""

    def require_seen(self, world: World) -> None:
        """Raises ConfigError where a policy is shown nothing of the cue."""
        cameras = [name for name, _ in world.observation_contract.cameras]
        if not cameras or (self.factor == "azimuth" and "front" not in cameras):
            seen = f"its cameras are {', '.join(cameras)}" if cameras else "it sees no images"
            needed = "the front camera" if self.factor == "azimuth" else "a camera"
            raise ConfigError(f"the policy cannot see the cue, {self.factor}: {seen}; it needs {needed}")


@dataclasses.dataclass(frozen=True)
class SwapCell(CueCell):
    """A cell of places. Episode i has the same target, start and place in all cells of a place, whatever their cue.

    Attributes:
        place: places of the target across the table, from its middle [m].
        cue: values of the factor; whole numbers where it is a choice.
        implied: where the other sub-dataset's targets lie [m]: what a swapped cue implies, and in a control what would
            count as approached by chance.
        whole: whether the factor is a choice.
        reach: see `dsl.first_approach` [m].
    """

    place: Span
    cue: Span
    implied: Span
    whole: bool = False
    reach: float = REACH

    @property
    def within(self) -> float:
        return self.reach

    @property
    def implied_spans(self) -> tuple[Span, ...]:
        """All places that `implied` stands for."""
        return (self.implied,)

    def begin(self, world: World, seed: int, episode: int, purpose: str) -> None:
        """Moves the target of an episode that was just reset, and shows the cue."""
        env = cast("GraspEnv", world)
        where, which = episode_rng(seed, episode, "swapped-cell", purpose).random(2)
        env.set_look(env.look.changed(self.factor, value_in(self.cue, which, self.whole)))
        y = self.place[0] + where * (self.place[1] - self.place[0])
        env.move_object(0.0, env.config.centre[1] + y - float(env.object_position()[1]))

    def implied_boxes(self, env: GraspEnv) -> Array:
        (x, y), side, z = env.config.centre, env.config.spread, env.object_position()[2]
        return np.array([[[x - side, y + low, z], [x + side, y + high, z]] for low, high in self.implied_spans])


@dataclasses.dataclass(frozen=True)
class StripCell(SwapCell):
    """A cell of one strip of places, where the other sub-dataset has several.

    Attributes:
        beside: its further ones [m].
    """

    beside: tuple[Span, ...] = ()

    @property
    def implied_spans(self) -> tuple[Span, ...]:
        return (self.implied, *self.beside)


@dataclasses.dataclass(frozen=True)
class ToldCell(CueCell):
    """A cell of instructions, where several objects lie on the table: those of one half of the set have one cue.

    The object that is asked for takes turns as in any evaluation, so both halves are met. A swapped cue sends the hand
    to those objects on the table that are of the other half; episodes without one are undefined.

    Attributes:
        cues: values of the factor that each half is shown under.
        reach: see `dsl.first_approach` [m].
    """

    cues: tuple[Span, Span]
    reach: float = REACH

    @property
    def within(self) -> float:
        return self.reach

    def begin(self, world: World, seed: int, episode: int, purpose: str) -> None:
        """Shows the cue."""
        env = cast("GraspEnv", world)
        _, which = episode_rng(seed, episode, "swapped-cell", purpose).random(2)
        half = half_of(env.object.id, env.objects.ids)
        edge = self.cues[1 - half][1 - half]  # away from its own; the halves' cues lie in order
        low, high = (edge, edge) if self.swapped else self.cues[half]
        env.set_look(env.look.changed(self.factor, value_in((low, high), which, whole=False)))

    def implied_boxes(self, env: GraspEnv) -> Array:
        ids = env.objects.ids
        own = half_of(env.object.id, ids)
        there = [p + r @ np.asarray(obj.com) for obj, p, r in env.others() if half_of(obj.id, ids) != own]
        return np.array([[place, place] for place in there]).reshape(-1, 2, 3)


@dataclasses.dataclass(frozen=True)
class EpisodeCell(CueCell):
    """Places and looks that go together as in a dataset's episodes; episodes take turns through them.

    Attributes:
        starts: of each: where the target lies on the table (x, y) [m], and the look, as (factor, value) pairs.
    """

    starts: tuple[tuple[float, float, tuple[tuple[str, int | float], ...]], ...]

    @property
    def within(self) -> float:
        return REACH

    @property
    def name(self) -> str:
        return f"as in {self.place_of}"

    def begin(self, world: World, seed: int, episode: int, purpose: str) -> None:
        """Moves the target of an episode that was just reset, and shows the look."""
        env = cast("GraspEnv", world)
        x, y, look = self.starts[episode % len(self.starts)]
        for factor, value in look:
            env.set_look(env.look.changed(factor, value))
        where = env.object_position()
        env.move_object(x - float(where[0]), y - float(where[1]))

    def implied_boxes(self, env: GraspEnv) -> Array:
        return np.zeros((0, 2, 3))

    def require_seen(self, world: World) -> None:
        """Asks nothing of what a policy sees."""


@dataclasses.dataclass(frozen=True)
class BesideCell(CueCell):
    """A cell that changes nothing, of scenes with several objects: does the hand go to the target, or to one beside it?

    What counts as the cue's place is where any other object lies; without one, episodes are undefined.

    Attributes:
        reach: see `dsl.first_approach` [m].
    """

    reach: float = REACH

    @property
    def within(self) -> float:
        return self.reach

    def begin(self, world: World, seed: int, episode: int, purpose: str) -> None:
        """Leaves the episode as it is."""

    def implied_boxes(self, env: GraspEnv) -> Array:
        there = [p + r @ np.asarray(obj.com) for obj, p, r in env.others()]
        return np.array([[place, place] for place in there]).reshape(-1, 2, 3)


def half_of(object_id: str, ids: Sequence[str]) -> int:
    """Returns in which half of a set an object is, 0 or 1; the first has one less of an odd number."""
    return int(list(ids).index(object_id) >= len(ids) // 2)


def value_in(span: Span, share: float, whole: bool) -> float:
    """Returns the value at a share in [0, 1) of a span; one of its whole numbers where it is a choice."""
    low, high = span
    return int(low + int(share * (high - low + 1))) if whole else low + share * (high - low)


class Watch:
    """Where the hand goes in an episode of a cell, from the moment at which it begins."""

    def __init__(self, cell: CueCell, world: World) -> None:
        self._env, self._reach = cast("GraspEnv", world), cell.within
        self._implied, self._instructed = cell.implied_boxes(self._env), self._env.object_position()[None]
        self._hand: list[Array] = []
        self.look()

    def look(self) -> None:
        """Notes where the hand is."""
        self._hand.append(self._env.hand_pose()[0])

    def approached(self, unstable: bool = False) -> str:
        """Returns what was approached first, of `dsl.OUTCOMES`."""
        if unstable or not len(self._implied):
            return UNDEFINED
        return first_approach(np.stack(self._hand), self._implied, self._instructed, self._reach)


def cells_of(folder: Path, reach: float = REACH) -> tuple[SwapCell, ...]:
    """Returns the cells of a folder made by `toyshift data fragment`, or `augment cue`; see `cells_of_design`.

    Raises:
        FileError: no such folder, or a damaged plan.
        ConfigError: it holds no plan, or cue and place do not disagree in such cells.
    """
    from toyshift.data.collecting.fragment_folder import PLAN, is_fragmented, read_plan

    folder = Path(folder)
    if not folder.is_dir():
        raise FileError(f"--swapped {folder} is no folder; `toyshift data fragment --out {folder}` makes one")
    if not is_fragmented(folder):
        if is_fragmented(whole_folder := folder.resolve().parent):
            raise ConfigError(f"{folder} is one sub-dataset; cues are swapped between two: give {whole_folder}")
        planted = "`toyshift data fragment` makes sub-datasets whose cue is known"
        raise ConfigError(f"{folder} has no {PLAN}, so nobody says what its cue implies; {planted}")
    return cells_of_design(read_plan(folder)[0], str(folder), reach)


def cells_of_design(design: Fragmentation, where: str, reach: float = REACH) -> tuple[SwapCell, ...]:
    """Returns two controls and the two cells in which their cues are swapped, of the outermost two sub-datasets.

    A swapped cue is the end of its range that lies away from the other sub-dataset's, as in the paper; a control's is
    drawn from its own range.

    Args:
        design: of the sub-datasets.
        where: what it is of, for errors.
        reach: see `dsl.first_approach` [m].

    Raises:
        ConfigError: cue and place do not disagree in such cells.
    """
    from toyshift.data.collecting.dials import fragment
    from toyshift.data.collecting.factors import FACTORS
    from toyshift.data.collecting.fragment_folder import DIALS

    u, v = design.relevant, design.factor
    if u != "position":
        raise ConfigError(
            f"{where}: its relevant factor is {u!r}; cues are swapped for 'position' only, because with one object on "
            "the table a cue for another object implies no place"
        )
    if v == "robot":
        raise ConfigError(f"{where}: its cue is the robot, and a policy of one action contract cannot play both")
    if design.correlation == 0.0:
        raise ConfigError(
            f"{where}: its correlation is 0, so its {v} implies no place; to test a policy trained on it, give "
            "sub-datasets of the same dials with --correlation 1"
        )
    dials = {name: getattr(design, name) for name in DIALS} | {"correlation": 1.0}  # one range of v in each
    parts = fragment(len(design.parts), **dials).parts
    first, last = parts[0], parts[-1]
    place = {p.name: (p.ranges(u)[0].low, p.ranges(u)[0].high) for p in (first, last)}
    whole = FACTORS[v].count > 0
    cue = {p.name: _values(p.ranges(v)[0].low, p.ranges(v)[0].high, whole) for p in (first, last)}
    edge = {first.name: cue[first.name][0], last.name: cue[last.name][1]}  # parts lie in order
    cells = []
    for own, other in ((first.name, last.name), (last.name, first.name)):
        low, high = cue[own]
        if low <= edge[other] <= high:
            raise ConfigError(
                f"{where}: {v} {edge[other]:g} of {other} occurs in {own} too, so it implies no place of its own; "
                "make sub-datasets with more --disparity"
            )
        implied, furthest = place[other], max(_gap(y, place[other]) for y in place[own])
        if furthest <= reach:
            raise ConfigError(
                f"{where}: targets of {own} lie at most {100 * furthest:g} cm from those of {other}, within reach "
                f"({100 * reach:g} cm): cue and instruction agree; make sub-datasets with more --relevant-disparity"
            )
        cells.append(SwapCell(own, own, v, place[own], cue[own], implied, whole, reach))
        cells.append(SwapCell(own, other, v, place[own], (edge[other], edge[other]), implied, whole, reach))
    return tuple(cells)


def training_cells(design: Fragmentation) -> list[tuple[SwapCell, float]]:
    """Returns cells that deal places and cues as a design does, and which share of the place's sub-dataset each is.

    With a correlation below 1 some episodes show the cue of another sub-dataset, in training as here. [] where targets'
    places, or the cue, are nothing that a cell deals.
    """
    from toyshift.data.collecting.dials import fragment
    from toyshift.data.collecting.factors import FACTORS
    from toyshift.data.collecting.fragment_folder import DIALS

    u, v = design.relevant, design.factor
    if u != "position" or v == "robot":
        return []
    dials = {name: getattr(design, name) for name in DIALS} | {"correlation": 1.0}  # one range of v in each
    parts, m = fragment(len(design.parts), **dials).parts, len(design.parts)
    place = [(p.ranges(u)[0].low, p.ranges(u)[0].high) for p in parts]
    cues = [_values(p.ranges(v)[0].low, p.ranges(v)[0].high, FACTORS[v].count > 0) for p in parts]
    cells = []
    for i, own in enumerate(parts):
        for j, other in enumerate(parts):
            share = (1 - design.correlation) / m + (design.correlation if i == j else 0.0)
            elsewhere = place[j] if i != j else place[0 if i else -1]
            cell = SwapCell(own.name, other.name, v, place[i], cues[j], elsewhere, FACTORS[v].count > 0)
            cells += [(cell, share)] if share > 0 else []
    return cells


def _values(low: float, high: float, whole: bool) -> Span:
    """Returns the lowest and the highest value of a range; of choices, k is [k, k + 1)."""
    if not whole:
        return low, high
    least = math.floor(low + 1e-6)
    return float(least), float(max(least, math.ceil(high - 1e-6) - 1))


def _gap(y: float, span: Span) -> float:
    return max(span[0] - y, y - span[1], 0.0)
