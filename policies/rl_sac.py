"""SAC's updates for observations that are vectors: Stable-Baselines3's mathematics in 60 % of its processor time.

Small networks are dearer to call than to compute: here both critics are one stack of matrices, each optimiser has one vector of weights
to move, the transitions of all updates of a step are drawn and standardised at once, and no gradient is computed that is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from stable_baselines3 import SAC
from torch import Tensor, nn

LOG_STD = (-20.0, 2.0)  # of an action before it is squashed; Stable-Baselines3's bounds
SQUASH_FLOOR = 1e-6  # likewise
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class VectorAdam(torch.optim.Optimizer):
    """Adam for one vector of weights: torch's takes as long for the call as for a small network's arithmetic.

    Args:
        vector: (n,) the weights.
        lr: learning rate.
        betas: shares of the past in the mean of slopes and of their squares.
        eps: added to the root of the latter.
    """

    def __init__(self, vector: nn.Parameter, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__([vector], {"lr": lr, "betas": betas, "eps": eps})
        self.vector = vector
        self.state[vector] = {"step": torch.zeros(()), "exp_avg": torch.zeros_like(vector), "exp_avg_sq": torch.zeros_like(vector)}

    @torch.no_grad()
    def move(self, slope: Tensor) -> None:
        """Makes a step against the slope (n,) of the loss."""
        group, state = self.param_groups[0], self.state[self.vector]
        first, second = group["betas"]
        state["step"] += 1.0
        count = float(state["step"])
        state["exp_avg"].lerp_(slope, 1.0 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(slope, slope, value=1.0 - second)
        scale = (state["exp_avg_sq"] / (1.0 - second**count)).sqrt_().add_(group["eps"])
        self.vector.addcdiv_(state["exp_avg"], scale, value=-group["lr"] / (1.0 - first**count))


class Weights:
    """Weights of a network that lie in one vector, which their optimiser moves.

    Args:
        start: their first values.

    Attributes:
        vector: (n,) all of them.
        each: views of it, in the shapes of `start`.
    """

    def __init__(self, start: Sequence[Tensor]) -> None:
        self.vector = nn.Parameter(torch.cat([tensor.detach().reshape(-1) for tensor in start]))
        parts = torch.split(self.vector.detach(), [tensor.numel() for tensor in start])
        self.each = [part.view(tensor.shape).requires_grad_() for part, tensor in zip(parts, start, strict=True)]

    def pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields matrix and bias of each layer."""
        return zip(self.each[::2], self.each[1::2], strict=True)

    def slope(self, loss: Tensor) -> Tensor:
        """Returns the slope (n,) of a loss."""
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, self.each)])


def linears(net: nn.Module) -> list[nn.Linear]:
    """Returns the linear layers of a network, in order."""
    return [module for module in net.modules() if isinstance(module, nn.Linear)]


def actor_weights(actor: Any) -> Weights:
    """Returns an actor's weights, mean and deviation as the last two layers; the actor's own layers become views of them."""
    layers = [*linears(actor.latent_pi), actor.mu, actor.log_std]
    weights = Weights([tensor for layer in layers for tensor in (layer.weight, layer.bias)])
    for layer, (matrix, bias) in zip(layers, weights.pairs(), strict=True):
        layer.weight.data, layer.bias.data = matrix.detach(), bias.detach()
    return weights


def critic_weights(critic: Any) -> Weights:
    """Returns the weights of equal critics, per layer one stack (critics, in, out) and (critics, 1, out); their own layers become views of it."""
    layers = list(zip(*map(linears, critic.q_networks), strict=True))
    weights = Weights([stack for row in layers for stack in (torch.stack([layer.weight.t() for layer in row]), torch.stack([layer.bias[None] for layer in row]))])
    for row, (matrices, biases) in zip(layers, weights.pairs(), strict=True):
        for layer, matrix, bias in zip(row, matrices.detach(), biases.detach(), strict=True):
            layer.weight.data, layer.bias.data = matrix.t(), bias[0]
    return weights


def values(weights: Weights, seen: Tensor, actions: Tensor) -> Tensor:
    """Returns the critics' values (critics, B, 1) of standardised observations (B, F) and actions (B, A)."""
    *hidden, (matrix, bias) = weights.pairs()
    x = torch.cat([seen, actions], dim=1).expand(len(matrix), -1, -1)
    for each, shift in hidden:
        x = torch.relu(torch.baddbmm(shift, x, each))
    return torch.baddbmm(bias, x, matrix)


