"""Configuration of reinforcement learning: one frozen value with a JSON round trip, importable without torch."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from toyshift.core.choices import Device, Environment, Reward
from toyshift.core.errors import ConfigError
from toyshift.core.fields import Limit, check_ranges
from toyshift.policies.config import PolicyConfig
from toyshift.policies.parts import Pooling
from toyshift.policies.settings import Settings

# what a field left at 0 stands for: these numbers learn `toyshift/GraspState-v0` (docs/rl.md)
DEFAULTS: dict[str, dict[str, Any]] = {
    "sac": {"steps": 100_000, "round_steps": 10_000, "envs": 8, "lr": 1e-3, "batch_size": 256, "gamma": 0.85},
    "ppo": {"steps": 300_000, "round_steps": 20_000, "envs": 16, "lr": 3e-4, "batch_size": 256, "gamma": 0.85},
}

# The largest are far above what anyone has trained with: a slip of the keyboard must not ask for all memory.
LIMITS: dict[str, Limit] = {
    "image_size": (16, 1024), "steps": 1, "envs": (1, 4096), "round_steps": 1, "evaluation_episodes": (1, 100_000),
    "seed": 0, "lr": (1e-12, 1e3), "batch_size": (1, 1_000_000), "hidden": (1, 16384), "layers": (1, 64),
    "width": (8, 4096), "updates": (1e-6, 1e3), "buffer": (1, 1_000_000_000), "random_steps": 0, "expert_steps": 0,
    "n_step": (1, 1000), "temperature": (1e-9, 1e3), "horizon": (1, 1_000_000), "epochs": (1, 1000),
    "entropy": (0, 1e3), "threads": (0, 1024), "checkpoint_minutes": (1e-12, 1e6), "stop_at": (0, 1),
}  # fmt: skip

CURRICULA = ("none", "plr")

if TYPE_CHECKING:  # for a type checker the choices are texts
    Algorithm = str
    Curriculum = str
else:
    Algorithm, Curriculum = Literal[tuple(DEFAULTS)], Literal[CURRICULA]


@dataclasses.dataclass(frozen=True)
class RlConfig(Settings):
    """What is learnt by trial and error, where, and how; 0 takes the algorithm's own number, see DEFAULTS.

    Attributes:
        algo: sac (few steps, many updates) or ppo (many steps, few updates).
        env: registered id: toyshift/GraspState-v0 (state and the object's pose) or toyshift/Grasp-v0 (pixels, with
            detection pooling).
        objects: object set; an episode draws one of its objects.
        curriculum: none (all objects alike), or plr: after each evaluation half of the episodes are drawn from the
            objects that it played, those that went worst most often (1 / rank), half from all alike.
        reward: "cost", "dense" or "sparse"; see `envs.success.REWARDS`.
        cameras: cameras of an id with images.
        image_size: height and width of their images [pixels], a multiple of 8.
        pooling: how an image becomes a vector; as in `toyshift train`.
        controls: names of the actions that are learnt; the others stay where they do nothing (0). Without the two tilts
            the hand keeps pointing down, and there is much less to try.
        out: folder of the trained policy; running again with the same configuration goes on, or does nothing.
        steps: control steps in all environments together.
        envs: environments side by side.
        round_steps: control steps between two evaluations (at least); at a round's start all environments begin new
            episodes, which makes a resumed run equal to an uninterrupted one.
        evaluation_episodes: episodes of an evaluation, always the same ones; the best evaluation's policy is kept.
        seed: root seed of initial weights, exploration and episodes.
        gamma: discount of a control step.
        lr: Adam's learning rate.
        batch_size: transitions of an update.
        hidden: width of the hidden layers of policy and value.
        layers: number of them.
        width: channels of a token, for images.
        updates: SAC: updates per control step.
        buffer: SAC: transitions that are kept.
        random_steps: SAC: control steps with random actions before the first update.
        tau: SAC: share of the new weights in the target network, per update.
        expert_steps: SAC: control steps of the scripted expert (in the learnt actions alone) that lie in the buffer at
            the start; 0 = it learns from its own trials only.
        n_step: SAC: steps whose rewards are added up before the value network is asked; 1 from images,
            where Stable-Baselines3 knows no more.
        temperature: SAC: entropy coefficient at the start; it is learnt.
        horizon: PPO: control steps of each environment between two updates.
        epochs: PPO: how often an update goes through them.
        clip: PPO: largest relative change of an action's probability.
        gae_lambda: PPO: weight of far rewards in the advantage.
        entropy: PPO: weight of the entropy bonus.
        device: auto, cpu or cuda.
        threads: torch threads; 0 = torch's choice. One is best for small networks beside simulation; bit-equal resume
            needs the same number.
        checkpoint_minutes: minutes between checkpoints (at the end of a round).
        stop_at: success of two evaluations in a row that ends the training before `steps`; 0 = never.
    """

    algo: Algorithm = "sac"
    env: Environment = "toyshift/GraspState-v0"
    objects: str = "toys:train?n=1&seed=2"
    curriculum: Curriculum = "none"
    reward: Reward = "cost"
    cameras: tuple[str, ...] = ("front", "wrist")
    image_size: int = 64
    pooling: Pooling = "detpool"
    controls: tuple[str, ...] = ("dx", "dy", "dz", "rz", "gripper")
    out: str = "runs/rl"
    steps: int = 0
    envs: int = 0
    round_steps: int = 0
    evaluation_episodes: int = 40
    seed: int = 0
    gamma: float = 0.0
    lr: float = 0.0
    batch_size: int = 0
    hidden: int = 128
    layers: int = 2
    width: int = 64
    updates: float = 0.5
    buffer: int = 400_000
    random_steps: int = 5_000
    tau: float = 0.01
    expert_steps: int = 0
    n_step: int = 3
    temperature: float = 0.1
    horizon: int = 64
    epochs: int = 8
    clip: float = 0.2
    gae_lambda: float = 0.95
    entropy: float = 0.001
    device: Device = "auto"
    threads: int = 1
    checkpoint_minutes: float = 2.0
    stop_at: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in DEFAULTS[self.algo].items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        check_ranges(self, LIMITS)
        if not self.out:
            raise ConfigError("out is ''; it must be the folder of the trained policy")
        above_0_to_1 = ("gamma", "tau", "clip", "gae_lambda")
        self._require("be above 0 and at most 1", lambda value: 0.0 < value <= 1.0, *above_0_to_1)
        if self.algo == "ppo" and self.envs * self.horizon < self.batch_size:
            raise ConfigError(
                f"batch_size is {self.batch_size}, but envs * horizon collect {self.envs * self.horizon} transitions; "
                "lower batch_size or raise horizon"
            )
        if self.expert_steps and self.buffer < self.expert_steps + self.steps:
            raise ConfigError(
                f"buffer is {self.buffer}; it must hold expert_steps ({self.expert_steps}) and steps ({self.steps}), "
                "or the expert's would be overwritten"
            )
        if self.algo == "ppo" and self.expert_steps:
            raise ConfigError("expert_steps fills a buffer, which ppo does not have; leave it at 0, or choose algo sac")
        if not self.controls or len(set(self.controls)) < len(self.controls):
            raise ConfigError(f"controls is {self.controls}; name each action that is learnt once")

    @property
    def updates_at_once(self) -> int:
        """SAC's updates after each step of all environments."""
        return max(1, round(self.updates * self.envs))

    @property
    def round_length(self) -> int:
        """Control steps of a round: `round_steps`, rounded up to whole steps (SAC) or updates (PPO) of all envs."""
        unit = self.envs * (self.horizon if self.algo == "ppo" else 1)
        return -(-self.round_steps // unit) * unit

    @property
    def rounds(self) -> int:
        """Number of rounds that `steps` take."""
        return -(-self.steps // self.round_length)

    def policy_config(self, privileged: bool) -> PolicyConfig:
        """Returns what the trained policy is made of: one action per observation.

        Args:
            privileged: whether it sees the target's pose.
        """
        return PolicyConfig(
            pooling=self.pooling, width=self.width, token_hidden=self.width, hidden=self.hidden, layers=self.layers,
            chunk=1, execute=1, privileged=privileged, head="squashed" if self.algo == "sac" else "l1",
            gripper_gain=0.0, std_floor=0.02,
        )
