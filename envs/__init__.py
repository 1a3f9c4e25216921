"""Floor 2: scene, robots, control, rendering, looks and the Gymnasium environments; importing it registers them."""

from __future__ import annotations

import importlib
from typing import Any

from gymnasium.envs.registration import register

from toyshift.core.graphics import check_mujoco_loads

check_mujoco_loads()  # every file of this room imports mujoco, which fails unclearly without the library that MUJOCO_GL names
# id -> options of the one environment; add a variant here and every test of registered ids covers it
VARIANTS: dict[str, dict[str, Any]] = {
    "Grasp-v0": {},
    "GraspRelaxed-v0": {"lift_height": 0.15},  # LEGO's relaxed height
    "GraspClutter-v0": {"clutter": "2-6"},
    "GraspState-v0": {"cameras": (), "environment_state": True, "reward": "cost"},
    "Pick-v0": {"task": "pick"},
    "PickTwo-v0": {"task": "pick", "clutter": 1},
    "PickSix-v0": {"task": "pick", "clutter": 5},
}
for _name, _options in VARIANTS.items():
    register(
        id=f"toyshift/{_name}",
        entry_point="toyshift.envs.grasp:GraspEnv",
        vector_entry_point="toyshift.envs.vector:ToyGraspVectorEnv",
        max_episode_steps=100,
        kwargs=_options,
    )

_EXPORTS = {
    "EnvConfig": "toyshift.envs.config",
    "GraspEnv": "toyshift.envs.grasp",
    "ToyGraspVectorEnv": "toyshift.envs.vector",
    "Look": "toyshift.envs.shifts",
    "FACTORS": "toyshift.envs.shifts",
    "Shift": "toyshift.envs.shifts",
    "Shifts": "toyshift.envs.shifts",
    "SHIFT_FACTORS": "toyshift.envs.shift_table",
    "ROBOTS": "toyshift.envs.robots",
    "thumbnail": "toyshift.envs.thumbnails",
}


def __getattr__(name: str) -> Any:
    if name == "sb3":  # a module: `toyshift.envs.sb3.make(id)`
        return importlib.import_module("toyshift.envs.sb3")
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'toyshift.envs' has no attribute {name!r}; it exports {', '.join(_EXPORTS)}")