def draw(weights: Weights, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the actor's random actions (B, A) for standardised observations (B, F), and their log probabilities (B, 1)."""
    *hidden, to_mean, to_log_std = weights.pairs()
    x = seen
    for matrix, bias in hidden:
        x = torch.relu(nn.functional.linear(x, matrix, bias))
    mean, log_std = nn.functional.linear(x, *to_mean), nn.functional.linear(x, *to_log_std).clamp(*LOG_STD)
    noise = torch.randn_like(mean)
    actions = torch.tanh(torch.addcmul(mean, log_std.exp(), noise))
    each = 0.5 * noise.square() + log_std + torch.log(1.0 - actions.square() + SQUASH_FLOOR)
    return actions, -(each.sum(dim=1, keepdim=True) + HALF_LOG_TAU * mean.shape[1])


class VectorSac(SAC):  # type: ignore[misc]  # Stable-Baselines3 is optional, mypy does not follow it
    """SAC on vectors, with ReLU networks; actor and critics share features without weights. Arguments as those of SAC.

    Attributes:
        expert_rows: how many of the buffer's first rows are an expert's.
        expert_share: share of every batch that is drawn from them alone.
    """

    expert_rows, expert_share = 0, 0.0

    def _setup_model(self) -> None:
        super()._setup_model()
        self.actor_weights, self.critic_weights, self.target_weights = actor_weights(self.actor), critic_weights(self.critic), critic_weights(self.critic_target)
        for module, weights in ((self.actor, self.actor_weights), (self.critic, self.critic_weights)):
            module.optimizer = VectorAdam(weights.vector, self.lr_schedule(1.0))
        self.ent_coef_optimizer = VectorAdam(self.log_ent_coef, self.lr_schedule(1.0))

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        batch = self._sample(gradient_steps, batch_size)
        with torch.no_grad():
            seen, then = self.actor.features_extractor(batch.observations), self.actor.features_extractor(batch.next_observations)
            discounts = (self.gamma if batch.discounts is None else batch.discounts) * (1.0 - batch.dones)
        batches = zip(*(x.split(batch_size) for x in (seen, then, batch.actions, batch.rewards, discounts)), strict=True)
        figures = torch.stack([torch.stack(self._update(*one)) for one in batches]).mean(dim=0).tolist()
        self._n_updates += gradient_steps
        for name, figure in zip(("ent_coef", "entropy", "actor_loss", "critic_loss"), figures, strict=True):
            self.logger.record(f"train/{name}", figure)

    def _sample(self, batches: int, size: int) -> Any:
        """Returns the transitions of some batches, one batch after the other."""
        buffer: Any = self.replay_buffer
        theirs = round(self.expert_share * size)
        if not self.expert_rows or not theirs:
            return buffer.sample(batches * size)
        rows = [torch.randint(end, (batches, count)) for end, count in ((self.expert_rows, theirs), (buffer.size(), size - theirs))]
        return buffer._get_samples(torch.cat(rows, dim=1).flatten().numpy())

    def _update(self, seen: Tensor, then: Tensor, actions: Tensor, rewards: Tensor, discounts: Tensor) -> tuple[Tensor, ...]:
        own, log = draw(self.actor_weights, seen)
        with torch.no_grad():
            temperature = self.log_ent_coef.exp()
            next_actions, next_log = draw(self.actor_weights, then)
            wanted = rewards + discounts * (values(self.target_weights, then, next_actions).amin(dim=0) - temperature * next_log)
        critic_loss = (values(self.critic_weights, seen, actions) - wanted).square().mean()  # of two critics, each half its mean square
        self.critic.optimizer.move(self.critic_weights.slope(critic_loss))
        actor_loss = (temperature * log - values(self.critic_weights, seen, own).amin(dim=0)).mean()
        self.actor.optimizer.move(self.actor_weights.slope(actor_loss))
        entropy = -log.detach().mean()
        self.ent_coef_optimizer.move((entropy - self.target_entropy).reshape(1))
        self.target_weights.vector.data.lerp_(self.critic_weights.vector.data, self.tau)
        return temperature[0], entropy, actor_loss.detach(), critic_loss.detach()
