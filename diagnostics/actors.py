"""What evaluation runs: one small interface over a trained policy, the expert ("oracle") and the random policy.

This file is the only place that knows how the other rooms spell their constructors.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import (
    TASK,
    ActionContract,
    environment_options,
    require_same_contract,
    require_same_observations,
)
from toyshift.core.errors import FileError, UnknownNameError
from toyshift.core.files import content_hash
from toyshift.core.seeds import episode_rng
from toyshift.core.world import World
from toyshift.diagnostics.mask_sources import TRUTH, mask_source, target_ious
from toyshift.policies.remote.options import LEROBOT, RemoteOptions, is_remote

if TYPE_CHECKING:
    from toyshift.envs.shifts import Look
    from toyshift.envs.tasks.grasp import GraspEnv

BUILTIN = ("oracle", "random")


class Actor(Protocol):
    """Chooses actions in an environment; `reset` once an episode, `actions` whenever the last chunk is used up.

    Attributes:
        name: of the policy.
        pooling: its pooling; "" where it has none.
        ious: IoU of the target's masks that it was shown in this episode with the true ones, see
            `mask_sources.target_ious`.
    """

    name: str
    pooling: str
    ious: list[float]

    def reset(self, env: World, seed: int, episode: int) -> None: ...

    def actions(self, env: World) -> Float32:
        """Returns the (K, A) physical actions to execute next, K >= 1."""
        ...


MakeEnv = Callable[..., World]  # called with objects=SPEC and further arguments


def make_grasp_env(objects: str, **kwargs: Any) -> World:
    """Returns a `toyshift.envs.GraspEnv`; the arguments are fields of its `EnvConfig`."""
    from toyshift.envs.config import EnvConfig
    from toyshift.envs.tasks.grasp import GraspEnv

    _require_fields(EnvConfig, "environment option", kwargs)
    return GraspEnv(EnvConfig(objects=objects, **kwargs))


def _require_fields(kind: Any, what: str, names: Collection[str]) -> None:
    """Raises UnknownNameError for the first name that is no field of a dataclass."""
    known = {f.name for f in dataclasses.fields(kind)}
    for name in names:
        if name not in known:
            raise UnknownNameError(what, name, known)


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """How a worker process makes its environment; it can be sent and hashed.

    Attributes:
        kwargs: arguments of `make_env`, e.g. {"image_size": 96}; those a policy's contracts fix may be left out.
        masks: where the masks come from that policies see, see `masks.mask_source`.
        make_env: a function of a module, which workers import; called with objects=SPEC and the arguments.
    """

    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    masks: str = TRUTH
    make_env: MakeEnv = make_grasp_env

    @property
    def simulated(self) -> bool:
        """Whether it is ToyShift's own environment."""
        return self.make_env is make_grasp_env

    @property
    def scene(self) -> str:
        """The arguments as "name=value" pairs, for rows."""
        return ",".join(f"{name}={value}" for name, value in sorted(self.kwargs.items()))

    def open(self, objects: str, **kwargs: Any) -> World:
        """Returns an environment with an object set, its arguments replaced by those given."""
        return self.make_env(objects=objects, **{**self.kwargs, **kwargs})

    def to_json(self) -> dict[str, Any]:
        """Returns what differs from the default, by names that stay when files move."""
        own = {} if self.simulated else {"make_env": f"{self.make_env.__module__}:{self.make_env.__qualname__}"}
        kwargs = {"kwargs": dict(self.kwargs)} if self.kwargs else {}
        return own | kwargs | ({} if self.masks == TRUTH else {"masks": self.masks})


def make_look(look: Mapping[str, Any]) -> Look:
    """Returns the appearance with these fields changed from the training look.

    Raises:
        UnknownNameError: a field that the look does not have.
    """
    from toyshift.envs.shifts import Look

    _require_fields(Look, "appearance factor", look)
    return Look(**look)


def look_label(look: Mapping[str, Any]) -> str:
    """Returns "factor=value" pairs for a row ("table=1|2" where episodes take turns); "" for the training look."""
    return ",".join(f"{name}={'|'.join(str(v) for v in _levels(value))}" for name, value in sorted(look.items()))


def look_of_episode(look: Mapping[str, Any], episode: int) -> dict[str, Any]:
    """Returns the look of one episode: of several levels of a factor, episode i takes level i modulo their number."""
    return {name: _levels(value)[episode % len(_levels(value))] for name, value in look.items()}


