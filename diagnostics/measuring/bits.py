"""How much must be known beforehand to act right under a shift: the bits that it demands beyond those of training.

After "Towards Exact Computation of Inductive Bias": I(eps) = -log2 P(error <= eps) of hypotheses that fit the training
data. Hypotheses here are functions drawn from a Gaussian process on the network's own frozen features, fitted to
demonstrations; errors are those of the expert's actions. The distribution of errors is taken for a scaled noncentral
chi squared, by its first three moments (the authors fit it by maximum likelihood).

Beside it stand how many demonstrations would be worth those bits (after "The Universality Lens": a mixture's regret is
at most min eps + ln(1/W(eps)) / n; recalled, not read), and the dimension of the features, which the "Model-agnostic
Measure of Generalization Difficulty" is exponential in.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.contract import STATE, image_key, mask_key
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.looks import evenly
from toyshift.diagnostics.measuring.demonstrations import Demonstrations, demonstrations_of
from toyshift.diagnostics.measuring.finding import Finding, Findings, too_few, undefined
from toyshift.diagnostics.measuring.inside import Shown, acted, encoded, features_at, inside_of, network_of
from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.tables import interval
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.network.policy import Policy, action_windows

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "bits"
UNIT = "bits more than without the shift"
INPUTS, OUTPUTS = 32, 8  # principal components of features, and of actions
EXAMPLES, SAMPLES = 400, 2000  # frames, one an episode; functions that are drawn
ALLOWED = 1.5  # times the policy's own squared error without a shift: what counts as right
RESAMPLES = 200
NEIGHBOURS = 5
LEAST = 20  # examples


def chance_within(errors: Array, eps: float) -> float:
    """Returns ln P(error <= eps) [nats] of a scaled noncentral chi squared with the moments of errors (S,).

    e ~ s * ncx2(k, lam): m s^2 - v s + mu3 / 8 = 0, lam = v / (2 s^2) - m / s, k = 2 m / s - v / (2 s^2); where no root
    gives k > 0 and lam >= 0, a chi squared with two moments (Satterthwaite). Where the distribution function is 0 to the
    computer, Sankaran's normal approximation of its tail.
    """
    from scipy.special import chndtr
    from scipy.stats import norm

    m, v = float(errors.mean()), float(errors.var())
    if v <= 1e-24 * max(m * m, 1e-300):
        return 0.0 if m <= eps else -math.inf
    mu3 = float(((errors - m) ** 3).mean())
    s, k, lam = v / (2 * m), 2 * m * m / v, 0.0
    inside = v * v - m * mu3 / 2
    for sign in (1.0, -1.0) if inside >= 0 else ():
        root = (v + sign * math.sqrt(inside)) / (2 * m)
        if root > 0 and v / (2 * root**2) - m / root >= 0 and 2 * m / root - v / (2 * root**2) > 0:
            s, k, lam = root, 2 * m / root - v / (2 * root**2), v / (2 * root**2) - m / root
            break
    chance = float(chndtr(eps / s, k, lam))
    if chance > 1e-290:
        return math.log(min(chance, 1.0))
    h = 1 - 2 / 3 * (k + lam) * (k + 3 * lam) / (k + 2 * lam) ** 2
    p = (k + 2 * lam) / (k + lam) ** 2
    q = (h - 1) * (1 - 3 * h)
    z = ((eps / (s * (k + lam))) ** h - (1 + h * p * (h - 1 - 0.5 * (2 - h) * q * p))) / (
        h * math.sqrt(2 * p) * (1 + 0.5 * q * p)
    )
    return float(norm.logcdf(z))


def dimension(points: Array) -> float:
    """Returns the dimension of points (N, D) by maximum likelihood of distances to NEIGHBOURS neighbours (Levina and
    Bickel, inverses averaged as MacKay says); nan where neighbours coincide or there are too few.
    """
    from scipy.spatial import cKDTree

    if len(points) <= NEIGHBOURS:
        return math.nan
    far = cKDTree(points).query(points, NEIGHBOURS + 1)[0][:, 1:]
    far = far[far[:, 0] > 0]
    if not len(far):
        return math.nan
    inverse = np.log(far[:, -1:] / far[:, :-1]).sum(axis=1) / (NEIGHBOURS - 1)
    return float(1.0 / inverse.mean()) if inverse.mean() > 0 else math.nan


@dataclasses.dataclass(frozen=True)
class Components:
    """Principal components of vectors: x -> (x - mean) @ basis, of variances `spread`."""

    mean: Array
    basis: Array
    spread: Array

    @classmethod
    def of(cls, x: Array, most: int) -> Components:
        mean = x.mean(axis=0)
        _, size, turned = np.linalg.svd(x - mean, full_matrices=False)
        kept = [i for i in range(min(most, len(size))) if size[i] > 1e-9 * max(size[0], 1e-300)]
        return cls(mean, turned[kept].T, size[kept] ** 2 / len(x))

    def __call__(self, x: Array) -> Array:
        return np.asarray((x - self.mean) @ self.basis)


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """A Gaussian process over actions, given examples; all outputs share its kernel.

    Attributes:
        x: (N, P) examples' features, whitened.
        y: (N, Q) their actions' components, of unit variance.
        length: of the kernel.
        noise: variance of y that features do not tell.
    """

    x: Array
    y: Array
    length: float
    noise: float

    @classmethod
    def of(cls, x: Array, y: Array) -> Hypotheses:
        """Kernel length: the median distance; noise: what a ridge regression leaves."""
        apart = np.sqrt(_squares(x, x)[np.triu_indices(len(x), 1)])
        z = np.c_[x, np.ones(len(x))]
        hat = z @ np.linalg.solve(z.T @ z + np.eye(z.shape[1]), z.T)
        left = ((y - hat @ y) / (1 - np.diag(hat))[:, None]) ** 2  # left out one by one
        return cls(x, y, float(np.median(apart)) or 1.0, float(np.clip(left.mean(), 1e-3, 1.0)))

    def kernel(self, a: Array, b: Array) -> Array:
        return np.asarray(np.exp(-_squares(a, b) / (2 * self.length**2)))

    def drawn(self, at: Array, samples: int, rng: np.random.Generator) -> Array:
        """Returns functions given the examples, at places (M, P): (samples, M, Q) float32."""
        given = np.linalg.cholesky(self.kernel(self.x, self.x) + self.noise * np.eye(len(self.x)))
        cross = np.linalg.solve(given, self.kernel(self.x, at))  # (N, M)
        mean = cross.T @ np.linalg.solve(given, self.y)
        left = self.kernel(at, at) - cross.T @ cross
        values, vectors = np.linalg.eigh(left)
        root = (vectors * np.sqrt(values.clip(min=0.0))).astype(np.float32)
        draws = rng.standard_normal((samples * self.y.shape[1], len(at)), dtype=np.float32) @ root.T
        return mean.astype(np.float32) + draws.reshape(samples, self.y.shape[1], len(at)).transpose(0, 2, 1)


def _squares(a: Array, b: Array) -> Array:
    return np.asarray(((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T).clip(min=0.0))


def bits(
    features: Array, actions: Array, tests: Mapping[str, tuple[Array, Array]], own: Array, objects: Sequence[str], *,
    samples: int = SAMPLES, seed: int = 0, subject: str = "",
) -> Findings:
    """Returns a finding for each shift.

    Args:
        features: (N, F) of examples.
        actions: (N, D) of examples, in standard deviations.
        tests: "" -> features (M, F) and right actions (M, D) of other states; shift -> those of the same states under
            it.
        own: (M, D) what the policy does in those states without a shift.
        objects: (M,) the target of each state.
        samples: functions that are drawn.
        seed: of the draws and of resampling.
        subject: whose features they are.
    """
    names = [name for name in tests if name]
    outer, inner = Components.of(actions, OUTPUTS), Components.of(features, INPUTS)
    units = len(set(objects))
    why = ""
    if len(features) < LEAST:
        why = f"hypotheses are fitted to {LEAST} examples or more, there are {len(features)}"
    elif not len(outer.spread) or not len(inner.spread):
        why = "the examples' actions or features never vary"
    elif units < 2:
        why = "intervals resample objects; there is one"
    if why:
        return Findings(tuple(undefined(NAME, UNIT, why, n=units, subject=f"{subject}, {name}") for name in names))
    spread, entries = outer.spread, actions.shape[1]

    def inputs(x: Array) -> Array:
        return np.asarray(inner(x) / np.sqrt(inner.spread))

    right = outer(tests[""][1])
    eps = ALLOWED * float(((outer(own) - right) ** 2).sum(axis=1).mean() / entries)
    process = Hypotheses.of(inputs(features), outer(actions) / np.sqrt(spread))
    number = np.unique(np.asarray(objects), return_inverse=True)[1]
    member = np.eye(int(number.max()) + 1)[number].astype(np.float32)
    rng = episode_rng(seed, 0, NAME)
    weight = rng.multinomial(units, np.full(units, 1 / units), RESAMPLES) @ member.T  # (RESAMPLES, M)
    weight = np.r_[np.ones((1, len(number))), weight] / np.r_[len(number), weight.sum(axis=1)][:, None]
    bits_of_test: dict[str, Array] = {}
    for name, (x, y) in tests.items():
        off = process.drawn(inputs(x), samples, episode_rng(seed, len(bits_of_test), f"{NAME} draws"))
        target = (outer(y) / np.sqrt(spread)).astype(np.float32)
        wrong = ((off - target) ** 2 @ spread.astype(np.float32)) / entries  # (samples, M)
        errors = wrong.astype(np.float64) @ weight.T
        bits_of_test[name] = np.array([max(0.0, -chance_within(e, eps) / math.log(2)) for e in errors.T])
    most = math.log2(10 * samples)  # beyond, the tail of the fit is extrapolated
    noise = process.noise * float(spread.sum()) / entries
    dims = {name: dimension(inner(x)) for name, (x, _) in tests.items()}
    return Findings(tuple(
        _finding(name, bits_of_test, eps, most, noise, dims, units, f"{subject}, {name}" if subject else name)
        for name in names
    ))  # fmt: skip


def _finding(
    name: str, found: Mapping[str, Array], eps: float, most: float, noise: float, dims: Mapping[str, float], units: int,
    subject: str,
) -> Finding:
    """Returns the finding of one shift."""
    plain, shifted = found[""], found[name]
    worth = math.log(2) * 2 * noise / eps  # demonstrations that are worth a bit
    caveats = (*too_few(units, "objects"), f"right is a squared error up to {eps:.3g} (1.5 times the policy's own)",
               "of a head on these features, not of the network")  # fmt: skip
    table = tuple({"states": told or "without", "bits": _told(bits[0], most), "demonstrations": worth * bits[0],
                   "dimension": dims[told]} for told, bits in (("", plain), (name, shifted)))  # fmt: skip
    for told, bits in (("without a shift", plain[0]), (f"under {name}", shifted[0])):
        if bits > most:
            why = f"{told} fewer than 1 function in {2**most:,.0f} is right ({bits:.0f} bits are extrapolated)"
            return dataclasses.replace(
                undefined(NAME, UNIT, why, n=units, subject=subject), table=table, caveats=caveats
            )
    low, high = np.quantile(shifted[1:] - plain[1:], (0.025, 0.975))
    value = Estimate(float(shifted[0] - plain[0]), float(low), float(high), units)
    word = name.replace("_", " ")
    span = f"{value.value:+.1f} bits {interval(value.low, value.high, 1)}"
    if too_few(units, ""):
        verdict, card = f"too few objects to tell what the {word} demands ({span})", ""
    elif value.low > 0:
        verdict = card = f"{span} to survive another {word}, worth {worth * value.value:.0f} demonstrations"
    else:
        verdict, card = f"another {word} is not shown to demand more ({span})", ""
    return Finding(name=NAME, subject=subject, value=value, unit=UNIT, null=0.0, verdict=verdict, card=card,
                   table=table, caveats=caveats)  # fmt: skip


def _told(bits: float, most: float) -> float | str:
    return float(bits) if bits <= most else f"above {most:.1f}"


# ---------------------------------------------------------------- of a policy


def examples_of(policy: Policy, shown: Demonstrations, seed: int = 0) -> tuple[Array, Array]:
    """Returns features (N, F) and actions (N, K * A) of one frame of each of up to EXAMPLES episodes, those without a
    whole chunk left out.
    """
    rng = episode_rng(seed, 0, "examples")
    episodes = evenly(len(shown.length), EXAMPLES)
    frames = np.array([shown.first[e] + rng.integers(shown.length[e]) for e in episodes])
    features, actions = [], []
    for start in range(0, len(frames), 64):
        batch = shown.batch(frames[start : start + 64])
        told = batch[INSTRUCTION].numpy() if INSTRUCTION in batch else None
        masks = policy.cameras if mask_key(policy.cameras[0]) in batch else ()
        view = Shown(
            {c: batch[image_key(c)][:, -1].numpy() for c in policy.cameras},
            {c: batch[mask_key(c)][:, -1].numpy() for c in masks}
            or {c: np.zeros(batch[image_key(c)].shape[:1] + batch[image_key(c)].shape[2:4], np.uint8)
                for c in policy.cameras},
            batch[STATE][:, -1].numpy(), told,
        )  # fmt: skip
        chunk, is_pad = action_windows(batch, policy.config)
        newest = slice(policy.config.steps_seen - 1, None, policy.config.steps_seen)
        whole = ~is_pad[newest].any(dim=1).numpy()
        scaled = (chunk[newest] / policy.normalise_action.std).flatten(1).numpy()
        features.append(np.asarray(features_at(policy, encoded(policy, view)).numpy(), np.float64)[whole])
        actions.append(np.asarray(scaled, np.float64)[whole])
    return np.concatenate(features), np.concatenate(actions)


def bits_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder, from demonstrations and from looks along the expert's episodes."""
    policy = network_of(asked.policy)
    shown: Any = policy if isinstance(policy, str) else demonstrations_of(asked, policy)
    if isinstance(policy, str) or isinstance(shown, str):
        why = f"no features: {policy}" if isinstance(policy, str) else shown
        return Findings((undefined(NAME, UNIT, why, subject=asked.policy),))
    inside = inside_of(asked)
    assert not isinstance(inside, str), "its network was loaded just now"
    assert inside.right is not None, "looks along episodes note what the expert does"
    if not policy.cameras:
        why = "the network looks through no camera"
        return Findings((undefined(NAME, UNIT, why, subject=inside.name),))
    whole = np.flatnonzero(~np.isnan(inside.right).any(axis=1))
    if not len(whole):
        why = f"no look is {policy.config.chunk} actions before the end of the expert's episode"
        return Findings((undefined(NAME, UNIT, why, subject=inside.name),))
    right = inside.right[whole]
    plain = encoded(policy, inside.shown[""])
    tests = {
        name: (np.asarray(features_at(policy, encoded(policy, looks)).numpy(), np.float64)[whole], right)
        for name, looks in inside.shown.items()
    }
    own, objects = acted(policy, plain)[whole], [inside.objects[i] for i in whole]
    features, actions = examples_of(policy, shown, asked.seed)
    return bits(features, actions, tests, own, objects, seed=asked.seed, subject=inside.name)
