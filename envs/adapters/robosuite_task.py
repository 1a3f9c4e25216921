"""ToyGrasp, a robosuite task on ToyShift's objects: importing this file registers it with `robosuite.make`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.extras import needs
from toyshift.core.seeds import episode_rng
from toyshift.envs.adapters.robosuite_object import ToyObject
from toyshift.envs.rotations import matrix_to_quat, quat_to_matrix
from toyshift.envs.tasks.grasp import BAD_STATE
from toyshift.envs.tasks.success import MAX_PENETRATION, REWARD_SCALES, depth, reward_terms, touching
from toyshift.toys import load_objects
from toyshift.toys.model import GraspObject

try:
    from robosuite.environments.manipulation.manipulation_env import ManipulationEnv
    from robosuite.models.arenas import TableArena
    from robosuite.models.tasks import ManipulationTask
    from robosuite.utils.observables import Observable, sensor
    from robosuite.utils.placement_samplers import UniformRandomSampler
    from robosuite.utils.transform_utils import convert_quat
except ImportError as error:  # not there, or its model files alone
    raise needs("robosuite", "ToyGrasp", error) from error

TABLE_HEIGHT = 0.8  # [m], as in robosuite's tasks
DROP = 0.001  # the object starts this far above the table [m]


class ToyGrasp(ManipulationEnv):  # type: ignore[misc]  # robosuite is not typed
    """Grasp one object from robosuite's table and lift it; another object in every episode.

    Everything that is not named here is robosuite's: robots, controllers, cameras, rendering, horizon. As with their
    tasks an episode ends at `horizon` only; `info["is_success"]` and `_check_success()` tell of success,
    `info["unstable"]` of a simulation that has blown up, after which nothing succeeds.

    Args:
        robots: name of one robot, e.g. "Panda" or "UR5e".
        objects: the object set, e.g. "toys:train" or "ycb:DIR?graspable".
        lift_height: how far the object's lowest point must rise above the table [m].
        hold_steps: for how many control steps in a row it must stay there, touching nothing but the gripper, which must
            not have sunk into it by more than MAX_PENETRATION since it took it up.
        table_full_size, table_friction: as in robosuite's Lift.
        use_object_obs: whether `toy_pos` (3) [m], `toy_quat` (4) xyzw and `gripper_to_toy_pos` (3) [m] are observed
            (`object-state`).
        reward_scale: the largest reward of a step; None for the sum of REWARD_SCALES.
        reward_shaping: reward terms of REWARD_SCALES; without it success alone pays, and pays `reward_scale`.
        placement_initializer: robosuite's sampler of position and turn; by default 3 cm around the table's middle, any
            turn.
        seed: root seed. The n-th `reset()` plays episode n, which the same seed plays again, whatever was played
            before.
        **options: of robosuite's ManipulationEnv.

    A hard reset (robosuite's default) draws another object; with `hard_reset=False` the first one stays.
    `get_ep_meta()` names the object and the instruction, and `set_ep_meta` with it makes the following resets use that
    object.
    """

    def __init__(
        self,
        robots: str | list[str],
        objects: str = "toys:train",
        *,
        lift_height: float = 0.3,
        hold_steps: int = 5,
        table_full_size: tuple[float, float, float] = (0.8, 0.8, 0.05),
        table_friction: tuple[float, float, float] = (1.0, 5e-3, 1e-4),
        use_object_obs: bool = True,
        reward_scale: float | None = 1.0,
        reward_shaping: bool = False,
        placement_initializer: Any = None,
        initialization_noise: Any = "default",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(robots, str) and len(robots) != 1:
            raise ConfigError(f"ToyGrasp is for one robot; got {robots}")
        if lift_height <= 0 or hold_steps < 1:
            raise ConfigError(f"lift_height={lift_height} must be positive and hold_steps={hold_steps} at least 1")
        self.objects = load_objects(objects)
        self.lift_height, self.hold_steps = lift_height, hold_steps
        self.table_full_size, self.table_friction = table_full_size, table_friction
        self.use_object_obs = use_object_obs
        self.reward_scale, self.reward_shaping = reward_scale, reward_shaping
        self.placement_initializer, self._own_placement = placement_initializer, placement_initializer is None
        self.root_seed = secrets.randbits(31) if seed is None else seed
        self.episode = -1  # of the last reset; robosuite loads a model before the first one
        super().__init__(robots=robots, initialization_noise=initialization_noise, seed=seed, **options)

    # ---------------------------------------------------------------- episodes

    def reset(self) -> Any:
        if not self.deterministic_reset:  # which puts back a stored episode
            self.episode += 1
            self.rng = episode_rng(self.root_seed, self.episode)
        return super().reset()

    def _load_model(self) -> None:
        super()._load_model()
        self.rng = episode_rng(self.root_seed, max(self.episode, 0))
        drawn = int(self.rng.integers(len(self.objects)))
        wanted = self._ep_meta.get("object_id")
        self.object: GraspObject = self.objects[drawn] if wanted is None else self.objects.by_id(wanted)
        poses = self.object.rest_poses
        shares = np.array([pose.probability for pose in poses])
        self.toy = ToyObject(self.object, poses[int(self.rng.choice(len(poses), p=shares / shares.sum()))])
        self.task_description = f"pick up the {self.object.name}"
        robot = self.robots[0].robot_model
        robot.set_base_xpos(robot.base_xpos_offset["table"](self.table_full_size[0]))
        offset = (0, 0, TABLE_HEIGHT)
        arena = TableArena(
            table_full_size=self.table_full_size, table_friction=self.table_friction, table_offset=offset,
        )
        arena.set_origin([0, 0, 0])
        if self._own_placement:
            self.placement_initializer = UniformRandomSampler(
                name="ObjectSampler", mujoco_objects=self.toy, x_range=(
                    -0.03, 0.03,
                ), y_range=(-0.03, 0.03), rotation=None,
                ensure_object_boundary_in_range=False, reference_pos=(0, 0, TABLE_HEIGHT), z_offset=DROP, rng=self.rng,
            )
        else:
            self.placement_initializer.reset()
            self.placement_initializer.add_objects(self.toy)
        self.model = ManipulationTask(mujoco_arena=arena, mujoco_robots=[robot], mujoco_objects=self.toy)

    def _setup_references(self) -> None:
        super()._setup_references()
        self._toy_body = self.sim.model.body_name2id(self.toy.root_body)
        self._is_toy = self._marked(self.toy.contact_geoms)
        grippers = self.robots[0].gripper.values()
        self._is_gripper = self._marked(geom for gripper in grippers for geom in gripper.contact_geoms)

    def _marked(self, geoms: Iterable[str]) -> NDArray[np.bool_]:
        marked = np.zeros(self.sim.model.ngeom, np.bool_)
        marked[[self.sim.model.geom_name2id(name) for name in geoms]] = True
        return marked

    def _reset_internal(self) -> None:
        super()._reset_internal()
        if not self.deterministic_reset:
            if not self.hard_reset and self._own_placement:
                self.placement_initializer.rng = self.rng
            (position, turn, _), = self.placement_initializer.sample().values()
            rotation = quat_to_matrix(turn) @ quat_to_matrix(np.array(self.toy.pose.quat))
            position = np.array(position, np.float64)
            position[:2] -= (rotation @ self.object.com)[:2]
            self.sim.data.set_joint_qpos(self.toy.joints[0], np.concatenate([position, matrix_to_quat(rotation)]))
        self._held_steps, self._sunk = 0, 0.0
        self._success = False
        self._terms = dict.fromkeys(REWARD_SCALES, 0.0)
        self._predicates = {"lifted": False, "held": False, "not_penetrated": True, "stable": True}

    def get_ep_meta(self) -> dict[str, Any]:
        return {**super().get_ep_meta(), "object_id": self.object.id, "lang": self.task_description}

    # ---------------------------------------------------------------- stepping

    def _post_action(self, action: Array) -> tuple[float, bool, dict[str, Any]]:
        self._judge()
        reward, done, info = super()._post_action(action)
        info |= {
            "is_success": self._success, "task": self.task_description, "object_id": self.object.id,
            "object_set": self.objects.spec, "seed": self.root_seed, "episode": self.episode,
            "lift_height": self.height(), "predicates": dict(
                self._predicates
            ), "reward_terms": dict(self._terms), "unstable": not self._predicates["stable"],
        }  # fmt: skip
        return reward, done, info

    def _judge(self) -> None:
        """Brings predicates, success and reward terms up to date, once per control step."""
        contact = self.sim.data._data.contact
        gripper, other = touching(contact.geom, self._is_toy, self._is_gripper)
        height, held = self.height(), gripper and not other
        self._sunk = max(self._sunk, depth(contact, self._is_toy, self._is_gripper)) if held else 0.0
        # MuJoCo starts over by itself
        stable = self._predicates["stable"] and not self.sim.data._data.warning.number[BAD_STATE].any()
        lifted, shallow = height >= self.lift_height, self._sunk <= MAX_PENETRATION
        self._predicates = {"lifted": lifted, "held": held, "not_penetrated": shallow, "stable": stable}
        self._held_steps = self._held_steps + 1 if all(self._predicates.values()) else 0
        self._success = self._held_steps >= self.hold_steps
        centre = self.sim.data.xipos[self._toy_body]
        hands = [self.sim.data.site_xpos[site] for site in self.robots[0].eef_site_id.values()]
        distance = min(float(np.linalg.norm(centre - hand)) for hand in hands)
        self._terms = reward_terms(distance, held, height / self.lift_height, self._success)

    def reward(self, action: Any = None) -> float:
        """The reward of the present state; see `reward_scale` and `reward_shaping`."""
        terms = self._terms if self.reward_shaping else dict.fromkeys(REWARD_SCALES, float(self._success))
        reward = sum(scale * terms[name] for name, scale in REWARD_SCALES.items())
        return reward if self.reward_scale is None else reward * self.reward_scale / sum(REWARD_SCALES.values())

    def _check_success(self) -> bool:
        return self._success

    def height(self) -> float:
        """Height of the object's lowest point above the table [m]."""
        data = self.sim.data
        return float(
            data.body_xpos[self._toy_body][2] + (self.toy.hull @ data.body_xmat[self._toy_body][6:]).min()
        ) - TABLE_HEIGHT

    # ---------------------------------------------------------------- what is seen

    def _setup_observables(self) -> Any:
        observables = super()._setup_observables()
        if not self.use_object_obs:
            return observables

        @sensor(modality="object")  # type: ignore[untyped-decorator]
        def toy_pos(obs_cache: Any) -> Array:
            return np.array(self.sim.data.body_xpos[self._toy_body])

        @sensor(modality="object")  # type: ignore[untyped-decorator]
        def toy_quat(obs_cache: Any) -> Any:
            return convert_quat(np.array(self.sim.data.body_xquat[self._toy_body]), to="xyzw")

        robot = self.robots[0]
        names = zip(self._get_arm_prefixes(robot, include_robot_name=False), self._get_arm_prefixes(robot), strict=True)
        to_hand = self._get_obj_eef_sensor
        relative = [to_hand(full, "toy_pos", f"{arm}gripper_to_toy_pos", "object") for arm, full in names]
        for one in (toy_pos, toy_quat, *relative):
            observables[one.__name__] = Observable(name=one.__name__, sensor=one, sampling_rate=self.control_freq)
        return observables

    def visualize(self, vis_settings: dict[str, bool]) -> None:
        super().visualize(vis_settings=vis_settings)
        if vis_settings["grippers"]:
            self._visualize_gripper_to_target(gripper=self.robots[0].gripper, target=self.toy)
