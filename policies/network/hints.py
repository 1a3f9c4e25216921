"""A hint that a policy tells itself: a linear layer reads it from the features, and the head reads it beside them.

Either one answer, or a mixture of proposals, each with a place and a spread of its own (a mixture density network). Of
a mixture the head reads one proposal: in training the one that explains the demonstration, in acting the likeliest of
those that were not tried in vain. So a miss is followed by another idea, and not by the same one again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

NARROWEST, WIDEST = 0.1, 10.0  # standard deviations of a proposal, in those of the hint


def hint_loss(told: Tensor, hint: Tensor, valid: Tensor, weight: Tensor) -> Tensor:
    """Returns Huber's loss of what is told (N, d) of hints (N, d): a mean over all samples, of which some give 0.

    Huber and not L1, whose gradient does not shrink near the answer.

    Args:
        told: by the features.
        hint: what should be told.
        valid: (N,) 1, or 0 where there is no hint.
        weight: (N,) of each sample; supervised actions, so that the parts of a batch add up as the actions' loss does.
    """
    each = functional.huber_loss(told.float(), hint, reduction="none").mean(dim=1)
    return (each * valid * weight).sum() / weight.sum().clamp(min=1.0)


class HintReader(nn.Module):
    """Reads a hint from features (N, F), and gives the head one answer (N, d) to read.

    Args:
        features: F.
        size: d, numbers of the hint.
        proposals: components of its mixture; 0 reads one answer.
    """

    def __init__(self, features: int, size: int, proposals: int = 0) -> None:
        super().__init__()
        self.size, self.proposals = size, proposals
        self.told = nn.Linear(features, proposals * (2 * size + 1) if proposals else size)
        if proposals:  # begin apart, or all would stay one
            with torch.no_grad():
                self.told.bias.view(proposals, -1)[:, :size].normal_()

    def forward(self, features: Tensor) -> Tensor:
        """Returns what is read of features, for the other methods."""
        out: Tensor = self.told(features)
        return out.float()

    def _parts(self, told: Tensor) -> Tensor:
        """Returns place (d), spread (d) and share (1) of each proposal (N, K, 2 d + 1)."""
        return told.reshape(-1, self.proposals, 2 * self.size + 1)

    def answers(self, told: Tensor) -> Tensor:
        """Returns the proposals (N, K, d); without a mixture the one answer (N, 1, d)."""
        return self._parts(told)[..., : self.size] if self.proposals else told.unsqueeze(1)

    def likelihoods(self, told: Tensor, hint: Tensor) -> Tensor:
        """Returns the logarithm (N, K) of each proposal's share times its density at hints (N, d)."""
        parts = self._parts(told)
        spread = parts[..., self.size : -1].clamp(math.log(NARROWEST), math.log(WIDEST))  # (N, K, d)
        off = (hint.unsqueeze(1) - parts[..., : self.size]) / spread.exp()
        density = -(0.5 * off**2 + spread + 0.5 * math.log(2.0 * math.pi)).sum(dim=2)
        out: Tensor = parts[..., -1].log_softmax(dim=1) + density
        return out

    def loss(self, told: Tensor, hint: Tensor, valid: Tensor, weight: Tensor) -> Tensor:
        """Returns Huber's loss, or of a mixture the negative logarithm of its density; arguments of `hint_loss`."""
        if not self.proposals:
            return hint_loss(told, hint, valid, weight)
        each = -self.likelihoods(told, hint).logsumexp(dim=1)
        return (each * valid * weight).sum() / weight.sum().clamp(min=1.0)

    def likeliest(self, told: Tensor, tried: Tensor | None = None) -> Tensor:
        """Returns the number (N,) of the proposal to act on: the one with the largest share that was not `tried`.

        Args:
            told: of `forward`.
            tried: (N, K) bool; a row that is all true counts as none.
        """
        share = self._parts(told)[..., -1]
        if tried is not None:
            share = share.masked_fill(tried & ~tried.all(dim=1, keepdim=True), float("-inf"))
        return share.argmax(dim=1)

    def explaining(self, told: Tensor, hint: Tensor, valid: Tensor) -> Tensor:
        """Returns the number (N,) of the proposal that explains hints (N, d); the likeliest where there is none."""
        return torch.where(valid > 0, self.likelihoods(told, hint).argmax(dim=1), self.likeliest(told))

    def read(self, told: Tensor, chosen: Tensor | None) -> Tensor:
        """Returns the answer (N, d) that the head reads: proposal `chosen` (N,). It trains nothing before it."""
        answers = self.answers(told.detach())
        if chosen is None:
            return answers[:, 0]
        return answers.gather(1, chosen[:, None, None].expand(-1, 1, self.size)).squeeze(1)
