"""Of as many demonstrations and samples: is it the number of toys, of their parts, or how hard they are to grasp?

Three factors of the data are varied one by one: 8 toys, 60, or one for each demonstration; toys of one, three or five
parts; the easier half of a pool of toys, the harder half, or half of each, by the score that the grasp search gives its
best grasp. Half of each are 60 toys as any: that policy is also the one of 60 toys.

toyshift study data-factors --dry-run                      what would be run, and how long it takes
toyshift study data-factors --only "toys-*"                one factor
toyshift study data-factors --results results/data_factors --docs docs --tabulate     committed rows and their page
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, write_json
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.recipe import quickstart_recipe
from toyshift.scripts.studies.budgets import Practice, PracticeConfig
from toyshift.scripts.studies.cells import TEST_SEED, made_once, write_page
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.learners import (
    CHANGE,
    SUCCESS,
    Compared,
    LearnerStudy,
    Lesson,
    Taught,
    Value,
    by_test,
    change_cells,
    draw_success,
    is_complete,
    is_shown,
    paired_lines,
    success_cells,
    success_lines,
)
from toyshift.scripts.studies.remade import remake
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.data.collecting.config import CollectConfig
    from toyshift.diagnostics import EvaluateConfig, Row

USUAL_TOYS, POOL = 60, 120  # toys where their number is not varied; toys of which half are easier and half harder
FACTORS = ("toys", "parts", "difficulty")
SAME = {("toys", str(USUAL_TOYS)): ("difficulty", "balanced")}  # levels that are one treatment, which is played once
POOLED = 2.3  # collected on the pool, in units of the demonstrations of a half: the harder one may have fewer than half
TITLES = {"toys:test": "new toys", "ycb-like?graspable": "YCB-like objects"}
DROPS = 3  # times that a toy is put on the table for its score
TOY, SCORED = 0.1, 0.05  # [s] of a toy that is chosen, and of a start that is scored, for estimates


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PracticeConfig):
    """Options of `toyshift study data-factors`."""

    budgets: ClassVar = {"small": Practice(1, 240, 600, 128, 60), "paper": Practice(5, 480, 600, 128, 200)}
    out: Path = Path("runs/data-factors")


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies on few and many, simple and complex, easy and hard toys, all else equal (docs/data_factors.md).

    Example: toyshift study data-factors --budget small --out runs/data-factors
    """
    return DataFactors(cfg).conduct(cfg, cfg.only)


def levels(demos: int) -> dict[str, tuple[str, ...]]:
    """Returns the levels of each factor, of so many demonstrations: at most one toy for each."""
    toys = tuple(map(str, sorted({8, USUAL_TOYS, demos})))
    return dict(zip(FACTORS, (toys, ("1", "3", "5"), ("easy", "balanced", "hard")), strict=True))


