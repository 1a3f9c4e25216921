"""What options may be, where that is a choice between names: tables that several rooms share, and types made of them.

`--help` shows the choices, so nothing heavy is imported here. To add a robot or a variant of an environment, name it
here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

ACTION_MODES = ("joint_pos", "joint_delta", "eef_delta", "eef_pose")
# of the time that computing actions takes: `policies.runtime.ChunkBuffer` says what they are
COMPENSATIONS = ("skip", "none", "wait")
DATASET_FORMATS = ("lerobot", "rlds", "robomimic")  # the first one recognises its folders first
DEVICES = ("auto", "cpu", "cuda")
DIALECTS = ("toyshift", "droid", "vla-eval")  # of clients of `toyshift serve`
# of `toyshift.envs.VARIANTS`
ENVIRONMENTS = tuple(f"toyshift/{name}-v0" for name in (
    "Grasp", "GraspRelaxed", "GraspClutter", "GraspState", "Pick", "PickTwo", "PickSix",
))  # fmt: skip
# factors of `toyshift data fragment`: the task depends on the former
RELEVANT_FACTORS = ("position", "object")
SEEN_FACTORS = ("azimuth", "light", "table", "background", "object_colour")  # of `toyshift.envs.shifts.Look`
IRRELEVANT_FACTORS = (*SEEN_FACTORS, "robot")
GRASP_SEARCHES = ("auto", "top-down", "6dof")
KEEP = ("successes", "failed")
# demonstrations and practice; choices made while training, such as a learning rate; what is reported
PURPOSES = ("collection", "validation", "test")
QUALITIES = ("fast", "high")
REWARDS = ("dense", "cost", "sparse")
# of `toyshift.envs.robots.ROBOTS`, in that order
ROBOT_NAMES = ("panda", "panda-robotiq", "ur5e", "xarm7", "kinova3", "sawyer", "iiwa", "inspire", "so101")
TASKS = ("grasp", "pick")

if TYPE_CHECKING:  # for a type checker the choices are texts
    ActionMode = str
    Compensation = str
    DatasetFormat = str
    Device = str
    Dialect = str
    Environment = str
    GraspSearch = str
    IrrelevantFactor = str
    Keep = str
    Purpose = str
    Quality = str
    Reward = str
    RelevantFactor = str
    RobotName = str
    SeenFactor = str
    Task = str
else:
    ActionMode = Literal[ACTION_MODES]
    Compensation = Literal[COMPENSATIONS]
    DatasetFormat = Literal[DATASET_FORMATS]
    Device = Literal[DEVICES]
    Dialect = Literal[DIALECTS]
    Environment = Literal[ENVIRONMENTS]
    GraspSearch = Literal[GRASP_SEARCHES]
    IrrelevantFactor = Literal[IRRELEVANT_FACTORS]
    Keep = Literal[KEEP]
    Purpose = Literal[PURPOSES]
    Quality = Literal[QUALITIES]
    Reward = Literal[REWARDS]
    RelevantFactor = Literal[RELEVANT_FACTORS]
    RobotName = Literal[ROBOT_NAMES]
    SeenFactor = Literal[SEEN_FACTORS]
    Task = Literal[TASKS]
