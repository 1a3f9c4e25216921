"""Whether detection pooling takes away the reliance on a planted cue with no change to the data, and what it buys.

Policies of four poolings learn from the same demonstrations, rendered again with one cue each (`planted`): told ones
(correlation 1) and clean ones (0). Each is tested with the cue swapped, under a value of the factor that it has never
seen, and on other objects (retention); clean ones beside other toys too.

toyshift study detpool-vs-shortcut --dry-run                        what would be run, and how long
toyshift study detpool-vs-shortcut --only "table-*"                 one factor
toyshift study detpool-vs-shortcut --objects "ycb:DIR?graspable"    retention on real objects
toyshift study detpool-vs-shortcut --results results/detpool_vs_shortcut --docs docs --tabulate     the rows and page
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.scripts.studies.cells import TEST_SEED, Study, no_rows, pool_of, write_page
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.planted import (
    ALPHA,
    COLLECTING,
    FRAMES,
    RENDERED,
    TRAINED,
    Lessons,
    PlantedCue,
    as_one,
    collect_places,
    dress,
    gap_text,
    in_cells,
    on_same_starts,
    play_cells,
    recipe,
    share_text,
    shares_of,
    shown,
    swapped_rows,
    with_holm,
)
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import PairedDifference, Row
    from toyshift.diagnostics.statistics import Estimate
    from toyshift.diagnostics.swapped_cells import SwapCell

TOYS, NEIGHBOURS = "toys:train", "distractors=3"  # the latter: three other toys beside the target
Factor = Literal["azimuth", "table", "background"]
FACTORS: tuple[Factor, ...] = ("azimuth", "table", "background")
DISPARITY = 1.0  # of the two values of a cue: half a factor's span, with azimuth 60 degrees
# best peak rates without LayerNorm of results/lego_fair (500 demonstrations, 70,400 samples); those of attention and
# mask-channel were found without jitter, those of detpool and cls with stronger jitter than `recipe` has
RATES = {"detpool": 5e-3, "attention": 5e-3, "mask-channel": 1e-2, "cls": 5e-3}
SEEDS = {"small": 1, "paper": 3}
LEGO = {"detpool": 56.63, "attention": 34.71, "cls": 24.71}  # % of 65 YCB objects, 250 demonstrations (2510.12866)
UNSEEN = "unseen"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, Lessons, trials=1, seeds=(0, MOST_SEEDS)):
    """Options of `toyshift study detpool-vs-shortcut`."""

    budget: Literal["small", "paper"] = "small"
    """small: one seed; paper: three."""
    factors: tuple[Factor, ...] = FACTORS
    """Cues, each in policies of its own."""
    objects: str = "ycb-like?graspable"
    """New objects for retention, such as ycb:DIR?graspable."""
    seeds: int = 0
    """Seeds of demonstrations, cues, training and test together; 0 = the budget's."""
    only: tuple[str, ...] = ()
    """Cells to run, by pattern: "table-*"."""
    trials: int = 20
    """Episodes in each cell of the test: two controls, two with the cue swapped, two with an unseen value and two with
    new objects; twice as many of clean policies beside other toys, and as many without."""
    out: Path = Path("runs/detpool-vs-shortcut")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.factors:
            raise ConfigError(f"--factors names no factor; choose from {', '.join(FACTORS)}")
        if self.objects == TOYS:
            raise ConfigError(f"--objects {self.objects}: those are trained on; give others, such as toys:test")

    def settings(self) -> dict[str, Any]:
        """What decides a policy's result, but for its cell."""
        return {k: getattr(self, k) for k in ("demos", "steps", "batch", "trials", "objects", "seed")}


def main(cfg: Config) -> dict[str, Any]:
    """Compares poolings on planted cues: who goes where the cue points, and who retains (docs/detpool_vs_shortcut.md).

    Example: toyshift study detpool-vs-shortcut --budget small --out runs/detpool-vs-shortcut
    """
    return DetpoolVsShortcut(cfg).conduct(cfg, cfg.only)


