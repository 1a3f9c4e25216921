"""The main job end to end: toys, demonstrations, two policies, zero-shot test, diagnosis, repair, export, HTML report.

toyshift run quickstart
toyshift run quickstart --ycb DIR
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from toyshift.core.files import read_json, write_json
from toyshift.core.runs import claim, finish, found
from toyshift.core.workers import worker_pool
from toyshift.scripts.quickstart.settings import (
    DIAGNOSED_SET,
    POOLINGS,
    REPAIRED_TURN,
    TRAINING_TOYS,
    Config,
)  # fmt: skip

T = TypeVar("T")


def main(cfg: Config) -> dict[str, Any]:
    """Toys -> demonstrations -> two policies -> zero-shot test -> what they lean on -> repair -> export -> HTML report.

    A second run does nothing and says so; killed at any moment and run again, it goes on.
    Example: toyshift run quickstart --ycb DIR
    """
    return Quickstart(cfg).everything()


def announce(number: int, text: str) -> None:
    print(f"[{number}/7] {text}", file=sys.stderr, flush=True)


class Quickstart:
    """The stages in order; each reads what earlier ones wrote, and does nothing when its result is there."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.marker = cfg.out / "quickstart.json"
        self.seconds: dict[str, float] = {}
        self.pool: Any = None  # processes that several evaluations share

    def everything(self) -> dict[str, Any]:
        """Runs all stages and returns what results.json holds, shortened."""
        out = self.cfg.out
        done = self.finished()
        if done is not None:
            print(f"nothing to do: {out} is complete (delete it, or give another --out, to run again)")
            print(f"report: {out / 'report.html'}")
            return done | {"cached": True}
        self.check()
        claim(self.marker, self.cfg.identity(), self.cfg.to_json())
        from toyshift.scripts.quickstart.results import Results, write_results

        self.timed("demonstrations", self.collect)
        self.timed("training", self.train)
        with worker_pool(self.cfg.processes) as self.pool:
            rows = self.timed("evaluation", self.evaluate)
            leaning, changed = self.timed("diagnosis", self.diagnose)
        # the fine-tunes want all cores: the workers of the evaluation have ended
        self.timed("repair", self.fine_tune)
        with worker_pool(self.cfg.processes) as self.pool:
            repair = self.timed("repair evaluation", self.evaluate_repair)
        verified = self.timed("export", self.export)
        announce(7, "report")
        result = write_results(self.cfg, Results(rows, leaning, changed, repair, verified, self.seconds))
        finish(self.marker, result)
        print(f"report: {out / 'report.html'}")
        return result | {"cached": False}

    def finished(self) -> dict[str, Any] | None:
        """Returns what an earlier run of the same settings came to; None where none was finished."""
        cfg = self.cfg
        done = found(self.marker, cfg.identity(), "a quickstart", "toyshift run quickstart", cfg.to_json())
        older = cfg.out / "finished.json"  # where earlier versions said so
        if done is None and self.marker.exists() and older.exists():
            done = read_json(older)["result"]
        return done if all((cfg.out / name).exists() for name in ("report.html", "results.json")) else None

    def check(self) -> None:
        """Finds what is missing before half an hour is spent: GL, and every object set."""
        from toyshift.core.graphics import gl_backend
        from toyshift.toys import load_objects

        gl_backend()
        for spec in self.cfg.test_sets:
            load_objects(spec)

    def timed(self, name: str, stage: Callable[[], T]) -> T:
        """Runs a stage and keeps how long it took; a stage that was there already keeps its first time."""
        path = self.cfg.out / "seconds.json"
        begun = time.monotonic()
        result = stage()
        self.seconds = {name: round(time.monotonic() - begun, 1)} | (read_json(path) if path.exists() else {})
        write_json(path, self.seconds)
        return result

    # ---------------------------------------------------------------- stages

    def collect(self) -> None:
        from toyshift.data import CollectConfig, collect

        cfg = self.cfg
        announce(1, f"{cfg.episodes} demonstrations on {TRAINING_TOYS}")
        collect(CollectConfig(TRAINING_TOYS, cfg.episodes, cfg.demos, workers=cfg.processes, seed=cfg.seed))

    def train(self) -> None:
        from toyshift.policies import train
        from toyshift.scripts.recipe import quickstart_recipe

        cfg, data = self.cfg, (str(self.cfg.demos),)
        announce(2, f"train {' and '.join(POOLINGS)} on the same samples")
        for pooling in POOLINGS:
            train(quickstart_recipe(pooling, data, str(cfg.policy(pooling)), cfg.steps, cfg.batch, cfg.seed))

    def evaluate(self) -> list[Any]:
        sets, policies = self.cfg.test_sets, (*POOLINGS, "oracle", "random")
        announce(3, "evaluate on " + ", ".join(sets))
        return [row for spec in sets for policy in policies for row in self.rows_of(policy, spec, self.cfg.trials)]

    def rows_of(self, policy: str, objects: str, trials: int, look: Mapping[str, Any] | None = None) -> list[Any]:
        """Evaluates one policy on one set; its rows are kept in a file of their own."""
        from toyshift.diagnostics import evaluate

        factor = "-".join(look) if look else "plain"
        name = "".join(c if c.isalnum() else "-" for c in objects.split("/")[-1])
        path = self.cfg.out / "rows" / f"{policy}_{name}_{factor}_{trials}.parquet"
        config = self.cfg.evaluation(policy, objects, trials, look)
        return list(evaluate(config, path, workers=self.cfg.processes, pool=self.pool))

    def diagnose(self) -> tuple[dict[str, Any], dict[str, dict[str, list[Any]]]]:
        """Returns what each policy leans on, and its rows with each factor changed ("" for none)."""
        from toyshift.diagnostics import DEFAULT_FACTORS, LeaningConfig, LeaningResult
        from toyshift.diagnostics import diagnose as measure

        cfg = self.cfg
        announce(4, f"what they lean on: {', '.join(DEFAULT_FACTORS)}")
        leaning, changed = {}, {}
        for pooling in POOLINGS:
            path = cfg.out / "leaning" / f"{pooling}.json"
            if not path.exists():
                config = LeaningConfig(scenes=cfg.scenes, seed=cfg.seed + 2000)
                write_json(path, measure(str(cfg.policy(pooling)), DIAGNOSED_SET, config).to_json())
            leaning[pooling] = LeaningResult.from_json(read_json(path))
            changed[pooling] = {
                factor: self.rows_of(pooling, DIAGNOSED_SET, cfg.factor_trials, {factor: levels})
                for factor, levels in DEFAULT_FACTORS.items()
            }
        return leaning, changed

    def fine_tune(self) -> None:
        """Fine-tunes detpool on re-rendered viewpoints and, as a control, on plain copies of the same data."""
        from toyshift.augment import ViewpointConfig, augment_viewpoint
        from toyshift.policies import train
        from toyshift.scripts.recipe import fine_tune_recipe

        cfg = self.cfg
        announce(5, f"repair: viewpoint augmentation of {cfg.repair_episodes} demonstrations, beside a control")
        turned, copies = cfg.out / "demos-viewpoint", cfg.out / "demos-copied"
        for folder, azimuth in ((turned, (-REPAIRED_TURN, REPAIRED_TURN)), (copies, (0.0, 0.0))):
            augment_viewpoint(ViewpointConfig(
                cfg.demos, folder, azimuth, seed=cfg.seed, workers=cfg.processes, episodes=cfg.repair_episodes
            ))  # fmt: skip
        for name, extra in (("detpool-viewpoint", turned), ("detpool-control", copies)):
            data, out, start = (str(cfg.demos), str(extra)), str(cfg.policy(name)), str(cfg.policy("detpool"))
            train(fine_tune_recipe("detpool", data, out, start, cfg.repair_steps, cfg.batch, cfg.seed))

    def evaluate_repair(self) -> dict[str, dict[str, list[Any]]]:
        """Returns rows by policy (repaired, control, before) and by changed factor ("" for none)."""
        from toyshift.diagnostics import DEFAULT_FACTORS

        looks: dict[str, dict[str, Any]] = {"azimuth": {"azimuth": DEFAULT_FACTORS["azimuth"]}, "": {}}
        trials = self.cfg.factor_trials
        return {
            name: {factor: self.rows_of(name, DIAGNOSED_SET, trials, look) for factor, look in looks.items()}
            for name in ("detpool-viewpoint", "detpool-control", "detpool")
        }

    def export(self) -> dict[str, Any]:
        from toyshift.policies import export, verify

        announce(6, "export detpool and verify the bundle")
        bundle = self.cfg.out / "bundle"
        if not bundle.exists():
            export(self.cfg.policy("detpool"), bundle)
        checked: dict[str, Any] = verify(bundle)
        return checked
