"""Which scripted expert plays which kind of gripper."""

from __future__ import annotations

from toyshift.data.grasping.expert import ExpertConfig, GraspExpert
from toyshift.data.grasping.power import PowerGraspExpert
from toyshift.envs.tasks.grasp import GraspEnv

# Gripper.kind -> expert; to add one, add a line here
EXPERTS: dict[str, type[GraspExpert]] = {"parallel": GraspExpert, "hand": PowerGraspExpert}


def make_expert(env: GraspEnv, config: ExpertConfig | None = None) -> GraspExpert:
    """Returns the expert for the environment's robot."""
    return EXPERTS[env.robot.gripper.kind](env, config)