class PlantedPolicy(NamedTuple):
    """What one policy is: the cue in its data, whether it tells the place ("told") or nothing ("clean"), pooling."""

    factor: str
    data: str
    pooling: str

    @property
    def cue(self) -> PlantedCue:
        return PlantedCue(self.factor, DISPARITY, float(self.data == "told"))

    @property
    def name(self) -> str:
        return "-".join(self)


def unseen_cells(cue: PlantedCue) -> list[SwapCell]:
    """Returns a cell for each sub-dataset's places, under the end of the factor's span beyond the sub-dataset's range.

    So the value is new, and the nearest that was seen is its own.
    """
    from toyshift.data.collecting.factors import FACTORS as SPANS

    span, found = SPANS[cue.factor], []
    controls = [cell for cell in cue.cells() if not cell.swapped]
    for cell, end in zip(controls, (span.low, span.high - bool(span.count)), strict=True):
        assert not any(low <= end <= high for low, high in (c.cue for c in controls))
        found.append(dataclasses.replace(cell, cue_of=UNSEEN, cue=(end, end)))
    return found


class DetpoolVsShortcut(Study):
    """One cell a policy."""

    name = "detpool-vs-shortcut"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        self.kinds = {
            f"{kind.name}-s{number}": (kind, number)
            for number in range(cfg.seeds or SEEDS[cfg.budget]) for factor in dict.fromkeys(cfg.factors)
            for data in ("told", "clean") for kind in (PlantedPolicy(factor, data, pooling) for pooling in RATES)
        }  # fmt: skip

    def cells(self) -> list[Cell]:
        cfg, found = self.cfg, []
        rendered: set[tuple[object, ...]] = set()
        for name, (kind, number) in self.kinds.items():
            seconds = cfg.trials * (8.0 if kind.data == "told" else 12.0)  # of one core
            for once, work in (((number,), COLLECTING), ((number, *kind[:2]), FRAMES / RENDERED)):
                seconds += 0.0 if once in rendered else work * cfg.demos
                rendered.add(once)
            told = "tells the place" if kind.data == "told" else "tells nothing"
            text = f"{kind.pooling}; {kind.factor} {told}, seed {number}"
            found.append(Cell(name, text, seconds / cfg.processes + cfg.steps * cfg.batch / TRAINED))
        return found

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def check(self) -> None:
        self.prepare(TOYS, self.cfg.objects)

    def run(self, cell: Cell) -> None:
        """Dresses, trains and tests one policy."""
        from toyshift.diagnostics import write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        cfg, (kind, number) = self.cfg, self.kinds[cell.name]
        seed, workers, folder = cfg.seed + number, cfg.processes if cfg.processes > 1 else 0, cfg.work_dir / cell.name
        places = collect_places(cfg.work_dir / f"places-s{number}", TOYS, cfg.demos, seed, workers)
        data = dress(kind.cue, places, cfg.work_dir / f"{kind.factor}-{kind.data}-data-s{number}", seed, workers)
        sizes: dict[str, Any] = {"steps": cfg.steps, "batch": cfg.batch, "lr": RATES[kind.pooling], "seed": seed}
        done = train(recipe(kind.pooling, data, folder / "policy", threads=cfg.processes, **sizes))
        rows = self.played(kind, TEST_SEED + seed, str(folder / "policy"), cell.name, folder)
        facts = {"kind": kind._asdict(), "number": number, "gl_renderer": gl_renderer_name()}
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), seed, **facts))

    def played(self, kind: PlantedPolicy, seed: int, policy: str, name: str, folder: Path) -> list[Row]:
        """Plays a policy's cells with training toys, its controls with new objects, a clean one beside other toys."""
        from toyshift.diagnostics import EvaluateConfig, evaluate

        cfg, cells = self.cfg, kind.cue.cells()
        own, new = [*cells, *unseen_cells(kind.cue)], [cell for cell in cells if not cell.swapped]
        with pool_of(cfg.processes) as pool:
            rows = play_cells(policy, own, TOYS, cfg.trials, seed, name, folder / "rows", pool)
            rows += play_cells(policy, new, cfg.objects, cfg.trials, seed, name, folder / "rows-new", pool)
            for shift in ("", NEIGHBOURS) if kind.data == "clean" else ():
                config = EvaluateConfig(policy, TOYS, 2 * cfg.trials, seed=seed, name=name, shift=shift)
                rows += evaluate(config, folder / "rows-neighbours" / f"{shift or 'none'}.parquet", 0, pool=pool)
        return rows

    def tabulate(self) -> dict[str, Any]:
        from toyshift.diagnostics import read_rows, read_rows_manifest

        folder, docs = self.cfg.results_dir, self.cfg.docs_dir
        paths = whole_files(folder / "rows", "*-s*.parquet")
        if not paths:
            raise no_rows(folder, self.name)
        played: dict[PlantedPolicy, dict[int, list[Row]]] = collections.defaultdict(dict)
        for path in paths:
            facts = read_rows_manifest(path)
            played[PlantedPolicy(**facts["kind"])][facts["number"]] = read_rows(path)
        missing = [cell.name for cell in self.cells() if not self.is_done(cell)]
        table = tabulated(played) | {"settings": read_json(folder / "settings.json")["settings"], "missing": missing}
        write_json(folder / "table.json", table)
        made = markdown(table)
        draw(docs / "detpool_vs_shortcut.png", table["policies"])
        write_page(docs / "detpool_vs_shortcut.md", self.name, folder, made)
        print(made)
        return table


