"""What a search of training settings looks at: eight dimensions, points drawn at random or by a Gaussian process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from toyshift.core.errors import MissingDependencyError
from toyshift.core.seeds import episode_rng

Arm = Literal["random", "gp"]
ARMS: tuple[Arm, ...] = ("random", "gp")
START = 10  # tries of both searches that are drawn at random, and so are the same

Point = dict[str, float]


class Dimension(NamedTuple):
    """One setting that is searched, evenly over its range."""

    name: str
    low: float
    high: float
    what: str


DIMENSIONS = (
    Dimension("brightness", 0.0, 0.3, "jitter: largest shift of all pixels, of the full range"),
    Dimension("contrast", 0.0, 0.6, "jitter: largest relative change of contrast"),
    Dimension("color", 0.0, 0.6, "jitter: largest relative change of each colour channel"),
    Dimension("shift", 0.0, 8.0, "largest random shift of image and mask [pixels], rounded"),
    Dimension("state_noise", 0.0, 0.2, "noise on the state, standardised"),
    Dimension("views", 0.0, 0.45, "share of samples from copies under new front cameras"),
    Dimension("textures", 0.0, 0.45, "share of samples from copies on new tables before new backgrounds"),
    Dimension("household", 0.0, 1.0, "of the rest, share from toys shaped like household things"),
)
# what the best recipe does, which nobody searched here
USUAL: Point = {
    "brightness": 0.15, "contrast": 0.3, "color": 0.3, "shift": 0.0, "state_noise": 0.05, "views": 0.0,
    "textures": 0.0, "household": 0.5,
}  # fmt: skip
DATASETS = ("toys", "household", "views", "textures")
LEAST = 1e-6  # a dataset's weight is above 0


@dataclasses.dataclass(frozen=True)
class TriedPoint:
    """One point and how often it succeeded."""

    point: Point
    successes: int
    trials: int

    @property
    def rate(self) -> float:
        return self.successes / self.trials


def at_random(number: int, seed: int) -> Point:
    """Returns the try of that number (from 0) of a random search."""
    rng = episode_rng(seed, number, "tune")
    return {d.name: float(rng.uniform(d.low, d.high)) for d in DIMENSIONS}


def by_process(tried: Sequence[TriedPoint], seed: int) -> Point:
    """Returns the next try of a Gaussian process that knows that rates are noisy, by expected improvement.

    It is Optuna's GPSampler, made anew for each try: the point depends on what was tried and the seed alone, so that a
    search goes on where it was stopped.

    Args:
        tried: so far, in order; the first `START` at random.
        seed: root seed.

    Raises:
        MissingDependencyError: Optuna is not installed.
    """
    optuna = optuna_package()
    spans = {d.name: optuna.distributions.FloatDistribution(d.low, d.high) for d in DIMENSIONS}
    own = int(episode_rng(seed, len(tried), "tune-gp").integers(2**31))
    sampler = optuna.samplers.GPSampler(seed=own, n_startup_trials=START, deterministic_objective=False)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in tried:
        study.add_trial(optuna.trial.create_trial(params=one.point, distributions=spans, value=one.rate))
    found: Point = study.ask(spans).params
    return found


def optuna_package() -> Any:
    """Returns Optuna, without its lines for every try."""
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("Optuna is missing; run `pip install 'toyshift[tune]'`") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    import warnings

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # GPSampler is one, and pinned
    return optuna


def best(tried: Sequence[TriedPoint], count: int) -> list[int]:
    """Returns the numbers of the tries with the highest rates, the earlier first where they are equal."""
    return sorted(range(len(tried)), key=lambda i: (-tried[i].rate, i))[:count]


def weights(point: Mapping[str, float]) -> tuple[float, ...]:
    """Returns how often each of `DATASETS` is drawn; they add up to 1."""
    views, textures, household = (point[name] for name in ("views", "textures", "household"))
    plain = 1.0 - views - textures
    shares = [max(LEAST, share) for share in (plain * (1.0 - household), plain * household, views, textures)]
    return tuple(share / sum(shares) for share in shares)


def settings_of(point: Mapping[str, float]) -> dict[str, Any]:
    """Returns the fields of `TrainConfig` that a point sets."""
    own: dict[str, Any] = {name: point[name] for name in ("brightness", "contrast", "color", "state_noise")}
    return own | {"shift": round(point["shift"]), "weights": weights(point)}
