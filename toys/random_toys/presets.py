"""Named toy distributions: LEGO's, simpler and harder ones, the ablations of the paper; or one out of a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import BY_HAND, read_json
from toyshift.toys.random_toys.distribution import LEGO_KINDS, ToyDistribution


def _without(kind: str) -> ToyDistribution:
    return ToyDistribution(kinds=tuple(0.0 if other == kind else 1 / 3 for other in LEGO_KINDS))


def _only(count: int) -> ToyDistribution:
    return ToyDistribution(counts=(0.0,) * (count - 1) + (1.0,))


def _without_count(count: int) -> ToyDistribution:
    return ToyDistribution(counts=tuple(0.0 if other == count else 1 / 4 for other in range(1, 6)))


_HOUSEHOLD_LENGTHS: dict[str, Any] = {
    "sphere_radius": (0.008, 0.035), "cuboid_edge": (0.008, 0.23),
    "cylinder_radius": (0.006, 0.036), "cylinder_height": (0.01, 0.22),
}
# The ablation over the number of toys is no distribution but `?n=1`, `?n=25`, ...
PRESETS: dict[str, ToyDistribution] = {
    "lego": ToyDistribution(),
    "single": _only(1),
    "pairs": _only(2),
    "complex": ToyDistribution(counts=(0.0, 0.0, 0.0, 0.5, 0.5), connection="surface"),
    # Proportions of things in a household: mostly one or two slabs, boxes, bars and cans, straight to each other,
    # flatter, longer and up to seven times as heavy as LEGO's toys, in any colour. Sources of ranges: docs/recipe.md.
    "household": ToyDistribution(
        counts=(0.6, 0.25, 0.1, 0.05), kinds=(0.12, 0.45, 0.37, 0.06), density=(200.0, 1800.0), friction=(0.6, 1.0),
        rotation="axis-aligned", asymmetry=0.5, colour="random", **_HOUSEHOLD_LENGTHS,
    ),
    **{f"without-{kind}": _without(kind) for kind in LEGO_KINDS},
    **{f"only-{count}": _only(count) for count in range(1, 6)},
    **{f"without-{count}": _without_count(count) for count in range(1, 6)},  # toys of other numbers of primitives
}


def is_file(name: str) -> bool:
    """Whether a name stands for a JSON file rather than for a preset."""
    return name.endswith(".json")


def distribution_named(name: str) -> ToyDistribution:
    """The preset of a name, or the distribution in a .json file (fields left out keep their defaults).

    Raises:
        UnknownNameError: there is no such preset.
        FileError: the file cannot be read.
        ConfigError: the file holds no toy distribution.
    """
    if is_file(name):
        try:
            return ToyDistribution.from_json(read_json(Path(name), BY_HAND))
        except (ConfigError, UnknownNameError) as error:
            raise ConfigError(f"{name}: {error}") from error
    if name not in PRESETS:
        raise UnknownNameError("toy distribution (or FILE.json)", name, PRESETS)
    return PRESETS[name]
