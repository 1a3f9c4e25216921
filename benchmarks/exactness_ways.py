"""The ways by which other people's loops play our starts, each with the same policy: for `benchmarks/exactness.py`.

A way takes what is asked for and the numbers of starts, and yields a row for each. Start i is episode i of
`toyshift evaluate`; only LeRobot, which gives nothing but a seed to an environment, has starts of its own.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.contract import TASK
from toyshift.core.outcome import Outcome
from toyshift.core.seeds import object_of_episode
from toyshift.core.world import episode_options
from toyshift.diagnostics.actors import env_arguments, load_acting_policy, policy_fingerprint
from toyshift.diagnostics.evaluation import EvaluateConfig, opened_session, play_row, run_episode
from toyshift.diagnostics.rows import Row

ID, PURPOSE, LIFT = "toyshift/Grasp-v0", "test", 0.3
COUNT = 4  # environments of a vector environment; Stable-Baselines3's run on until the last has ended, so half as many
FIRST_SEED = 1000  # of LeRobot: its default


@dataclasses.dataclass(frozen=True)
class Asked:
    """What all ways play.

    Attributes:
        policy: folder of a trained policy.
        objects: object set.
        seed: root seed.
        scratch: folder for what a harness insists on writing.
    """

    policy: str
    objects: str
    seed: int
    scratch: Path = Path()

    @functools.cached_property
    def acting(self) -> Any:
        return load_acting_policy(self.policy)

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        from toyshift.toys import load_objects

        return tuple(load_objects(self.objects).ids)

    @property
    def config(self) -> EvaluateConfig:
        return EvaluateConfig(self.policy, self.objects, seed=self.seed, name=Path(self.policy).name)

    @property
    def env_options(self) -> dict[str, Any]:
        return {"objects": self.objects, **env_arguments(self.acting, {})}

    def start(self, number: int) -> tuple[str, int, dict[str, Any]]:
        """Returns object, its how-manieth episode, and reset options of a start."""
        object_id, trial = object_of_episode(self.ids, self.seed, number)
        return object_id, trial, episode_options(object_id, number, PURPOSE)

    def row(self, number: int, outcome: Outcome | Mapping[str, Any]) -> Row:
        """Returns the row of a start of `toyshift evaluate`."""
        columns = outcome.columns() if isinstance(outcome, Outcome) else dict(outcome)
        object_id, trial, _ = self.start(number)
        return Row(
            policy=Path(self.policy).name, pooling="", object_set=self.objects, object_id=object_id, seed=self.seed,
            episode=number, look="", wall_s=0.0, object_trial=trial, purpose=PURPOSE, **columns,
        )


class Hand:
    """Chooses one action at a time, and looks when its chunk is used up; each has a memory of its own."""

    def __init__(self, policy: Any) -> None:
        self._policy = copy.copy(policy)
        self.reset()

    def reset(self) -> None:
        self._policy.reset()
        self._left: collections.deque[Any] = collections.deque()

    def action(self, observation: Mapping[str, Any] | Callable[[], Mapping[str, Any]], task: str) -> Any:
        """Returns the next action (A,); an observation that costs may be given as what makes it."""
        if not self._left:
            seen = observation() if callable(observation) else observation
            chunk = np.asarray(self._policy.act({**seen, TASK: task}), np.float32)
            self._left.extend(chunk[: max(1, int(self._policy.execute or len(chunk)))])
        return self._left.popleft()


def of_one(batch: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Returns the observation, or info, of environment i of a batch; without the masks that Gymnasium adds to infos."""
    plain = {key: part for key, part in batch.items() if not key.startswith("_")}
    return {key: of_one(part, i) if isinstance(part, Mapping) else part[i] for key, part in plain.items()}


# ---------------------------------------------------------------- in our own environment


def evaluation(asked: Asked, numbers: Sequence[int]) -> Iterator[Row]:
    """`toyshift evaluate`: what all others are held against."""
    with opened_session(asked.config) as opened:
        for number in numbers:
            yield play_row(asked.config, asked.ids, opened, number)


def gymnasium(asked: Asked, numbers: Sequence[int]) -> Iterator[Row]:
    """`gym.make`, `reset`, `step`, as in any script."""
    import gymnasium as gym

    import toyshift.envs  # noqa: F401  registers the ids

    hand = Hand(asked.acting)
    with contextlib.closing(gym.make(ID, **asked.env_options)) as env:
        for number in numbers:
            object_id, _, options = asked.start(number)
            seen, info = env.reset(seed=asked.seed, options=options)
            hand.reset()
            outcome, over = Outcome(object_id, LIFT), False
            while not over:
                seen, _, terminated, truncated, info = env.step(hand.action(seen, info["task"]))
                outcome.add(info)
                over = terminated or truncated
            yield asked.row(number, outcome)