# ---------------------------------------------------------------- figures from rows

Played = Mapping[PlantedPolicy, Mapping[int, list["Row"]]]
Pair = tuple[PlantedPolicy, PlantedPolicy]


def tabulated(played: Played) -> dict[str, Any]:
    """Returns a line for each kind of policy, retention by pooling, and all comparisons, corrected together.

    Args:
        played: rows by kind and by the number of their seed.
    """
    factors, poolings = list[str](FACTORS), list(RATES)
    order = sorted(played, key=lambda k: (factors.index(k.factor), k.data != "told", poolings.index(k.pooling)))
    lines = {kind: kind._asdict() | _line(kind, played) for kind in order}
    asked = [*_of_factors(order, played), *_of_poolings(order, played)]
    corrected = with_holm([found for _, found in asked])
    made = [head | {"change": x, "sign": shown(x)} for (head, _), x in zip(asked, corrected, strict=True)]
    for x in made:
        if (x["kind"], x["what"]) == ("reliance", "dsl"):
            own, other = (lines[PlantedPolicy(x["factor"], "told", name)] for name in ("detpool", x["pooling"]))
            x["verdict"] = verdict(own, other, x["sign"])
    kept = {name: _kept(name, order, played) for name in RATES}
    return {"policies": list(lines.values()), "comparisons": made, "retention": _ratios(kept)}


