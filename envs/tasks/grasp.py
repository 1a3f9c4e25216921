"""Grasp one object from a table and lift it: the environments toyshift/Grasp-v0, toyshift/Pick-v0 and their like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import gymnasium as gym
import mujoco
import numpy as np

from toyshift.core.arrays import Array, Float32, Image, Mask
from toyshift.core.errors import ConfigError, ContractError, UnknownNameError, shown
from toyshift.core.fields import MOST
from toyshift.core.proprioception import REACH, TARGET, Part, proprioception
from toyshift.core.seeds import episode_rng
from toyshift.envs.cameras import CAMERAS, camera_matrices, image_size
from toyshift.envs.config import EnvConfig
from toyshift.envs.control.controllers import ArmController
from toyshift.envs.control.gripper import GripperController, write_robot
from toyshift.envs.control.kinematics import InverseKinematics
from toyshift.envs.render.renderer import Renderer, View
from toyshift.envs.render.window import Viewer, has_display
from toyshift.envs.rotations import quat_to_matrix
from toyshift.envs.scene.build import scene_hash
from toyshift.envs.scene.scene import Scene
from toyshift.envs.shifted.action_noise import ActionChannel
from toyshift.envs.shifted.appearance import write_appearance
from toyshift.envs.shifted.image_noise import noisy_image
from toyshift.envs.shifted.mask_noise import Sight, noisy_mask
from toyshift.envs.shifts import TRAINING, Look, Shifts
from toyshift.envs.spaces import action_contract, action_space, observation_contract, observation_space
from toyshift.envs.tasks.events import Observer
from toyshift.envs.tasks.pick import phrase
from toyshift.envs.tasks.placing import check_cameras, place
from toyshift.envs.tasks.stage import Stage
from toyshift.envs.tasks.success import Judge, low_point
from toyshift.toys.model import GraspObject

Observation = dict[str, Any]

STATE_SPEC = mujoco.mjtState.mjSTATE_INTEGRATION
# numbers of a free body in it: position; velocity, warm start, joint forces; force on the body
FREE_BODY_STATE = 7 + 3 * 6 + 6
BAD_STATE = [int(getattr(mujoco.mjtWarning, f"mjWARN_BAD{what}")) for what in ("QPOS", "QVEL", "QACC")]
UNSTABLE_SPEED = 200.0  # [m/s or rad/s]; nothing in the scene moves that fast unless the simulation has blown up
RESET_OPTIONS = {"episode", "object", "look", "shift", "purpose", "observe"}
RENDER_MODES = ("human", "rgb_array")


class GraspEnv(gym.Env[Observation, Float32]):
    """## Description
    A robot, a Panda with its hand by default, stands at a table on which objects lie in random poses. Grasp the target
    and lift it.

    | id | what is on the table | what is seen |
    |---|---|---|
    | `toyshift/Grasp-v0` | one object; `clutter=N` or `"2-6"` puts others of the set beside it | images, masks, state |
    | `toyshift/Pick-v0` | 2-6 objects of the set, of which the instruction names the target | images, masks, state |
    | `toyshift/GraspState-v0` | one object | state and the object's pose |

    `GraspRelaxed-v0`, `GraspClutter-v0`, `PickTwo-v0` and `PickSix-v0` are variants in difficulty: see
    `toyshift.envs.VARIANTS`.

    The instruction is `info["task"]` and `env.task_description`: "pick up the red toy", and in Pick, where no two
    objects are called the same, "pick up the red toy made of a sphere and two cuboids" or "pick up the mustard bottle".

    ## Action Space
    All end with the gripper (1 open, 0 closed). `eef_delta` (7): dx, dy, dz [m], rotation as axis-angle [rad], both in
    the robot's base frame and added to the *commanded* hand pose. `eef_pose` (7): absolute position [m] and axis-angle
    [rad]. `joint_pos` (joints + 1): absolute joint angles [rad]. `joint_delta`: added to the commanded ones [rad].

    ## Observation Space
    `pixels.<camera>` (H, W, 3) uint8, `masks.<camera>` (H, W) uint8 (0 background, 1 target, 2 other object, 3 robot),
    with `depth=True` `depth.<camera>` (H, W) float32 [m] along the optical axis (20 where there is nothing),
    `agent_pos` (joints + 14,) float32: joint angles [rad], gripper opening 0..1, hand position [m], first two columns
    of the hand's rotation, commanded minus measured hand position [m], commanded gripper opening 0..1. GraspState has
    no images but `environment_state` (12,) float32: the target's centre of mass relative to the hand [m], first two
    columns of its rotation, the sides of its bounding box in its own frame [m].

    ## Rewards
    `reward="dense"`: sum of REWARD_SCALES times: reach in [0, 1] (1 - tanh(5 distance)), held in {0, 1}, lift in [0, 1]
    (height / lift_height), success in {0, 1}, all of the target. "cost", GraspState's: minus 1 at every step, plus up
    to 1 for near and over in [0, 1] (how close the hand is to where it should be on its way down to the target:
    `success.detour`), grasp in {0, 1} (parts of the gripper touch the target from opposite sides), held and lift, so
    that success, which ends the episode, is worth most: "dense" pays more for staying just below it. "sparse": success.
    See `success.REWARDS`; `info["reward_terms"]` has the terms unscaled. Success is computed apart from the reward.

    ## Starting State
    Joints at home with Gaussian noise. Grasp: target in one of its rest poses, any yaw, its centre of mass uniform in a
    square; other objects around it. Pick: all objects likewise in a rectangle of 1.4 x 2 times the square (larger where
    they do not fit), the target anywhere among them. Objects do not touch each other, and have come to rest.

    ## Termination / Truncation
    Ends with success (`info["is_success"]`) or a blown-up simulation (`info["unstable"]`); truncated after 100 steps
    (registration). An episode in which another object is lifted goes on.

    ## Success
    The target's lowest point is `lift_height` above where it started for `hold_steps` control steps in a row, while it
    touches nothing but the gripper, which has not sunk more than 5 mm into it since it took it up
    (`success.MAX_PENETRATION`), and holds no other object. `info["predicates"]`: `lifted`, `held`, `right_object`
    (False while the gripper holds another object), `not_penetrated`, `stable`.

    ## Info
    `object_id` is the target's, `objects` those of all objects on the table, the target first; `lifted_object` is the
    last one that the gripper held 5 cm above its start, "" for none; `penetration` how deep the gripper sank into the
    target while it held it, at the deepest [m]; `events` what happened so far, as (control step, name of
    `events.EVENTS`). The target is drawn (all alike, or by `object_shares`), or chosen
    by reset option "object".
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012  Gymnasium's contract

    def __init__(self, config: EnvConfig | None = None, render_mode: str | None = None, **overrides: Any) -> None:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in overrides.items()}
        for name in fields:
            if name not in EnvConfig.__dataclass_fields__:
                raise UnknownNameError("environment option", name, EnvConfig.__dataclass_fields__)
        if config is not None and not isinstance(config, EnvConfig):
            raise ConfigError(f"config is {shown(config)}; it must be an EnvConfig")
        self.config = EnvConfig(**fields) if config is None else config
        if config is not None and overrides:
            raise ConfigError("give either config= or single options, not both")
        if render_mode not in (None, *RENDER_MODES):
            raise UnknownNameError("render mode", render_mode, RENDER_MODES)
        modes = [mode for mode in RENDER_MODES if mode != "human" or has_display()]
        self.metadata = {"render_modes": modes, "render_fps": round(self.config.control_hz)}
        self.render_mode = render_mode
        self._viewer = Viewer() if render_mode == "human" else None
        self._stage = Stage(self.config)
        self.objects, self.robot = self._stage.objects, self._stage.robot
        self._setting = self._stage.load(self._stage.find(0))
        self.scene: Scene = self._setting.scene
        self._arm = ArmController(self.config.action_mode, self.scene)
        self._gripper = GripperController(self.robot.gripper)
        self.action_contract = action_contract(self.config, self.robot, self._arm.limits)
        self.observation_contract = observation_contract(self.config, self.robot)
        self._state_parts = proprioception(self.robot.joints)
        box = action_space(self.action_contract)
        self.action_space = cast("Any", box)
        self.observation_space = observation_space(self.config, self.robot)
        self._low, self._high = box.low.astype(np.float64), box.high.astype(np.float64)
        self.look = Look()
        self.shifts, self.variation = Shifts.parse(self.config.shift), TRAINING
        self.task_description = ""
        self.object_shares: Array | None = None  # how often each object of the set is drawn; None: all alike
        self._seed, self._episode, self._purpose = 0, -1, self.config.purpose
        self._ready = self._closed = False
        self._true_masks: dict[str, Mask] = {}

    @property
    def task(self) -> str:
        """The instruction; LeRobot looks for it under this name and under `task_description`."""
        return self.task_description

    @property
    def lift_height(self) -> float:
        """Rise that success asks for [m]."""
        return self.config.lift

    # ---------------------------------------------------------------- episodes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: root seed of the run; with it, counting starts again at episode 0.
            options: "episode": index of the episode; "object": id or index in the set; "look": a Look; "shift": text
                such as "table-texture=3", or Shifts, in place of the configuration's; "purpose": likewise; "observe":
                False renders nothing and returns {} for the observation: for who will call `observe`.

        Returns:
            observation and info. The same (seed, episode, object, purpose) gives the same episode, whatever was
            played before.
        """
        self._require_open()
        if seed is not None and not (isinstance(seed, int | np.integer) and 0 <= seed <= MOST):
            raise ConfigError(f"seed is {shown(seed)}; it must be a whole number of at least 0, or None")
        if not isinstance(options, Mapping | None):
            names = ", ".join(sorted(RESET_OPTIONS))
            raise ConfigError(f"reset options are {shown(options)}; they must be a dict of {names}")
        super().reset(seed=None if seed is None else int(seed))
        if seed is not None:
            self._seed, self._episode = int(seed), -1
        elif self._episode < 0:
            self._seed = int(self.np_random.integers(2**31))
        options = options or {}
        unknown = set(options) - RESET_OPTIONS
        if unknown:
            raise UnknownNameError("reset option", min(map(str, unknown)), RESET_OPTIONS)
        episode = options.get("episode", self._episode + 1)
        if not isinstance(episode, int | np.integer) or isinstance(episode, bool) or not 0 <= episode <= MOST:
            raise ConfigError(f"reset option episode is {shown(episode)}; it must be a whole number of at least 0")
        self._episode, self._purpose = int(episode), str(options.get("purpose", self.config.purpose))
        self.look = options.get("look", Look())
        if not isinstance(self.look, Look):
            raise ConfigError(f"reset option look is {shown(self.look)}; it must be a Look")
        self.shifts = Shifts.parse(options.get("shift", self.config.shift))
        self.variation = self.shifts.draw(lambda factor: self._stream(f"shift:{factor}"))
        rng = self._stream("")
        drawn = int(rng.integers(len(self.objects)))
        if self.object_shares is not None and "object" not in options:
            drawn = int(self._stream("object-share").choice(len(self.objects), p=self.object_shares))
        target = self._stage.find(options.get("object", drawn))
        others = self._stage.draw_others(target, self._stream("others"))
        distractors = self._stage.draw_distractors(target, others, self.variation, self._stream("distractors"))
        self._use(target, others, distractors)
        place(self._stage, self._setting, self.variation, rng, self._stream)
        write_appearance(self.scene, self.look, self.variation)
        mujoco.mj_forward(self.scene.model, self.scene.data)
        check_cameras(self._setting, self.config.camera_names)
        self._gripper.opening = 1.0
        self._begin()
        self._show()
        return self.observe() if options.get("observe", True) else {}, self._info()

    def _stream(self, name: str) -> np.random.Generator:
        """Returns a generator of the present episode; what shifts draw changes nothing of what the episode draws."""
        return episode_rng(self._seed, self._episode, name, self._purpose)

    def _use(self, target: GraspObject, others: Sequence[GraspObject], distractors: Sequence[GraspObject]) -> None:
        self._setting = self._stage.load(target, self.variation, others, distractors)
        self.scene, self.object = self._setting.scene, self._setting.object
        self._arm.bind(self.scene)
        self.task_description = self.instruction(self.object)

    def _begin(self) -> None:
        """Begins to command and to judge, from the state that the scene is in."""
        self._arm.set_joints(self.scene.data.ctrl[self.scene.arm.ctrl])
        self._judge = Judge(np.array([low_point(self.scene, thing) for thing in self._setting.things]))
        self._observer = Observer(self.scene, self._setting.things[0], self.config)
        self._steps = 0
        self._reward()
        rest = np.append(self._arm.rest(), self._gripper.opening)
        # a snapshot of the channel goes on with its own episode's noise
        seed, episode, purpose = self._seed, self._episode, self._purpose

        def stream(step: int) -> np.random.Generator:
            return episode_rng(seed, episode, f"action:{step}", purpose)

        self._channel = ActionChannel(self.variation, self.action_contract, rest, stream)
        self._ready = True

    # ---------------------------------------------------------------- stepping

    def step(self, action: Float32) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        reward, terminated, info = self.advance(action)
        self._show()
        return self.observe(), reward, terminated, False, info

    def advance(self, action: Float32) -> tuple[float, bool, dict[str, Any]]:
        """Executes one action and renders nothing: for policies that execute several actions per observation.

        Returns:
            reward, terminated, info.

        Raises:
            ConfigError: see `command`.
        """
        self.command(action)
        self.simulate()
        return self.outcome()

    def command(self, action: Float32) -> None:
        """First part of a control step: what the action makes of the commanded joints and gripper.

        Raises:
            ConfigError: the action has another shape, is not finite or no number, or the episode has not begun or is
                over.
        """
        self._require_open()
        if not self._ready:
            raise ConfigError("the episode has not begun or is over: call reset() first")
        try:
            values = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the action is no array of numbers: {error}") from error
        if values.shape != self._low.shape:
            mode, names = self.action_contract.mode, ", ".join(self.action_contract.names)
            raise ConfigError(f"action of shape {values.shape}; {mode} takes {self._low.shape}: {names}")
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ConfigError(f"action entry {bad} ({self.action_contract.names[bad]}) is {values[bad]}")
        values = self._channel(np.minimum(np.maximum(values, self._low), self._high), self._steps)
        self._arm.apply(values[:-1])
        self._gripper.command(values[-1], 1.0 / self.config.control_hz)
        arm, ctrl = self.scene.arm, self.scene.data.ctrl
        ctrl[arm.ctrl], ctrl[arm.finger_ctrl] = self._arm.joints, self._gripper.targets()

    def simulate(self) -> None:
        """Second part: physics, one call of MuJoCo, which lets go of Python's lock meanwhile."""
        mujoco.mj_step(self.scene.model, self.scene.data, nstep=self.config.substeps)

    def outcome(self) -> tuple[float, bool, dict[str, Any]]:
        """Last part: returns reward, terminated and info."""
        self._steps += 1
        self._measure()
        reward = self._reward()
        terminated = bool(self._judge.success or self._judge.unstable)
        self._ready = not terminated
        return reward, terminated, self._info()

    def _measure(self) -> None:
        """Brings what is judged and drawn up to date after physics."""
        model, data = self.scene.model, self.scene.data
        started_over = data.warning.number[BAD_STATE].any()  # MuJoCo resets a state that it cannot go on from
        # NaN is neither below infinity nor slow
        if started_over or not np.abs(data.qpos).max() < np.inf or not np.abs(data.qvel).max() <= UNSTABLE_SPEED:
            self._judge.blow_up()
            mujoco.mj_resetData(model, data)  # observations stay finite
            write_robot(self.scene, np.asarray(self.robot.home))
            self._gripper.opening = 1.0
            mujoco.mj_forward(model, data)
            self._judge.measure(self.scene, self._setting.things[0])
            return
        mujoco.mj_kinematics(model, data)  # mj_step leaves poses as they were before its last integration
        mujoco.mj_camlight(model, data)
        self._judge.judge(self.scene, self._setting.things, self.config)
        gripper = (self._gripper.opening, self._gripper.told(self.scene), self.opening())
        self._observer.look(self._steps, self.scene, self._judge, gripper)

    def _reward(self) -> float:
        data = self.scene.data
        offset = data.xipos[self.scene.target.body] - data.site_xpos[self.scene.arm.site]
        return self._judge.reward(offset, self.config)

    # ---------------------------------------------------------------- what is seen

    def observe(self) -> Observation:
        """Renders every camera once and returns the observation."""
        observation: Observation = {}
        if self.config.cameras:
            renderer = self.renderer()
            sizes, depth = self.config.image_sizes.items(), self.config.depth
            views = {camera: renderer.render(camera, size, depth=depth) for camera, size in sizes}
            self._true_masks = {camera: view.mask for camera, view in views.items() if view.mask is not None}
            if self.variation.values:
                views = {camera: self._as_sensed(camera, view) for camera, view in views.items()}
            observation["pixels"] = {camera: view.image for camera, view in views.items()}
            observation["masks"] = {camera: view.mask for camera, view in views.items()}
            if self.config.depth:
                observation["depth"] = {camera: view.depth for camera, view in views.items()}
        observation["agent_pos"] = self._proprioception()
        if self.config.environment_state:
            observation["environment_state"] = self._environment_state()
        return observation

    def _proprioception(self) -> Float32:
        position, rotation = self.hand_pose()
        return _in_order(self._state_parts, {
            "joints": self.scene.data.qpos[self.scene.arm.qpos], "opening": [self.opening()], "position": position,
            "rotation": rotation[:, :2].T.ravel(), "lag": self._arm.position - position,
            "command": [self._gripper.opening],
        })  # fmt: skip

    def _environment_state(self) -> Float32:
        offset = self.object_position() - self.hand_pose()[0]
        return _in_order(TARGET, {
            "offset": np.clip(offset, -REACH, REACH),  # it may be thrown far away
            "target_rotation": self.object_pose()[1][:, :2].T.ravel(),
            "extents": np.ptp(self._setting.things[0].hull, axis=0),
        })  # fmt: skip

    def _as_sensed(self, camera: str, view: View) -> View:
        """Returns a view with the noise of this camera and control step, the same whenever it is asked for; depth has
        none.
        """
        image, mask = view.image, view.mask
        if self.variation.at("image"):  # a generator of its own takes longer than most of what is left to do
            image = noisy_image(image, self.variation, self._stream(f"image:{camera}:{self._steps}"))
        if mask is not None and view.number is not None:
            seconds = self._steps / self.config.control_hz
            sight = Sight(self._stream, camera, self._steps, seconds, view.number, len(self.scene.beside))
            mask = noisy_mask(mask, self.variation, sight)
        return View(image, mask, view.depth)

    def true_masks(self) -> dict[str, Mask]:
        """Returns the latest observation's masks without noise; {} without cameras."""
        return dict(self._true_masks)

    def renderer(self) -> Renderer:
        """Returns the renderer of the present scene; GL starts here, not in the constructor."""
        return self._stage.renderer(self.scene)

    def render(self) -> Image | None:
        """Returns an image (256, 256, 3) from the side in render mode "rgb_array"; in "human", shows the state in the
        viewer.
        """
        self._show()
        return self.picture(camera="film") if self.render_mode == "rgb_array" else None

    def _show(self) -> None:
        """Shows the present state in the viewer, in render mode "human"."""
        if self._viewer is not None:
            self._viewer.show(self.scene)

    def picture(self, size: int | tuple[int, int] = 256, camera: str = "front") -> Image:
        """Returns an image (height, width, 3) of the present state, for people."""
        return self.renderer().render(camera, size, mask=False)[0]

    def opening(self) -> float:
        """Gripper opening, 0 closed to 1 open."""
        return self._gripper.measured(self.scene)

    def hand_pose(self) -> tuple[Array, Array]:
        """Measured hand position (3,) [m] and rotation (3, 3) of the grasp site, base frame."""
        data, site = self.scene.data, self.scene.arm.site
        return data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy()

    def commanded_pose(self) -> tuple[Array, Array]:
        """Commanded hand position (3,) [m] and rotation (3, 3): what eef_delta actions are added to."""
        return self._arm.position.copy(), self._arm.rotation.copy()

    def action_for(self, step: Array, turn: Array, opening: float) -> Float32:
        """Returns the action, under the action contract, that moves the commanded hand by a translation (3,) [m] and a
        rotation vector (3,) [rad], base frame, and commands an opening (0..1)."""
        return np.append(self._arm.action_for(step, turn), opening).astype(np.float32)

    def inverse_kinematics(self) -> InverseKinematics:
        """Returns the solver, for the expert."""
        return self._arm.ik

    def commanded_joints(self) -> Array:
        """Commanded joint angles (n,) [rad]."""
        return self._arm.joints.copy()

    def object_position(self) -> Array:
        """Centre of mass of the object (3,), base frame [m]."""
        return np.array(self.scene.data.xipos[self.scene.target.body])

    def object_pose(self) -> tuple[Array, Array]:
        """Position (3,) [m] and rotation (3, 3) of the object's frame in the base frame."""
        qpos = self.scene.data.qpos[self.scene.target.qpos]
        return qpos[:3].copy(), quat_to_matrix(qpos[3:])

    @property
    def other_ids(self) -> tuple[str, ...]:
        """Ids of the objects beside the target that belong to the task."""
        return tuple(obj.id for obj in self._setting.others)

    def others(self) -> list[tuple[GraspObject, Array, Array]]:
        """The objects beside the target: each with position (3,) [m] and rotation (3, 3) of its frame in the base
        frame.
        """
        objects = (*self._setting.others, *self._setting.distractors)
        poses = [self.scene.data.qpos[body.qpos] for body in self.scene.beside]
        return [(obj, qpos[:3].copy(), quat_to_matrix(qpos[3:])) for obj, qpos in zip(objects, poses, strict=True)]

    def _info(self) -> dict[str, Any]:
        judge = self._judge
        return {
            "is_success": bool(judge.success),
            "task": self.task_description,
            "object_id": self.object.id,
            "objects": tuple(thing.id for thing in self._setting.things),
            "object_set": self.config.objects,
            "seed": self._seed,
            "episode": self._episode,
            "purpose": self._purpose,
            "lift_height": 0.0 if judge.unstable else judge.height,
            "max_height": float(judge.max_height),
            "touched": bool(judge.touched),
            "penetration": float(judge.penetration),
            "lifted_object": judge.lifted_object,
            "predicates": dict(judge.predicates),
            "reward_terms": dict(judge.terms),
            "unstable": bool(judge.unstable),
            "events": tuple(self._observer.events.happened),
            "shift": str(self.shifts),
            "shift_values": dict(self.variation.values),
        }

    # ---------------------------------------------------------------- states and looks

    def model_hash(self) -> str:
        """Hash of everything that the meaning of a stored simulator state depends on."""
        return scene_hash(self.config, self.object, self.scene.loaded[1:])

    def sim_state(self) -> Array:
        """Returns MuJoCo's integration state (N,) of the present scene.

        N is the same in every episode: where fewer objects lie on the table than could, zeros follow.
        """
        state = np.zeros(mujoco.mj_stateSize(self.scene.model, STATE_SPEC))
        mujoco.mj_getState(self.scene.model, self.scene.data, state, STATE_SPEC)
        absent = max(0, self.config.others[1] - len(self._setting.others))
        return np.pad(state, (0, absent * FREE_BODY_STATE)) if absent else state

    def load_sim_state(
        self, object_id: str, state: Array, model_hash: str | None = None, others: Sequence[str] | None = None,
    ) -> None:
        """Puts the simulation into a stored state, e.g. to render it again or to go on from it.

        Distractors of the present episode that the state does not know stay where they are.

        Args:
            object_id: the target.
            state: what `sim_state` returned.
            model_hash: what `model_hash` returned then; None does not check it.
            others: ids of the task's other objects; None leaves those on the table that are there.

        Raises:
            ContractError: the state was made with another model.
        """
        there, find = self._setting, self._stage.find
        beside = there.others if others is None else [find(other) for other in others]
        placed = [there.scene.data.qpos[body.qpos].copy() for body in there.scene.distractors]
        self._use(find(object_id), beside, there.distractors)
        if model_hash is not None and model_hash != self.model_hash():
            hashes = f"{model_hash}, now {self.model_hash()}"
            raise ContractError(
                f"the state of {object_id} was made with another model ({hashes}) and cannot be rendered here"
            )
        size = mujoco.mj_stateSize(self.scene.model, STATE_SPEC)
        unknown = FREE_BODY_STATE * len(self.scene.distractors)
        absent = FREE_BODY_STATE * max(0, self.config.others[1] - len(self._setting.others))
        if unknown and len(state) == size + absent - unknown:
            state = self._with_distractors(state, placed)
        if len(state) < size or np.any(state[size:]):
            raise ContractError(f"the simulator state of {object_id} has {len(state)} numbers; this model has {size}")
        known = np.ascontiguousarray(state[:size], dtype=np.float64)
        mujoco.mj_setState(self.scene.model, self.scene.data, known, STATE_SPEC)
        self._gripper.read(self.scene)
        write_appearance(self.scene, self.look, self.variation)
        mujoco.mj_forward(self.scene.model, self.scene.data)
        self._begin()

    def _with_distractors(self, state: Array, placed: Sequence[Array]) -> Array:
        """Returns a state of this scene without its distractors, completed by those, at rest at poses (7,) each."""
        bit, kinds = mujoco.mjtState, len(placed)
        for body, pose in zip(self.scene.distractors, placed, strict=True):
            self.scene.data.qpos[body.qpos] = pose
        width = {bit.mjSTATE_QPOS: 7, bit.mjSTATE_XFRC_APPLIED: 6} | dict.fromkeys(
            (bit.mjSTATE_QVEL, bit.mjSTATE_WARMSTART, bit.mjSTATE_QFRC_APPLIED), 6
        )
        parts, at = [], 0
        for part in bit.__members__.values():  # in the order in which MuJoCo writes them
            value = int(part)
            if value & int(STATE_SPEC) != value or value & (value - 1):
                continue
            now = np.zeros(mujoco.mj_stateSize(self.scene.model, value))
            mujoco.mj_getState(self.scene.model, self.scene.data, now, value)
            known = len(now) - kinds * width.get(part, 0)  # distractors are the last bodies of a scene
            parts += [state[at : at + known], now[known:]]
            at += known
        return np.concatenate(parts)

    def set_look(self, look: Look) -> None:
        """Changes the appearance of the present and the following renders, until the next reset."""
        self.look = look
        write_appearance(self.scene, look, self.variation)
        mujoco.mj_kinematics(self.scene.model, self.scene.data)
        mujoco.mj_camlight(self.scene.model, self.scene.data)

    def instruction(self, obj: GraspObject) -> str:
        """Returns what is said where an object is the target."""
        return f"pick up the {phrase(obj) if self.config.task == 'pick' else obj.name}"

    def change_target(self, object_id: str) -> None:
        """Makes another of the task's objects on the table the target, the old one lying beside it; nothing moves.

        Raises:
            UnknownNameError: no such object of the task lies there.
        """
        there = self._setting
        bodies = dict(zip((thing.id for thing in there.things), (there.scene.target, *there.scene.beside), strict=True))
        ids = (self.object.id, *self.other_ids)
        if object_id not in ids:
            raise UnknownNameError("object on the table", object_id, ids)
        data = there.scene.data
        moving = {name: (data.qpos[body.qpos].copy(), data.qvel[body.qvel].copy()) for name, body in bodies.items()}
        self.load_sim_state(object_id, self.sim_state(), others=[name for name in ids if name != object_id])
        for thing, body in zip(self._setting.things, (self.scene.target, *self.scene.beside), strict=True):
            self.scene.data.qpos[body.qpos], self.scene.data.qvel[body.qvel] = moving[thing.id]
        mujoco.mj_forward(self.scene.model, self.scene.data)
        self._begin()

    def move_object(self, dx: float, dy: float) -> None:
        """Moves the object on the table [m]."""
        self.scene.data.qpos[self.scene.target.qpos][:2] += (dx, dy)
        self._observer.move(dx, dy)
        mujoco.mj_forward(self.scene.model, self.scene.data)

    def camera_pose(self, camera: str) -> tuple[Array, Array]:
        """Returns extrinsics (4, 4), world to camera, OpenCV axes (x right, y down, z forward), and intrinsics (3, 3)
        [pixels].
        """
        names = tuple(dict.fromkeys((*CAMERAS, *self.config.camera_names)))
        if camera not in names:
            raise UnknownNameError("camera", camera, names)
        size = self.config.image_sizes.get(camera) or image_size(self.config.image_size)
        return camera_matrices(self.scene.model, self.scene.data, camera, size)

    def close(self) -> None:
        """Frees the renderers and closes the viewer; may be called twice, and nothing else afterwards."""
        self._closed = True
        if self._viewer is not None:
            self._viewer.close()
        self._stage.close()

    def _require_open(self) -> None:
        if self._closed:
            raise ConfigError("the environment is closed: make a new one")


def _in_order(parts: Sequence[Part], values: dict[str, Any]) -> Float32:
    """Returns a state (S,) in the order of its table."""
    return np.concatenate([values[part.read] for part in parts], dtype=np.float32)
