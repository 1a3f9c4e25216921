"""Says of a layer's weights what a network was tuned on: a linear probe and ProbeX, and their AUC with twins left out.

ProbeX ("Learning on Model Weights using Tree Experts", Horwitz et al.; its code was read): a matrix is multiplied by
learnt probes, the answers are projected by one shared matrix, passed through a ReLU and told apart linearly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from toyshift.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from toyshift.core.arrays import Array

    Labels = NDArray[np.bool_]
    # known matrices (n, H, W), their labels (n,), those asked about (m, H, W) -> scores (m,)
    Probe = Callable[[Array, Labels, Array], Array]
RIDGE = 1.0  # of the linear probe, in units of the mean squared length of what it is given


@dataclasses.dataclass(frozen=True)
class ProbeX:
    """The authors' network and training, by their defaults.

    Attributes:
        probes: vectors that a weight matrix is multiplied by.
        projection: numbers that each answer is projected to.
        representation: numbers that all projected answers become.
        epochs: passes over all known matrices, each one step of Adam.
        lr: of Adam.
        decay: its weight decay.
        seed: of the initial weights.
    """

    probes: int = 128
    projection: int = 128
    representation: int = 512
    epochs: int = 500
    lr: float = 1e-3
    decay: float = 1e-5
    seed: int = 0

    def network(self, height: int, width: int) -> nn.Module:
        """Returns the network for matrices (height, width), with drawn weights."""
        import torch
        from torch import nn

        class ProbeNet(nn.Module):
            def __init__(self, own: ProbeX) -> None:
                super().__init__()
                self.probes = nn.Parameter(torch.randn(width, own.probes) / width**0.5)
                self.projection = nn.Linear(height, own.projection, bias=False)
                self.encoders = nn.Linear(own.probes * own.projection, own.representation)
                self.head = nn.Linear(own.representation, 1)

            def forward(self, weights: torch.Tensor) -> torch.Tensor:
                answers = (weights @ self.probes).transpose(1, 2)  # (n, probes, height)
                shared = torch.relu(self.projection(answers)).flatten(1)
                found: torch.Tensor = self.head(self.encoders(shared))[:, 0]
                return found

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return ProbeNet(self)

    def __call__(self, known: Array, labels: Labels, asked: Array) -> Array:
        """Returns logits (m,) of matrices (m, H, W) after training on known ones (n, H, W) with labels (n,)."""
        import numpy as np
        import torch

        scale = float(np.sqrt(np.mean(known**2))) or 1.0
        x, y = (torch.as_tensor(np.asarray(a, np.float32)) for a in (known / scale, labels))
        network = self.network(*known.shape[1:])
        optimiser = torch.optim.Adam(network.parameters(), lr=self.lr, weight_decay=self.decay)
        for _ in range(self.epochs):
            optimiser.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            found: Array = network(torch.as_tensor(np.asarray(asked / scale, np.float32))).double().numpy()
        return found


def linear(known: Array, labels: Labels, asked: Array) -> Array:
    """Returns scores (m,) of matrices (m, H, W) by ridge regression on the labels -1 and 1 of known ones (n, H, W).

    All entries are features; it is solved in the space of the n matrices.
    """
    import numpy as np

    x, z = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (known, asked))
    x, z = x - (middle := x.mean(0)), z - middle
    gram = x @ x.T
    solved = np.linalg.solve(gram + RIDGE * (np.trace(gram) / len(x) or 1.0) * np.eye(len(x)), np.where(labels, 1, -1))
    return np.asarray(z @ x.T @ solved)


def auc(scores: Array, labels: Labels) -> float:
    """Returns the share of pairs (true, false) in which the true one has the higher score; ties count half.

    Raises:
        ConfigError: all labels are the same.
    """
    from scipy.stats import rankdata

    true, false = int(labels.sum()), int((~labels).sum())
    if not true or not false:
        raise ConfigError("an AUC needs both true and false labels")
    return float((rankdata(scores)[labels].sum() - true * (true + 1) / 2) / (true * false))


def left_out(probe: Probe, weights: Array, labels: Labels, groups: Sequence[object]) -> Array:
    """Returns each matrix's score (n,) by a probe that saw none of its group, standardised among those it saw.

    Scores of several probes are ranked together, so each is told in units of its own answers to what it knows.
    """
    import numpy as np

    named = [str(group) for group in groups]
    scores = np.zeros(len(weights))
    for group in dict.fromkeys(named):
        out = np.array([name == group for name in named])
        asked = probe(weights[~out], labels[~out], weights)
        seen = asked[~out]
        scores[out] = (asked[out] - seen.mean()) / (seen.std() or 1.0)
    return scores


def swapped_labels(labels: Labels, pairs: Sequence[object], rng: np.random.Generator) -> Labels:
    """Returns labels in which the two of each pair have kept or exchanged theirs, by a coin's toss for each pair."""
    import numpy as np

    swap = {pair: bool(rng.integers(2)) for pair in dict.fromkeys(map(str, pairs))}
    dealt: Labels = labels ^ np.array([swap[str(pair)] for pair in pairs])
    return dealt


def p_by_chance(found: float, by_chance: Sequence[float]) -> float:
    """Returns the p value of an AUC beside those with exchanged labels, itself counted among them."""
    return (1 + sum(value >= found for value in by_chance)) / (1 + len(by_chance))
