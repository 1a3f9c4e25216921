"""Heads that start from noise: diffusion (DDIM) and flow matching, for demonstrations with several good answers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from toyshift.core.errors import MissingDependencyError
from toyshift.policies.config import PolicyConfig

TIME_CHANNELS = 64
NOISE_LEVELS = 100  # of the diffusion's training


def time_waves(time: Tensor) -> Tensor:
    """Returns (B, 64) sines and cosines of times (B,) in [0, 1], with 1 to 1000 radians over the range."""
    rates = torch.exp(torch.linspace(0.0, math.log(1000.0), TIME_CHANNELS // 2, device=time.device))
    angle = time[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def fixed_draws(like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns noise of the shape of (B, K, A) actions and times (B,) that are the same every time, for validation."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(like.shape, generator=generator)
    return noise.to(like.device), torch.rand(len(like), generator=generator).to(like.device)


class DenoisingHead(nn.Module):
    """An MLP that sees a noisy chunk, its noise level and the step's features; children say what it predicts and how it is used.

    Args:
        features: size of the features.
        action_size: A.
        config: chunk, hidden, layers (at least one hidden layer is made) and denoise are used.
    """

    def __init__(self, features: int, action_size: int, config: PolicyConfig) -> None:
        super().__init__()
        self.shape, self.denoise = (config.chunk, action_size), config.denoise
        size = config.chunk * action_size
        width = features + size + TIME_CHANNELS
        modules: list[nn.Module] = []
        for _ in range(config.layers):
            modules += [nn.Linear(width, config.hidden), nn.SiLU()]
            width = config.hidden
        self.mlp = nn.Sequential(*modules, nn.Linear(width, size))

    def network(self, features: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        """Predicts (B, K, A) from features (B, F), a noisy chunk (B, K, A) and its time (B,) in [0, 1]."""
        x = torch.cat([features, noisy.flatten(1).to(features.dtype), time_waves(time).to(features.dtype)], dim=1)
        out: Tensor = self.mlp(x)
        return out.reshape(-1, *self.shape).float()


class FlowHead(DenoisingHead):
    """Flow matching: the velocity of the straight way from noise (time 0) to actions (time 1), followed in Euler steps."""

    def errors(self, features: Tensor, target: Tensor, noise: Tensor | None = None, time: Tensor | None = None) -> Tensor:
        if noise is None or time is None:
            noise, time = fixed_draws(target)
        way = time[:, None, None]
        velocity = self.network(features, (1.0 - way) * noise + way * target, time)
        return (velocity - (target - noise)) ** 2

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        x = features.new_zeros(features.shape[0], *self.shape) if noise is None else noise
        for step in range(self.denoise):
            time = torch.full_like(features[:, 0], step / self.denoise)  # not a constant batch size: exported graphs take any
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
        # Standardised actions reach several units: clipping the prediction at 1, the scheduler's default, would cut them.
        self.scheduler: Any = DDIMScheduler(NOISE_LEVELS, beta_schedule="squaredcos_cap_v2", clip_sample_range=5.0, timestep_spacing="trailing")
        self.scheduler.set_timesteps(config.denoise)

    def errors(self, features: Tensor, target: Tensor, noise: Tensor | None = None, time: Tensor | None = None) -> Tensor:
        if noise is None or time is None:
            noise, time = fixed_draws(target)
        level = (time * NOISE_LEVELS).long().clamp(max=NOISE_LEVELS - 1)
        noisy = self.scheduler.add_noise(target, noise, level)
        return (self.network(features, noisy, level / NOISE_LEVELS) - noise) ** 2

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        x = features.new_zeros(features.shape[0], *self.shape) if noise is None else noise
        for level in self.scheduler.timesteps.tolist():
            predicted = self.network(features, x, torch.full_like(features[:, 0], level / NOISE_LEVELS))
            x = self.scheduler.step(predicted, level, x).prev_sample
        return x
