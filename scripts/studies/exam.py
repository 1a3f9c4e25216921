"""An exam for the verdict on shortcuts: policies with one planted cue, and policies that the same cue told nothing.

Each learns from one of three sets of demonstrations, rendered again (`planted`). `toyshift diagnose`'s counterfactual
measure is given the policy and its data, and says which factor the policy takes for the target's place. What it says
is compared with what was planted, and with what the policy does when the cue is swapped in whole episodes. Success
there is predicted, before it is played, from looks and from other episodes with nothing swapped.

toyshift study exam --only "a-*"     the factors on which thresholds are set; then "b-*", the others
toyshift study exam --results results/exam --docs docs --tabulate     the committed rows and their page
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Pool, worker_pool
from toyshift.scripts.studies.cells import TEST_SEED, Study, no_rows, write_page
from toyshift.scripts.studies.figures import markdown_table, percents
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.planted import (
    Learning,
    PlantedCue,
    collect_places,
    dress,
    play_swapped,
    recipe,
    swapped_cells,
)
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

TOYS = "toys:train"
# on the first thresholds may be set; the others are looked at once they stand
GROUPS = {"a": ("table", "azimuth", "light"), "b": ("background", "object_colour")}
STRENGTHS = (1.0, 0.85, 0.7, 0.5)
DISPARITY = 1.0  # of the two values of a cue: half a factor's span, with azimuth 60 degrees
SIZES = {"small": 24, "paper": 200}  # policies with a planted cue, and as many without


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, Learning, trials=1, scenes=1, looks=1):
    """Options of `toyshift study exam`."""

    budget: Literal["small", "paper"] = "small"
    """small: 24 policies with a planted cue and 24 without; paper: 200 and 200."""
    only: tuple[str, ...] = ()
    """Cells to run, by pattern: "a-*" are those of table, azimuth and light, "b-*" the others."""
    trials: int = 25
    """Episodes per cell of the test: two controls and two with the cue swapped."""
    scenes: int = 40
    """Scenes that the measure looks at."""
    looks: int = 5
    """Looks at each of them, along an episode of the expert."""
    out: Path = Path("runs/exam")
    cards: Path | None = None
    """File for the counts that cards of policies quote, in a checkout diagnostics/assets/exam.json."""

    def settings(self) -> dict[str, Any]:
        """What decides a cell's result."""
        names = ("budget", "pooling", "lr", "demos", "steps", "batch", "trials", "scenes", "looks", "seed")
        return {k: getattr(self, k) for k in names}


