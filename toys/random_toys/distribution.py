"""The distribution of toys: every probability, range and rule in one frozen value; sampling.py draws from it."""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import json_hash
from toyshift.toys.random_toys.kind import Range
from toyshift.toys.random_toys.primitives import KINDS
from toyshift.toys.random_toys.toy import COLOURS, rgba_of

LEGO_KINDS = ("sphere", "cuboid", "cylinder", "ring")  # those that every distribution gives a probability
ROTATIONS = ("uniform", "upright", "axis-aligned")
CONNECTIONS = ("centroid", "surface")
COLOURINGS = ("lego4", "per-part", "palette", "random")
MAX_RATIO = 100.0  # of a toy's longest to its shortest length: beyond it, facets are coarser than the thinnest part
# Field -> default [m]; they are named after the kind of primitive.
LENGTHS = {f"{kind.name}_{name}": bounds for kind in KINDS.values() for name, bounds in kind.ranges.items()}
_Lengths: Any = dataclasses.make_dataclass(
    "_Lengths", [(name, Range, bounds) for name, bounds in LENGTHS.items()], frozen=True, kw_only=True
)


@dataclasses.dataclass(frozen=True)
class ToyDistribution(_Lengths):  # type: ignore[misc]  # whose fields are those of the kinds' files
    """How random toys are drawn.

    The paper gives no sizes: these are ours, chosen so that toys measure 2-20 cm, as the paper's seem to. The ranges of
    lengths are fields too: sphere_radius, cuboid_edge, cylinder_radius, cylinder_height, ring_radius (the outer one),
    ring_wall and ring_height [m]; the kinds' files say how each is drawn.

    Attributes:
        counts: probabilities of 1, 2, ... primitives, as drawn. Of the toys that `toys:train` and `toys:test` accept
            fewer have many: `toyshift toys stats` counts them.
        kinds: probabilities in the order of KINDS; those of kinds behind LEGO_KINDS may be left out.
        density: uniform range [kg/m^3].
        friction: uniform range of the sliding friction coefficient.
        rotation: of each primitive: "uniform" over SO(3), "upright" (a turn about the toy's z axis), or "axis-aligned"
            (one of the 24).
        connection: "centroid" (LEGO: each centroid lies inside the primitive before) or "surface" (each touches the
            surface of the one before at a random point and stays outside its tangent plane there, but for a shallow
            overlap).
        asymmetry: 0..1, how far from the middle of the primitive before the next one may sit, as a share of what the
            connection allows. At 0, axis-aligned spheres, cuboids and cylinders give mirror-symmetric toys; the wall of
            a ring, which has no middle, stays a free choice.
        colour: "lego4" (the whole toy red, green, blue or yellow), "per-part" (each primitive one of the palette),
            "palette" (the whole toy one of it), or "random" (the whole toy any RGB).
        palette: names of COLOURS or #rrggbb for "per-part" and "palette".
    """

    counts: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2, 0.2)
    kinds: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    density: Range = (400.0, 400.0)
    friction: Range = (1.0, 1.0)
    rotation: str = "uniform"
    connection: str = "centroid"
    asymmetry: float = 1.0
    colour: str = "lego4"
    palette: tuple[str, ...] = tuple(COLOURS)

    def __post_init__(self) -> None:
        for name in ("counts", "kinds"):
            shares = getattr(self, name)
            if not shares or not min(shares) >= 0 or not abs(sum(shares) - 1) <= 1e-6:
                raise ConfigError(f"{name} must be probabilities that sum to 1; got {shares}")
        if not len(LEGO_KINDS) <= len(self.kinds) <= len(KINDS):
            raise ConfigError(f"kinds needs one probability for each of {tuple(KINDS)}; got {len(self.kinds)}")
        for name in LENGTHS:
            self._check_range(name, 0.001, 1.0, "m")
        self._check_range("density", 1.0, 30000.0, "kg/m^3")
        self._check_range("friction", 0.01, 10.0, "")
        for name, choices in (("rotation", ROTATIONS), ("connection", CONNECTIONS), ("colour", COLOURINGS)):
            if getattr(self, name) not in choices:
                raise UnknownNameError(f"{name} of a toy distribution", str(getattr(self, name)), choices)
        if not 0.0 <= self.asymmetry <= 1.0:
            raise ConfigError(f"asymmetry must be between 0 and 1; got {self.asymmetry}")
        if not self.palette:
            raise ConfigError("palette must hold at least one colour")
        for colour in self.palette:
            rgba_of(colour)
        for kind in KINDS:
            KINDS[kind].check_ranges(*self.ranges(kind).values())
        drawn = [kind for kind, share in zip(KINDS, self.kinds, strict=False) if share > 0]
        used = {name: bounds for kind in drawn for name, bounds in self.ranges(kind).items()}
        if max(high for _, high in used.values()) > MAX_RATIO * min(low for low, _ in used.values()):
            raise ConfigError(f"the longest length of a toy may be {MAX_RATIO:.0f} times the shortest; got {used}")

    def _check_range(self, name: str, low: float, high: float, unit: str) -> None:
        value = getattr(self, name)
        if len(value) != 2 or not low <= value[0] <= value[1] <= high:
            raise ConfigError(f"{name} must be an ascending range within {low:g} and {high:g} {unit}; got {value}")

    def ranges(self, kind: str) -> dict[str, Range]:
        """The ranges of a kind's lengths by field, in the order of `Kind.ranges` [m]."""
        return {name: getattr(self, name) for name in (f"{kind}_{length}" for length in KINDS[kind].ranges)}

    @property
    def fingerprint(self) -> str:
        """Content hash of the configuration: the same for equal distributions in any process."""
        return json_hash(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The fields, lists in place of tuples, without the lengths of kinds that have no entry in `kinds`."""
        absent = {name for kind in list(KINDS)[len(self.kinds) :] for name in self.ranges(kind)}
        fields = dataclasses.asdict(self).items()
        return {name: list(v) if isinstance(v, tuple) else v for name, v in fields if name not in absent}

    @classmethod
    def from_json(cls, value: Any) -> ToyDistribution:
        """Reads what to_json wrote; fields that are left out keep their defaults.

        Raises:
            UnknownNameError: a field that does not exist.
            ConfigError: a field of the wrong type or out of range.
        """
        if not isinstance(value, dict):
            raise ConfigError(f"a toy distribution is an object of fields; got {value!r}")
        known: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for name, entry in value.items():
            if name not in known:
                raise UnknownNameError("field of a toy distribution", name, known)
            kind = type(known[name])
            if kind is tuple and isinstance(entry, list):
                number = not isinstance(known[name][0], str)
                values[name] = tuple(float(v) if number and _is_number(v) else v for v in entry)
                good = all(isinstance(v, float if number else str) for v in values[name])
            else:
                good = _is_number(entry) if kind is float else isinstance(entry, kind) and kind is str
                values[name] = float(entry) if kind is float and good else entry
            if not good:
                raise ConfigError(f"{name} of a toy distribution is {entry!r}; it should look like {known[name]!r}")
        return cls(**values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
