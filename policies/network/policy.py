"""The policy network: images, masks and proprioception in, a chunk of physical actions out, normalisers inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from toyshift.core.arrays import Float32
from toyshift.core.contract import (
    ACTION,
    ACTION_HISTORY,
    ACTION_IS_PAD,
    HISTORY_IS_PAD,
    STATE,
    ActionContract,
    ObservationContract,
    image_key,
    mask_key,
)
from toyshift.core.errors import ConfigError, ContractError, UnknownNameError
from toyshift.policies.batch_keys import (
    FROZEN,
    HINT_VALID,
    HINT_VALUE,
    INSTRUCTION,
    KEPT_VIEWS,
    NOISE,
    NOISE_TIME,
    STATE_NOISE,
    bias_key,
    gain_key,
    token_key,
)
from toyshift.policies.config import NO_STATE, PolicyConfig
from toyshift.policies.network.conditioning import Conditioning
from toyshift.policies.network.encoders import Jitter, make_encoder
from toyshift.policies.network.erasing import Eraser
from toyshift.policies.network.frozen import averaged, finish_views
from toyshift.policies.network.heads import make_head, masked_mean, sample_mean
from toyshift.policies.network.hints import HintReader
from toyshift.policies.network.history import HistoryTransformer
from toyshift.policies.network.pooling import MeanPool, make_pooling
from toyshift.policies.network.views import EncoderInput, SeenView, patch_coverage, prepare, prototype, target_pixels
from toyshift.policies.parts import HINTS


class Normaliser(nn.Module):
    """Standardises and restores vectors; mean and deviation are buffers, saved and exported with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Any, std: Any, floor: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(np.asarray(mean, dtype=np.float32)).clone())
        self.register_buffer("std", torch.as_tensor(np.asarray(std, dtype=np.float32)).clamp(min=floor))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def restore(self, x: Tensor) -> Tensor:
        return x * self.std + self.mean


class Judged(NamedTuple):
    """What a policy makes of a batch of B samples with T steps.

    Attributes:
        features: (B*T, F) what the head reads.
        target: (B*T, K, A) standardised actions that it should answer with.
        errors: (B*T, K, A) how far it is off, as its head counts.
        is_pad: (B*T, K) bool, actions that do not count.
        told: (B*T, ...) what the policy tells of its hint, see `HintReader.forward`; None of a policy without one.
    """

    features: Tensor
    target: Tensor
    errors: Tensor
    is_pad: Tensor
    told: Tensor | None = None


def state_to_action(action_contract: ActionContract, observation_contract: ObservationContract) -> Float32:
    """Returns the (S, A) matrix that copies state entries to the actions of the same name, and gives 0 for the others.

    Raises:
        ConfigError: no action bears the name of a state entry.
    """
    names = observation_contract.state_names
    matrix = np.array([[float(s == a) for a in action_contract.names] for s in names], dtype=np.float32)
    if not matrix.any():
        raise ConfigError(
            "relative needs an action with the name of a state entry; "
            f"actions: {', '.join(action_contract.names)}; state: {', '.join(names)}"
        )
    return matrix


