"""What studies share whose cells each train one policy and test it: demonstrations, rows, tables by what was varied."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from toyshift.core.files import read_json, whole_files
from toyshift.core.manifest import manifest
from toyshift.scripts.studies.budgets import Practice, PracticeConfig
from toyshift.scripts.studies.cells import PLAY, Study, made_once, no_rows, pool_of, training_speed
from toyshift.scripts.studies.figures import figures, percents, points
from toyshift.scripts.studies.planted import COLLECTING
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.data.collecting.config import CollectConfig
    from toyshift.diagnostics import EvaluateConfig, PairedDifference, Row
    from toyshift.policies.training.config import TrainConfig

Value = str | int | float


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What one policy of a study learns.

    Attributes:
        varied: what tells it from the study's other policies, by what that is called.
        seed: number of its seed.
    """

    varied: Mapping[str, Value]
    seed: int

    @property
    def text(self) -> str:
        """What it is, for people."""
        return ", ".join(f"{name} {value}" for name, value in self.varied.items()) + f", seed {self.seed}"

    @property
    def kind(self) -> tuple[Value, ...]:
        """What it is, whatever its seed."""
        return tuple(self.varied.values())


class Taught(NamedTuple):
    """A cell that is there: what was learnt, the rows of its tests, and its manifest."""

    lesson: Lesson
    rows: list[Row]
    facts: dict[str, Any]


class LearnerStudy(Study):
    """One cell a policy.

    Attributes:
        practice: how large the study is.
        lessons: what each cell is, by its name, in the order in which they run.
    """

    def __init__(self, cfg: PracticeConfig) -> None:
        super().__init__(cfg)
        self.learner_cfg = cfg
        self.practice: Practice = cfg.sizes()
        self.lessons: dict[str, Lesson] = {}

    @abc.abstractmethod
    def collected(self, lesson: Lesson) -> CollectConfig:
        """Returns what a policy's demonstrations are; policies with the same folder share them."""

    @abc.abstractmethod
    def recipe(self, lesson: Lesson, data: str, out: str) -> TrainConfig:
        """Returns how a policy is trained."""

    @abc.abstractmethod
    def tests(self, lesson: Lesson, policy: str, called: str) -> dict[str, EvaluateConfig]:
        """Returns what a policy plays, by what the rows call the test instead of the object set."""

    def dataset(self, lesson: Lesson) -> Path:
        """Collects a policy's demonstrations, once for all that share them; returns their folder."""
        from toyshift.data import collect

        asked = self.collected(lesson)
        with made_once(asked.out):
            collect(asked)
        return asked.out

    def seen(self, lesson: Lesson, policy: Path, rows: Sequence[Row]) -> dict[str, Any]:
        """Returns what a study looks up in a trained policy's folder and of its rows; it is kept in the manifest."""
        return {}

    def seed_of(self, lesson: Lesson) -> int:
        return self.learner_cfg.seed + lesson.seed

    def cells(self) -> list[Cell]:
        begun: set[Path] = set()
        cells = []
        for name, lesson in self.lessons.items():
            asked, usual = self.collected(lesson), self.recipe(lesson, "data", "out")
            seconds = usual.steps * usual.batch_size / training_speed(usual.policy.pooling)
            seconds += PLAY * sum(test.trials for test in self.tests(lesson, "policy", name).values())
            if asked.out not in begun:
                begun.add(asked.out)
                seconds += COLLECTING * asked.episodes
            cells.append(Cell(name, lesson.text, seconds))
        return cells

    def settings(self) -> dict[str, Any]:
        """What decides a policy's result, but for its cell; how many seeds there are does not."""
        sizes = dataclasses.asdict(self.practice)
        return {"seed": self.learner_cfg.seed, **{name: value for name, value in sizes.items() if name != "seeds"}}

    def check(self) -> None:
        first = next(iter(self.lessons.values()))
        sets = [test.objects for test in self.tests(first, "policy", "").values()]
        self.prepare(*dict.fromkeys([self.collected(first).objects, *sets]))

    def run(self, cell: Cell) -> None:
        """Collects what is missing, trains and tests one policy."""
        from toyshift.diagnostics import evaluate, write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        lesson, folder = self.lessons[cell.name], self.learner_cfg.work_dir / "policies" / cell.name
        done = train(self.recipe(lesson, str(self.dataset(lesson)), str(folder)))
        rows: list[Row] = []
        with pool_of(self.learner_cfg.processes) as pool:
            for test, asked in self.tests(lesson, str(folder), cell.name.rpartition("-s")[0]).items():
                part = self.learner_cfg.work_dir / "rows" / f"{cell.name}-{test.replace(' ', '-')}.parquet"
                rows += [dataclasses.replace(row, object_set=test) for row in evaluate(asked, part, 0, pool=pool)]
        facts = {"lesson": dataclasses.asdict(lesson), "gl_renderer": gl_renderer_name()}
        facts |= self.seen(lesson, folder, rows)
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(self.path(cell.name), rows, manifest(self.settings(), self.seed_of(lesson), **facts))

    def read(self) -> list[Taught]:
        """Returns the cells that are there.

        Raises:
            FileError: there is none.
        """
        from toyshift.diagnostics import read_rows, read_rows_manifest

        folder = self.learner_cfg.results_dir
        paths = whole_files(folder / "rows", "*-s*.parquet")
        if not paths:
            raise no_rows(folder, self.name)
        facts = {path: read_rows_manifest(path) for path in paths}
        return [Taught(Lesson(**facts[path]["lesson"]), read_rows(path), facts[path]) for path in paths]

    def made_with(self) -> dict[str, Any]:
        """Returns what table.json says of how the rows were made, and of cells that are missing."""
        settings = read_json(self.learner_cfg.results_dir / "settings.json")["settings"]
        return {"settings": settings, "missing": [cell.name for cell in self.cells() if not self.is_done(cell)]}