def main(cfg: Config) -> dict[str, Any]:
    """Examines the verdict on shortcuts with policies whose shortcut, or its absence, is planted (docs/exam.md).

    Example: toyshift study exam --only "a-*" --out runs/exam
    """
    return Exam(cfg).conduct(cfg, cfg.only)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One policy of the exam: what its data hold, and which of three sets of demonstrations they are of."""

    cue: PlantedCue
    demonstrations: int


def candidates(count: int, group: str, seed: int) -> list[Candidate]:
    """Returns a group's policies, half of them clean, in an order that tells nothing of which.

    Args:
        count: policies with a planted cue in both groups together.
        group: "a" or "b".
        seed: of the order.
    """
    every = [factor for factors in GROUPS.values() for factor in factors]
    found = []
    for i in range(count):
        factor, strength = every[i % len(every)], STRENGTHS[i // len(every) % len(STRENGTHS)]
        if factor in GROUPS[group]:
            found += [Candidate(PlantedCue(factor, DISPARITY, rho), i % 3) for rho in (strength, 0.0)]
    return [found[i] for i in episode_rng(seed, 0, f"exam {group}").permutation(len(found))]


class Exam(Study):
    """One cell a policy."""

    name = "exam"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        self.candidates = {
            f"{group}-{number:03d}": candidate
            for group in GROUPS for number, candidate in enumerate(candidates(SIZES[cfg.budget], group, cfg.seed))
        }  # fmt: skip

    def cells(self) -> list[Cell]:
        cfg = self.cfg
        seconds = 0.2 * cfg.demos + cfg.steps * cfg.batch / 900.0 + 1.4 * cfg.trials + 0.3 * cfg.scenes * cfg.looks
        return [Cell(name, "a policy whose cue is not told here", seconds) for name in self.candidates]

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def check(self) -> None:
        self.prepare(TOYS)

    def run(self, cell: Cell) -> None:
        """Makes a policy, asks the measure, foretells, and then plays the cells in which its cue is swapped."""
        from toyshift.diagnostics import write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        cfg, candidate = self.cfg, self.candidates[cell.name]
        cue, seed = candidate.cue, cfg.seed + list(self.candidates).index(cell.name)
        workers = cfg.processes if cfg.processes > 1 else 0
        folder = cfg.work_dir / cell.name
        shared = cfg.work_dir / f"places-{candidate.demonstrations}"
        places = collect_places(shared, TOYS, cfg.demos, cfg.seed + candidate.demonstrations, workers)
        data = dress(cue, places, folder / "data", seed, workers)
        sizes: dict[str, Any] = {"steps": cfg.steps, "batch": cfg.batch, "lr": cfg.lr, "seed": seed}
        done = train(recipe(cfg.pooling, data, folder / "policy", threads=cfg.processes, **sizes))
        with worker_pool(cfg.processes) as pool:
            facts, test = self.told(folder, cue, seed, pool), TEST_SEED + seed
            rows = play_swapped(str(folder / "policy"), cue, TOYS, cfg.trials, test, cell.name, folder / "rows", pool)
        facts |= {"candidate": dataclasses.asdict(candidate), "gl_renderer": gl_renderer_name()}
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), seed, **facts))

    def told(self, folder: Path, cue: PlantedCue, seed: int, pool: Pool) -> dict[str, Any]:
        """Returns all that is said of a policy before its swapped cells are played.

        `findings`: by the measure with the policy's data, as a user asks. `believed`: of the cue alone, as if the data
        tied it to the place, of planted and clean policies alike. `foretold`: the change of success under the swap.
        """
        from toyshift.diagnostics.measures import Asked
        from toyshift.diagnostics.measuring.counterfactual import Swaps, answered, counterfactual_of
        from toyshift.diagnostics.measuring.predicted import swap_foretold

        cfg, policy = self.cfg, str(folder / "policy")
        asked = Asked(
            policy=policy, trained_on=(folder / "data",), objects=TOYS, scenes=cfg.scenes, looks=cfg.looks,
            trials=2 * cfg.trials, camera="front", seed=seed, out=folder / "asked", pool=pool,
        )  # fmt: skip
        begun = time.monotonic()
        found = counterfactual_of(asked)
        seconds = round(time.monotonic() - begun, 1)
        training = found.training
        assert training is not None  # the data say what it was
        believed = answered(asked, Swaps({}, {cue.factor: cue.believed()}, asked.base_look), training)
        (own, *_) = believed.found
        foretold = swap_foretold(own.value, TOYS, cfg.scenes, training, seed)
        return {
            "thresholds": thresholds(), "training": training, "findings": found.to_json(), "card_seconds": seconds,
            "believed": believed.to_json(), "foretold": foretold.to_json(),
        }  # fmt: skip

    def tabulate(self) -> dict[str, Any]:
        from toyshift.diagnostics import read_rows, read_rows_manifest

        folder, page = self.cfg.results_dir, self.cfg.docs_dir / "exam.md"
        paths = whole_files(folder / "rows", "[ab]-*.parquet")
        if not paths:
            raise no_rows(folder, "exam")
        facts = [read_rows_manifest(path) for path in paths]
        decided = same_thresholds({path.stem: fact["thresholds"] for path, fact in zip(paths, facts, strict=True)})
        lines = [_line(path.stem, fact, read_rows(path)) for path, fact in zip(paths, facts, strict=True)]
        table = {
            "settings": read_json(folder / "settings.json")["settings"], "thresholds": decided, "policies": lines,
            "verdicts": {name: verdicts(some) for name, some in splits(lines).items() if some}, "cards": cards(lines),
        }  # fmt: skip
        write_json(folder / "table.json", table)
        if self.cfg.cards:
            write_json(self.cfg.cards, table["cards"])
        made = _markdown(table)
        write_page(page, self.name, folder, made)
        print(made)
        return table


def thresholds() -> dict[str, Any]:
    """Returns what decides a verdict, the code that does among it, and a hash: each row and the page say with which it
    was made.
    """
    from toyshift.core.files import content_hash, json_hash
    from toyshift.diagnostics import looks
    from toyshift.diagnostics.measuring import counterfactual, implied, own_success, predicted

    decided = {
        "p, corrected": counterfactual.ALPHA, "response [cm]": counterfactual.LEAST,
        "success as in training": own_success.CAPABLE_FROM, "follows [units per cm]": counterfactual.FOLLOWS,
        "own share of the expert's change": counterfactual.OWN_LEAST, "move [m]": counterfactual.MOVE,
        "deals of signs": counterfactual.FLIPS, "least units": counterfactual.FEW, "tied, p": implied.TIED,
        "places apart [m]": implied.APART, "episodes of a value": implied.LEAST, "gain": predicted.GAIN,
    }  # fmt: skip
    rooms = (looks, counterfactual, implied, own_success, predicted)
    code = content_hash(*(Path(str(room.__file__)).read_bytes() for room in rooms))[:16]
    return decided | {"code": code, "hash": json_hash([decided, code])}


def same_thresholds(by_policy: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns the thresholds with which all policies were judged.

    Raises:
        ConfigError: they are not the same ones.
    """
    (first, decided), *others = by_policy.items()
    if other := next((name for name, found in others if found != decided), None):
        told = f"{first} was judged with other thresholds than {other}"
        raise ConfigError(f"{told} ({decided['hash']}, {by_policy[other]['hash']}); make one of them anew")
    return decided


