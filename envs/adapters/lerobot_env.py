"""`lerobot-eval --env.type=toyshift`: the configuration by which LeRobot makes ToyShift's environments.

LeRobot imports this file through the distribution lerobot_env_toyshift (`plugins/`); nothing else does. LeRobot 0.6
calls `create_envs`; 0.4 makes one environment at a time by `gym_id` and `gym_kwargs`.
"""

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig as LeRobotConfig

from toyshift.core.contract import (
    ACTION,
    ENVIRONMENT_STATE,
    STATE,
    ActionContract,
    ObservationContract,
    environment_options,
    image_key,
)
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import read_json
from toyshift.envs.adapters.envhub import LeRobotEnv, chosen_options, make_env
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import ROBOTS
from toyshift.envs.spaces import action_contract, observation_space
from toyshift.envs.tasks.grasp import GraspEnv

GYM_ID = "lerobot_env_toyshift/Grasp-v0"
OPTIONS = ("robot", "cameras", "image_size", "action_mode", "control_hz", "clutter", "shift", "purpose", "reward")


@LeRobotConfig.register_subclass("toyshift")
@dataclasses.dataclass
class ToyShiftEnvConfig(LeRobotConfig):  # type: ignore[misc]  # LeRobot is not typed
    """Options --env.NAME; None is what the environment id has, or what `dataset` was recorded with.

    Attributes:
        task: object sets, separated by commas; LeRobot 0.4 takes one.
        env_id: a registered id.
        dataset: folder of a dataset of ToyShift's; the environment acts and shows as there: robot, action mode, rate,
            cameras, image size.
        robot, cameras, image_size, action_mode, control_hz, clutter, shift, purpose, reward: of
            `toyshift.envs.EnvConfig`.
        episode_length: time limit [control steps].
        root_seed: LeRobot's seed s plays episode s of `toyshift evaluate --seed ROOT_SEED`; None: the first episode of
            root seed s.
        fps, features, features_map: found from the environment; what is given here is replaced.
    """

    task: str | None = "toys:test"
    env_id: str = "toyshift/Grasp-v0"
    dataset: str | None = None
    robot: str | None = None
    cameras: list[str] | None = None
    image_size: int | None = None
    action_mode: str | None = None
    control_hz: float | None = None
    clutter: str | None = None
    shift: str | None = None
    purpose: str | None = None
    reward: str | None = None
    episode_length: int | None = None
    root_seed: int | None = None

    def __post_init__(self) -> None:
        chosen, self.episode_length = chosen_options(self.env_id, self.episode_length, self._options())
        config = EnvConfig(**{name: value for name, value in chosen.items() if name != "render_mode"})
        robot = ROBOTS[config.robot]
        self.fps = round(config.control_hz)
        joints = np.zeros((len(robot.joints), 2))  # their limits change no size
        size = action_contract(config, robot, joints).size
        self.features = {ACTION: PolicyFeature(type=FeatureType.ACTION, shape=(size,))}
        self.features_map = {ACTION: ACTION}
        names = {"agent_pos": (STATE, FeatureType.STATE), "environment_state": (ENVIRONMENT_STATE, FeatureType.ENV)}
        for name, space in observation_space(config, robot).spaces.items():
            if name in names:
                self.features_map[name], kind = names[name]
                self.features[name] = PolicyFeature(type=kind, shape=space.shape)
        for camera, (height, width) in config.image_sizes.items():
            self.features_map[f"pixels/{camera}"] = image_key(camera)
            self.features[f"pixels/{camera}"] = PolicyFeature(type=FeatureType.VISUAL, shape=(height, width, 3))

    def _options(self) -> dict[str, Any]:
        """Returns the options of the environment, object set aside, that are given or that the dataset says."""
        own = {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}
        return (_options_of(Path(self.dataset)) if self.dataset else {}) | own

    @property
    def gym_id(self) -> str:
        return GYM_ID

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """What LeRobot 0.4 hands to `gym.make`."""
        if not self.task or "," in self.task:
            raise ConfigError(f"task is {self.task!r}; this LeRobot takes one object set, such as toys:test")
        chosen, limit = chosen_options(self.env_id, self.episode_length, self._options() | {"objects": self.task})
        return {"limit": limit, "root_seed": self.root_seed, "chosen": chosen}

    def create_envs(self, n_envs: int, use_async_envs: bool = False) -> dict[str, dict[int, VectorEnv[Any, Any, Any]]]:
        """Makes what LeRobot 0.6 evaluates in: a suite for each object set; see `make_env`."""
        return make_env(
            n_envs, use_async_envs, self, env_id=self.env_id, max_episode_steps=self.episode_length,
            root_seed=self.root_seed, **self._options(),
        )  # fmt: skip


def _options_of(folder: Path) -> dict[str, Any]:
    """Returns the options of an environment that acts and shows as a dataset of ToyShift's says."""
    path = folder / "meta" / "toyshift.json"
    if not path.is_file():
        raise FileError(f"{path} does not exist: {folder} is no dataset of ToyShift's, which would say its cameras")
    said, info = read_json(path), read_json(folder / "meta" / "info.json")
    actions = ActionContract.from_json(said["action_contract"])
    observations = ObservationContract.from_json(said["observation_contract"])
    options = environment_options(actions, observations) | {"control_hz": actions.control_hz}
    return options | ({"robot": info["robot_type"]} if info.get("robot_type") in ROBOTS else {})


def single(chosen: dict[str, Any], limit: int, root_seed: int | None, render_mode: str = "rgb_array") -> LeRobotEnv:
    """Makes one environment, for `gym.make`, whose own wrappers would hide the instruction from LeRobot 0.4."""
    return LeRobotEnv(GraspEnv(**chosen | {"render_mode": render_mode}), limit, root_seed)


if GYM_ID not in gym.registry:
    gym.register(GYM_ID, f"{__name__}:single", order_enforce=False, disable_env_checker=True)
