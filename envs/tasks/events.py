"""What happens in an episode between gripper and target, told from measurements: once per control step, no physics."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from toyshift.core.arrays import Array
from toyshift.envs.config import EnvConfig
from toyshift.envs.scene.scene import Scene
from toyshift.envs.tasks.success import RAISED, Judge, Thing

REACHED = 0.05  # hand's grasp site to the target's bounding box [m] from which on the hand counts as there
KNOCKED = 0.03  # target's centre of mass from where it began, across the table [m]
SHUT = 0.5  # commanded opening (0..1) below which the gripper counts as told to close
SHUT_FOR = 0.5  # for how long, with nothing in it [s]; from SHUT on every gripper here is shut within 0.3 s
PRESSED = 0.02  # how far the fingers are told to go beyond what stops them [share of the opening]: a grip presses
LOST_FOR = 0.3  # for how long a grip must be gone to be lost [s]: contacts flicker
EVENTS = {  # name -> when it happens; the first three once in an episode, "raised" and "lifted" once in a grip
    "reached": "the hand came within REACHED of the target's bounding box, or the gripper touched the target",
    "knocked": "the target lay KNOCKED from where it began, and no gripper had held it yet",
    "shut": "the gripper had been told to close for SHUT_FOR, while it gripped neither target nor other object",
    "raised": "the target was RAISED above its start (or at the height that success asks for, if lower), in the grip",
    "lifted": "the target was at the height that success asks for, in the grip",
    "gripped": "parts of the gripper pressed on the target from opposite sides, or it hung in the pressing gripper",
    "slipped": "the grip was lost while the gripper was told to be narrower than the target",
    "let_go": "the grip was lost as the gripper was told to open",
}


class Event(NamedTuple):
    """One event, and the control step after which it was seen; the first step is 1."""

    step: int
    name: str


class Measured(NamedTuple):
    """What is measured after a control step.

    Attributes:
        distance: from the hand's grasp site to the target's bounding box [m].
        touched: whether the gripper has ever touched the target.
        away: from where the target began to where it is, across the table [m].
        pinched: whether the target is between parts of the gripper, or hangs in it.
        beside: whether the gripper touches another object of the task.
        height: rise of the target's lowest point [m].
        commanded: opening that is commanded (0..1).
        told: where the fingers are told to be, on the scale of `opening`; below 0 beyond shut.
        opening: where they are, 0 shut to 1 open.
    """

    distance: float
    touched: bool
    away: float
    pinched: bool
    beside: bool
    height: float
    commanded: float
    told: float
    opening: float


@dataclasses.dataclass
class Events:
    """The events of an episode, in order.

    Attributes:
        lift_height: rise that success asks for [m].
        control_hz: control steps per second [Hz].
        happened: the events so far; of one step, in the order of `note`.
    """

    lift_height: float
    control_hz: float
    happened: list[Event] = dataclasses.field(default_factory=list)
    _names: set[str] = dataclasses.field(default_factory=set)
    _in_grip: bool = False
    _width: float = 0.0  # opening at which the target was gripped last
    _gone: int = 0  # control steps since then
    _wide: bool = False  # whether the gripper was told to open in the meantime
    _shut: int = 0  # control steps for which it has been told to close around nothing

    @property
    def reached(self) -> bool:
        """Whether the hand has been there, so that distances need no longer be measured."""
        return "reached" in self._names

    def note(self, step: int, seen: Measured) -> None:
        """Takes what was measured after a control step."""
        if seen.touched or seen.distance <= REACHED:
            self._once(step, "reached")
        gripped = seen.pinched and seen.told <= seen.opening - PRESSED
        if gripped:
            self._width, self._gone, self._wide = seen.opening, 0, False
            if not self._in_grip:
                self._in_grip = True
                self._names -= {"raised", "lifted"}
                self._add(step, "gripped")
            if seen.height >= min(RAISED, self.lift_height):
                self._once(step, "raised")
            if seen.height >= self.lift_height:
                self._once(step, "lifted")
        elif self._in_grip:
            self._gone += 1
            self._wide = self._wide or seen.told > self._width - PRESSED
            if self._gone >= self._steps(LOST_FOR):
                self._in_grip = False
                self._add(step, "let_go" if self._wide else "slipped")
        if seen.away >= KNOCKED and "gripped" not in self._names:
            self._once(step, "knocked")
        around_nothing = seen.commanded < SHUT and not (gripped or self._in_grip or seen.beside)
        self._shut = self._shut + 1 if around_nothing else 0
        if self._shut >= self._steps(SHUT_FOR):
            self._once(step, "shut")

    def _steps(self, seconds: float) -> int:
        return max(1, round(seconds * self.control_hz))

    def _once(self, step: int, name: str) -> None:
        if name not in self._names:
            self._add(step, name)

    def _add(self, step: int, name: str) -> None:
        self._names.add(name)
        self.happened.append(Event(step, name))


class Observer:
    """Measures an episode's events in a scene, from the state that it begins in.

    Args:
        scene: as the episode begins.
        target: the thing that counts.
        config: of the environment.

    Attributes:
        events: so far.
    """

    def __init__(self, scene: Scene, target: Thing, config: EnvConfig) -> None:
        self.events = Events(config.lift, config.control_hz)
        self._low, self._high = target.hull.min(axis=0).tolist(), target.hull.max(axis=0).tolist()
        self._start: list[float] = scene.data.xipos[scene.target.body].tolist()

    def move(self, dx: float, dy: float) -> None:
        """Says that the target was put elsewhere, by no robot [m]."""
        self._start[0] += dx
        self._start[1] += dy

    def look(self, step: int, scene: Scene, judge: Judge, gripper: tuple[float, float, float]) -> None:
        """Notes what a control step has led to.

        Args:
            step: its number, from 1.
            scene: after it.
            judge: which has judged it, contacts included.
            gripper: opening that is commanded, where the fingers are told to be, and where they are.
        """
        x, y, _ = scene.data.xipos[scene.target.body].tolist()
        away = math.hypot(x - self._start[0], y - self._start[1])
        distance = 0.0 if self.events.reached else self._distance(scene)
        pinched = judge.grasped or judge.predicates["held"]
        self.events.note(
            step, Measured(distance, judge.touched, away, pinched, judge.beside, judge.height, *gripper)
        )

    def _distance(self, scene: Scene) -> float:
        body, data = scene.target.body, scene.data
        offset: Array = data.site_xpos[scene.arm.site] - data.xpos[body]
        place = (offset @ data.xmat[body].reshape(3, 3)).tolist()  # in the target's own frame
        beyond = (max(low - at, 0.0, at - high) for low, at, high in zip(self._low, place, self._high, strict=True))
        return math.hypot(*beyond)