# ---------------------------------------------------------------- lines of tables

Groups = dict[tuple[tuple[Value, ...], str], "list[Row]"]  # by what was varied and by test


def by_test(taught: Sequence[Taught]) -> Groups:
    """Returns the rows of all seeds together, in the order in which they were met."""
    groups: Groups = {}
    for lesson, rows, _ in taught:
        for row in rows:
            groups.setdefault((lesson.kind, row.object_set), []).append(row)
    return groups


def success_lines(taught: Sequence[Taught]) -> list[dict[str, Any]]:
    """Returns what table.json says of each kind of policy in each test, all seeds together."""
    from toyshift.diagnostics import per_seed, summarise

    names = {lesson.kind: dict(lesson.varied) for lesson, _, _ in taught}
    return [
        {**names[kind], "test": test, **figures(summarise(rows)[0]),
         "by_seed": [k / n for k, n in per_seed(rows).values()]}
        for (kind, test), rows in by_test(taught).items()
    ]  # fmt: skip


Compared = tuple[Mapping[str, Any], Sequence["Row"], Sequence["Row"]]  # what is said of it, and the two sides


def paired_lines(asked: Iterable[Compared]) -> list[dict[str, Any]]:
    """Returns a line for each pair with rows on both sides: the second minus the first on the starts that both met.

    p values are corrected over all of them (Holm).
    """
    from toyshift.diagnostics.statistics import holm

    found = [(dict(head), change) for head, *sides in asked if (change := _on_shared_starts(*sides)) is not None]
    corrected = holm([change.p_value for _, change in found])
    return [head | {"paired": x.to_json(), "holm_p": p} for (head, x), p in zip(found, corrected, strict=True)]


def _on_shared_starts(first: Sequence[Row], second: Sequence[Row]) -> PairedDifference | None:
    """Returns the second minus the first where both met the same object from the same start; None where they never did.

    The test's name may differ: it is no part of a start.
    """
    from toyshift.diagnostics import paired_difference

    one, other = ({(r.object_id, r.seed, r.episode): r for r in rows} for rows in (first, second))
    shared = sorted(one.keys() & other.keys())
    if not shared:
        return None
    hits = [[side[start].success for start in shared] for side in (other, one)]
    return paired_difference(*hits, [start[0] for start in shared])


def is_shown(line: Mapping[str, Any]) -> int:
    """Returns the sign of a difference beyond 0 with its interval and with p after Holm of at most 0.05; 0 if not."""
    found = line["paired"]["difference"]
    if line["holm_p"] > 0.05:
        return 0
    return int(found["low"] > 0) - int(found["high"] < 0)


SUCCESS = "seeds | n | success % | 95 % new objects | each seed"
CHANGE = "difference in points (95 % new objects) | McNemar p | Holm p | shown"


def success_cells(x: Mapping[str, Any]) -> tuple[object, ...]:
    """Returns the entries under SUCCESS."""
    each = ", ".join(f"{100 * rate:.0f}" for rate in x["by_seed"])
    return (len(x["by_seed"]), x["n"], f"{100 * x['rate']:.1f}", percents(*x["clustered_objects_95"]), each)


def change_cells(x: Mapping[str, Any]) -> tuple[object, ...]:
    """Returns the entries under CHANGE."""
    found = x["paired"]["difference"]
    told = f"{100 * found['value']:+.1f} ({points(found)})"
    return (told, f"{x['paired']['p_value']:.2g}", f"{x['holm_p']:.2g}", ("no", "more", "less")[is_shown(x)])


def is_complete(table: Mapping[str, Any]) -> str:
    """Returns the first words of a page: how policies learnt, and whether cells are missing."""
    made = table["settings"]
    sizes = f"{made['steps']:,} steps of {made['batch']} samples, {made['demos']} demonstrations"
    first = f"{sizes}, unless a line says otherwise."
    if not table["missing"]:
        return f"{first} All cells have been run."
    return f"{first}\n\n**Not complete:** {len(table['missing'])} cells have not been run yet."


def draw_success(
    out: Path, lines: Sequence[Mapping[str, Any]], label: Callable[[Mapping[str, Any]], str], titles: Mapping[str, str]
) -> None:
    """Draws a panel for each test with a line for each kind of policy, by `success_chart`.

    Args:
        out: the figure.
        lines: of `success_lines`.
        label: names a line.
        titles: names of tests -> titles of panels, in their order.
    """
    from toyshift.scripts.studies.charts import Group, success_chart

    groups = []
    for test, title in titles.items():
        if some := [x for x in lines if x["test"] == test]:
            groups.append(Group(title, [(label(x), 0, dict(x)) for x in some]))
    success_chart(out, groups, more=" ")
