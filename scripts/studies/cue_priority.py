"""Which cue of a target wins where two disagree: its colour, size, kind or side?

Two toys lie on the table, and demonstrations always grasp the same one: the red large one, say, never the blue small
one. Both cues are perfect. In the test the toys are red and small, blue and large: which one the hand goes to first
tells which cue the policy took, whether or not it can lift it. Bradley and Terry's model ranks the cues from all pairs
of them. The first pair is a pilot: where its policies seldom go to either toy although the cues agree, or do not choose
the right one, the study stops. Of a pair whose policies did not learn to choose, nothing is said.

toyshift study cue-priority --dry-run                      what would be run, and how long it takes
toyshift study cue-priority --only "colour-size-*"         one pair of cues
toyshift study cue-priority --results results/cue_priority --docs docs --tabulate     committed rows and their page
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from toyshift.core.errors import ConfigError
from toyshift.core.files import write_json
from toyshift.policies.config import PolicyConfig
from toyshift.policies.parts import Pooling
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.recipe import STATE
from toyshift.scripts.studies.budgets import Practice, PracticeConfig
from toyshift.scripts.studies.cells import TEST_SEED, made_once, write_page
from toyshift.scripts.studies.figures import markdown_table, percents
from toyshift.scripts.studies.learners import LearnerStudy, Lesson, Taught, is_complete
from toyshift.scripts.studies.planted import REACH
from toyshift.scripts.studies.remade import remake
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from toyshift.core.arrays import Array
    from toyshift.data.collecting.config import CollectConfig
    from toyshift.diagnostics import EvaluateConfig, Row

CUES = ("colour", "size", "kind", "side")
PAIRS = tuple(itertools.combinations(CUES, 2))
COLOURS, EDGES, KINDS = ("red", "blue"), (0.03, 0.055), ("cuboid", "cylinder")  # levels 0 and 1; edges [m]
USUAL_COLOUR, USUAL_EDGE, USUAL_KIND = "green", 0.042, "cuboid"  # of what is no cue
# Pick has no two objects of one name. A shade without a name differs from the named one by less than 1 in 255.
UNNAMED = {"green": "#21a633"}
CONFLICT, AGREE = "cues disagree", "cues agree"
NOBODY, BOTH = "neither", "both"  # cues that a toy may have
APPROACHED, LIFTED = "approached", "lifted"  # what is told of a toy; the first counts
PILOT, DECIDED = PAIRS[0], 0.5  # the pair that runs first, and the share of its scenes that must be decided
CHANCE = 0.5  # of the toys approached where cues agree, the right ones of a policy that does not choose
PAPER = "colour, size, velocity, shape"  # of the paper, from the one that wins


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PracticeConfig):
    """Options of `toyshift study cue-priority`."""

    budgets: ClassVar = {"small": Practice(1, 60, 600, 128, 40), "paper": Practice(5, 200, 2200, 128, 200)}
    pooling: Pooling = "attention"
    """Of the policies; they get neither masks nor an instruction."""
    out: Path = Path("runs/cue-priority")


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies on two perfect cues and tests them where the two disagree (docs/cue_priority.md).

    Example: toyshift study cue-priority --budget small --out runs/cue-priority
    """
    return CuePriority(cfg).conduct(cfg, cfg.only)


class PlainToy(NamedTuple):
    """A toy of one primitive: its cues' levels, 0 or 1, and -1 of what is no cue."""

    colour: int = -1
    size: int = -1
    kind: int = -1

    def distribution(self, unnamed: bool = False) -> dict[str, Any]:
        """Returns the JSON of a distribution that holds this toy alone."""
        edge = EDGES[self.size] if self.size >= 0 else USUAL_EDGE
        colour = COLOURS[self.colour] if self.colour >= 0 else USUAL_COLOUR
        kind = KINDS[self.kind] if self.kind >= 0 else USUAL_KIND
        return {
            "counts": [1.0], "kinds": [float(k == kind) for k in ("sphere", "cuboid", "cylinder", "ring")],
            "rotation": "upright", "colour": "palette", "palette": [UNNAMED[colour] if unnamed else colour],
            "cuboid_edge": [edge, edge], "cylinder_radius": [edge / 2, edge / 2], "cylinder_height": [edge, edge],
        }  # fmt: skip


