"""Action heads: features of one time step -> a chunk of K standardised actions, and the loss that trains them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from toyshift.core.errors import UnknownNameError
from toyshift.policies.config import PolicyConfig


def masked_mean(errors: Tensor, is_pad: Tensor) -> Tensor:
    """Returns the mean of errors (B, K, A) over the actions that are not padding, True in (B, K)."""
    keep = (~is_pad).to(errors.dtype).unsqueeze(-1)  # (B, K, 1)
    return (errors * keep).sum() / (keep.sum() * errors.shape[-1]).clamp(min=1.0)


def sample_mean(errors: Tensor, is_pad: Tensor) -> Tensor:
    """Returns the mean error of each sample (B,) over its actions that are not padding; arguments as for `masked_mean`."""
    keep = (~is_pad).to(errors.dtype)  # (B, K)
    return (errors.mean(-1) * keep).sum(1) / keep.sum(1).clamp(min=1.0)


class L1Head(nn.Module):
    """An MLP that predicts the whole chunk at once, trained with L1 on standardised actions; after a transformer one layer, as in LEGO."""

    def __init__(self, features: int, action_size: int, config: PolicyConfig) -> None:
        super().__init__()
        self.shape = (config.chunk, action_size)
        modules: list[nn.Module] = []
        for _ in range(config.layers if config.policy_net == "mlp" else 0):
            linear = nn.Linear(features, config.hidden)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            modules += [linear, nn.ReLU()]
            features = config.hidden
        self.mlp = nn.Sequential(*modules, nn.Linear(features, config.chunk * action_size))

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:  # (B, F) -> (B, K, A)
        out: Tensor = self.mlp(features)
        return out.reshape(-1, *self.shape)

    def errors(self, features: Tensor, target: Tensor, noise: Tensor | None = None, time: Tensor | None = None) -> Tensor:
        """Returns the errors (B, K, A) against standardised targets; their mean over what is no padding is the loss."""
        out: Tensor = (self(features).float() - target).abs()
        return out


class SquashedHead(L1Head):
    """The same MLP with a tanh: bounded actions, the mean of SAC's policy."""

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        return super().forward(features).tanh()


def _denoising(name: str) -> Callable[[int, int, PolicyConfig], nn.Module]:
    def make(features: int, action_size: int, config: PolicyConfig) -> nn.Module:
        from toyshift.policies.network import denoising

        out: nn.Module = getattr(denoising, name)(features, action_size, config)
        return out

    return make


HEADS: dict[str, Callable[[int, int, PolicyConfig], nn.Module]] = {
    "l1": L1Head,
    "diffusion": _denoising("DiffusionHead"),
    "flow": _denoising("FlowHead"),
    "squashed": SquashedHead,
}


def make_head(features: int, action_size: int, config: PolicyConfig) -> nn.Module:
    """Builds the head named by the config for a feature vector of the given size.

    A head has `forward(features, noise) -> (B, K, A)` and `errors(features, target, noise, time) -> (B, K, A)`; the l1 head ignores noise
    and time (B,), the others draw fixed ones where none are given.
    """
    if config.head not in HEADS:
        raise UnknownNameError("action head", config.head, HEADS)
    return HEADS[config.head](features, action_size, config)
