"""Whether episodes, and sub-datasets, pull a network's weights the same way: coherence of their gradients.

After "On the Generalization Mystery in Deep Learning": of gradients g of single episodes, alpha = |E g|^2 / E |g|^2 is
0 where they are orthogonal and 1 where they are equal; m-coherence = 1 + (m - 1) alpha of m episodes is how many pull
together. Between sub-datasets i and j, A_ij = <E g_i, E g_j> / (|E g_i| |E g_j|) is the share of the pull that is
common; 1 minus its mean over pairs is their *fragmentation* as the optimiser sees it (ours). |E g|^2 is taken without
bias, from products of different episodes; all comes from those products alone.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from toyshift.core.arrays import Array, Indices
from toyshift.core.progress import track
from toyshift.core.seeds import stream
from toyshift.diagnostics.measuring.demonstrations import Demonstrations, demonstrations_of
from toyshift.diagnostics.measuring.finding import Finding, Findings, percent, too_few, undefined
from toyshift.diagnostics.measuring.inside import network_of
from toyshift.diagnostics.statistics import jackknife
from toyshift.diagnostics.tables import interval
from toyshift.policies.network.policy import Policy
from toyshift.policies.network.weights import load_network

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "coherence"
ALPHA = "alpha of episodes' gradients: 0 orthogonal, 1 equal"
FRAGMENTED = "of the pull that sub-datasets do not share (1 minus mean A)"
EPISODES, FRAMES = 48, 8  # of each sub-dataset, and of each episode
SKETCH = 65_536  # numbers that longer gradients are sketched to; products then err by 0.6 % of the lengths
KEPT_WHOLE = 1_000_000  # parameters up to which they are not
CLEAR = 2.0  # |E g|^2 counts as above 0 from so many standard errors on


@dataclasses.dataclass(frozen=True)
class Pull:
    """What gradients have in common.

    Attributes:
        alpha: of all episodes.
        together: m-coherence of each sub-dataset (k,).
        mean: (k,) |E g|^2 of each sub-dataset, without bias; may be negative.
        shared: (k, k) products of the sub-datasets' mean gradients.
    """

    alpha: float
    together: Array
    mean: Array
    shared: Array

    @property
    def agreement(self) -> Array:
        """A_ij (k, k), nan where a |E g|^2 is not above 0."""
        root = np.sqrt(np.where(self.mean > 0, self.mean, np.nan))
        return np.asarray(self.shared / root[:, None] / root[None, :])

    @property
    def fragmentation(self) -> float:
        """1 minus the mean of A over pairs; nan for one sub-dataset."""
        off = self.agreement[np.triu_indices(len(self.mean), 1)]
        return float(1.0 - off.mean()) if len(off) else float("nan")


def _pull(sums: Array, squares: Array, counts: Array) -> Pull:
    """Returns what sums of products over pairs of sub-datasets (k, k), and of squares (k,) over episodes, say."""
    n, whole = counts.sum(), squares.sum()
    alpha = (sums.sum() - whole) / (n - 1) / whole if whole > 0 else float("nan")
    mean = (np.diag(sums) - squares) / (counts * (counts - 1))
    together = np.diag(sums) / np.where(squares > 0, squares, np.nan)
    return Pull(float(alpha), together, mean, sums / np.outer(counts, counts))


def pulls(products: Array, dataset: Indices) -> tuple[Pull, list[Pull]]:
    """Returns what n gradients have in common, and the same without each of them (for a jackknife).

    Args:
        products: (n, n) of gradients with each other.
        dataset: (n,) number of the sub-dataset of each, from 0 on, at least 3 of each.
    """
    member = np.eye(int(dataset.max()) + 1)[dataset]  # (n, k)
    rows = products @ member  # (n, k) products with all of a sub-dataset
    sums, own = member.T @ rows, np.diag(products)
    squares, counts = member.T @ own, member.sum(axis=0)
    without = []
    for e, d in enumerate(dataset.tolist()):
        less = sums.copy()
        less[d] -= rows[e]
        less[:, d] -= rows[e]
        less[d, d] += own[e]
        one = np.eye(len(counts))[d]
        without.append(_pull(less, squares - own[e] * one, counts - one))
    return _pull(sums, squares, counts), without


def coherence(gradients: Array, dataset: Indices, names: Sequence[str] = (), subject: str = "") -> Findings:
    """Returns a finding for episodes, and one for sub-datasets where there are several.

    Args:
        gradients: (n, P) of the loss, one per episode.
        dataset: (n,) number of each episode's sub-dataset, from 0 on.
        names: of the sub-datasets.
        subject: whose gradients they are.
    """
    told = names or [f"sub-dataset {d}" for d in range(int(dataset.max()) + 1)]
    several = len(told) > 1
    if (fewest := int(np.bincount(dataset, minlength=len(told)).min())) < 3:
        why = f"a sub-dataset has {fewest} episodes; it takes 3 to take one away"
        return Findings(tuple(undefined(NAME, unit, why, n=len(dataset), subject=subject)
                              for unit in (ALPHA, FRAGMENTED)[: 1 + several]))  # fmt: skip
    gradients = np.asarray(gradients)
    pull, without = pulls(np.asarray(gradients @ gradients.T, np.float64), dataset)
    if np.isnan(pull.alpha):
        why = "all gradients are 0"
        return Findings((undefined(NAME, ALPHA, why, n=len(dataset), subject=subject),))
    few = too_few(fewest, "episodes of a sub-dataset")
    caveats = (*few, "frames of an episode are not independent: episodes count")
    alpha = jackknife(pull.alpha, [one.alpha for one in without], dataset)
    lines: list[dict[str, Any]] = [
        {"sub-dataset": name, "episodes": int((dataset == d).sum()), "m-coherence": float(pull.together[d]),
         "|E g|^2": float(pull.mean[d])}
        for d, name in enumerate(told)
    ]  # fmt: skip
    span = f"alpha {alpha.value:.3f} {interval(alpha.low, alpha.high, 3)}"
    count = 1 + (len(dataset) - 1) * alpha.value
    if alpha.low > 0:
        verdict = f"episodes pull the weights the same way in part ({span}: as {count:.1f} of {len(dataset)} would)"
    else:
        verdict = f"episodes are not shown to pull the weights the same way ({span})"
    found = [Finding(name=NAME, subject=subject, value=alpha, unit=ALPHA, null=0.0, verdict=verdict, card="",
                     table=tuple(lines), caveats=caveats)]  # fmt: skip
    if several:
        found.append(_between(pull, without, dataset, told, subject, caveats))
    return Findings(tuple(found))


def _between(
    pull: Pull, without: Sequence[Pull], dataset: Indices, names: Sequence[str], subject: str, caveats: tuple[str, ...]
) -> Finding:
    """Returns the finding for sub-datasets."""
    for d, name in enumerate(names):
        size = jackknife(float(pull.mean[d]), [float(one.mean[d]) for one in without], dataset)
        error = (size.high - size.value) / 1.96
        if size.value <= CLEAR * error:
            why = f"the mean gradient of {name} is not told from 0 ({size.value:.2g}, standard error {error:.2g})"
            return undefined(NAME, FRAGMENTED, why, n=len(dataset), subject=subject)
    value = jackknife(pull.fragmentation, [one.fragmentation for one in without], dataset)
    share, many = 1.0 - value.value, "two" if len(names) == 2 else str(len(names))
    span = interval(100 * (1 - value.high), 100 * (1 - value.low), 0)
    said = f"{many} sub-datasets share {percent(share)} {span} of their gradient"
    if value.high >= 1.0 and share < 0:
        said = f"{many} sub-datasets pull against each other (A {share:.2f}, {span} %)"
    few = bool(too_few(int(np.bincount(dataset).min()), ""))
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    lines = [{"first": names[i], "second": names[j], "A": float(pull.agreement[i, j])} for i, j in pairs]
    return Finding(
        name=NAME, subject=subject, value=value, unit=FRAGMENTED, null=0.0,
        verdict=f"too few episodes to tell what sub-datasets share ({percent(share)} {span})" if few else said,
        card=said if not few and value.low > 0 else "", table=tuple(lines), caveats=caveats,
    )  # fmt: skip


def gradients_of(policy: Policy, shown: Demonstrations, episodes: Indices, name: str = "") -> Array:
    """Returns the gradient of the mean loss of FRAMES frames of each episode (n, P), sketched where P is large.

    The sketch adds entries, each with a sign, into SKETCH bins (a count sketch): products are kept on average.
    """
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    size = sum(parameter.numel() for parameter in trained)
    sketch: Callable[[torch.Tensor], torch.Tensor] = lambda gradient: gradient  # noqa: E731
    if size > KEPT_WHOLE:
        rng = stream(0, size)
        bins = torch.from_numpy(rng.integers(0, SKETCH, size))
        signs = torch.from_numpy(rng.integers(0, 2, size).astype(np.float32) * 2 - 1)
        sketch = lambda gradient: torch.zeros(SKETCH).index_add_(0, bins, gradient * signs)  # noqa: E731
    out = []
    for episode in track(episodes, f"gradients of {name}", unit="episode"):
        loss = policy.losses(shown.batch(shown.frames(int(episode), FRAMES))).mean()
        parts = torch.autograd.grad(loss, trained, allow_unused=True)
        flat = [torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(trained, parts, strict=True)]
        out.append(sketch(torch.cat(flat)).numpy())
    return np.stack(out)


def kept_weights(folder: Path) -> dict[str, Path]:
    """Returns the folders in which a run kept weights of earlier steps (`--monitor`, `--keep-steps`), by their step."""
    kept = sorted(path for path in folder.glob("at-*") if re.fullmatch(r"at-\d{8}", path.name))
    return {f"step {int(path.name[3:])}": path for path in kept}


def coherence_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder, as it is and as it was at the steps whose weights were kept."""
    policy = network_of(asked.policy)
    if isinstance(policy, str):
        return Findings((undefined(NAME, ALPHA, f"no gradients: {policy}", subject=asked.policy),))
    shown = demonstrations_of(asked, policy)
    if isinstance(shown, str):
        return Findings((undefined(NAME, ALPHA, shown, subject=asked.policy),))
    episodes, name = shown.some(EPISODES), Path(asked.policy).name
    found: list[Finding] = []
    for step, folder in {**kept_weights(Path(asked.policy)), "": None}.items():
        network = policy if folder is None else load_network(folder)
        gradients = gradients_of(network, shown, episodes, name)
        found += coherence(gradients, shown.dataset[episodes], shown.names, f"{name}, {step}" if step else name).found
    return Findings(tuple(found))
