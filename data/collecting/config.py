"""What to collect, and the key by which a folder of half-done work is known again."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from toyshift.core.choices import ActionMode, GraspSearch, Keep, RobotName, Task
from toyshift.core.errors import ConfigError
from toyshift.core.fields import check_fields, check_ranges
from toyshift.core.files import json_hash
from toyshift.data.collecting.dials import SubDataset
from toyshift.data.collecting.disturbance import Disturbance
from toyshift.data.collecting.takeover import TakeOver
from toyshift.data.collecting.variety import Variety
from toyshift.data.grasping.choose import GRASP_SEARCHES
from toyshift.data.grasping.expert import ExpertConfig
from toyshift.envs.cameras import CAMERAS, Camera
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import ROBOTS

WHERE = ("episodes", "out", "workers", "ray")  # how many, and by whom: attempt i is the same whatever they are
# Options that older datasets do not have: their keys stay what they were.
LATER = ("shift", "keep", "variety", "sub_dataset", "take_over", "grasp_search", "shares")


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """What to collect.

    Attributes:
        objects: object set to play with; attempt i takes object i modulo the set's size.
        episodes: how many successful demonstrations.
        out: folder of the dataset.
        workers: processes; 0 works in this one.
        seed: root seed; attempt i draws everything from (seed, i).
        action_mode: "eef_delta", "eef_pose", "joint_pos" or "joint_delta".
        cameras: recorded cameras, names and `Camera`s.
        image_size: height and width [pixels].
        disturb: whether the expert is disturbed (and recovers); see Disturbance.
        robot: name in `toyshift.envs.robots.ROBOTS`.
        task: "grasp" or "pick"; see EnvConfig.
        clutter: how many other objects lie on the table, e.g. 4 or "2-6"; None is the task's own number.
        shift: how far the episodes are from the training distribution, e.g. "camera-azimuth=3"; see `envs.shifts`.
        keep: "successes", or "failed" to store the attempts that failed on the way as well, with `success` false and
            their `cause`.
        sub_dataset: ranges that looks, places and targets are drawn from; None for the ordinary ones.
        grasp_search: name in GRASP_SEARCHES: whether the search in six degrees of freedom helps out ("auto"), is never
            asked ("top-down") or asked first ("6dof").
        variety: how far demonstrations differ in pace, approach and start pose, 0 to 1; see `variety.Variety`.
        ray: address of a Ray cluster that plays instead of local processes, or "local"; see `core.workers.ray_pool`.
        shares: (object id, share of the attempts) of each object that is played with, drawn anew for each attempt;
            () lets all take turns.
        take_over: who plays the beginning of every episode, before the expert takes over and is recorded; None: nobody.

    Raises:
        UnknownNameError, ConfigError: of a choice that does not exist, is out of range, or does not fit the others.
    """

    objects: str
    episodes: int
    out: Path
    workers: int = 2
    seed: int = 0
    action_mode: ActionMode = "eef_delta"
    cameras: tuple[str | Camera, ...] = CAMERAS
    image_size: int = 96
    disturb: bool = True
    robot: RobotName = "panda"
    task: Task = "grasp"
    clutter: int | str | None = None
    shift: str = ""
    keep: Keep = "successes"
    sub_dataset: SubDataset | None = None
    grasp_search: GraspSearch = "auto"
    variety: float = 0.0
    ray: str = ""
    take_over: TakeOver | None = None
    shares: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, but=("cameras", "image_size"))  # those of the environment
        check_ranges(self, {"episodes": 1, "workers": 0, "seed": 0})
        config = self.env_config()  # refuses an unknown camera or shift before anything is written
        ROBOTS[self.robot].require_files()
        if self.grasp_search != "auto" and ROBOTS[self.robot].gripper.kind != "parallel":
            raise ConfigError(
                f"grasp search {self.grasp_search!r} is for two fingers that close alike; the robot {self.robot!r} has "
                f"a {ROBOTS[self.robot].gripper.kind}, for which grasps are searched in a way of their own"
            )
        if self.shares and self.sub_dataset is not None:
            raise ConfigError("a sub-dataset draws its own targets; drop the shares of the objects")
        if self.shares and not all(share >= 0 for _, share in self.shares):
            raise ConfigError("shares of objects must not be negative")
        part = self.sub_dataset
        if part is not None and (part.robot_name != self.robot or config.others[1] or self.shift):
            raise ConfigError(
                f"sub-dataset {part.name!r} is for one object, the robot {part.robot_name} and no shift; "
                f"got clutter {self.clutter!r}, {self.robot} and {self.shift!r}"
            )

    def env_config(self) -> EnvConfig:
        config = EnvConfig(
            objects=self.objects, task=self.task, clutter=self.clutter, robot=self.robot, action_mode=self.action_mode,
            cameras=self.cameras, image_size=self.image_size, shift=self.shift,
        )
        return Variety(self.variety).environment(config)

    def expert_config(self) -> ExpertConfig:
        return ExpertConfig(six_dof_from=GRASP_SEARCHES[self.grasp_search])

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"out": str(self.out)}

    @property
    def decisive(self) -> dict[str, Any]:
        """All that decides what attempt i is."""
        return {name: value for name, value in self.to_json().items() if name not in WHERE}

    @functools.cached_property
    def key(self) -> str:
        """Hash of everything that decides what attempt i is."""
        from toyshift.toys import load_objects

        usual = {f.name: f.default for f in dataclasses.fields(self) if f.name in LATER}
        values = {name: value for name, value in self.decisive.items() if name not in usual or value != usual[name]}
        if "grasp_search" in values:
            values["planner"] = values.pop("grasp_search")  # what keys have always called it
        if self.variety:
            values["variety"] = dataclasses.asdict(Variety(self.variety))
        values |= {"expert": dataclasses.asdict(ExpertConfig()), "disturbance": dataclasses.asdict(Disturbance())}
        return json_hash(values | {"fingerprint": load_objects(self.objects).fingerprint})
