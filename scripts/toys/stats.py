"""Measures the objects of a set.

toyshift toys stats ycb:DIR
toyshift toys stats 'toys:lego?n=10000' --json
"""

from __future__ import annotations

import collections
import dataclasses
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from toyshift.core.progress import track
from toyshift.core.seeds import episode_rng
from toyshift.scripts.toys.options import SetConfig

if TYPE_CHECKING:
    from toyshift.toys.random_toys.distribution import ToyDistribution
    from toyshift.toys.random_toys.toy import Toy

BINS = 24
UNITS = {"m": (1000.0, "mm"), "kg": (1000.0, "g")}  # how lengths and masses are shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig, sample=1):
    """Options of `toyshift toys stats`."""

    sample: int = 500
    """At most so many objects are meshed for mass, width and extent: a seeded sample. Counts, sizes and colours of toys
    cover the whole set."""


def main(cfg: Config) -> dict[str, Any]:
    """Measures a set: how width, mass and extent are distributed, what its toys are made of, what a Panda cannot hold.

    Of toys:train and toys:test it says what the accepted toys are made of beside what is drawn: those of many parts are
    refused more often.

    Example: toyshift toys stats 'toys:lego?n=10000'
    """
    import numpy as np

    from toyshift.toys import load_objects
    from toyshift.toys.objectset import PANDA_OPENING, too_light
    from toyshift.toys.random_toys.toy import Toy
    from toyshift.toys.random_toys.toy_set import ToySet

    objects = load_objects(cfg.objects)
    count = len(objects)
    light: dict[str, float] = {}
    drawn = episode_rng(cfg.seed, 0, "stats").choice(count, min(count, cfg.sample), replace=False)
    chosen = np.sort(drawn).tolist()
    measures: dict[str, list[float]] = {"width_m": [], "mass_kg": [], "longest_m": []}
    wide: dict[str, float] = {}
    toys: list[Toy] = []
    for i in track(chosen, "objects"):
        obj = objects[i]
        measures["width_m"].append(obj.width)
        measures["mass_kg"].append(obj.mass)
        measures["longest_m"].append(float(obj.mesh.extents.max()))
        if not obj.graspable(PANDA_OPENING):
            wide[obj.id] = obj.width
        if too_light(obj):
            light[obj.id] = obj.density
        if "toy" in obj.info:
            toys.append(Toy.from_json(obj.info["toy"]))
    measured = {name: distribution_of(values) for name, values in measures.items()}
    result: dict[str, Any] = {
        "objects": objects.spec, "fingerprint": objects.fingerprint, "count": count,
        "ids": {"distinct": len(set(objects.ids)), "first": list(objects.ids[:3]), "last": objects.ids[-1]},
        "measured": {"objects": len(chosen), "seed": cfg.seed, "of_all": len(chosen) == count}, "ungraspable": wide,
        "light": light, "left_out": objects.left_out, **measured,
    }
    if isinstance(objects, ToySet):
        result["toys"] = made_of(objects.toy(name) for name in track(objects.ids, "toys"))
        result["toys"]["drawn"] = shares_drawn(objects.recipe.distribution)
    elif toys:
        result["toys"] = made_of(toys)
    show(result, PANDA_OPENING)
    return result


def shares_drawn(distribution: ToyDistribution) -> dict[str, dict[str, float]]:
    """What a distribution says of the toys that are drawn, before any is refused for its width or side of a split."""
    from toyshift.toys.random_toys.primitives import KINDS

    counts = {str(k): share for k, share in enumerate(distribution.counts, 1)}
    return {"primitives": counts, "kinds": dict(zip(KINDS, distribution.kinds, strict=False))}


def distribution_of(values: list[float]) -> dict[str, Any]:
    """Quantiles, extremes and histogram of numbers."""
    import numpy as np

    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    first, last = min(values), max(values)
    if last - first <= 2 * BINS * np.spacing(max(abs(first), abs(last))):  # bins below the last bit: NumPy 2 refuses
        first, last = first - 0.5, last + 0.5  # as NumPy does for equal values
    counts, edges = np.histogram(values, BINS, (first, last))
    return {
        "min": min(values), "q05": float(low), "median": float(middle), "q95": float(high), "max": max(values),
        "mean": float(np.mean(values)),
        "histogram": {"from": float(edges[0]), "to": float(edges[-1]), "counts": counts.tolist()},
    }


