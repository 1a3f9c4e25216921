"""Collects demonstrations of the scripted expert into a LeRobot v3 dataset.

toyshift collect --objects toys:train --episodes 500 --out runs/demos
toyshift collect --objects toys:train --episodes 500 --seed 1 --beginner runs/detpool --out runs/corrections
toyshift collect --objects toys:train --episodes 200 --seed 2 --allocate runs/eval/rows.parquet --out runs/more
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from toyshift.core.choices import ActionMode, GraspSearch, Keep, RobotName, Task
from toyshift.core.errors import ConfigError
from toyshift.core.graphics import gl_backend
from toyshift.scripts.options import Clustered

if TYPE_CHECKING:
    from toyshift.data.collecting.takeover import TakeOver


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Clustered, episodes=1, variety=(0, 1), image_size=(16, 1024)):
    """Options of `toyshift collect`."""

    objects: str = "toys:train"
    """Object set to play with."""
    task: Annotated[Task, tyro.conf.arg(aliases=["--env"])] = "grasp"
    """grasp (one object) or pick (2-6 objects; the instruction names the target); --env is its old name."""
    clutter: str = ""
    """How many others lie on the table: a number or a range such as 2-6; by default 0 for grasp, 1-5 for pick."""
    episodes: int = 500
    """How many successful demonstrations to store; a larger number extends a finished dataset."""
    out: Path
    """Folder of the dataset; an interrupted collection goes on where it was."""
    action_mode: ActionMode = "eef_delta"
    """eef_delta (movement of the hand), eef_pose, joint_pos (joint angles) or joint_delta."""
    robot: RobotName = "panda"
    """Which robot plays, e.g. panda, ur5e or inspire: docs/robots.md."""
    image_size: int = 96
    """Height and width of the images [pixels]; above 160 they are stored as video, which is lossy."""
    shift: str = ""
    """How far the episodes are from the training distribution, e.g. camera-azimuth=3,object-mass=2: docs/shifts.md."""
    keep: Keep = "successes"
    """failed stores the attempts that failed as well, with success=false."""
    grasp_search: Annotated[GraspSearch, tyro.conf.arg(aliases=["--planner"])] = "auto"
    """Which grasps are shown: auto searches from above, and in six degrees of freedom where that finds nothing that
    holds; top-down and 6dof take one (first): docs/grasping.md; --planner is its old name."""
    variety: float = 0.0
    """How far demonstrations differ from each other in pace, approach and start pose, 0 to 1."""
    no_disturbance: bool = False
    """Leave the expert undisturbed; with disturbances the data show how to recover."""
    beginner: str = ""
    """Folder of a trained policy that plays the beginning of episodes, before the expert is recorded (DAgger)."""
    allocate: tuple[Path, ...] = ()
    """Rows of a policy and of the oracle (`toyshift evaluate`): toys like those where it is furthest behind are played
    with most."""
    allocate_before: tuple[Path, ...] = ()
    """Rows of the policy before the last round of such demonstrations: what did not rise since then is given up."""


@dataclasses.dataclass(frozen=True)
class PolicyBeginner:
    """A trained policy that plays the beginning of episodes; see `data.takeover.Beginner`.

    Attributes:
        folder: of the policy.
        fingerprint: hash of its configuration and weights.
    """

    folder: str
    fingerprint: str

    def load(self) -> Any:
        from toyshift.diagnostics.actors import FolderActor, load_acting_policy

        return FolderActor(load_acting_policy(self.folder))


def take_over(folder: str) -> TakeOver | None:
    """Makes the option of a policy's folder."""
    if not folder:
        return None
    from toyshift.data.collecting.takeover import TakeOver
    from toyshift.diagnostics.actors import policy_fingerprint

    return TakeOver(PolicyBeginner(folder, policy_fingerprint(folder)))


def shares_of(cfg: Config) -> tuple[tuple[str, float], ...]:
    """Returns how often each object is played with, and prints the cells that this follows from; () = in turns."""
    if cfg.allocate_before and not cfg.allocate:
        raise ConfigError("--allocate-before is what --allocate is compared with; give that as well")
    if not cfg.allocate:
        return ()
    from toyshift.diagnostics.allocate import allocated
    from toyshift.diagnostics.rows import read_rows
    from toyshift.toys import load_objects

    rows, before = ([row for path in paths for row in read_rows(path)] for paths in (cfg.allocate, cfg.allocate_before))
    names = sorted({row.object_set for row in (*rows, *before)})
    played = {obj.id: obj for name in names for obj in load_objects(name)}
    each, table = allocated(rows, {obj.id: obj for obj in load_objects(cfg.objects)}, played, before)
    for line in table:
        print(f"{line.share:6.1%} of attempts: {line.cell} ({line.objects} toys): policy {line.success:.0%} of "
              f"{line.episodes}, expert {line.expert:.0%}{', given up' * line.given_up}", file=sys.stderr)  # fmt: skip
    return tuple(sorted(each.items()))


def main(cfg: Config) -> dict[str, Any]:
    """Collects demonstrations of the scripted expert into a LeRobot v3 dataset.

    Example: toyshift collect --objects toys:train --episodes 500 --out runs/demos
    """
    gl_backend()  # no process is started, and nothing written, where nothing can be rendered
    from toyshift.data import CollectConfig, collect

    config = CollectConfig(  # refuses wrong options before --out belongs to them
        objects=cfg.objects, task=cfg.task, clutter=cfg.clutter or None, episodes=cfg.episodes, out=cfg.out,
        workers=cfg.processes, seed=cfg.seed, action_mode=cfg.action_mode, robot=cfg.robot,
        image_size=cfg.image_size, disturb=not cfg.no_disturbance,
        shift=cfg.shift, keep=cfg.keep, ray=cfg.ray, grasp_search=cfg.grasp_search, variety=cfg.variety,
        take_over=take_over(cfg.beginner), shares=shares_of(cfg),
    )
    result: dict[str, Any] = collect(config)
    print(f"dataset: {cfg.out}")
    return result | {"out": cfg.out}