def _line(name: str, facts: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Returns what is known of one policy: planted, said, foretold and done."""
    from toyshift.diagnostics.swapped import swapped_of

    cue, (won, played) = PlantedCue(**facts["candidate"]["cue"]), facts["training"]
    done = swapped_of(swapped_cells(cue, rows))
    said = [finding["table"][0] for finding in facts["findings"] if finding["table"]]
    known = [x for x in said if x["direction"] == "known"]
    # of all factors that were looked at, the least p first, then the largest response
    clear = sorted(said, key=lambda x: (x["p"], -abs(x["response_cm"])))
    rank = next((i for i, x in enumerate(clear, 1) if x["factor"] == cue.factor), None)
    own = next((finding["table"][0] for finding in facts["believed"] if finding["table"]), None)
    measured = done.ood_success.value - done.id_success.value
    return {
        "policy": name, "group": name[0], "factor": cue.factor, "strength": cue.correlation,
        "incapable": won < facts["thresholds"]["success as in training"] * played, "undefined": own is None,
        "named": _taken(own), "rank": rank, "ranked": len(clear), "episodes": len(rows) // 2,
        "named with the data": [
            x["factor"] for x in sorted(known, key=lambda x: -abs(x["response_cm"] or 0.0)) if _taken(x)
        ],
        "to one side": [x["factor"] for x in said if x["direction"] == "unknown" and x["named"]],
        "response_cm": own and own["response_cm"], "beta": own and own["beta"], "p": own and own["p (Holm)"],
        "along": own and own["along"], "dsl": done.degree.dsl.value, "by_chance": done.by_chance.dsl.value,
        "excess": done.excess and done.excess.difference.to_json(), "id_success": done.id_success.value,
        "ood_success": done.ood_success.value, "measured change": measured, "foretold": facts["foretold"],
        "took it": bool(done.excess and done.excess.difference.low > 0), "card_seconds": facts["card_seconds"],
    }  # fmt: skip


def _taken(line: dict[str, Any] | None) -> bool:
    """Says whether a line names its factor as taken for the target's place."""
    return bool(line and line["named"] and line["response_cm"] > 0)


def splits(lines: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Returns the policies of all, of each factor and of each strength; clean ones stand beside every strength."""
    found = {"all": [*lines]}
    for group, factors in GROUPS.items():
        found |= {f"{factor} ({group})": [x for x in lines if x["factor"] == factor] for factor in factors}
    return found | {f"strength {s:g}": [x for x in lines if x["strength"] in (s, 0.0)] for s in STRENGTHS}


def verdicts(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts what was said of policies, by whether a cue was planted and whether the policy took it.

    Incapable ones are in no share. Undefined ones are, as not named.
    """
    from toyshift.diagnostics.statistics import wilson

    able = [x for x in lines if not x["incapable"]]
    planted, clean = [x for x in able if x["strength"]], [x for x in able if not x["strength"]]
    took, held = [x for x in planted if x["took it"]], [x for x in planted if not x["took it"]]

    def share(hits: Sequence[bool]) -> dict[str, Any]:
        low, high = wilson(sum(hits), len(hits)) if hits else (0.0, 1.0)
        return {"k": sum(hits), "n": len(hits), "low": low, "high": high}

    pairs = _foretold(able)
    return {
        "policies": len(lines), "incapable": len(lines) - len(able), "undefined": sum(x["undefined"] for x in able),
        "named, of planted": share([x["named"] for x in planted]),
        "named, of those that took it": share([x["named"] for x in took]),
        "named, of planted that did not show it": share([x["named"] for x in held]),
        "first of all factors, of planted": share([x["rank"] == 1 for x in planted]),
        "alarms, of clean": share([x["named"] for x in clean]),
        "with the data, of planted": share([x["named with the data"] == [x["factor"]] for x in planted]),
        "with the data, of clean": share([bool(x["named with the data"]) for x in clean]),
        "to one side, of planted": share([bool(x["to one side"]) for x in planted]),
        "to one side, of clean": share([bool(x["to one side"]) for x in clean]),
        "spearman": _ranks(pairs), "spearman, planted": _ranks(_foretold(planted)), "spearman, if true": _ceiling(able),
        "points off": 100 * statistics.mean(abs(f - m) for f, m in pairs) if pairs else None,
    }  # fmt: skip


def cards(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Counts cards that name a shortcut, and of them those whose factor was not planted, by the card's word.

    The other words rest on more than the exam asks, or claim nothing that could be wrong.
    """
    from toyshift.diagnostics.measuring.policy_card import SHORTCUT

    named = [x for x in lines if not x["incapable"] and x["named with the data"]]
    wrong = [x for x in named if not x["strength"] or x["named with the data"][0] != x["factor"]]
    return {SHORTCUT: {"wrong": len(wrong), "cards": len(named)}}


def _foretold(lines: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Returns foretold and measured changes, where both are known."""
    pairs = [(x["foretold"]["value"], x["measured change"]) for x in lines]
    return [(f, m) for f, m in pairs if f is not None and not math.isnan(m)]


def _ranks(pairs: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    from toyshift.diagnostics.measuring.predicted import rank_correlation

    return rank_correlation(*zip(*pairs, strict=True)).to_json() if len(pairs) > 3 else None


def _ceiling(lines: Sequence[dict[str, Any]]) -> float | None:
    """Returns the median rank correlation that would be seen if what is foretold were exactly true.

    As many episodes as were played are drawn with the policy's success, and as many with that changed as foretold. They
    are drawn independently, the real ones have starts in common, so the true ceiling is somewhat higher.
    """
    import numpy as np

    from toyshift.diagnostics.measuring.predicted import rank_correlation

    known = [x for x in lines if x["foretold"]["value"] is not None]
    if len(known) < 4:
        return None
    rng, told = episode_rng(0, 0, "exam ceiling"), np.array([x["foretold"]["value"] for x in known])
    before, n = np.array([x["id_success"] for x in known]), np.array([x["episodes"] for x in known])
    seen = [
        rank_correlation(told, (rng.binomial(n, np.clip(before + told, 0, 1)) - rng.binomial(n, before)) / n).value
        for _ in range(400)
    ]
    return float(np.nanmedian(seen))


BELIEVED = {  # column -> share
    "named, of all planted": "named, of planted", "of those that took it": "named, of those that took it",
    "of those that did not show it": "named, of planted that did not show it", "alarms, of clean": "alarms, of clean",
}  # fmt: skip
ASKED = {
    "named, of all planted": "with the data, of planted", "alarms, of clean": "with the data, of clean",
    "ranked first of all factors, of planted": "first of all factors, of planted",
    "to one side, of planted": "to one side, of planted", "to one side, of clean": "to one side, of clean",
}  # fmt: skip
FORETOLD = (
    "| policies | Spearman of foretold and measured change | if the foretold were true | of planted alone | "
    "off on average |"
)


def _markdown(table: dict[str, Any]) -> str:
    def text(x: dict[str, Any]) -> str:
        return f"{x['k']} of {x['n']} ({percents(x['low'], x['high'])} %)" if x["n"] else "-"

    def ranks(x: dict[str, Any] | None) -> str:
        return f"{x['value']:.2f} ({x['low']:.2f} to {x['high']:.2f})" if x and x["value"] is not None else "-"

    def shares(columns: dict[str, str]) -> str:
        head = f"| policies | how many | incapable | undefined | {' | '.join(columns)} |"
        return markdown_table(head, [
            (name, x["policies"], x["incapable"], x["undefined"], *(text(x[key]) for key in columns.values()))
            for name, x in table["verdicts"].items()
        ])  # fmt: skip

    foretold = []
    for name, x in table["verdicts"].items():
        off, most = x["points off"], x["spearman, if true"]
        foretold.append((
            name, ranks(x["spearman"]), "-" if most is None else f"{most:.2f}", ranks(x["spearman, planted"]),
            "-" if off is None else f"{off:.0f} points",
        ))  # fmt: skip
    seconds = [x["card_seconds"] for x in table["policies"]]
    decided = ", ".join(f"{k} {v:g}" for k, v in table["thresholds"].items() if k not in ("hash", "code"))
    took = f"Asking one policy took {statistics.median(seconds):.0f} s (median; {max(seconds):.0f} at most) of one core"
    code, hashed = table["thresholds"]["code"], table["thresholds"]["hash"]
    return "\n\n".join((
        f"Thresholds: {decided}; code `{code}`; hash `{hashed}`. {took}, the counterfactual measure alone.",
        "If the cue is believed to be tied to the place:", shares(BELIEVED), "With the data:", shares(ASKED),
        "The change of success when the cue is swapped:", markdown_table(FORETOLD, foretold),
    ))  # fmt: skip