class DataFactors(LearnerStudy):
    """For each seed a policy of each level of each factor, but for those that are another's too."""

    name = "data-factors"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        self.lessons = {
            f"{factor}-{level}-s{seed}": Lesson({"factor": factor, "level": level}, seed)
            for seed in range(self.practice.seeds) for factor, own in levels(self.practice.demos).items()
            for level in own if (factor, level) not in SAME
        }  # fmt: skip

    def objects(self, lesson: Lesson) -> str:
        """Returns the toys that are collected on; each seed has its own."""
        factor, level, seed = lesson.varied["factor"], lesson.varied["level"], self.seed_of(lesson)
        if factor == "toys":
            return f"toys:train?n={level}&seed={seed}"
        of = f"of=only-{level}&n={USUAL_TOYS}" if factor == "parts" else f"n={POOL}"
        return f"toys:train?{of}&seed={seed}"

    def collected(self, lesson: Lesson) -> CollectConfig:
        from toyshift.data import CollectConfig

        halves = lesson.varied["factor"] == "difficulty"
        name = "difficulty" if halves else f"{lesson.varied['factor']}-{lesson.varied['level']}"
        workers = self.cfg.processes if self.cfg.processes > 1 else 0
        out = self.cfg.work_dir / "demonstrations" / f"{name}-s{lesson.seed}"
        count = math.ceil(self.practice.demos * (POOLED if halves else 1))
        return CollectConfig(self.objects(lesson), count, out, workers=workers, seed=self.seed_of(lesson))

    def cells(self) -> list[Cell]:
        """Adds to the first cell of each collection the time in which its toys are chosen, and a pool's are scored."""
        begun: set[str] = set()
        cells = []
        for cell in super().cells():
            lesson = self.lessons[cell.name]
            more = 0.0
            if (objects := self.objects(lesson)) not in begun:
                begun.add(objects)
                count = int(objects.partition("n=")[2].partition("&")[0])
                more = count * (TOY + DROPS * SCORED * (lesson.varied["factor"] == "difficulty"))
            cells.append(dataclasses.replace(cell, estimate=cell.estimate + more))
        return cells

    def dataset(self, lesson: Lesson) -> Path:
        """Collects; of the pool of toys it takes the episodes of the easier, the harder or half of each, as many each.
        """
        from toyshift.data.store.dataset import open_dataset

        src = super().dataset(lesson)
        if lesson.varied["factor"] != "difficulty":
            return src
        dataset = open_dataset(src)
        played = [str(dataset.meta(i)["object_id"]) for i in range(dataset.num_episodes)]
        takes = takes_of(played, halves(self.scores(lesson)), self.practice.demos)
        level = str(lesson.varied["level"])
        out = src.with_name(f"difficulty-{level}-s{lesson.seed}")
        with made_once(out):
            return remake(src, out, takes[level], {"what": "difficulty", "level": level})

    def scores(self, lesson: Lesson) -> dict[str, float]:
        """Returns the scores of a seed's pool of toys, which are worked out once."""
        path = self.cfg.work_dir / f"scores-s{lesson.seed}.json"
        with made_once(path):
            if not path.exists():
                found = grasp_scores(self.objects(lesson), self.seed_of(lesson))
                write_json(path, {name: None if score == -math.inf else score for name, score in found.items()})
            return {name: -math.inf if score is None else score for name, score in read_json(path).items()}

    def recipe(self, lesson: Lesson, data: str, out: str) -> TrainConfig:
        practice = self.practice
        usual = quickstart_recipe("detpool", (data,), out, practice.steps, practice.batch, self.seed_of(lesson))
        return dataclasses.replace(usual, threads=self.cfg.processes)

    def tests(self, lesson: Lesson, policy: str, called: str) -> dict[str, EvaluateConfig]:
        from toyshift.diagnostics import EvaluateConfig

        seed = TEST_SEED + self.seed_of(lesson)
        return {spec: EvaluateConfig(policy, spec, self.practice.trials, seed=seed, name=called) for spec in TITLES}

    def seen(self, lesson: Lesson, policy: Path, rows: Sequence[Row]) -> dict[str, Any]:
        from toyshift.data.store.dataset import open_dataset

        dataset = open_dataset(self.dataset(lesson))
        toys = {str(dataset.meta(i)["object_id"]) for i in range(dataset.num_episodes)}
        return {"episodes": dataset.num_episodes, "toys": len(toys), "frames": dataset.num_frames}

    def tabulate(self) -> dict[str, Any]:
        taught = self.read()
        table = tabulated(taught) | self.made_with()
        folder, docs = self.cfg.results_dir, self.cfg.docs_dir
        write_json(folder / "table.json", table)
        draw_success(docs / "data_factors.png", table["success"], lambda x: f"{x['factor']} {x['level']}", TITLES)
        made = markdown(table)
        write_page(docs / "data_factors.md", self.name, folder, made)
        print(made)
        return table


# ---------------------------------------------------------------- how hard a toy is


def grasp_scores(objects: str, seed: int) -> dict[str, float]:
    """Returns for each toy the mean score of its best grasp from above, over DROPS starts; -inf where none has one.

    A start without a grasp counts as the worst score of all toys.
    """
    from toyshift.core.errors import GraspError
    from toyshift.core.progress import Progress
    from toyshift.core.seeds import episode_rng
    from toyshift.data.grasping.expert import ExpertConfig, present_situation
    from toyshift.data.grasping.top_down import search_top_down
    from toyshift.envs.tasks.grasp import GraspEnv

    found: dict[str, list[float | None]] = {}
    opened = contextlib.closing(GraspEnv(objects=objects, cameras=()))
    with opened as env, Progress("scores", len(env.objects), "toy") as bar:
        for name in env.objects.ids:
            found[name] = []
            for drop in range(DROPS):
                env.reset(seed=seed, options={"episode": drop, "object": name})
                situation = present_situation(env, ExpertConfig(), episode_rng(seed, drop, "data-factors"))
                try:
                    found[name].append(max(grasp.score for grasp in search_top_down(situation)))
                except GraspError:
                    found[name].append(None)
            bar.update()
    return mean_scores(found)


