"""Floor 2: scene, robots, control, rendering, looks and the Gymnasium environments; importing it registers them."""

from __future__ import annotations

from typing import Any

from gymnasium.envs.registration import register

from toyshift.core.graphics import check_mujoco_loads
from toyshift.core.lazy import lazy_names

# every file of this room imports mujoco, which fails unclearly without the library that MUJOCO_GL names
check_mujoco_loads()
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
        entry_point="toyshift.envs.tasks.grasp:GraspEnv",
        vector_entry_point="toyshift.envs.adapters.vector:ToyGraspVectorEnv",
        max_episode_steps=100,
        kwargs=_options,
    )

_PLACES = {
    "EnvConfig": "config",
    "GraspEnv": "tasks.grasp",
    "ToyGraspVectorEnv": "adapters.vector",
    "Look": "shifts",
    "FACTORS": "shifts",
    "Shift": "shifts",
    "Shifts": "shifts",
    "SHIFT_FACTORS": "shift_table",
    "ROBOTS": "robots",
    "envhub": "adapters",
    "sb3": "adapters",
    "thumbnail": "render.thumbnails",
}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
