"""What a benchmark plays. Nothing in a version ever changes: another choice is another version beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import json_hash

Kind = Literal["training", "zero-shot", "shifted"]


@dataclasses.dataclass(frozen=True)
class BenchPart:
    """Episodes of one kind.

    Attributes:
        name: of the part.
        kind: what it says: success on training toys, on objects that nobody trained on, or under a shift.
        objects: object set.
        episodes: of it; the set's objects take turns.
        shift: see `envs.shifts`; the starts are those of the set's first episodes without it.
        kwargs: arguments of the environment.
    """

    name: str
    kind: Kind
    objects: str
    episodes: int
    shift: str = ""
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BenchVersion:
    """A benchmark.

    Attributes:
        name: with its number.
        seed: root seed of all starts; their purpose is "test".
        parts: in order of play.
        ids: object set -> hash of its ids in order: a generator that makes others plays another benchmark.
    """

    name: str
    seed: int
    parts: tuple[BenchPart, ...]
    ids: Mapping[str, str]

    @property
    def episodes(self) -> int:
        return sum(part.episodes for part in self.parts)

    @property
    def digest(self) -> str:
        """Hash of all that it says."""
        return json_hash(dataclasses.asdict(self))

    def part(self, name: str) -> BenchPart:
        return next(part for part in self.parts if part.name == name)

    def of_kind(self, kind: Kind) -> list[BenchPart]:
        return [part for part in self.parts if part.kind == kind]

    def check_objects(self, found: Mapping[str, tuple[str, ...]]) -> None:
        """Raises ConfigError where a set holds other objects than those of this version.

        Args:
            found: object set -> ids.
        """
        for objects, ids in found.items():
            if (own := json_hash(list(ids))) != self.ids[objects]:
                told = f"{self.name} is played on {objects} with ids of hash {self.ids[objects]}"
                raise ConfigError(f"{told}; this installation makes others ({own}), so it would be another benchmark")


TOYS, NEW, HOUSEHOLD = "toys:train", "toys:test", "ycb-like?graspable"
SHIFTED = 80  # episodes under each shift
LEVEL = 3
SHIFTS = (
    "camera-azimuth", "camera-distance", "light-intensity", "light-colour", "table-texture", "background",
    "object-colour", "object-size", "object-mass", "image-noise", "action-latency", "mask-outline",
)  # fmt: skip
TOYSHIFT_1 = BenchVersion(
    "ToyShift-1", 1001,
    (
        BenchPart("training toys", "training", TOYS, 200),
        BenchPart("household", "zero-shot", HOUSEHOLD, 400),
        BenchPart("new toys", "zero-shot", NEW, 300),  # followed by its shifts, with which it is played start by start
        *(BenchPart(name, "shifted", NEW, SHIFTED, f"{name}={LEVEL}") for name in SHIFTS),
        BenchPart("clutter", "shifted", NEW, SHIFTED, kwargs={"clutter": 4}),
    ),
    {TOYS: "8f4107ccf1293f1d", NEW: "5d22a948d28b817a", HOUSEHOLD: "3aacbf4b61ae5bbb"},
)  # fmt: skip
VERSIONS = {one.name: one for one in (TOYSHIFT_1,)}


def version(name: str) -> BenchVersion:
    """Returns a benchmark by its name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in VERSIONS:
        raise UnknownNameError("benchmark", name, VERSIONS)
    return VERSIONS[name]