def toys_of(pair: tuple[str, str], disagree: bool) -> tuple[PlainToy, PlainToy]:
    """Returns the two toys that lie on the table, the one with level 0 of the first cue before the other.

    Args:
        pair: cues.
        disagree: whether they have different levels of the two cues; side is told by the scene, not by the toy.
    """
    levels = ((0, 1), (1, 0)) if disagree else ((0, 0), (1, 1))
    made = [{cue: level for cue, level in zip(pair, both, strict=True) if cue != "side"} for both in levels]
    return PlainToy(**made[0]), PlainToy(**made[1])


def object_set(folder: Path, toys: Sequence[PlainToy]) -> str:
    """Returns the object set of exactly these two toys, whose distributions lie in a folder (`write_toys`)."""
    named = [str(folder.absolute() / f"{_file(toy, number)}.json") for number, toy in enumerate(toys)]
    for sign in "%+?@":  # in the names of folders
        named = [name.replace(sign, f"%{ord(sign):02X}") for name in named]
    return "+".join(f"toys:{name}?n=1" for name in named)


def write_toys(folder: Path) -> None:
    """Writes the distributions of all toys of all pairs of cues."""
    for pair, disagree in itertools.product(PAIRS, (False, True)):
        for number, toy in enumerate(toys_of(pair, disagree)):
            unnamed = bool(number) and toy.colour < 0 and toy.kind < 0
            write_json(folder / f"{_file(toy, number)}.json", toy.distribution(unnamed))


def _file(toy: PlainToy, number: int) -> str:
    return "-".join(f"{cue}{level}" for cue, level in toy._asdict().items() if level >= 0) + f"-{number}"


def followed(pair: tuple[str, str], levels: tuple[int, int], wanted: int) -> str:
    """Returns which cue of a pair a toy has as the demonstrations' targets had it.

    Args:
        pair: cues.
        levels: the toy's, of both.
        wanted: level of both cues of the targets of the demonstrations.
    """
    has = [level == wanted for level in levels]
    return BOTH if all(has) else pair[has.index(True)] if any(has) else NOBODY