def mean_scores(found: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    """Returns each toy's mean; a start without a grasp counts as the worst of all, a toy without any as -inf."""
    worst = min((score for best in found.values() for score in best if score is not None), default=0.0)
    return {
        name: -math.inf if not best or all(score is None for score in best)
        else sum(worst if score is None else score for score in best) / len(best)
        for name, best in found.items()
    }  # fmt: skip


def halves(scores: Mapping[str, float]) -> dict[str, set[str]]:
    """Returns half of the toys for each level of difficulty: the best, the worst, and of the ranks every other one.

    Raises:
        ConfigError: there are fewer than two.
    """
    if len(scores) < 2:
        raise ConfigError(f"{len(scores)} toys have no easier and harder half; 2 at least")
    ranked = sorted(scores, key=lambda name: (-scores[name], name))
    half = len(ranked) // 2
    return {"easy": set(ranked[:half]), "hard": set(ranked[-half:]), "balanced": set(ranked[1::2][:half])}


def takes_of(played: Sequence[str], sets: Mapping[str, set[str]], most: int) -> dict[str, list[int]]:
    """Returns which episodes each set of toys gets: the first on its toys, as many for each set, and at most `most`.

    Raises:
        ConfigError: a set has none.
    """
    own = {level: [i for i, name in enumerate(played) if name in toys] for level, toys in sets.items()}
    count = min(most, *(len(takes) for takes in own.values()))
    if not count:
        empty = next(level for level, takes in own.items() if not takes)
        raise ConfigError(f"no demonstration is on a toy of the {empty} half; give more --demos")
    return {level: takes[:count] for level, takes in own.items()}


# ---------------------------------------------------------------- figures from rows


def place_of(kind: tuple[Value, ...]) -> tuple[int, int]:
    """Returns where a factor and level stand in tables."""
    factor, level = map(str, kind)
    named = levels(USUAL_TOYS)["difficulty"]
    return FACTORS.index(factor), named.index(level) if level in named else int(level)


def with_twins(taught: Sequence[Taught]) -> list[Taught]:
    """Returns all that was learnt in the order of tables, what stands for two levels once for each."""
    found = list(taught)
    for lesson, rows, facts in taught:
        for twin, played in SAME.items():
            if lesson.kind == played:
                found.append(Taught(Lesson({"factor": twin[0], "level": twin[1]}, lesson.seed), rows, facts))
    return sorted(found, key=lambda one: (place_of(one.lesson.kind), one.lesson.seed))


def tabulated(taught: Sequence[Taught]) -> dict[str, Any]:
    """Returns success by level and test, levels of a factor against each other, and what the data were."""
    ordered = with_twins(taught)
    data = [
        {**one.lesson.varied, "seed": one.lesson.seed, **{k: one.facts[k] for k in ("episodes", "toys", "frames")}}
        for one in ordered
    ]
    return {"success": success_lines(ordered), "comparisons": paired_lines(comparisons(ordered)), "data": data}


def comparisons(taught: Sequence[Taught]) -> Iterator[Compared]:
    """Yields each level of a factor against those before it, in each test; twins are among them."""
    groups = by_test(taught)
    kinds = sorted(dict.fromkeys(one.lesson.kind for one in taught), key=place_of)
    for factor in FACTORS:
        own = [str(kind[1]) for kind in kinds if kind[0] == factor]
        for (first, second), test in itertools.product(itertools.combinations(own, 2), TITLES):
            head = {"factor": factor, "test": test, "second": second, "first": first}
            yield head, groups.get(((factor, first), test), []), groups.get(((factor, second), test), [])


def markdown(table: Mapping[str, Any]) -> str:
    """Returns the made part of the page."""
    made = [is_complete(table)]
    made.append(markdown_table(f"| factor | level | on | {SUCCESS} |", [
        (x["factor"], x["level"], TITLES[x["test"]], *success_cells(x)) for x in table["success"]
    ]))  # fmt: skip
    if lines := table["comparisons"]:
        made.append(markdown_table(f"| factor | level | minus | on | {CHANGE} |", [
            (x["factor"], x["second"], x["first"], TITLES[x["test"]], *change_cells(x)) for x in lines
        ]))  # fmt: skip
        shown = [f"{factor} {sum(bool(is_shown(x)) for x in lines if x['factor'] == factor)}" for factor in FACTORS]
        made.append(f"Differences that are shown, by factor: {', '.join(shown)} (of {len(lines)} in all).")
    made.append(markdown_table("| factor | level | seed | demonstrations | toys among them | frames |", [
        (x["factor"], x["level"], x["seed"], x["episodes"], x["toys"], x["frames"]) for x in table["data"]
    ]))  # fmt: skip
    for (factor, level), (other, played) in SAME.items():
        if any((x["factor"], x["level"]) == (factor, level) for x in table["data"]):
            made.append(f"Level {level} of {factor} is {played} of {other}: one policy, which was played once.")
    counts = sorted({x["episodes"] for x in table["data"]})
    if len(counts) > 1:
        made.append(f"**Not of the same number of demonstrations:** {counts[0]} to {counts[-1]}.")
    return "\n\n".join(made)
