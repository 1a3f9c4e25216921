"""Action heads: features of one time step -> a chunk of K standardised actions, and the errors that train them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from toyshift.core.errors import MissingDependencyError
from toyshift.policies.config import PolicyConfig
from toyshift.policies.parts import HEADS, part_of

TIME_CHANNELS = 64
NOISE_LEVELS = 100  # of the diffusion's training


def make_head(features: int, action_size: int, config: PolicyConfig) -> nn.Module:
    """Builds the head named by the config for a feature vector of the given size.

    A head has `forward(features, noise) -> (B, K, A)` and `errors(features, target, noise, time) -> (B, K, A)`; the l1
    head ignores noise and time (B,), the others draw fixed ones where none are given.
    """
    head: nn.Module = part_of("action head", config.head, HEADS)(features, action_size, config)
    return head


def masked_mean(errors: Tensor, is_pad: Tensor) -> Tensor:
    """Returns the mean of errors (B, K, A) over the actions that are not padding, True in (B, K)."""
    keep = (~is_pad).to(errors.dtype).unsqueeze(-1)  # (B, K, 1)
    return (errors * keep).sum() / (keep.sum() * errors.shape[-1]).clamp(min=1.0)


def sample_mean(errors: Tensor, is_pad: Tensor) -> Tensor:
    """Returns the mean error of each sample (B,) over its actions that are not padding, see `masked_mean`."""
    keep = (~is_pad).to(errors.dtype)  # (B, K)
    return (errors.mean(-1) * keep).sum(1) / keep.sum(1).clamp(min=1.0)


def _mlp(inputs: int, outputs: int, hidden: int, layers: int, activation: type[nn.Module]) -> nn.Sequential:
    """Returns hidden layers, those before a ReLU with He's initial weights, and a linear one."""
    modules: list[nn.Module] = []
    for _ in range(layers):
        linear = nn.Linear(inputs, hidden)
        if activation is nn.ReLU:
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        modules += [linear, activation()]
        inputs = hidden
    return nn.Sequential(*modules, nn.Linear(inputs, outputs))


# ---------------------------------------------------------------- one answer


class L1Head(nn.Module):
    """An MLP that predicts the whole chunk at once, trained with L1 on standardised actions.

    After a transformer it is one layer, as in LEGO.
    """

    def __init__(self, features: int, action_size: int, config: PolicyConfig) -> None:
        super().__init__()
        self.shape = (config.chunk, action_size)
        layers = config.layers if config.policy_net == "mlp" else 0
        self.mlp = _mlp(features, config.chunk * action_size, config.hidden, layers, nn.ReLU)

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:  # (B, F) -> (B, K, A)
        out: Tensor = self.mlp(features)
        return out.reshape(-1, *self.shape)

    def errors(
        self, features: Tensor, target: Tensor, noise: Tensor | None = None, time: Tensor | None = None
    ) -> Tensor:
        """Returns the errors (B, K, A) against standardised targets; their mean over what is no padding is the loss."""
        out: Tensor = (self(features).float() - target).abs()
        return out


class SquashedHead(L1Head):
    """The same MLP with a tanh: bounded actions, the mean of SAC's policy."""

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        return super().forward(features).tanh()


# ---------------------------------------------------------------- several good answers


def time_waves(time: Tensor) -> Tensor:
    """Returns (B, 64) sines and cosines of times (B,) in [0, 1], with 1 to 1000 radians over the range."""
    rates = torch.exp(torch.linspace(0.0, math.log(1000.0), TIME_CHANNELS // 2, device=time.device))
    angle = time[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def fixed_draws(like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns noise of the shape of (B, K, A) actions and times (B,), the same every time, for validation."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(like.shape, generator=generator)
    return noise.to(like.device), torch.rand(len(like), generator=generator).to(like.device)


class DenoisingHead(nn.Module):
    """An MLP that sees a noisy chunk, its noise level and the step's features.

    Children say what it predicts (`deviation`) and how it is used (`denoised`).

    Args:
        features: size of the features.
        action_size: A.
        config: chunk, hidden, layers and denoise are used.
    """

    def __init__(self, features: int, action_size: int, config: PolicyConfig) -> None:
        super().__init__()
        self.shape, self.denoise = (config.chunk, action_size), config.denoise
        size = config.chunk * action_size
        self.mlp = _mlp(features + size + TIME_CHANNELS, size, config.hidden, config.layers, nn.SiLU)

    def network(self, features: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        """Predicts (B, K, A) from features (B, F), a noisy chunk (B, K, A) and its time (B,) in [0, 1]."""
        x = torch.cat([features, noisy.flatten(1).to(features.dtype), time_waves(time).to(features.dtype)], dim=1)
        out: Tensor = self.mlp(x)
        return out.reshape(-1, *self.shape).float()

    def deviation(self, features: Tensor, target: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Returns how far the prediction for the target with this noise is off, (B, K, A)."""
        raise NotImplementedError

    def denoised(self, features: Tensor, x: Tensor) -> Tensor:
        """Returns the actions (B, K, A) that noise x (B, K, A) becomes."""
        raise NotImplementedError

    def errors(
        self, features: Tensor, target: Tensor, noise: Tensor | None = None, time: Tensor | None = None
    ) -> Tensor:
        if noise is None or time is None:
            noise, time = fixed_draws(target)
        return self.deviation(features, target, noise, time) ** 2

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        x = features.new_zeros(features.shape[0], *self.shape) if noise is None else noise
        return self.denoised(features, x)


class FlowHead(DenoisingHead):
    """Flow matching: the velocity of the straight way from noise (time 0) to actions (time 1), in Euler steps."""

    def deviation(self, features: Tensor, target: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        way = time[:, None, None]
        return self.network(features, (1.0 - way) * noise + way * target, time) - (target - noise)

    def denoised(self, features: Tensor, x: Tensor) -> Tensor:
        for step in range(self.denoise):
            # not a constant batch size: exported graphs take any
            time = torch.full_like(features[:, 0], step / self.denoise)
            x = x + self.network(features, x, time) / self.denoise
        return x


class DiffusionHead(DenoisingHead):
    """Denoising diffusion (Diffusion Policy): predicts the noise, and acts by DDIM of diffusers in few steps."""

    def __init__(self, features: int, action_size: int, config: PolicyConfig) -> None:
        super().__init__(features, action_size, config)
        try:
            from diffusers import DDIMScheduler
        except ImportError as error:
            raise MissingDependencyError("diffusers is missing; run `pip install 'toyshift[diffusion]'`") from error
        # Standardised actions reach several units: clipping at 1, the scheduler's default, would cut them.
        self.scheduler: Any = DDIMScheduler(
            NOISE_LEVELS, beta_schedule="squaredcos_cap_v2", clip_sample_range=5.0, timestep_spacing="trailing"
        )
        self.scheduler.set_timesteps(config.denoise)

    def deviation(self, features: Tensor, target: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        level = (time * NOISE_LEVELS).long().clamp(max=NOISE_LEVELS - 1)
        return self.network(features, self.scheduler.add_noise(target, noise, level), level / NOISE_LEVELS) - noise

    def denoised(self, features: Tensor, x: Tensor) -> Tensor:
        for level in self.scheduler.timesteps.tolist():
            predicted = self.network(features, x, torch.full_like(features[:, 0], level / NOISE_LEVELS))
            x = self.scheduler.step(predicted, level, x).prev_sample
        return x
