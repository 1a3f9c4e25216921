"""ToyShift as a benchmark of vla-eval, Ai2's harness: "toyshift.envs.adapters.vla_eval_benchmark:GraspBenchmark"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.choices import Purpose, RobotName, Task
from toyshift.core.contract import (
    ActionContract,
    ObservationContract,
    environment_options,
    require_same_contract,
    require_same_observations,
)
from toyshift.core.errors import ConfigError, ContractError, shown
from toyshift.core.outcome import Outcome
from toyshift.core.seeds import object_of_episode
from toyshift.core.vla_eval_terms import (
    ENVIRONMENT_STATE,
    IMAGES,
    MASKS,
    PROMPT,
    STATE,
    action_part,
    actions_in,
    observation_parts,
    require_vla_eval,
)
from toyshift.core.world import episode_options

require_vla_eval()  # before its parts are imported, which other versions may not have

from vla_eval.benchmarks.base import StepBenchmark, StepResult  # noqa: E402
from vla_eval.render import apply_env  # noqa: E402
from vla_eval.specs import DimSpec  # noqa: E402

if TYPE_CHECKING:
    from toyshift.envs.tasks.grasp import GraspEnv

MESA = Path("/usr/share/glvnd/egl_vendor.d/50_mesa.json")  # names the EGL that draws on the CPU


class GraspBenchmark(StepBenchmark):  # type: ignore[misc]  # vla-eval is not typed
    """Grasp an object and lift it. One task; its episode i of a seed is episode i of `toyshift evaluate` with it, in
    whatever order and on however many shards episodes are played.

    Observed are images {camera: (H, W, 3) uint8}, state (S,) float32 as in `GraspEnv`, task_description, and where they
    are asked for masks {camera: (H, W) uint8}: 0 background, 1 target, 2 other object, 3 robot, and environment_state.
    An action is (A,), physical, of the environment's action contract; of a chunk (K, A) the first one is executed, as
    in vla-eval's own benchmarks.

    Args:
        objects: the object set.
        seed: root seed.
        purpose: what episodes are for; "test" for what is reported.
        shift: distance from the training distribution, e.g. "camera-azimuth=3".
        max_steps: control steps of an episode where vla-eval's configuration says no number.
        masks: whether masks are shown.
        task, clutter, robot, cameras, image_size, action_mode, control_hz, environment_state: of `EnvConfig`; None is
            its default, or what the contracts ask for.
        contracts: what a served policy of ToyShift says of itself, which vla-eval hands on; checked against what this
            environment does and shows.

    Raises:
        ConfigError, UnknownNameError: an argument that cannot be.
        ContractError: the served policy was trained for other actions or observations.
    """

    render_backends = frozenset({"cpu", "gpu"})
    _ALL_RECORD_FIELDS = frozenset({"reward", "success", "lift_height", "action"})

    @classmethod
    def configure_render(cls, mode: str) -> dict[str, str]:
        """Returns what is set in the process: for "cpu" Mesa's drivers; "gpu" takes what MUJOCO_GL and EGL give."""
        if mode != "cpu":
            return {}
        vendor = {"__EGL_VENDOR_LIBRARY_FILENAMES": str(MESA)} if MESA.is_file() else {}
        return dict(apply_env({"LIBGL_ALWAYS_SOFTWARE": "1"} | vendor))

    def __init__(
        self, objects: str = "toys:test", seed: int = 0, purpose: Purpose = "test", shift: str = "",
        max_steps: int = 100, *, masks: bool = False, task: Task | None = None, clutter: int | str | None = None,
        robot: RobotName | None = None, cameras: Sequence[Any] | None = None,
        image_size: int | Sequence[int] | None = None, action_mode: str | None = None, control_hz: float | None = None,
        environment_state: bool | None = None, contracts: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        from toyshift.envs.tasks.grasp import GraspEnv  # MuJoCo, only now: `configure_render` comes before it

        super().__init__()
        counts = {"seed": (seed, 0), "max_steps": (max_steps, 1)}
        for name, (value, least) in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is {shown(value)}; it must be a whole number of at least {least}")
        own = {
            "task": task, "clutter": clutter, "robot": robot, "cameras": cameras, "image_size": image_size,
            "action_mode": action_mode, "control_hz": control_hz, "environment_state": environment_state,
        }  # fmt: skip
        own = {name: value for name, value in own.items() if value is not None}
        served = None if contracts is None else _Served(contracts)
        fixed = {} if served is None else environment_options(served.actions, served.observations)
        self._seed, self._max_steps, self._masks = seed, max_steps, masks or (served is not None and served.masks)
        self._env = GraspEnv(objects=objects, purpose=purpose, shift=shift, **(fixed | own))
        if self._masks and not self._env.config.cameras:
            raise ConfigError("masks are of cameras: leave masks out, or cameras in")
        if served is not None:
            served.check(self._env)
        self._purpose, self._shift, self._objects = purpose, shift, objects
        self._ids = tuple(one.id for one in self._env.objects)
        self._hold = 1.0  # commanded opening of the last action

    # ---------------------------------------------------------------- what there is

    def get_tasks(self) -> list[dict[str, Any]]:
        """Returns the only task, called as the object set is; its episodes go through the set in rounds."""
        return [{"name": self._objects, "suite": "toyshift"}]

    def get_metadata(self) -> dict[str, Any]:
        return {"max_steps": self._max_steps}

    def get_metric_keys(self) -> dict[str, str]:
        return {"success": "mean", "max_height": "mean", "steps": "mean", "penetration": "max"}

    def get_action_spec(self) -> dict[str, DimSpec]:
        part = action_part(self._env.action_contract)
        return {part["name"]: DimSpec.from_dict(part)}

    def get_observation_spec(self) -> dict[str, DimSpec]:
        parts = observation_parts(self._env.observation_contract, masks=self._masks)
        return {name: DimSpec.from_dict(part) for name, part in parts.items()}

    # ---------------------------------------------------------------- episodes

    def reset(self, task: Mapping[str, Any]) -> None:
        """Starts episode task["episode_idx"]; it is drawn when an observation is asked for."""
        self._episode = int(task["episode_idx"])
        self._object, self._trial = object_of_episode(self._ids, self._seed, self._episode)
        options = episode_options(self._object, self._episode, self._purpose, self._shift) | {"observe": False}
        self._env.reset(seed=self._seed, options=options)
        self._outcome, self._hold = Outcome(self._object, self._env.lift_height), 1.0

    def step(self, action: Mapping[str, Any]) -> StepResult:
        """Executes one action.

        Raises:
            ContractError: the server's answer holds no action.
            ConfigError: the action has another shape or is not finite.
        """
        values = np.asarray(actions_in(action))
        values = values[0] if values.ndim == 2 and len(values) else values
        reward, done, info = self._env.advance(values)
        self._outcome.add(info)
        self._hold = float(values[-1])
        self._recorder.record_step(
            reward=reward, success=self._outcome.success, lift_height=self._outcome.height, action=values.tolist()
        )
        return StepResult(obs=None, reward=reward, done=bool(done or self._outcome.success), info=info)

    def make_obs(self, raw_obs: Any, task: Mapping[str, Any]) -> dict[str, Any]:
        """Looks, and returns what the model server is sent."""
        seen = self._env.observe()
        told = {IMAGES: seen.get("pixels", {}), STATE: seen["agent_pos"], PROMPT: self._env.task_description}
        if self._masks:
            told[MASKS] = seen["masks"]
        if "environment_state" in seen:
            told[ENVIRONMENT_STATE] = seen["environment_state"]
        return told

    def get_step_result(self, step_result: StepResult) -> dict[str, Any]:
        """Returns the episode's outcome: the columns of a row of `toyshift evaluate`, lengths in metres."""
        about = {"object_id": self._object, "object_trial": self._trial, "episode": self._episode, "seed": self._seed}
        return self._outcome.columns() | about

    def get_hold_action(self, last_action: Any) -> dict[str, Any]:
        """Returns the action that leaves hand and gripper where they are commanded to be."""
        still = np.zeros(3)
        return {"actions": self._env.action_for(still, still, self._hold)}

    def render(self) -> Any:
        """Returns an image (256, 256, 3) of the present state."""
        return self._env.picture()

    def cleanup(self) -> None:
        self._env.close()


class _Served:
    """What a policy of ToyShift says of itself."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        try:
            self.name, self.masks = str(said.get("name", "served")), bool(said.get("needs_masks", False))
            actions, observations = said["action_contract"], said["observation_contract"]
        except (AttributeError, KeyError) as error:
            wanted = "action_contract and observation_contract, as `toyshift serve --dialect vla-eval` says them"
            raise ContractError(f"contracts are {shown(said)}; they hold {wanted}") from error
        self.actions = ActionContract.from_json(actions)
        self.observations = ObservationContract.from_json(observations)

    def check(self, env: GraspEnv) -> None:
        """Raises ContractError where an environment acts or shows otherwise."""
        names = f"policy {self.name}", "the benchmark"
        require_same_contract(self.actions, env.action_contract, *names)
        require_same_observations(self.observations, env.observation_contract, *names)
