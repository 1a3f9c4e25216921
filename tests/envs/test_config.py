"""What an environment is given is refused where it makes no sense, before anything is built."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs import EnvConfig, GraspEnv, ToyGraspVectorEnv

OPTIONS: dict[str, Any] = {"objects": "toys:train?n=2", "cameras": ()}


@pytest.mark.parametrize(("option", "value", "said"), [
    ("control_hz", 0, r"control_hz must be from 0\.1 to 1,000, got 0"),
    ("control_hz", "fast", "control_hz is 'fast'; it must be a finite number"),
    ("physics_dt", float("nan"), "physics_dt is nan"),
    ("lift_height", float("nan"), "lift_height is nan; it must be a finite number"),
    ("lift_height", -1, "lift_height must be from"),
    ("settled_start", 3, "settled_start must be from"),
    ("depth", "yes", "depth is 'yes'; it must be true or false"),
    ("objects", None, "objects is None; it must be a text"),
    ("objects", 5, "objects is 5; it must be a text"),
    ("robot", None, "robot is None; it must be one of panda"),
    ("cameras", None, "cameras is None; it must be a list"),
    ("cameras", 3, "cameras is 3; it must be a list"),
    ("image_size", None, "image_size is None"),
    ("hold_steps", 2.5, r"hold_steps is 2\.5; it must be a whole number"),
    ("centre", (0.5, float("inf")), "centre is"),
    ("shift", "camera-azimuth=" + "9" * 5000, "a whole number from 0"),
    ("clutter", "9" * 5000, "clutter is"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(option: str, value: Any, said: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=said):
        gym.make("toyshift/Grasp-v0", **OPTIONS | {option: value})


def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown environment option 'obects'"):
        GraspEnv(obects="toys:train")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="config is 5; it must be an EnvConfig"):
        GraspEnv(5)  # type: ignore[arg-type]


def test_resets_are_given_what_they_can_be_and_nothing_happens_after_closing() -> None:
    env = GraspEnv(EnvConfig(**OPTIONS))
    for seed, options, said in (
        (None, [1], r"reset options are \[1\]; they must be a dict of episode"),
        (None, {"episode": "1"}, "episode is '1'"),
        (None, {"object": 1.5}, "object is 1.5"),
        (None, {"look": "red"}, "look is 'red'; it must be a Look"),
        (-1, None, "seed is -1"),
        ("0", None, "seed is '0'"),
    ):
        with pytest.raises(ConfigError, match=said):
            env.reset(seed=seed, options=options)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="reset option '1'"):
        env.reset(options={1: 2})  # type: ignore[dict-item]
    env.reset(seed=np.int64(0))  # type: ignore[arg-type]
    env.close()
    env.close()
    for use in (lambda: env.reset(seed=0), lambda: env.step(np.zeros(7, np.float32))):
        with pytest.raises(ConfigError, match="the environment is closed"):
            use()


def test_vector_environments_are_counted_in_whole_numbers() -> None:
    for count in (2.5, "2", None, 0):
        with pytest.raises(ConfigError, match="num_envs"):
            ToyGraspVectorEnv(num_envs=count, **OPTIONS)  # type: ignore[arg-type]
