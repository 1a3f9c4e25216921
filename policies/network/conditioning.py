"""Conditioning on an instruction: what is said changes how every token is read, and is told to the head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toyshift.policies.config import PolicyConfig
from toyshift.policies.instructions import SENTENCE_SIZE

WORDS, LATENT = "conditioning.words.weight", "conditioning.latent"  # of a policy's weights


class Conditioning(nn.Module):
    """A learned vector per instruction (or a projected sentence embedding), and a token MLP that it modulates (FiLM).

    Every token is read by itself: what detection pooling keeps apart stays apart. The modulation comes before the
    pooling because a mean cannot be asked afterwards for the object that was named.

    Args:
        config: instruction, vocabulary, latent, width and token_hidden are used.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.latent = nn.Parameter(torch.zeros(config.width)) if config.latent else None
        if self.latent is None:
            rows = len(config.vocabulary)
            self.words = nn.Embedding(rows, config.width) if config.tabled else nn.Linear(SENTENCE_SIZE, config.width)
        self.film = nn.Linear(config.width, 2 * config.token_hidden)
        self.up = nn.Linear(config.width, config.token_hidden)
        self.down = nn.Linear(config.token_hidden, config.width)

    def forward(self, instruction: Tensor | None) -> Tensor:
        """Returns vectors (B, C) of instructions (B,) int64 or (B, 384) float.

        Of one vector whatever is said: (1, C), or the vectors (B, C) that are given in its place.
        """
        if self.latent is not None:
            return self.latent.unsqueeze(0) if instruction is None else instruction
        assert instruction is not None
        if instruction.is_floating_point():
            # embeddings have length 1; entries of about 1 train at the others' pace
            instruction = instruction * SENTENCE_SIZE**0.5
        out: Tensor = self.words(instruction)
        return out

    def modulate(self, tokens: Tensor, told: Tensor) -> Tensor:  # (B, N, C), (B, C) -> (B, N, C)
        scale, shift = self.film(told).unsqueeze(1).chunk(2, dim=-1)  # (B, 1, H)
        out: Tensor = tokens + self.down(torch.relu(self.up(tokens) * (1.0 + scale) + shift))
        return out