def made_of(toys: Iterable[Toy]) -> dict[str, Any]:
    """What toys are made of: numbers of primitives, their kinds and sizes, colours, densities and frictions."""
    from toyshift.toys.random_toys.primitives import KINDS

    parts: collections.Counter[int] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    colours: collections.Counter[str] = collections.Counter()
    sizes: dict[str, list[float]] = {f"{kind}_{name}": [] for kind, one in KINDS.items() for name in one.sizes}
    others: dict[str, list[float]] = {"density_kg_m3": [], "friction": []}
    number = 0
    for toy in toys:
        number += 1
        parts[len(toy.primitives)] += 1
        colours.update([toy.colour] if isinstance(toy.colour, str) else toy.colour)
        others["density_kg_m3"].append(toy.density)
        others["friction"].append(toy.friction)
        for part in toy.primitives:
            kinds[part.kind] += 1
            for name, value in zip(KINDS[part.kind].sizes, part.size, strict=True):
                sizes[f"{part.kind}_{name}"].append(value)
    named = {k: v for k, v in colours.items() if not k.startswith("#")}
    if len(named) < len(colours):
        named["without a name"] = sum(colours.values()) - sum(named.values())
    return {
        "count": number, "primitives": {str(k): parts[k] for k in sorted(parts)},
        "kinds": {k: kinds[k] for k in KINDS if kinds[k]},
        "colours": dict(sorted(named.items())),
        "sizes_m": {name: distribution_of(values) for name, values in sizes.items() if values},
        **{name: distribution_of(values) for name, values in others.items()},
    }


def show(result: dict[str, Any], opening: float) -> None:
    """Prints a result as tables with small histograms."""
    from toyshift.toys.objectset import LEAST_DENSITY

    measured = result["measured"]
    which = "all" if measured["of_all"] else f"a sample of {measured['objects']} (seed {measured['seed']})"
    print(f"{result['count']} objects in {result['objects']}; fingerprint {result['fingerprint']}")
    print(f"\nmeasured on {which}:")
    measures = (("width", "m"), ("mass", "kg"), ("longest", "m"))
    _table([(name, result[f"{name}_{unit}"], *UNITS[unit]) for name, unit in measures])
    wide = result["ungraspable"]
    some = f": {', '.join(list(wide)[:8])}{' ...' if len(wide) > 8 else ''}" if wide else ""
    print(f"too wide for {opening * 1000:.0f} mm: {len(wide)} of {measured['objects']}{some}")
    if result["light"]:
        placeholders = ", ".join(f"{name} ({density:.0f})" for name, density in result["light"].items())
        print(f"less than {LEAST_DENSITY:g} kg/m^3, placeholders? {placeholders}")
    for name, why in result["left_out"].items():
        print(f"left out: {name}: {why}")
    if "toys" not in result:
        return
    toys = result["toys"]
    print(f"\nsizes of the primitives of {toys['count']} toys:")
    _table([(name.replace("_", " "), entry, *UNITS["m"]) for name, entry in toys["sizes_m"].items()])
    for title in ("primitives", "kinds", "colours"):
        total = sum(toys[title].values())
        drawn = toys.get("drawn", {}).get(title, {})
        print(f"\n{title}{', beside the share that is drawn' if drawn else ''}:")
        for name, value in toys[title].items():
            bar = "#" * round(40 * value / max(toys[title].values()))
            stated = f" {drawn[name]:>6.1%}" if drawn else ""
            print(f"  {name:<16} {value:>8} {value / total:>6.1%}{stated} {bar}")


def _table(rows: list[tuple[str, dict[str, Any], float, str]]) -> None:
    ramp = " ▁▂▃▄▅▆▇█" if (sys.stdout.encoding or "").lower().startswith("utf") else " .:-=+*#@"
    print(f"  {'':<20}{'5 %':>9}{'median':>9}{'95 %':>9}")
    for name, entry, scale, unit in rows:
        counts, histogram = entry["histogram"]["counts"], entry["histogram"]
        bars = "".join(ramp[-(-8 * c // max(counts))] for c in counts)
        numbers = "".join(f"{entry[q] * scale:>9.1f}" for q in ("q05", "median", "q95"))
        low, high = histogram["from"] * scale, histogram["to"] * scale
        print(f"  {name:<20}{numbers} {unit:<3} {low:>7.1f} |{bars}| {high:.1f}")