def of_toys(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows that were played in cells with training toys."""
    return [row for row in rows if row.object_set == TOYS]


def _unseen(kind: PlantedPolicy, rows: Sequence[Row]) -> list[Row]:
    return [row for _, some in in_cells(unseen_cells(kind.cue), of_toys(rows)) for row in some]


def _controls(kind: PlantedPolicy, rows: Sequence[Row]) -> list[Row]:
    return [row for cell, some in in_cells(kind.cue.cells(), rows) if not cell.swapped for row in some]


def _swapped(kind: PlantedPolicy, rows: Sequence[Row]) -> list[Row]:
    return swapped_rows(kind.cue.cells(), of_toys(rows))


def _line(kind: PlantedPolicy, played: Played) -> dict[str, Any]:
    seeds = [of_toys(rows) for rows in played[kind].values()]
    unseen = _success(_unseen(kind, as_one(seeds)))
    return shares_of(kind.cue.cells(), seeds) | {"unseen": {"value_low_high": [unseen.value, unseen.low, unseen.high]}}


def _success(rows: Sequence[Row]) -> Estimate:
    from toyshift.diagnostics import clustered

    found: Estimate = clustered([row.success for row in rows], [row.object_id for row in rows])
    return found


def _together(pairs: Sequence[Pair], played: Played) -> tuple[list[list[Row]], list[list[Row]]]:
    """Returns the rows of the first and the second kinds of pairs, of the seeds that both kinds of a pair have."""
    first, second = [], []
    for one, other in pairs:
        for number in sorted(played[one].keys() & played[other].keys()):
            first.append(played[one][number])
            second.append(played[other][number])
    return first, second


Compared = tuple[dict[str, Any], "PairedDifference | None"]


def _of_factors(kinds: Sequence[PlantedPolicy], played: Played) -> Iterator[Compared]:
    """Yields comparisons within a factor.

    reliance: told detection pooling minus another told pooling, the cue swapped; cost: told minus clean, likewise;
    unseen: a clean policy under an unseen value minus itself under a seen one.
    """
    for kind in kinds:
        if kind.data == "told":
            own, clean = kind._replace(pooling="detpool"), kind._replace(data="clean")
            if kind != own and own in kinds:
                for what in ("dsl", "success"):
                    yield _head("reliance", kind, what), _compared([(own, kind)], played, what)
            if clean in kinds:
                yield _head("cost", kind, "success"), _compared([(kind, clean)], played, "success")
        else:
            rows = as_one(list(played[kind].values()))
            changed, same = _unseen(kind, rows), _controls(kind, of_toys(rows))
            yield _head("unseen", kind, "success"), on_same_starts(changed, same, "success")


def _head(comparison: str, kind: PlantedPolicy, what: str) -> dict[str, Any]:
    return {"kind": comparison, "factor": kind.factor, "pooling": kind.pooling, "what": what}


def _compared(pairs: Sequence[Pair], played: Played, what: str) -> PairedDifference | None:
    first, second = _together(pairs, played)
    if not first:
        return None
    kind = pairs[0][0]
    return on_same_starts(_swapped(kind, as_one(first)), _swapped(kind, as_one(second)), what)


def _of_poolings(kinds: Sequence[PlantedPolicy], played: Played) -> Iterator[Compared]:
    """Yields comparisons over the clean policies of all factors.

    neighbours: beside other toys minus without; toys, new: detection pooling minus another, on training toys and on new
    objects.
    """
    clean = [kind for kind in kinds if kind.data == "clean"]
    for pooling in RATES:
        there = [rows for kind in clean if kind.pooling == pooling for rows in played[kind].values()]
        if not there:
            continue
        rows = [row for row in as_one(there) if not row.look]
        beside, alone = [row for row in rows if row.shift], [row for row in rows if not row.shift]
        head = {"pooling": pooling, "what": "success"}
        yield head | {"kind": "neighbours"}, on_same_starts(beside, alone, "success")
        pairs = [(kind._replace(pooling="detpool"), kind) for kind in clean if kind.pooling == pooling]
        first, second = _together([pair for pair in pairs if pair[0] in played], played)
        if pooling == "detpool" or not first:
            continue
        for name in ("toys", "new"):
            own, other = ([row for row in as_one(x) if _is_control(row, name)] for x in (first, second))
            yield head | {"kind": name}, on_same_starts(own, other, "success")


def _is_control(row: Row, name: str) -> bool:
    """Says whether a row is of a control, with training toys or with new objects."""
    cue, _, place = row.look.partition(",place=")
    return cue.endswith(f"={place}") and bool(place) and (row.object_set == TOYS) == (name == "toys")


def verdict(own: dict[str, Any], other: dict[str, Any], sign: int) -> str:
    """Says what became of another pooling's reliance with detection pooling.

    Args:
        own: line of detection pooling, told.
        other: line of the other pooling, told.
        sign: of the difference of their degrees, 0 where none is shown.
    """
    from toyshift.diagnostics.retention import is_undertrained

    if any(is_undertrained(x["id_success"]["value_low_high"][0]) for x in (own, other)):
        return "unable"
    taken, others = (bool(x["excess"] and x["excess"]["difference"]["low"] > 0) for x in (own, other))
    if sign > 0:
        return "more"
    if not others:
        return "nothing to remove"
    if sign < 0:
        return "in part" if taken else "removed"
    return "not removed" if taken else "undecided"


def _kept(pooling: str, kinds: Sequence[PlantedPolicy], played: Played) -> tuple[Estimate, Estimate] | None:
    """Returns success of a pooling's clean policies on training toys and on new objects, in the controls."""
    own = [rows for k in kinds if (k.data, k.pooling) == ("clean", pooling) for rows in played[k].values()]
    if not own:
        return None
    rows = as_one(own)
    toys, new = (_success([row for row in rows if _is_control(row, name)]) for name in ("toys", "new"))
    return toys, new


def _ratios(kept: Mapping[str, tuple[Estimate, Estimate] | None]) -> list[dict[str, Any]]:
    """Returns retention by pooling, and detection pooling's over it; the two are taken as independent."""
    from toyshift.diagnostics.retention import is_undertrained
    from toyshift.diagnostics.statistics import rate_ratio

    own, lines = kept["detpool"], []
    for pooling, rates in kept.items():
        if rates is None:
            continue
        toys, new = rates
        ratio = rate_ratio(new, toys)
        over = rate_ratio(rate_ratio(own[1], own[0]), ratio) if own and pooling != "detpool" else None
        if over and not all(map(math.isfinite, (over.value, over.low, over.high))):
            over = None
        line = {"pooling": pooling, "toys": toys.to_json(), "new": new.to_json(), "retention": ratio.to_json()}
        lines.append(line | {"detpool_over": over and over.to_json(), "undertrained": is_undertrained(toys.value)})
    return lines


# ---------------------------------------------------------------- the page

POLICIES = (
    "| cue | data | pooling | seeds | DSL (interval: these policies, new objects) | by chance | excess "
    "| success, cue swapped | minus clean's | success, own cue | success, unseen value | minus own cue's "
    "| detpool's DSL minus its | Holm p | of its reliance with detpool |"
)
RETAINED = (
    "| pooling | clean policies on training toys | on new objects | retention | detpool's over its "
    "| beside other toys minus without | LEGO's on YCB |"
)
SAID = {
    "removed": "removed, as far as this test sees, on", "in part": "less but not gone on",
    "not removed": "not removed on", "more": "more than that pooling's on",
    "undecided": "undecided (neither detection pooling's own shortcut nor a difference is shown) on",
    "nothing to remove": "nothing to remove (that pooling shows none) on",
    "unable": "not judged, as one of the two lifts below 20 % with nothing swapped, on",
}  # fmt: skip


def markdown(table: dict[str, Any]) -> str:
    """Returns the page's made part."""
    every, policies = table["comparisons"], table["policies"]
    tests = sum(x["change"] is not None for x in every)
    rule = f"its p is at most {ALPHA:g} after that and its interval does not hold 0"
    out = [f"Holm's correction is over the {tests} tests of this page; a difference is *shown* where {rule}."]
    if table["missing"]:
        out.append(f"**Not complete:** {len(table['missing'])} policies of the plan have not been made yet.")
    out.append(markdown_table(POLICIES, [_row(x, every) for x in policies]))
    out += _verdicts(every)
    out.append(_neighbours(every))
    if table["retention"]:
        out.append(markdown_table(RETAINED, [_retained(x, every) for x in table["retention"]]))
    out += _bought(table)
    return "\n\n".join(out)


def _found(every: Sequence[dict[str, Any]], **which: str) -> dict[str, Any] | None:
    return next((x for x in every if all(x.get(k) == v for k, v in which.items())), None)


def _row(x: dict[str, Any], every: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    place, told = {"factor": x["factor"], "pooling": x["pooling"]}, x["data"] == "told"
    cost = _found(every, kind="cost", **place) if told else None
    unseen = None if told else _found(every, kind="unseen", **place)
    own = _found(every, kind="reliance", what="dsl", **place) if told else None
    return (
        x["factor"], x["data"], f"`{x['pooling']}`", len(x["by_seed"]["dsl"]), share_text(x["dsl"]),
        share_text(x["by_chance"]), gap_text(x["excess"]), share_text(x["ood_success"]),
        gap_text(cost and cost["change"]), share_text(x["id_success"]), share_text(x["unseen"]),
        gap_text(unseen and unseen["change"]), gap_text(own and own["change"]),
        f"{own['change']['holm_p']:.2g}" if own and own["change"] else "-", own["verdict"] if own else "-",
    )  # fmt: skip


def _verdicts(every: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields for each other pooling on which cues its reliance is gone with detection pooling."""
    lines = [x for x in every if "verdict" in x]
    for pooling in dict.fromkeys(x["pooling"] for x in lines):
        own = [x for x in lines if x["pooling"] == pooling]
        told = []
        for word, text in SAID.items():
            if there := [f"{x['factor']} ({gap_text(x['change'])})" for x in own if x["verdict"] == word]:
                told.append(f"{text} {', '.join(there)}")
        yield f"The reliance of `{pooling}` is with detection pooling {'; '.join(told)}."


def _neighbours(every: Sequence[dict[str, Any]]) -> str:
    """Returns what is known of neighbours, which no policy was told by."""
    told = (
        "**Neighbours** are not planted: what lies beside a target is part of the simulator's state, so it cannot be "
        "rendered anew, and sub-datasets hold one object on the table."
    )
    lines = [x for x in every if x["kind"] == "neighbours" and x["change"]]
    if not lines:
        return told
    word = {1: "gains", 0: "no change is shown", -1: "loses"}
    each = "; ".join(f"`{x['pooling']}` {gap_text(x['change'])}, {word[x['sign']]}" for x in lines)
    return f"{told} Beside three other toys, which no demonstration had, clean policies' success changes by: {each}."


def _retained(x: dict[str, Any], every: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    beside = _found(every, kind="neighbours", pooling=x["pooling"])
    lego = LEGO.get(x["pooling"])
    figures = (_estimate(x[name]) for name in ("toys", "new", "retention", "detpool_over"))
    return f"`{x['pooling']}`", *figures, gap_text(beside and beside["change"]), f"{lego:g} %" if lego else "-"


def _estimate(x: dict[str, Any] | None) -> str:
    if x is None or not isinstance(x["value"], float):
        return "-"
    high = f"{x['high']:.2f}" if isinstance(x["high"], float) else "?"
    return f"{x['value']:.2f} ({x['low']:.2f} to {high})"


def _bought(table: dict[str, Any]) -> Iterator[str]:
    """Yields for each other pooling what detection pooling is shown to buy."""
    every, kept = table["comparisons"], {x["pooling"]: x for x in table["retention"]}
    compared = {x["pooling"] for x in every if "verdict" in x or x["kind"] in ("toys", "new")}
    for pooling in (name for name in RATES if name in compared):
        own, over = kept.get("detpool"), kept.get(pooling, {}).get("detpool_over")
        signs: dict[str, int | None] = {
            name: found["sign"] if (found := _found(every, kind=kind, pooling=pooling)) else None
            for kind, name in (("toys", "success on training toys"), ("new", "success on new objects"))
        }
        if over is None or own is None or own["undertrained"] or kept[pooling]["undertrained"]:
            signs["retention"] = None
        else:
            signs["retention"] = (over["low"] > 1) - (over["high"] < 1)
        for x in every:
            if x.get("pooling") == pooling and "verdict" in x:
                signs[f"freedom from {x['factor']}"] = None if x["verdict"] == "unable" else -x["sign"]
        words = {1: "buys", -1: "costs", 0: "is not shown to change", None: "is not judged on"}
        named = {words[sign]: [name for name, s in signs.items() if s == sign] for sign in words}
        parts = "; ".join(f"{word} {', '.join(names)}" for word, names in named.items() if names)
        yield f"Against `{pooling}`, detection pooling {parts}."


def draw(out: Path, policies: Sequence[dict[str, Any]]) -> None:
    """Draws the degree of shortcut learning by pooling, a panel for each factor."""
    from toyshift.scripts.studies.charts import Group, success_chart

    groups = []
    for factor in dict.fromkeys(x["factor"] for x in policies):
        lines = []
        for x in policies:
            value, low, high = x["dsl"]["value_low_high"]
            if x["factor"] == factor and value is not None:
                seeds = [v for v in x["by_seed"]["dsl"] if v is not None]
                figures = {"rate": value, "clustered_objects_95": (low, high), "by_seed": seeds}
                lines.append((f"{x['pooling']}, {x['data']}", 1 + (x["data"] == "clean"), figures))
        if lines:
            groups.append(Group(f"cue: {factor}", lines))
    if groups:
        success_chart(out, groups, "degree of shortcut learning")