def _levels(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def policy_fingerprint(policy: str, remote: RemoteOptions | None = None) -> str:
    """Returns a hash of a policy folder's configuration and weights, or the built-in's name; a server is asked.

    A folder in which other weights were chosen after the training (`train --act`) has another. Files that stay as they
    are, by size and time, are hashed once in a process.

    Args:
        policy: see `open_actor`.
        remote: how remote policies are asked and understood.

    Raises:
        FileError: the folder does not exist, holds neither, or a file in it was changed since it was written.
        RemoteError: no server answers at that address.
        ConfigError: nobody says what the server's observations or actions are.
    """
    if policy in BUILTIN:
        return policy
    if policy.startswith(LEROBOT):
        from toyshift.policies.remote.lerobot_process import lerobot_fingerprint

        return lerobot_fingerprint(policy)
    if is_remote(policy):
        from toyshift.policies.remote.client import RemotePolicy

        asked = RemotePolicy(policy, remote)
        asked.close()
        return asked.fingerprint
    folder = Path(policy)
    if not folder.is_dir():
        close = difflib.get_close_matches(policy, BUILTIN, n=1)
        hint = f" did you mean {close[0]!r}?" if close else f" `toyshift train --out {policy}` makes one"
        others = f"one of {', '.join(BUILTIN)}, ws://HOST:PORT, vla-eval:HOST:PORT, lerobot:DIR"
        raise FileError(f"policy {policy!r} is neither a folder nor {others};{hint}")
    stamps = _stamps(folder)
    if stamps not in _fingerprints:
        found = _folder_fingerprint(folder)
        if time.time_ns() - max(changed for _, _, changed in stamps) < SETTLED:
            return found  # the next change might get the same time
        _fingerprints[stamps] = found
    return _fingerprints[stamps]


Stamps = tuple[tuple[str, int, int], ...]

SETTLED = 2 * 10**9  # age of a file from which another change has another time [ns]
_fingerprints: dict[Stamps, str] = {}  # of this process


def _stamps(folder: Path) -> Stamps:
    """Returns path, size [bytes] and time of the last change [ns] of all files that a policy folder can act by."""
    paths = sorted([*folder.absolute().glob("*"), *folder.absolute().glob("checkpoint-*/*")])
    facts = [(str(path), path.stat()) for path in paths if path.is_file()]
    return tuple((name, about.st_size, about.st_mtime_ns) for name, about in facts)


def _folder_fingerprint(folder: Path) -> str:
    parts = ("config.json", "model.safetensors", "contract.json")
    files = sorted(p for p in folder.iterdir() if p.name in parts or p.suffix == ".onnx")
    if not files:
        absent = f"{folder} holds no {', '.join(parts)} or *.onnx"
        raise FileError(f"{absent}: it is no policy folder and no exported bundle")
    from toyshift.policies.act.loading import check_policy

    if chosen := check_policy(folder):
        files.append(folder / chosen)
    return content_hash(*(part for p in files for part in (p.name, p.read_bytes())))


def gl_renderer_of(policy: str, spec: EnvSpec) -> str:
    """Returns the GL renderer behind a policy's images; "none" where nothing is rendered."""
    if policy in BUILTIN or not spec.simulated:
        return "none"
    from toyshift.envs.render.renderer import gl_renderer_name

    return gl_renderer_name()


def env_arguments(policy: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns environment arguments with those that the policy's contracts fix filled in; given ones win.

    Raises:
        ConfigError: the policy wants images of a size that no camera gives.
    """
    from toyshift.envs.cameras import image_size

    for camera, size in policy.observation_contract.cameras:
        image_size(tuple(size), f"policy {policy.name}: camera {camera!r}: size")
    return environment_options(policy.action_contract, policy.observation_contract) | dict(kwargs)


def with_instruction(observation: Mapping[str, Any], world: World) -> dict[str, Any]:
    """Returns an observation with the environment's instruction, which policies may be told."""
    return {**observation, TASK: world.task_description}


def action_std(policy: Any) -> Array | None:
    """Returns the (A,) standard deviation of a policy's training actions, None where it keeps none (a bundle)."""
    normaliser = getattr(getattr(policy, "policy", None), "normalise_action", None)
    return None if normaliser is None else np.asarray(normaliser.std.detach().cpu().numpy(), dtype=np.float64)


class FolderActor:
    """A trained policy: renders an observation only when its action chunk is used up.

    Args:
        policy: acts.
        masks: where the masks come from that it sees, see `mask_source`.
    """

    def __init__(self, policy: Any, masks: str = TRUTH) -> None:
        self.policy = policy
        self.masks = mask_source(masks)
        self.ious: list[float] = []
        self.name = str(policy.name)
        label = getattr(getattr(policy, "config", None), "pooling_label", "")
        self.pooling = str(getattr(policy, "pooling", "") or label)  # a server says it itself

    def check(self, env: World) -> None:
        """Raises ContractError where the environment acts or looks otherwise than the policy was trained for."""
        names = f"policy {self.name}", "the environment"
        require_same_contract(self.policy.action_contract, env.action_contract, *names)
        require_same_observations(self.policy.observation_contract, env.observation_contract, *names)

    def reset(self, env: World, seed: int, episode: int) -> None:
        self.policy.reset()
        self.masks.reset(seed, episode, env)
        self.ious = []

    def actions(self, env: World) -> Float32:
        chunk = self.chunk(env)
        return chunk[: max(1, int(self.policy.execute or len(chunk)))]

    def chunk(self, env: World) -> Float32:
        """Looks, and returns all (K, A) actions that are predicted."""
        shown = self.masks.shown(env.observe())
        self.ious += target_ious(shown["masks"], env.true_masks()) if "masks" in shown else []
        return np.asarray(self.policy.act(with_instruction(shown, env)), dtype=np.float32)


class RemoteActor(FolderActor):
    """A policy behind a server; its observations are made for the environment that it is checked against."""

    def check(self, env: World) -> None:
        self.policy.bind(env.action_contract, env.observation_contract)


class RandomActor:
    """Uniform actions in the action contract's box, from the episode's own stream."""

    name, pooling = "random", ""

    def __init__(self) -> None:
        self.ious: list[float] = []

    def reset(self, env: World, seed: int, episode: int) -> None:
        self._rng = episode_rng(seed, episode, "random-policy")

    def actions(self, env: World) -> Float32:
        contract: ActionContract = env.action_contract
        return self._rng.uniform(contract.low, contract.high, size=(1, contract.size)).astype(np.float32)


class OracleActor:
    """The scripted expert that also collects demonstrations; it sees the simulator's state.

    Args:
        expert: has `reset(seed, episode)`, called after the environment's, and `act() -> (A,)`.
    """

    name, pooling = "oracle", ""

    def __init__(self, expert: Any) -> None:
        self._expert = expert
        self.ious: list[float] = []

    def reset(self, env: World, seed: int, episode: int) -> None:
        self._expert.reset(seed, episode)

    def actions(self, env: World) -> Float32:
        return np.asarray(self._expert.act(), dtype=np.float32)[None]  # one at a time: it looks at every step


def load_acting_policy(folder: str, device: str = "cpu") -> Any:
    """Loads a policy folder or an exported bundle for acting on one CPU thread, or another device."""
    from toyshift.policies import load_policy

    policy = load_policy(Path(folder), device)
    if torch := sys.modules.get("torch"):  # bundles act without it
        torch.set_num_threads(1)
    return policy


def open_actor(policy: str, objects: str, spec: EnvSpec, remote: RemoteOptions | None = None) -> tuple[Actor, World]:
    """Returns an actor and the environment it acts in, their contracts checked against each other.

    Args:
        policy: "oracle", "random", the path of a policy folder or exported bundle, ws://HOST:PORT or
            vla-eval:HOST:PORT (servers), or lerobot:DIR.
        objects: object set string.
        spec: how to make the environment.
        remote: how policies behind a server are asked and understood.
    """
    if is_remote(policy):
        return _open_remote(policy, objects, spec, remote or RemoteOptions())
    policy_fingerprint(policy)  # a clear error before anything heavy is loaded
    blind = {"cameras": ()} if spec.simulated and "cameras" not in spec.kwargs else {}  # these two need no renderer
    if policy == "random":
        return RandomActor(), spec.open(objects, **blind)
    if policy == "oracle":
        from toyshift.data.grasping.choose import make_expert

        env = spec.open(objects, **blind)
        return OracleActor(make_expert(cast("GraspEnv", env))), env
    acting = load_acting_policy(policy)
    env = spec.open(objects, **env_arguments(acting, spec.kwargs))
    actor = FolderActor(acting, spec.masks)
    actor.check(env)
    return actor, env


def _open_remote(policy: str, objects: str, spec: EnvSpec, remote: RemoteOptions) -> tuple[Actor, World]:
    from toyshift.policies.remote.client import RemotePolicy
    from toyshift.policies.remote.lerobot_process import lerobot_process

    url = lerobot_process(policy, remote).url if policy.startswith(LEROBOT) else policy
    acting = RemotePolicy(url, remote)
    kwargs = acting.env_arguments(spec.kwargs)
    env = spec.open(objects, **(env_arguments(acting, kwargs) if acting.observation_contract else kwargs))
    actor = RemoteActor(acting, spec.masks)
    actor.check(env)
    return actor, env
