"""What the studies share that leave something out of the toys: a policy for each distribution, beside one on all toys.

All learn from as many toys, demonstrations and samples, and meet the same starts.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from toyshift.core.files import read_json, write_json
from toyshift.scripts.studies import toy_sets
from toyshift.scripts.studies.cells import require_equal, write_page
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.schedule import Cell
from toyshift.scripts.studies.toy_sets import (
    ALL_KINDS,
    DIFFERENCE,
    LIKE_LEGOS,
    MOST_TOYS,
    SUCCESS,
    TITLES,
    Groups,
    ToyCell,
    ToyStudy,
    ToyStudyConfig,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributionsConfig(ToyStudyConfig, toys=(1, MOST_TOYS)):
    """Options that these studies share."""

    toys: int = 250
    """Toys of each distribution."""
    all_toys: Path | None = None
    """Results of `toyshift study toys-scaling`: where that has trained the same policy on all toys, its rows are taken
    over, and it is not trained again."""


class DistributionsStudy(ToyStudy):
    """One cell a policy.

    Attributes:
        distributions: those that are compared with all toys, by family; a family's are compared with each other too.
        left_out: those of them that a budget leaves out.
        lego: LEGO's success by distribution and demonstrations.
        source: where LEGO's numbers are from.
    """

    distributions: ClassVar[Mapping[str, tuple[str, ...]]]
    left_out: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    lego: ClassVar[Mapping[str, Mapping[int, float]]] = {}
    source: ClassVar[str]

    def __init__(self, cfg: DistributionsConfig) -> None:
        super().__init__(cfg)
        self.toys, self.all_toys = cfg.toys, cfg.all_toys
        left_out = self.left_out.get(cfg.budget, ())
        names = [n for n in (ALL_KINDS, *itertools.chain(*self.distributions.values())) if n not in left_out]
        for seed, name, demos in itertools.product(range(self.grid.seeds), names, self.grid.demos):
            self.kinds[f"{name}-d{demos}-s{seed}"] = ToyCell(name, cfg.toys, demos, seed)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"toys": self.toys}

    def there_already(self, kind: ToyCell) -> Path | None:
        """Returns the rows of the same policy in `all_toys`; None where there is none, or it has not played it all.

        Raises:
            ConfigError: that study has other settings.
        """
        if self.all_toys is None or kind.distribution != ALL_KINDS:
            return None
        path = self.all_toys / "rows" / f"t{kind.toys}-d{kind.demos}-s{kind.seed}.parquet"
        if not path.exists():
            return None
        require_equal(self.all_toys, super().settings(), read_json(self.all_toys / "settings.json")["settings"])
        return path if self.has_played(path) else None

    def cells(self) -> list[Cell]:
        return [
            dataclasses.replace(cell, estimate=0.0, text=f"{cell.text}; from {self.all_toys}")
            if self.there_already(self.kinds[cell.name]) else cell
            for cell in super().cells()
        ]  # fmt: skip

    def run(self, cell: Cell) -> None:
        """Trains and tests one policy, or takes its rows over."""
        from toyshift.diagnostics import read_rows, read_rows_manifest, write_rows

        path = self.there_already(self.kinds[cell.name])
        if path is None:
            super().run(cell)
            return
        called = cell.name.rpartition("-s")[0]
        rows = [dataclasses.replace(row, policy=called) for row in read_rows(path)]
        write_rows(self.path(cell.name), rows, read_rows_manifest(path) | {"taken_from": path.name})

    def tabulate(self) -> dict[str, Any]:
        from toyshift.scripts.studies.charts import Group, success_chart

        cfg = self.toy_cfg
        groups = toy_sets.by_set(self.read())
        table = self.made_with() | self.tabulated(groups)
        write_json(cfg.results_dir / "table.json", table)
        panels = []
        demos = sorted({x["demos"] for x in table["success"]})
        for name in dict.fromkeys(x["set"] for x in table["success"]):
            lines = [x for x in table["success"] if x["set"] == name]
            numbered = [(f"{x['distribution']} {x['demos']}", 1 + demos.index(x["demos"]), x) for x in lines]
            panels.append(Group(TITLES[name], numbered))
        page = self.name.replace("-", "_")
        success_chart(cfg.docs_dir / f"{page}.png", panels)
        made = self.markdown(table, f"{page}.png")
        write_page(cfg.docs_dir / f"{page}.md", self.name, cfg.results_dir, made)
        print(made)
        return table

    def tabulated(self, groups: Groups) -> dict[str, Any]:
        """Returns success, each distribution minus all toys, and the distributions of a family against each other."""
        order = (ALL_KINDS, *itertools.chain(*self.distributions.values()))
        places = list(TITLES)

        def place(key: tuple[ToyCell, str]) -> tuple[int, int, int]:
            return places.index(key[1]), order.index(key[0].distribution), key[0].demos

        ordered = sorted((key for key in groups if key[0].distribution in order), key=place)
        success = [
            toy_sets.success_of(*key, groups[key]) | {"lego": self.lego_of(key[0].distribution, key[0].demos, key[1])}
            for key in ordered
        ]
        whole = [(kind.anew(distribution=ALL_KINDS), kind, n) for kind, n in ordered if kind.distribution != ALL_KINDS]
        families = {}
        for family, names in self.distributions.items():
            pairs = [
                (kind, kind.anew(distribution=other), n) for kind, n in ordered if kind.distribution in names
                for other in names[names.index(kind.distribution) + 1 :]
            ]
            families[family] = toy_sets.differences(groups, pairs)
        return {"success": success, "changes": toy_sets.differences(groups, whole), "families": families}

    def lego_of(self, distribution: str, demos: int, name: str) -> float | None:
        """Returns LEGO's success on YCB objects; None where it is not known, or the set has none."""
        return self.lego.get(distribution, {}).get(demos) if name in LIKE_LEGOS else None

    def lego_change(self, distribution: str, demos: int, name: str) -> float | None:
        """Returns LEGO's difference to all toys; None as of `lego_of`."""
        one, other = self.lego_of(ALL_KINDS, demos, name), self.lego_of(distribution, demos, name)
        return None if one is None or other is None else other - one

    # ---------------------------------------------------------------- the page

    def findings(self, table: dict[str, Any]) -> list[str]:
        """Returns what the rows say, a sentence for each family, set and number of demonstrations."""
        said = []
        for family, names in self.distributions.items():
            mine = [x for x in table["changes"] if x["to"]["distribution"] in names]
            for name, demos in dict.fromkeys((x["set"], x["to"]["demos"]) for x in mine):
                here = [x for x in mine if (x["set"], x["to"]["demos"]) == (name, demos)]
                lowest = self._lowest(here, table["families"][family])
                said.append(f"{family}, {TITLES[name]}, {demos:,} demonstrations: {lowest}.")
        return said or ["Nothing can be compared with all toys yet."]

    def _lowest(self, here: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> str:
        """Returns which distribution is lowest, whether it was shown to fall, and to be below the others of its family.
        """
        worst = min(here, key=lambda x: float(x["paired"]["difference"]["value"]))
        name, where = worst["to"]["distribution"], (worst["set"], worst["to"]["demos"])
        verdict = ("not shown to differ from all toys", "shown to be above all toys", "shown to be below all toys")
        text = f"lowest is `{name}`, {toy_sets.told(worst)} points, {verdict[toy_sets.direction(worst)]}"
        above = []
        for x in pairs:
            ends = x["from"]["distribution"], x["to"]["distribution"]
            if name in ends and (x["set"], x["to"]["demos"]) == where:
                sign = toy_sets.direction(x) * (1 if ends[0] == name else -1)
                above += [ends[1 - ends.index(name)]] if sign > 0 else []
        others = [x["to"]["distribution"] for x in here if x is not worst]
        unknown = [other for other in others if other not in above]
        if others:
            text += "; shown to be below " + (", ".join(f"`{o}`" for o in above) or "none of the others")
            text += f", not below {', '.join(f'`{o}`' for o in unknown)}" if above and unknown else ""
        known = {x["to"]["distribution"]: self.lego_of(x["to"]["distribution"], where[1], where[0]) for x in here}
        theirs = {name: rate for name, rate in known.items() if rate is not None}
        return f"{text}; LEGO's lowest is `{min(theirs, key=lambda n: theirs[n])}`" if len(theirs) > 1 else text

    def markdown(self, table: dict[str, Any], picture: str) -> str:
        """Returns the page's made part: what the rows say, in words and tables."""
        what = f"Each distribution has {table['settings']['toys']} toys; policies of a seed meet the same starts."
        out = [toy_sets.about(table, what), "\n".join(f"- {text}" for text in self.findings(table)), self.source]
        out.append(f"![success by distribution of the toys]({picture})")
        head = f"| toys | demonstrations | {SUCCESS} | LEGO's |"
        for name in dict.fromkeys(x["set"] for x in table["success"]):
            rows = [
                (f"`{x['distribution']}`", x["demos"], *toy_sets.success_columns(x), toy_sets.percent(x["lego"]))
                for x in table["success"] if x["set"] == name
            ]
            out.append(f"### Success on {TITLES[name]}\n\n{markdown_table(head, rows)}")
        if table["changes"]:
            rows = [(*_pair(x)[1:], *toy_sets.difference_columns(x), self._theirs(x)) for x in table["changes"]]
            head = f"| toys | on | demonstrations | {DIFFERENCE} | LEGO's |"
            out.append(f"### Minus all toys (`{ALL_KINDS}`)\n\n{markdown_table(head, rows)}")
        for family, lines in table["families"].items():
            if lines:
                rows = [(*_pair(x), *toy_sets.difference_columns(x)) for x in lines]
                head = f"| from | to | on | demonstrations | {DIFFERENCE} |"
                out.append(f"### {family} against each other\n\n{markdown_table(head, rows)}")
        return "\n\n".join(out)

    def _theirs(self, x: dict[str, Any]) -> str:
        found = self.lego_change(x["to"]["distribution"], x["to"]["demos"], x["set"])
        return "-" if found is None else f"{100 * found:+.1f}"


def _pair(x: dict[str, Any]) -> tuple[object, ...]:
    return (f"`{x['from']['distribution']}`", f"`{x['to']['distribution']}`", TITLES[x["set"]], x["to"]["demos"])