def make_vec(asked: Asked, numbers: Sequence[int]) -> Iterator[Row]:
    """`gym.make_vec`: four environments on two threads; whoever has ended takes the next start."""
    import gymnasium as gym
    from gymnasium.vector import AutoresetMode

    import toyshift.envs  # noqa: F401

    how: dict[str, Any] = {"vectorization_mode": "vector_entry_point", "autoreset_mode": AutoresetMode.DISABLED}
    waiting, count = collections.deque(numbers), min(COUNT, len(numbers))
    hands = [Hand(asked.acting) for _ in range(count)]
    with contextlib.closing(gym.make_vec(ID, count, threads=2, **how, **asked.env_options)) as envs:
        playing = [waiting.popleft() for _ in range(count)]
        outcomes = [Outcome(asked.start(number)[0], LIFT) for number in playing]

        def begin(which: Any) -> Any:
            options = [asked.start(number)[2] for number in playing]
            listed = {name: [one[name] for one in options] for name in options[0]}
            return envs.reset(seed=asked.seed, options=listed | {"reset_mask": which})

        seen, _ = begin(np.ones(count, np.bool_))
        idle = np.zeros(count, np.bool_)  # no start is left: played on, and not looked at
        while not idle.all():
            tasks = envs.call("task_description")
            actions = np.stack([hands[i].action(of_one(seen, i), tasks[i]) for i in range(count)])
            seen, _, terminated, truncated, infos = envs.step(actions)
            over = terminated | truncated
            for i in np.flatnonzero(~idle):
                outcomes[i].add(of_one(infos, i))
                if over[i]:
                    yield asked.row(playing[i], outcomes[i])
                    idle[i] = not waiting
                    playing[i] = waiting.popleft() if waiting else playing[i]
                    outcomes[i] = Outcome(asked.start(playing[i])[0], LIFT)
            if over.any() and not idle.all():
                for i in np.flatnonzero(over):
                    hands[i].reset()
                seen, _ = begin(over)


class ModelLike:
    """A policy as Stable-Baselines3's `evaluate_policy` asks a model: flat batches in, actions in [-1, 1] out."""

    def __init__(self, asked: Asked, venv: Any, dtype: Any) -> None:
        self._venv, self._contract, self._dtype = venv, asked.acting.action_contract, dtype
        self._hands = [Hand(asked.acting) for _ in range(venv.num_envs)]

    def predict(self, seen: Mapping[str, Any], state: Any = None, episode_start: Any = None, **_: Any) -> Any:
        tasks, actions = self._venv.get_attr("task_description"), []
        for i, hand in enumerate(self._hands):
            if episode_start[i]:
                hand.reset()
            actions.append(hand.action(self._nested(of_one(seen, i)), tasks[i]))
        low, high = np.asarray(self._contract.low), np.asarray(self._contract.high)
        return (2.0 * (np.stack(actions) - low) / (high - low) - 1.0).astype(self._dtype), state

    @staticmethod
    def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
        """Undoes `flat_observation`."""
        from toyshift.core.contract import MASK_SCALE

        views: dict[str, dict[str, Any]] = {"pixels": {}, "masks": {}}
        for key, value in flat.items():
            name, _, camera = key.partition("_")
            if name in views:
                views[name][camera] = value if name == "pixels" else value[..., 0] // np.uint8(MASK_SCALE)
        return {**views, "agent_pos": flat["agent_pos"]}


