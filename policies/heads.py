"""Action heads: features of one time step -> a chunk of K standardised actions, and the loss that trains them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from toyshift.core.errors import UnknownNameError
from toyshift.policies.config import PolicyConfig


def masked_l1(predicted: Tensor, target: Tensor, is_pad: Tensor) -> Tensor:
    """Returns the mean absolute error over the actions that are not padding.

    Args:
        predicted: (B, K, A) standardised actions.
        target: (B, K, A) standardised actions.
        is_pad: (B, K) bool, True past the end of the episode.
    """
    keep = (~is_pad).to(predicted.dtype).unsqueeze(-1)  # (B, K, 1)
    error = (predicted - target).abs() * keep
    return error.sum() / (keep.sum() * predicted.shape[-1]).clamp(min=1.0)


def sample_l1(predicted: Tensor, target: Tensor, is_pad: Tensor) -> Tensor:
    """Returns the mean absolute error of each sample (B,) over its actions that are not padding; arguments as for `masked_l1`."""
    keep = (~is_pad).to(predicted.dtype)  # (B, K)
    error = (predicted - target).abs().mean(-1) * keep
    return error.sum(1) / keep.sum(1).clamp(min=1.0)


class L1Head(nn.Module):
    """An MLP that predicts the whole chunk at once, trained with L1 on standardised actions."""

    def __init__(self, features: int, action_size: int, config: PolicyConfig) -> None:
        super().__init__()
        self.shape = (config.chunk, action_size)
        modules: list[nn.Module] = []
        for _ in range(config.layers):
            linear = nn.Linear(features, config.hidden)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            modules += [linear, nn.ReLU()]
            features = config.hidden
        self.mlp = nn.Sequential(*modules, nn.Linear(features, config.chunk * action_size))

    def forward(self, features: Tensor) -> Tensor:  # (B, F) -> (B, K, A)
        out: Tensor = self.mlp(features)
        return out.reshape(-1, *self.shape)

    def loss(self, features: Tensor, target: Tensor, is_pad: Tensor) -> Tensor:
        """Returns the scalar loss of standardised targets (B, K, A)."""
        return masked_l1(self(features).float(), target, is_pad)

    def losses(self, features: Tensor, target: Tensor, is_pad: Tensor) -> Tensor:
        """Returns the loss of each sample (B,)."""
        return sample_l1(self(features).float(), target, is_pad)


HEADS: dict[str, Callable[[int, int, PolicyConfig], L1Head]] = {"l1": L1Head}


def make_head(features: int, action_size: int, config: PolicyConfig) -> L1Head:
    """Builds the head named by the config for a feature vector of the given size."""
    if config.head not in HEADS:
        raise UnknownNameError("action head", config.head, HEADS)
    return HEADS[config.head](features, action_size, config)


def parameter_count(module: nn.Module) -> int:
    """Returns the number of trainable numbers in a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


