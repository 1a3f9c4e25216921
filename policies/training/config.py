"""How a policy is trained: a frozen value with a JSON round trip, importable without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from toyshift.core.choices import Device
from toyshift.core.errors import ConfigError
from toyshift.core.fields import Limit, check_ranges
from toyshift.core.files import real_path
from toyshift.policies.config import PolicyConfig
from toyshift.policies.repairs import repairs_of, require_whole_batch
from toyshift.policies.settings import Settings

UNSET = "<data>"  # stands for the datasets that a file of settings leaves to the command line
PRECISIONS = ("auto", "f32", "bf16")
NORMALISATIONS = ("mixture", "normal", "bounds_q99")
ACTS = ("last", "best")
# The largest are far above what anyone has trained with: a slip of the keyboard must not ask for all memory.
LIMITS: dict[str, Limit] = {
    "steps": 1, "minutes": 0, "batch_size": (1, 1_000_000), "accumulate": (1, 1_000_000), "lr": (1e-12, 1e3),
    "encoder_lr_scale": (1e-12, 1e6), "weight_decay": (0, 1e3), "warmup": 0, "lr_end": (0, 1), "grad_clip": (0, 1e9),
    "seed": 0, "threads": (0, 1024), "brightness": (0, 10), "contrast": (0, 10), "color": (0, 10), "shift": (0, 1024),
    "state_noise": (0, 1e3), "token_copies": (0, 1000), "checkpoint_minutes": (1e-12, 1e6), "keep_steps": 1,
    "validate_every": 0, "log_every": 1, "weights": (1e-9, 1e9),
}  # fmt: skip

if TYPE_CHECKING:  # for a type checker the choices are texts
    Precision = str
    Normalisation = str
    Act = str
else:
    Precision, Normalisation, Act = Literal[PRECISIONS], Literal[NORMALISATIONS], Literal[ACTS]


@dataclasses.dataclass(frozen=True)
class TrainConfig(Settings):
    """How a policy is trained.

    Attributes:
        data: dataset folders.
        out: folder of the trained policy; running again with the same configuration resumes or does nothing.
        weights: how often each dataset is drawn, relative to the others; empty = by size.
        normalise: what becomes 0 and 1 for the network: mixture (mean and standard deviation of all that is drawn), or
            each dataset by its own statistics: normal (mean and standard deviation) or bounds_q99 (1 % and 99 %
            quantiles to -1 and 1, clipped; the gripper's command as it is).
        act_as: with normalise normal or bounds_q99, name of the dataset in whose units the policy acts; empty = the
            first.
        policy: what is trained.
        steps: optimiser steps.
        minutes: train for about this long instead of `steps`: the number of steps is set once, from the speed of the
            first ones.
        batch_size: samples per step, of all processes and passes together.
        accumulate: passes that a step's batch is cut into to save memory; the result is the same but for rounding.
        lr: peak learning rate.
        encoder_lr_scale: learning rate of the encoders as a share of lr.
        weight_decay: AdamW's decoupled weight decay (matrices and kernels only).
        warmup: steps of linear warm-up; then a cosine to `lr_end` * lr.
        lr_end: final learning rate as a share of lr.
        grad_clip: largest gradient norm; 0 = no clipping.
        seed: root seed of initial weights, sampling and augmentation.
        precision: f32, bf16, or auto (bf16 on CUDA and on CPUs with AMX or AVX512-BF16, else f32).
        device: auto, cpu or cuda.
        threads: torch threads; 0 = torch's choice. Bit-equal resume needs the same number.
        ema: decay of the averaged weights that act; 0 = none.
        brightness: largest shift of all pixels, as a share of the full range.
        contrast: largest relative change of contrast.
        color: largest relative change of each colour channel.
        shift: largest random shift of image and mask together [pixels]; edges are repeated.
        mirror: mirror half of the samples left to right (eef_delta actions, a state without joint angles).
        state_noise: standard deviation of noise on the state, in standardised units.
        view_dropout: probability that a view is hidden from a training sample (never the last one).
        token_copies: with pool_first, how many encodings of every frame the cache holds, one of which is drawn for each
            sample: the first of the images as they are, the others with the augmentation of images above; 1 = no
            augmentation of images; 0 = no cache, every batch is encoded anew.
        repair: what is changed to repair shortcuts, NAME[?key=value&...], several joined by +; `--list-repairs` shows
            them.
        init_from: trained folder whose weights (and normaliser) are the start of a fine-tune; empty = from scratch.
        checkpoint_minutes: minutes between checkpoints.
        keep_steps: steps whose weights are kept, each as a policy folder at-<step> inside `out`.
        act: which weights of the finished run act: last, or best (lowest validation loss); of a finished folder the
            same command changes it.
        compile: compile the network with torch.compile (needs a C++ compiler on the CPU); the first steps then take
            minutes.
        validation: share of the episodes that is held out to measure the validation loss.
        validate_every: steps between validations; 0 = a tenth of the run.
        log_every: steps between rows of metrics.jsonl.
        monitor: watch what happens inside the network: more columns in metrics.jsonl at each validation; the weights of
            the start and after a tenth of the steps are kept as at-<step>.
        wandb: project of Weights & Biases that gets the figures too (extra [wandb]); empty = none.
    """

    data: tuple[str, ...] = ()
    out: str = "runs/policy"
    weights: tuple[float, ...] = ()
    normalise: Normalisation = "mixture"
    act_as: str = ""
    policy: PolicyConfig = dataclasses.field(default_factory=PolicyConfig)
    steps: int = 5000
    minutes: float = 0.0
    batch_size: int = 128
    accumulate: int = 1
    lr: float = 1e-3
    encoder_lr_scale: float = 1.0
    weight_decay: float = 1e-4
    warmup: int = 200
    lr_end: float = 0.01
    grad_clip: float = 1.0
    seed: int = 0
    precision: Precision = "auto"
    device: Device = "auto"
    threads: int = 0
    ema: float = 0.999
    brightness: float = 0.1
    contrast: float = 0.2
    color: float = 0.1
    shift: int = 0
    mirror: bool = False
    state_noise: float = 0.0
    view_dropout: float = 0.0
    token_copies: int = 1
    repair: str = ""
    init_from: str = ""
    checkpoint_minutes: float = 2.0
    keep_steps: tuple[int, ...] = ()
    act: Act = "last"
    compile: bool = False
    validation: float = 0.05
    validate_every: int = 0
    log_every: int = 20
    monitor: bool = False
    wandb: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, LIMITS)
        if self.act_as and self.normalise == "mixture":
            raise ConfigError(
                f"act_as is {self.act_as!r}, but a mixture that is normalised as one acts in everyone's units; "
                "give normalise normal or bounds_q99"
            )
        if not self.out:
            raise ConfigError("out is ''; it must be the folder of the trained policy")
        if not self.data:
            raise ConfigError("no dataset was given: data must name at least one folder made by `toyshift collect`")
        if self.policy.privileged or self.policy.head == "squashed":
            raise ConfigError(
                "privileged and head squashed are of reinforcement learning: `toyshift train-rl` makes such policies"
            )
        places = [real_path(folder) for folder in self.data if folder != UNSET]
        if twice := [folder for folder in self.data if places.count(real_path(folder)) > 1]:
            raise ConfigError(
                f"data names {' and '.join(twice)}, one dataset {len(twice)} times; name it once, "
                "and give weights to draw it more often"
            )
        if self.weights and len(self.weights) != len(self.data):
            raise ConfigError(f"{len(self.weights)} weights for {len(self.data)} datasets; give one each, or none")
        self._require("be in [0, 1)", lambda value: 0.0 <= value < 1.0, "ema", "validation", "view_dropout")
        if self.keep_steps and not (self.minutes or 0 < min(self.keep_steps) <= max(self.keep_steps) <= self.steps):
            raise ConfigError(f"keep_steps is {self.keep_steps}; they must lie between 1 and the {self.steps} steps")
        self.repaired()  # raises where it cannot be
        if self.policy.erased and not self.init_from:
            raise ConfigError(f"erased is {self.policy.erased!r}, but `--repair erase` erases; or give --init-from")
        if self.mirror and self.caches_tokens:
            raise ConfigError(
                "mirror changes the images, and cached tokens are of images as they are; "
                "give --token-copies 0, or drop mirror"
            )

    @property
    def caches_tokens(self) -> bool:
        """Whether training reads pooled tokens from a cache instead of images."""
        return self.policy.pool_first and self.token_copies > 0

    def repaired(self) -> Self:
        """Returns the same with the policy that its repairs make of it, and without their names."""
        if not self.repair:
            return self
        repairs = repairs_of(self.repair)
        require_whole_batch(repairs, self.accumulate, processes=1)
        policy = self.policy
        for repair in repairs:
            policy = repair.policy(dataclasses.replace(self, policy=policy, repair=""))
        return dataclasses.replace(self, policy=policy, repair="")

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"policy": self.policy.to_json(), "data": [str(Path(d)) for d in self.data]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return super().from_json(value | {"policy": PolicyConfig.from_json(value.get("policy", {}))})