class Policy(nn.Module):
    """Encoder per view -> pooling -> concat with the state (-> transformer over the history) -> action-chunk head.

    Args:
        config: what the policy is made of.
        action_contract: meaning of the predicted actions.
        observation_contract: cameras, image sizes and state names it was recorded with.
        stats: {"observation.state": {"mean", "std"}, "action": {"mean", "std"}}; identity when missing (weights
            follow). With `config.relative` those of the action are of the relative action.
    """

    indices: Tensor
    base: Tensor | None

    def __init__(
        self,
        config: PolicyConfig,
        action_contract: ActionContract,
        observation_contract: ObservationContract,
        stats: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.origin: dict[str, str] = {}  # file and SHA-256 that pretrained encoders started from
        self.action_contract = action_contract
        self.observation_contract = observation_contract
        sizes = dict(observation_contract.cameras)
        self.cameras = config.cameras or observation_contract.camera_names
        for camera in self.cameras:
            if camera not in sizes:
                raise UnknownNameError("camera", camera, sizes)
        names = observation_contract.state_seen(config.privileged)
        for name in config.state_entries or ():
            if name not in names:
                raise UnknownNameError("state entry", name, (*names, NO_STATE))
        kept = [i for i, name in enumerate(names) if config.state_entries is None or name in config.state_entries]
        self.register_buffer("indices", torch.tensor(kept, dtype=torch.int64), persistent=False)
        base = torch.from_numpy(state_to_action(action_contract, observation_contract)) if config.relative else None
        self.register_buffer("base", base, persistent=False)  # (S, A)

        zero_one = {STATE: len(names), ACTION: action_contract.size}
        stats = stats or {key: {"mean": np.zeros(n), "std": np.ones(n)} for key, n in zero_one.items()}
        for key, n in zero_one.items():
            if np.shape(stats[key]["mean"]) != (n,):
                shape = np.shape(stats[key]["mean"])
                raise ContractError(f"the statistics of {key} have shape {shape}, the contract says ({n},)")
        self.normalise_state = Normaliser(stats[STATE]["mean"], stats[STATE]["std"], config.std_floor)
        self.normalise_action = Normaliser(stats[ACTION]["mean"], stats[ACTION]["std"], config.std_floor)

        if config.share_encoder and len({sizes[c] for c in self.cameras}) > 1:
            raise ContractError("share_encoder needs cameras of one image size")
        owners = self.cameras[:1] if config.share_encoder else self.cameras
        self.encoders = nn.ModuleDict({camera: make_encoder(config, sizes[camera]) for camera in owners})
        self.pooling = self._make_pooling()
        self.pooled_norm = nn.LayerNorm(config.width) if config.pooled_norm else nn.Identity()
        self.eraser = Eraser(len(self.cameras) * config.width) if config.erased else None
        self.hidden_view = nn.Parameter(torch.zeros(len(self.cameras), config.width))  # stands for a dropped view
        self.conditioning = None if config.instruction == "none" else Conditioning(config)
        features = (len(self.cameras) + (self.conditioning is not None)) * config.width + len(kept)
        self.history = None if config.policy_net == "mlp" else HistoryTransformer(features, config)
        reads = features if self.history is None else self.history.width
        size = HINTS[config.hint] or 2 * len(self.cameras) if config.hint else 0
        self.hint = HintReader(reads, size, config.proposals) if config.hint else None
        self.head_reads = reads + size  # F
        self.head = make_head(self.head_reads, action_contract.size, config)
        crops = config.pooling_part.picture == "crop"
        self.place = nn.Linear(4, config.width) if crops else None  # tells where a crop was cut out

    def _make_pooling(self) -> nn.Module:
        encoders: list[Any] = list(self.encoders.values())
        grids = {encoder.grid for encoder in encoders}
        if self.config.pooling_part.grid and len(grids) > 1:
            raise ConfigError(f"{self.config.pooling} needs one grid of patches, got {sorted(grids)}; set encoder_size")
        if all(encoder.class_only for encoder in encoders):
            return MeanPool(self.config.width)  # of one token, the ViT's own class token
        return make_pooling(self.config.pooling, self.config.width, encoders[0].grid)

    def encoder_of(self, camera: str) -> Any:
        """Returns the encoder that looks through a camera."""
        return self.encoders[camera if camera in self.encoders else self.cameras[0]]

    def tell(self, instruction: Tensor | None) -> Tensor | None:
        """Returns the vectors (B, C), or one for all (1, C), of instructions, see `Conditioning`; None for nothing."""
        if self.conditioning is None:
            return None
        if instruction is None and not self.config.latent:
            raise ContractError(
                f"the policy is conditioned on an instruction ({self.config.instruction}), and none was given"
            )
        out: Tensor = self.conditioning(instruction)
        return out

    def view(self, camera: str, images: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> EncoderInput:
        """Returns what a camera's encoder is shown; arguments as those of `pool`."""
        config, encoder = self.config, self.encoder_of(camera)
        target = target_pixels(masks[camera]) if config.needs_target else None
        image = prototype(masks[camera]) if config.prototype else images[camera]
        image, target, place = prepare(image, target, config.pooling, encoder.size)
        if target is None:
            coverage = image.new_ones((1, 1), dtype=torch.float32)
        else:
            coverage = patch_coverage(target, encoder.patch)
        # Detection pooling reads the covered tokens only. An exported graph must not depend on the data: it takes all,
        # but for encoders whose attention the mask restricts.
        masked = config.masks_attention or (self.training and config.pooling_part.on_target)
        shown = target if config.mask_channel else None
        return EncoderInput(image, shown, coverage, coverage > 0 if masked else None, place)

    def pool(
        self, images: Mapping[str, Tensor], masks: Mapping[str, Tensor], jitter: Mapping[str, Jitter] | None = None,
        told: Tensor | None = None,
    ) -> Tensor:
        """Returns the pooled views (B, V, C).

        Args:
            images: camera -> (B, H, W, 3) uint8 sRGB.
            masks: camera -> (B, H, W) uint8 labels; may be empty for a policy that needs none.
            jitter: camera -> photometric augmentation.
            told: as `tell` gives it.
        """
        if self.config.blind:
            return self._hidden_views(images[self.cameras[0]])
        return self.pool_seen({c: self.see(c, images, masks, jitter) for c in self.cameras}, told)

    def _hidden_views(self, like: Tensor) -> Tensor:
        """Returns what stands for views that are not seen (B, V, C), for as many samples as `like` (B, ...) has."""
        return self.hidden_view.expand(like.shape[0], -1, -1)

    def see(
        self, camera: str, images: Mapping[str, Tensor], masks: Mapping[str, Tensor],
        jitter: Mapping[str, Jitter] | None = None,
    ) -> SeenView:
        """Returns what a camera's encoder makes of its view; arguments as those of `pool`."""
        view, encoder = self.view(camera, images, masks), self.encoder_of(camera)
        encode = encoder.raw_tokens if self.config.pool_first else encoder
        tokens = encode(view.image, view.target, jitter[camera] if jitter else None, view.wanted)  # (B, N, C)
        return SeenView(tokens, view.coverage, view.place)

    def pool_seen(self, seen: Mapping[str, SeenView], told: Tensor | None = None) -> Tensor:
        """Returns the pooled views (B, V, C) of what `see` gave for every camera; told is as `tell` gives it."""
        if self.config.pool_first:
            views = {key: x for c in self.cameras for key, x in averaged(self, c, seen[c]).items()}
            return finish_views(self, views, told)
        pooled = []
        for camera in self.cameras:  # one view at a time: image sizes, and so token counts, may differ
            tokens, coverage, place = seen[camera]
            if self.conditioning is not None and told is not None:
                tokens = self.conditioning.modulate(tokens, told)
            vector = self.pooling(tokens.unsqueeze(1), coverage.to(tokens.dtype).unsqueeze(1))  # (B, 1, C)
            if place is not None and self.place is not None:
                vector = vector + self.place(place).unsqueeze(1)
            pooled.append(vector)
        return torch.cat(pooled, dim=1) if pooled else torch.empty(0, 0, self.config.width)

    def features(self, pooled: Tensor, state: Tensor, told: Tensor | None = None) -> Tensor:
        """Joins pooled views (B, V, C), the standardised state entries that are seen, and what is told: (B, F)."""
        views = [self.pooled_norm(pooled).flatten(1)] if self.cameras else []
        if self.eraser is not None:
            views = [self.eraser(view) for view in views]
        words = [] if told is None else [told.to(pooled.dtype).expand(state.shape[0], -1)]
        return torch.cat([*views, state.index_select(1, self.indices).to(pooled.dtype), *words], dim=1)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the losses of a batch of the batch contract with the history that the policy sees.

        The further keys of `batch_keys.py`, all optional, carry the augmentation, the instruction, and, instead of
        images and masks, what frozen encoders saw (B, T, ...).

        Returns:
            "loss", to be minimised; more entries are for the log.
        """
        seen = self.judge(batch)
        return {"loss": masked_mean(seen.errors, seen.is_pad)}

    def losses(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the loss of each sample (B,) of a batch for `forward`; their mean is the loss without padding."""
        seen, samples = self.judge(batch), len(batch[STATE])
        return sample_mean(seen.errors.reshape(samples, -1, seen.errors.shape[-1]), seen.is_pad.reshape(samples, -1))

    def judge(self, batch: Mapping[str, Tensor]) -> Judged:
        """Returns what the head reads of a batch for `forward`, what it should answer, and how far it is off."""
        samples, seen = batch[STATE].shape[:2]
        steps = self.config.steps_seen
        if seen < steps:
            raise ContractError(f"the batch holds {seen} observations a window, the policy sees {steps}")

        def each(x: Tensor) -> Tensor:
            """Repeats what a sample has once for each of its steps: (B, ...) -> (B*T, ...)."""
            return x if steps == 1 else x.repeat_interleave(steps, dim=0)

        told = self.tell(each(batch[INSTRUCTION]) if INSTRUCTION in batch else None)
        if self.config.blind:
            pooled = self._hidden_views(batch[STATE][:, -steps:].flatten(0, 1))
        elif token_key(self.cameras[0]) in batch:
            views = {k: v[:, -steps:].flatten(0, 1) for k, v in batch.items() if k.startswith(FROZEN)}
            pooled = finish_views(self, views, told)
        else:
            images = {c: batch[image_key(c)][:, -steps:].flatten(0, 1) for c in self.cameras}
            masked = self.cameras if self.config.needs_masks else ()
            masks = {c: batch[mask_key(c)][:, -steps:].flatten(0, 1) for c in masked}
            jitter = None
            if gain_key(self.cameras[0]) in batch:
                jitter = {c: Jitter(each(batch[gain_key(c)]), each(batch[bias_key(c)])) for c in self.cameras}
            pooled = self.pool(images, masks, jitter, told)
        if KEPT_VIEWS in batch:
            pooled = torch.where(each(batch[KEPT_VIEWS]).unsqueeze(-1), pooled, self.hidden_view.to(pooled.dtype))
        state = batch[STATE][:, -steps:].flatten(0, 1)
        if STATE_NOISE in batch:
            state = state + each(batch[STATE_NOISE]) * self.normalise_state.std
        action, is_pad = action_windows(batch, self.config)  # (B*T, K, A), (B*T, K)
        if self.base is not None:  # relative to the noisy state: the network learns to undo the noise
            action = action - (state.float() @ self.base).unsqueeze(1)
        features = self.features(pooled, self.normalise_state(state), told)
        if self.history is not None:
            features = self.history(features.reshape(samples, steps, -1), batch.get(HISTORY_IS_PAD)).flatten(0, 1)
        hint = None
        if self.hint is not None:
            hint, chosen = self.hint(features), None
            if self.hint.proposals:
                given = [batch[key][:, -steps:].flatten(0, 1) for key in (HINT_VALUE, HINT_VALID) if key in batch]
                chosen = self.hint.explaining(hint, *given) if given else self.hint.likeliest(hint)
            features = torch.cat([features, self.hint.read(hint, chosen).to(features.dtype)], dim=1)
        noise, time = (batch[key].flatten(0, 1) if key in batch else None for key in (NOISE, NOISE_TIME))
        target = self.normalise_action(action)
        errors = self.head.errors(features, target, noise, time)  # type: ignore[operator]
        return Judged(features, target, errors, is_pad, hint)

    def observe(
        self, images: Mapping[str, Tensor], masks: Mapping[str, Tensor], state: Tensor,
        instruction: Tensor | None = None,
    ) -> Tensor:
        """Returns the features (B, F) of an observation, a history of which `decide` takes; see `predict`."""
        told = self.tell(instruction)
        pooled = self._hidden_views(state) if self.config.blind else self.pool(images, masks, told=told)
        return self.features(pooled, self.normalise_state(state), told)

    def consider(
        self, steps: Tensor, is_pad: Tensor | None = None, tried: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Returns what the head reads (B, F) of the latest steps, and which proposal of the hint (B,) is in it.

        Args:
            steps: as of `decide`.
            is_pad: as of `decide`.
            tried: (B, proposals) bool, proposals that are not to be taken; None = none of them.
        """
        features = steps[:, -1] if self.history is None else self.history(steps, is_pad)[:, -1]
        if self.hint is None:
            return features, None
        hint = self.hint(features)
        chosen = self.hint.likeliest(hint, tried) if self.hint.proposals else None
        return torch.cat([features, self.hint.read(hint, chosen).to(features.dtype)], dim=1), chosen

    def decide(self, steps: Tensor, state: Tensor, noise: Tensor | None = None, is_pad: Tensor | None = None) -> Tensor:
        """Predicts physical actions (B, K, A) from the features of the latest steps (B, T, F), the newest last.

        Args:
            steps: of `observe`, up to the history's length, `execute` control steps apart.
            state: (B, S) of the newest step.
            noise: (B, K, A) where diffusion and flow start; None = zeros.
            is_pad: (B, T) bool, steps that were not; None = none of them.
        """
        return self.answer(self.consider(steps, is_pad)[0], state, noise)

    def answer(self, features: Tensor, state: Tensor, noise: Tensor | None = None) -> Tensor:
        """Predicts physical actions (B, K, A) from what `consider` gives; arguments as of `decide`."""
        action = self.normalise_action.restore(self.head(features, noise).float())
        if self.base is not None:
            action = action + (state @ self.base).unsqueeze(1)
        if self.config.gripper_gain and "gripper" in self.action_contract.names:
            place = self.action_contract.names.index("gripper")
            decided = ((action[..., place : place + 1] - 0.5) * self.config.gripper_gain + 0.5).clamp(0.0, 1.0)
            action = torch.cat([action[..., :place], decided, action[..., place + 1 :]], dim=-1)
        return action

    def predict(
        self, images: Mapping[str, Tensor], masks: Mapping[str, Tensor], state: Tensor, noise: Tensor | None = None,
        instruction: Tensor | None = None,
    ) -> Tensor:
        """Predicts physical actions from one observation; a policy with a history takes it for an episode's first.

        Args:
            images: camera -> (B, H, W, 3) uint8 sRGB.
            masks: camera -> (B, H, W) uint8 labels; may be empty for a policy that needs none.
            state: (B, S) float32, all entries of the observation contract.
            noise: (B, K, A) where diffusion and flow start; None = zeros.
            instruction: (B,) int64 or (B, 384) float32, see `Instructions`; None for policies that are told nothing.

        Returns:
            (B, K, A) float32 in the action contract's units, not clipped.
        """
        return self.decide(self.observe(images, masks, state, instruction).unsqueeze(1), state, noise)


def action_windows(batch: Mapping[str, Tensor], config: PolicyConfig) -> tuple[Tensor, Tensor]:
    """Returns the chunk that each step of a history should answer with.

    Args:
        batch: `action` (B, K, A) from the newest step on and `action_is_pad` (B, K); with a history of T steps also
            `action.history` (B, (T-1) * execute, A), those before it, and `history_is_pad` (B, T).

    Returns:
        actions (B*T, K, A) and which of them are padding (B*T, K).
    """
    action, is_pad = batch[ACTION], batch[ACTION_IS_PAD]
    if config.steps_seen == 1:
        return action, is_pad
    past = batch[ACTION_HISTORY]
    actions = torch.cat([past, action], dim=1).unfold(1, config.chunk, config.execute).transpose(2, 3)  # (B, T, K, A)
    pads = torch.cat([is_pad.new_zeros(past.shape[:2]), is_pad], dim=1)
    pads = pads.unfold(1, config.chunk, config.execute) | batch[HISTORY_IS_PAD].unsqueeze(-1)  # (B, T, K)
    return actions.flatten(0, 1), pads.flatten(0, 1)