class CuePriority(LearnerStudy):
    """For each seed two policies of each pair of cues: the second learnt to grasp the other toy."""

    name = "cue-priority"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        kinds = itertools.product(range(self.practice.seeds), PAIRS, (0, 1))
        self.lessons = {
            f"{'-'.join(pair)}-wants{wanted}-s{seed}": Lesson(
                {"first": pair[0], "second": pair[1], "wanted": wanted}, seed
            )
            for seed, pair, wanted in kinds
        }  # fmt: skip

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"pooling": self.cfg.pooling}

    @property
    def pilot_cells(self) -> tuple[str, ...]:
        """The names of the two cells of the pilot."""
        return tuple(f"{'-'.join(PILOT)}-wants{wanted}-s0" for wanted in (0, 1))

    def cells(self) -> list[Cell]:
        """All cells but the pilot's need it."""
        first = self.pilot_cells
        return [cell if cell.name in first else dataclasses.replace(cell, needs=first) for cell in super().cells()]

    def pilot(self) -> dict[str, Any] | None:
        """Returns in how many scenes whose cues agree the pilot's policies went to a toy, and to the right one.

        None until it has run.
        """
        from toyshift.diagnostics import read_rows_manifest

        paths = [self.path(name) for name in self.pilot_cells]
        if not all(path.exists() for path in paths):
            return None
        told = [read_rows_manifest(path) for path in paths]
        agree = [cue for facts in told for cue, test in zip(facts[APPROACHED], facts["tests"], strict=True)
                 if test == AGREE]  # fmt: skip
        decided, right = sum(map(bool, agree)), agree.count(BOTH)
        stopped = decided < DECIDED * len(agree) or not is_learnt(right, decided)
        return {"decided": decided, "right": right, "scenes": len(agree), "stopped": stopped}

    def is_done(self, cell: Cell) -> bool:
        """Says whether a cell's rows are there, or it is not to be run since the pilot said no."""
        if super().is_done(cell):
            return True
        found = None if cell.name in self.pilot_cells else self.pilot()
        return found is not None and bool(found["stopped"])

    def check(self) -> None:
        self.claim()  # before anything is written
        write_toys(self.cfg.work_dir / "toys")
        super().check()

    def objects(self, lesson: Lesson, disagree: bool) -> str:
        """Returns the object set of a lesson; with a side as a cue it is the scene that makes cues disagree."""
        pair = pair_of(lesson)
        return object_set(self.cfg.work_dir / "toys", toys_of(pair, disagree and "side" not in pair))

    def collected(self, lesson: Lesson) -> CollectConfig:
        """Returns what all demonstrations of a pair of cues are: of both targets, of which a policy learns from one."""
        from toyshift.data import CollectConfig

        pair = pair_of(lesson)
        count = self.practice.demos * (4 if "side" in pair else 2)  # half the scenes show the side that is wanted
        out = self.cfg.work_dir / "demonstrations" / f"{'-'.join(pair)}-s{lesson.seed}"
        workers = self.cfg.processes if self.cfg.processes > 1 else 0
        return CollectConfig(
            self.objects(lesson, disagree=False), count, out, workers=workers, seed=self.seed_of(lesson), task="pick",
            clutter=1,
        )  # fmt: skip

    def dataset(self, lesson: Lesson) -> Path:
        """Takes of a pair's demonstrations those of one target, where both cues have its level; as many of each."""
        from toyshift.data.collecting.replay import begin_again, environment_of
        from toyshift.data.store.dataset import open_dataset

        src = super().dataset(lesson)
        out = src.with_name(f"{src.name}-wants{lesson.varied['wanted']}")
        dataset, pair, wanted = open_dataset(src), pair_of(lesson), int(lesson.varied["wanted"])
        env = environment_of(dataset, cameras=())
        takes: list[int] = []
        try:
            for i in range(dataset.num_episodes):
                begin_again(env, meta := dataset.meta(i), i)
                levels = levels_of(pair, env.objects.index(str(meta["object_id"])), side_of(env), disagree=False)
                if levels == (wanted, wanted):
                    takes.append(i)
        finally:
            env.close()
        if not takes:
            raise ConfigError(f"none of {dataset.num_episodes} demonstrations has both cues; give more --demos")
        with made_once(out):
            return remake(src, out, takes[: self.practice.demos], {"what": "one target", **lesson.varied})

    def recipe(self, lesson: Lesson, data: str, out: str) -> TrainConfig:
        # neither mirrored nor recoloured: that would blur the cues
        policy = PolicyConfig(pooling=self.cfg.pooling, instruction="none", chunk=8, execute=4, state_keep=STATE)
        return TrainConfig(
            data=(data,), out=out, policy=policy, steps=self.practice.steps, batch_size=self.practice.batch, lr=5e-3,
            seed=self.seed_of(lesson), threads=self.cfg.processes, state_noise=0.05,
        )  # fmt: skip

    def tests(self, lesson: Lesson, policy: str, called: str) -> dict[str, EvaluateConfig]:
        from toyshift.diagnostics import EnvSpec, EvaluateConfig
        from toyshift.diagnostics.swapped_cells import BesideCell

        beside = BesideCell("target", "beside", "choice", REACH)
        trials, seed = self.practice.trials, TEST_SEED + self.seed_of(lesson)
        env = EnvSpec({"task": "pick", "clutter": 1})
        own = self.objects(lesson, disagree=False)
        if "side" in pair_of(lesson):  # half of its scenes disagree
            return {CONFLICT: EvaluateConfig(policy, own, 2 * trials, seed=seed, name=called, env=env, cell=beside)}
        other = self.objects(lesson, disagree=True)
        return {
            CONFLICT: EvaluateConfig(policy, other, trials, seed=seed, name=called, env=env, cell=beside),
            AGREE: EvaluateConfig(policy, own, max(1, trials // 2), seed=seed, name=called, env=env, cell=beside),
        }  # fmt: skip

    def taken(self, lesson: Lesson, rows: Sequence[Row]) -> dict[str, list[str]]:
        """Returns of each episode which cue the toy had that was approached first, and that was lifted; "" of none."""
        from toyshift.envs.config import EnvConfig
        from toyshift.envs.tasks.grasp import GraspEnv

        pair, wanted = pair_of(lesson), int(lesson.varied["wanted"])
        found: dict[str, list[str]] = {what: [""] * len(rows) for what in (APPROACHED, LIFTED)}
        for test in dict.fromkeys(row.object_set for row in rows):
            disagree = test == CONFLICT and "side" not in pair
            spec = self.objects(lesson, disagree)
            env = GraspEnv(EnvConfig(objects=spec, task="pick", clutter=1, cameras=()))
            try:
                for number, row in enumerate(rows):
                    which = {what: is_target for what, is_target in took(row).items() if is_target is not None}
                    if row.object_set != test or not which:
                        continue
                    side, target = -1, env.objects.index(row.object_id)
                    if "side" in pair:
                        options = {"episode": row.episode, "object": row.object_id, "purpose": row.purpose}
                        env.reset(seed=row.seed, options=options)
                        side = side_of(env)
                    for what, is_target in which.items():
                        toy, there = (target, side) if is_target else (1 - target, 1 - side)
                        found[what][number] = followed(pair, levels_of(pair, toy, there, disagree), wanted)
            finally:
                env.close()
        return found

    def seen(self, lesson: Lesson, policy: Path, rows: Sequence[Row]) -> dict[str, Any]:
        return {**self.taken(lesson, rows), "tests": [row.object_set for row in rows]}

    def tabulate(self) -> dict[str, Any]:
        taught = self.read()
        table = tabulated(taught) | self.made_with() | {"pilot": self.pilot()}
        folder, docs = self.cfg.results_dir, self.cfg.docs_dir
        write_json(folder / "table.json", table)
        draw(docs / "cue_priority.png", table["pairs"])
        made = markdown(table)
        write_page(docs / "cue_priority.md", self.name, folder, made)
        print(made)
        return table


def pair_of(lesson: Lesson) -> tuple[str, str]:
    return str(lesson.varied["first"]), str(lesson.varied["second"])


def took(row: Row) -> dict[str, bool | None]:
    """Returns of what was approached first, and of what was lifted, whether it was the target; None of nothing."""
    from toyshift.diagnostics.dsl import CUE, INSTRUCTED

    lifted = True if row.success else False if row.failure == "wrong_object" else None
    return {APPROACHED: {INSTRUCTED: True, CUE: False}.get(row.approached), LIFTED: lifted}


def side_of(env: Any) -> int:
    """Returns the target's side of the two objects: 0 where it lies further to the left (y is larger), else 1."""
    (_, other, _), *_ = env.others()
    return int(env.object_pose()[0][1] < other[1])


def levels_of(pair: tuple[str, str], number: int, side: int, disagree: bool) -> tuple[int, int]:
    """Returns the levels of a pair of cues that a toy has.

    Args:
        pair: cues.
        number: of the toy in `toys_of`.
        side: on which it lies, 0 or 1.
        disagree: of `toys_of`.
    """
    own = toys_of(pair, disagree)[number]._asdict()
    first, second = (side if cue == "side" else own[cue] for cue in pair)
    return first, second


# ---------------------------------------------------------------- figures from rows


def bradley_terry(wins: NDArray[np.float64], rounds: int = 100) -> Array:
    """Returns log strengths (C,) with mean 0 of which cue beats which: the most likely ones, by Newton's method.

    Args:
        wins: (C, C) how often the cue of a row beat that of a column; every cue must win and lose at least a part.
        rounds: most steps; each changes no strength by more than 1.

    Raises:
        ConfigError: a cue never won or never lost: its strength is not finite.
    """
    import numpy as np

    if (wins.sum(1) <= 0).any() or (wins.sum(0) <= 0).any():
        raise ConfigError("a cue that never won, or never lost, has no finite strength; add a part of a win to each")
    played, strength = wins + wins.T, np.zeros(len(wins))
    for _ in range(rounds):
        chance = 1.0 / (1.0 + np.exp(strength[None] - strength[:, None]))
        spread = played * chance * (1.0 - chance)
        curvature = np.diag(spread.sum(1)) - spread  # all strengths may move alike: its null direction
        step = np.linalg.pinv(curvature) @ (wins - played * chance).sum(1)
        strength = strength + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-10:
            break
    return np.asarray(strength - strength.mean())


def is_learnt(right: int, decided: int) -> bool:
    """Says whether policies learnt to choose: where cues agree, more than half of the toys approached are right.

    It is Wilson's interval of 95 % that must lie above a half. A policy that has not learnt it goes to the nearer toy,
    say, and which cue that toy has tells nothing.
    """
    from toyshift.diagnostics import wilson

    return bool(decided) and wilson(right, decided)[0] > CHANCE


def tabulated(taught: Sequence[Taught]) -> dict[str, Any]:
    """Returns for each pair how often each cue won, and the cues' strengths with intervals over policies.

    Strengths are those of the pairs whose policies learnt to choose.
    """
    from toyshift.diagnostics import wilson

    counts = [(pair_of(lesson), _counts(pair_of(lesson), rows, facts)) for lesson, rows, facts in taught]
    lines = []
    for pair in PAIRS:
        if not (own := [c for p, c in counts if p == pair]):
            continue
        total = {key: sum(c[key] for c in own) for key in own[0]}
        n = total[pair[0]] + total[pair[1]]
        low, high = wilson(total[pair[0]], n) if n else (0.0, 1.0)
        each = [c[pair[0]] / m if (m := c[pair[0]] + c[pair[1]]) else None for c in own]
        lines.append({
            "first": pair[0], "second": pair[1], "first_wins": total[pair[0]], "second_wins": total[pair[1]], "n": n,
            "rate": total[pair[0]] / n if n else None, "wilson_95": [low, high], "by_policy": each,
            "undecided": total["none"], "agree_both": total["agree both"], "agree_decided": total["agree decided"],
            "first_lifts": total[f"{pair[0]} lifted"], "second_lifts": total[f"{pair[1]} lifted"],
            "learnt": is_learnt(total["agree both"], total["agree decided"]),
        })  # fmt: skip
    learnt = {(str(x["first"]), str(x["second"])) for x in lines if x["learnt"]}
    return {"pairs": lines, "strengths": strengths([(p, c) for p, c in counts], learnt)}


def _counts(pair: tuple[str, str], rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, int]:
    """Counts approaches and lifts by cue where the cues disagreed, and right approaches where they agreed.

    Of a scene in which nothing was approached it is not known which of the two it was, if the side is a cue.
    """
    tested = [(row.object_set, cue) for row, cue in zip(rows, facts[APPROACHED], strict=True)]
    agree = [cue for _, cue in tested if cue in (BOTH, NOBODY)]
    found = {cue: sum(one == cue for _, one in tested) for cue in pair}
    found |= {f"{cue} lifted": list(facts[LIFTED]).count(cue) for cue in pair}
    none = sum(not cue for test, cue in tested if test == CONFLICT)
    return found | {"none": none, "agree both": agree.count(BOTH), "agree decided": len(agree)}


Counted = Sequence[tuple[tuple[str, str], Mapping[str, int]]]  # pair, and how often each of its cues won; a policy each


def strengths(
    counts: Counted, learnt: Collection[tuple[str, str]] = PAIRS, resamples: int = 400
) -> list[dict[str, Any]]:
    """Returns the cues from the strongest, with a bootstrap over the policies of each pair; [] until all are there.

    Half a win is added to both sides of each pair, so that strengths stay finite.

    Args:
        counts: wins of each policy.
        learnt: pairs that count. [] is returned as well where they leave a cue unlinked to others: it has no rank.
        resamples: of the bootstrap.
    """

    import numpy as np

    def fitted(chosen: Counted) -> Array:
        wins = np.zeros((len(CUES), len(CUES)))
        for pair in by_pair:
            for winner, loser in (pair, pair[::-1]):
                wins[CUES.index(winner), CUES.index(loser)] = 0.5 + sum(c[winner] for p, c in chosen if p == pair)
        return bradley_terry(wins)

    if {pair for pair, _ in counts} < {*PAIRS} or not are_linked(learnt):
        return []
    counts = [one for one in counts if one[0] in learnt]
    by_pair = {pair: [one for one in counts if one[0] == pair] for pair in PAIRS if pair in learnt}
    rng = np.random.default_rng(0)
    drawn = np.array([
        fitted([some[i] for some in by_pair.values() for i in rng.integers(len(some), size=len(some))])
        for _ in range(resamples)
    ])  # fmt: skip
    found, (low, high) = fitted(counts), np.quantile(drawn, [0.025, 0.975], axis=0)
    order = np.argsort(-found)
    return [
        {"cue": CUES[i], "strength": float(found[i]), "low": float(low[i]), "high": float(high[i])} for i in order
    ]


def are_linked(pairs: Collection[tuple[str, str]]) -> bool:
    """Says whether pairs lead from each cue to every other one."""
    reached = {CUES[0]}
    for _ in CUES:
        reached |= {cue for pair in pairs if reached & {*pair} for cue in pair}
    return reached == {*CUES}


HEAD = (
    "| cues | first approached | second approached | first's share, % | 95 % scenes | each policy | "
    "neither approached | right where cues agree | lifted, first and second |"
)


def pilot_text(pilot: Mapping[str, Any]) -> str:
    """Returns what is said of the pilot."""
    told = (
        f"Pilot ({PILOT[0]} against {PILOT[1]}): in {pilot['decided']} of {pilot['scenes']} scenes whose cues agree "
        f"the hand went to a toy, in {pilot['right']} to the right one."
    )
    if not pilot["stopped"]:
        return told
    return (
        f"**Stopped after the pilot.** {told} That is too few (fewer than {100 * DECIDED:.0f} % go to a toy, or it is "
        f"not shown that more than half of those go to the right one): these policies do not say what they choose, and "
        f"the other cells were not run."
    )


def markdown(table: Mapping[str, Any]) -> str:
    """Returns the made part of the page."""
    pilot = table["pilot"]
    made = [] if pilot and pilot["stopped"] else [is_complete(table)]
    if pilot:
        made.append(pilot_text(pilot))
    made.append(markdown_table(HEAD, [
        (f"{x['first']} against {x['second']}", x["first_wins"], x["second_wins"],
         "-" if x["rate"] is None else f"{100 * x['rate']:.0f}", percents(*x["wilson_95"]),
         ", ".join("-" if rate is None else f"{100 * rate:.0f}" for rate in x["by_policy"]), x["undecided"],
         f"{x['agree_both']} of {x['agree_decided']}", f"{x['first_lifts']} and {x['second_lifts']}")
        for x in table["pairs"]
    ]))  # fmt: skip
    if unlearnt := [f"{x['first']} against {x['second']}" for x in table["pairs"] if not x["learnt"]]:
        made.append(
            f"**Not learnt to choose:** {'; '.join(unlearnt)}. Where cues agree, it is not shown that more than half "
            "of the toys approached are right, so of these nothing is said, and they are not in the ranks."
        )
    if table["strengths"]:
        lines = [
            (x["cue"], f"{x['strength']:+.2f}", f"{x['low']:+.2f} to {x['high']:+.2f}", f"{odds(x['strength']):.2f}")
            for x in table["strengths"]
        ]
        made.append(markdown_table("| cue | strength (log odds) | 95 % policies | beats an average cue in |", lines))
        order = ", ".join(x["cue"] for x in table["strengths"])
        made.append(f"From the strongest: {order}. The paper's order: {PAPER}.")
    return "\n\n".join(made)


def odds(strength: float) -> float:
    """Returns the probability to beat a cue of strength 0."""
    return 1.0 / (1.0 + math.exp(-strength))


def draw(out: Path, pairs: Sequence[Mapping[str, Any]]) -> None:
    """Draws the first cue's share of each pair, with rings for policies."""
    from toyshift.scripts.studies.charts import Group, success_chart

    rows = [
        (f"{x['first']} : {x['second']}", 0, {
            "rate": x["rate"], "clustered_objects_95": x["wilson_95"],
            "by_seed": [rate for rate in x["by_policy"] if rate is not None],
        })
        for x in pairs if x["rate"] is not None
    ]  # fmt: skip
    if rows:
        note = "line: Wilson's interval of scenes"
        success_chart(out, [Group("the first cue's toy approached first", rows)], what="share of approaches", more=note)