def sb3(asked: Asked, numbers: Sequence[int], dtype: Any = np.float64) -> Iterator[Row]:
    """Stable-Baselines3's own `evaluate_policy` on `sb3.make_vec`.

    Its models give float32 in [-1, 1]: a physical action that crosses this border is rounded once more.
    """
    from stable_baselines3.common.evaluation import evaluate_policy

    from toyshift.envs.adapters import sb3 as border

    count = min(COUNT // 2, len(numbers))
    venv = border.make_vec(ID, count, **asked.env_options)
    with contextlib.closing(venv):
        model = ModelLike(asked, venv, dtype)
        for first in range(0, len(numbers), count):
            some = list(numbers[first : first + count])
            some += some[-1:] * (count - len(some))  # a last one is played twice where the count does not divide
            outcomes = [Outcome(asked.start(number)[0], LIFT) for number in some]

            def look(told: dict[str, Any], _: Any, outcomes: list[Outcome] = outcomes) -> None:
                outcomes[told["i"]].add(told["info"])

            venv.seed(asked.seed)
            venv.set_options([asked.start(number)[2] for number in some])
            evaluate_policy(model, venv, n_eval_episodes=count, callback=look, warn=False)
            yield from (asked.row(n, o) for n, o in dict(zip(some, outcomes, strict=True)).items())


def openpi(asked: Asked, numbers: Sequence[int]) -> Iterator[Row]:
    """`toyshift serve`'s server in this process, asked by `toyshift evaluate --policy ws://...`."""
    from toyshift.policies.remote.server import PolicyServer
    from toyshift.policies.remote.session import PolicySession, policy_metadata

    policy = asked.acting
    said = policy_metadata(policy, policy_fingerprint(asked.policy), "")
    server = PolicyServer(lambda: PolicySession(policy), said, port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        config = dataclasses.replace(asked.config, policy=f"ws://localhost:{server.port}")
        with opened_session(config) as opened:
            for number in numbers:
                yield play_row(config, asked.ids, opened, number)
    finally:
        server.shutdown()
        thread.join()


def robosuite(asked: Asked, numbers: Sequence[int]) -> Iterator[Row]:
    """robosuite's physics and controller, our starts and pictures; see `exactness_robosuite`."""
    from exactness_robosuite import play

    yield from play(asked, Hand(asked.acting), LIFT, numbers)


# ---------------------------------------------------------------- in another project's environment


def vla_eval(asked: Asked, numbers: Sequence[int]) -> Iterator[Row]:
    """vla-eval's orchestrator on `GraspBenchmark`, asking its own model server with our policy behind it."""
    import vla_eval as harness

    from toyshift.policies.remote.vla_eval_server import PolicyModelServer

    # its server hands out one action at a time of so many, so that it looks as often as we do
    with harness.serve_background(PolicyModelServer(asked.acting, policy_fingerprint(asked.policy))) as handle:
        params = {"objects": asked.objects, "seed": asked.seed, "purpose": PURPOSE}
        benchmark = {
            "benchmark": "toyshift.envs.adapters.vla_eval_benchmark:GraspBenchmark", "name": "toyshift",
            "episodes_per_task": max(numbers) + 1, "params": params,
        }  # fmt: skip
        told = {"render": "cpu", "output_dir": str(asked.scratch), "benchmarks": [benchmark]}
        (result,) = harness.run(told, server_url=handle.url, docker=False)
    names = ("success", "max_height", "steps", "failure", "penetration", "events")
    for one in result["tasks"][0]["episodes"]:
        if one["episode_id"] in numbers:
            yield asked.row(one["episode_id"], {name: one["metrics"][name] for name in names})


def lerobot_options(asked: Asked) -> dict[str, Any]:
    return {k: v for k, v in asked.env_options.items() if k != "objects"}


def lerobot(asked: Asked, numbers: Sequence[int]) -> Iterator[Row]:
    """LeRobot's `eval_policy` on EnvHub's `make_env`; start i is episode 0 of seed 1000 + i, its object drawn.

    LeRobot drops masks: where the policy looks at them, the wrapper takes them from the environment.
    """
    import torch
    from gymnasium.vector import VectorWrapper
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.pretrained import PreTrainedPolicy
    from lerobot.processor import PolicyProcessorPipeline
    from lerobot.scripts.lerobot_eval import eval_policy

    from toyshift.envs.adapters.envhub import make_env

    class Watched(VectorWrapper):  # type: ignore[misc]
        """Tells what an environment says after every action, until its first episode ends."""

        def reset(self, **how: Any) -> Any:
            seen, infos = super().reset(**how)
            self.object, self.over = str(infos["object_id"][0]), False
            self.outcome = Outcome(self.object, LIFT)
            return seen, infos

        def step(self, actions: Any) -> Any:
            seen, reward, terminated, truncated, infos = super().step(actions)
            if not self.over:
                self.over = bool(terminated[0] or truncated[0])
                self.outcome.add(of_one(infos["final_info"] if self.over else infos, 0))
            return seen, reward, terminated, truncated, infos

        def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
            return self.env.call(name, *args, **kwargs)

        @property
        def envs(self) -> Any:
            return self.env.envs

    class Wrapped(PreTrainedPolicy):  # type: ignore[misc]
        """A policy of ours as LeRobot asks one; its configuration is never looked at."""

        config_class, name = ACTConfig, "toyshift"

        def __init__(self) -> None:
            super().__init__(ACTConfig())
            self._hand = Hand(asked.acting)

        def reset(self) -> None:
            self._hand.reset()

        def get_optim_params(self) -> Any:
            raise NotImplementedError("it is not trained here")

        forward = predict_action_chunk = get_optim_params

        def select_action(self, seen: Mapping[str, Any]) -> Any:
            begin = "observation.images."
            images = {k.removeprefix(begin): v for k, v in seen.items() if k.startswith(begin)}
            pixels = {
                camera: np.round(image[0].numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
                for camera, image in images.items()
            }
            observation = {
                "pixels": pixels, "agent_pos": seen["observation.state"][0].numpy(), "masks": env.call("true_masks")[0],
            }  # fmt: skip
            return torch.from_numpy(self._hand.action(observation, seen["task"][0]).copy())[None]

    made = make_env(1, objects=(asked.objects,), **lerobot_options(asked))
    env = Watched(next(iter(made.values()))[0])
    plain = PolicyProcessorPipeline(steps=[], to_transition=lambda x: x, to_output=lambda x: x)
    policy = Wrapped()
    for number in numbers:
        found = eval_policy(env, policy, plain, plain, plain, plain, 1, start_seed=FIRST_SEED + number)
        (said,) = found["per_episode"]
        assert said["seed"] == FIRST_SEED + number
        row = own_row(asked, number, env.object, env.outcome.columns())
        yield dataclasses.replace(row, success=bool(said["success"]))  # LeRobot's word
    env.close()


def lerobot_reference(asked: Asked, numbers: Sequence[int]) -> Iterator[Row]:
    """LeRobot's starts, played by the loop of `toyshift evaluate` in LeRobot's Python."""
    with opened_session(asked.config) as (actor, world):
        for number in numbers:
            config = dataclasses.replace(asked.config, seed=FIRST_SEED + number)
            _, info = world.reset(seed=config.seed, options={"purpose": PURPOSE, "observe": False})
            columns = run_episode(actor, world, config, info["object_id"], 0)
            yield own_row(asked, number, info["object_id"], {**columns, "wall_s": 0.0})


def own_row(asked: Asked, number: int, object_id: str, columns: Mapping[str, Any]) -> Row:
    """Returns the row of a start of LeRobot's."""
    told = {"wall_s": 0.0, **columns}
    return Row(
        policy=Path(asked.policy).name, pooling="", object_set=asked.objects, object_id=object_id,
        seed=FIRST_SEED + number, episode=0, look="", purpose=PURPOSE, **told,
    )


Play = Callable[[Asked, Sequence[int]], Iterator[Row]]


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to play.

    Attributes:
        play: plays starts.
        told: what it is, for people.
        beside: the way that it is held against; "" for a reference.
        needs: module of another project's environment, "" for our own.
        shared: whether physics and actions are the same, so that nothing may differ.
    """

    play: Play
    told: str
    beside: str = "evaluate"
    needs: str = ""
    shared: bool = True


WAYS = {
    "evaluate": Way(evaluation, "`toyshift evaluate`", ""),
    "gymnasium": Way(gymnasium, "`gym.make`, `reset`, `step`"),
    "make_vec": Way(make_vec, "`gym.make_vec`, 4 environments on 2 threads"),
    "sb3": Way(sb3, "Stable-Baselines3's `evaluate_policy` on `sb3.make_vec`, actions in float64"),
    "sb3-float32": Way(
        functools.partial(sb3, dtype=np.float32), "the same, actions rounded to float32 in [-1, 1] as its models' are",
        shared=False,
    ),
    "openpi": Way(openpi, "`toyshift serve` (openpi's protocol) and its client"),
    "vla-eval": Way(vla_eval, "vla-eval's orchestrator and model server", needs="vla_eval"),
    "lerobot-reference": Way(
        lerobot_reference, "`toyshift evaluate`'s loop in LeRobot's Python", "", needs="lerobot"
    ),
    "robosuite": Way(robosuite, "robosuite's `ToyGrasp`: its physics and OSC_POSE, our pictures", shared=False),
    "lerobot": Way(lerobot, "LeRobot's `eval_policy` on EnvHub's `make_env`", "lerobot-reference", "lerobot"),
}  # fmt: skip
