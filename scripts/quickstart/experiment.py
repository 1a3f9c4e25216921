"""The main job end to end: toys, demonstrations, two policies, zero-shot test, diagnosis, repair, export, one HTML report.

toyshift run quickstart
toyshift run quickstart --ycb DIR
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash, read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.workers import core_count, worker_pool
from toyshift.scripts.options import Common
from toyshift.scripts.quickstart.settings import (
    DIAGNOSED_SET,
    NEW_TOYS,
    POOLINGS,
    REPAIRED_TURN,
    TRAINING_TOYS,
    YCB_LIKE,
)

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift run quickstart`; the defaults take about 25 minutes on two cores."""

    out: Path = Path("runs/quickstart")
    """Folder of everything that is made; a stage that is there already is not made again."""
    ycb: Path | None = None
    """Folder with real YCB objects in the official layout; they are tested when it is given."""
    episodes: int = 500
    """Demonstrations."""
    steps: int = 1100
    """Optimiser steps of each policy."""
    batch: int = 128
    """Samples per step."""
    trials: int = 100
    """Test episodes per policy and object set."""
    factor_trials: int = 32
    """Test episodes per policy and changed factor."""
    scenes: int = 40
    """Scenes in which the action change is measured."""
    repair_episodes: int = 150
    """Demonstrations that the repair renders again."""
    repair_steps: int = 500
    """Optimiser steps of the fine-tune, and of the control beside it."""
    workers: int = 0
    """Processes; 0 takes one per core."""

    def __post_init__(self) -> None:
        if min(self.episodes, self.steps, self.batch, self.trials, self.factor_trials, self.repair_episodes, self.repair_steps) < 1 or self.scenes < 2:
            raise ConfigError("episodes, steps, batch, trials, factor_trials, repair_episodes and repair_steps must be at least 1, scenes at least 2")
        if self.repair_episodes > self.episodes:
            raise ConfigError(f"repair_episodes is {self.repair_episodes}, but there are only {self.episodes} demonstrations")

    @property
    def processes(self) -> int:
        return self.workers or core_count()

    @property
    def test_sets(self) -> tuple[str, ...]:
        """The object sets that success is measured on, the training toys first."""
        sets = [TRAINING_TOYS, NEW_TOYS, YCB_LIKE]
        return (*sets, f"ycb:{self.ycb}?graspable") if self.ycb else tuple(sets)

    def identity(self) -> str:
        """Hash of what decides the results."""
        return json_hash({k: str(v) for k, v in dataclasses.asdict(self).items() if k not in ("out", "workers", "json")})


def main(cfg: Config) -> dict[str, Any]:
    """Toys -> demonstrations -> two policies -> zero-shot test -> what they lean on -> repair -> export -> one HTML report.

    A second run does nothing and says so; killed at any moment and run again, it goes on.
    Example: toyshift run quickstart --ycb DIR
    """
    run = Quickstart(cfg)
    return run.everything()


def announce(number: int, text: str) -> None:
    print(f"[{number}/7] {text}", file=sys.stderr, flush=True)


class Quickstart:
    """The stages in order; each reads what the earlier ones wrote to the run's folder, and does nothing when its result is there."""

    def __init__(self, cfg: Config) -> None:
        self.cfg, self.out = cfg, Path(cfg.out)
        self.demos = self.out / "demos"
        self.seconds: dict[str, float] = {}
        self.pool: Any = None  # processes that several evaluations share

    def everything(self) -> dict[str, Any]:
        """Runs all stages and returns what results.json holds, shortened."""
        done = self._finished()
        if done is not None:
            print(f"nothing to do: {self.out} is complete (delete it, or give another --out, to run again)")
            print(f"report: {self.out / 'report.html'}")
            return done | {"cached": True}
        self.check()
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
        result = write_results(self, Results(rows, leaning, changed, repair, verified))
        write_json(self.out / "finished.json", {"key": self.cfg.identity(), "result": result})
        print(f"report: {self.out / 'report.html'}")
        return result | {"cached": False}

    def check(self) -> None:
        """Finds what is missing before half an hour is spent: GL, and every object set."""
        from toyshift.core.graphics import gl_backend
        from toyshift.toys import load_objects

        gl_backend()
        for spec in self.cfg.test_sets:
            load_objects(spec)

    def timed(self, name: str, stage: Callable[[], T]) -> T:
        """Runs a stage and keeps how long it took; a stage that was there already keeps its first time."""
        path = self.out / "seconds.json"
        begun = time.monotonic()
        result = stage()
        self.seconds = {name: round(time.monotonic() - begun, 1)} | (read_json(path) if path.exists() else {})
        write_json(path, self.seconds)
        return result

    def _finished(self) -> dict[str, Any] | None:
        marker, settings = self.out / "finished.json", self.out / "quickstart.json"
        key = self.cfg.identity()
        if settings.exists() and read_json(settings)["key"] != key:
            raise ConfigError(f"{self.out} holds a quickstart of another configuration; choose another --out, or delete it")
        if not settings.exists():
            self.out.mkdir(parents=True, exist_ok=True)
            write_json(settings, {"key": key, "config": {k: str(v) for k, v in dataclasses.asdict(self.cfg).items()}})
        if marker.exists() and (self.out / "report.html").exists() and (self.out / "results.json").exists():
            found: dict[str, Any] = read_json(marker)["result"]
            return found
        return None

    # ---------------------------------------------------------------- stages

    def collect(self) -> dict[str, Any]:
        from toyshift.data import CollectConfig, collect

        announce(1, f"{self.cfg.episodes} demonstrations on {TRAINING_TOYS}")
        result: dict[str, Any] = collect(CollectConfig(TRAINING_TOYS, self.cfg.episodes, self.demos, workers=self.cfg.processes, seed=self.cfg.seed))
        return result

    def train(self) -> None:
        from toyshift.policies import train
        from toyshift.scripts.recipe import quickstart_recipe

        announce(2, f"train {' and '.join(POOLINGS)} on the same samples")
        for pooling in POOLINGS:
            train(quickstart_recipe(pooling, (str(self.demos),), str(self.policy(pooling)), self.cfg.steps, self.cfg.batch, self.cfg.seed))

    def policy(self, name: str) -> Path:
        return self.out / "policies" / name

    def evaluate(self) -> list[Any]:
        announce(3, "evaluate on " + ", ".join(self.cfg.test_sets))
        rows = []
        for objects in self.cfg.test_sets:
            for policy in (*POOLINGS, "oracle", "random"):
                rows += self.rows_of(policy, objects, self.cfg.trials)
        return rows

    def rows_of(self, policy: str, objects: str, trials: int, look: Mapping[str, Any] | None = None) -> list[Any]:
        """Evaluates one policy on one set; its rows are kept in a file of their own."""
        from toyshift.diagnostics import evaluate

        config = self.evaluation(policy, objects, trials, look)
        factor = "-".join(look) if look else "plain"
        name = "".join(c if c.isalnum() else "-" for c in objects.split("/")[-1])
        path = self.out / "rows" / f"{policy}_{name}_{factor}_{trials}.parquet"
        return list(evaluate(config, path, workers=self.cfg.processes, pool=self.pool))

    def evaluation(self, policy: str, objects: str, trials: int, look: Mapping[str, Any] | None = None) -> Any:
        from toyshift.diagnostics import EvaluateConfig

        path = policy if policy in ("oracle", "random") else str(self.policy(policy))
        # seeds of tests lie apart from those of demonstrations, so that no start is seen in both
        return EvaluateConfig(path, objects, trials=trials, seed=self.cfg.seed + 1000, look=look or {}, name=policy)

    def diagnose(self) -> tuple[dict[str, Any], dict[str, dict[str, list[Any]]]]:
        """Returns what each policy leans on, and its rows with each factor changed ("" for none)."""
        from toyshift.diagnostics import DEFAULT_FACTORS, LeaningConfig, LeaningResult
        from toyshift.diagnostics import diagnose as measure

        announce(4, f"what they lean on: {', '.join(DEFAULT_FACTORS)}")
        leaning, changed = {}, {}
        for pooling in POOLINGS:
            path = self.out / "leaning" / f"{pooling}.json"
            if not path.exists():
                result = measure(str(self.policy(pooling)), DIAGNOSED_SET, LeaningConfig(scenes=self.cfg.scenes, seed=self.cfg.seed + 2000))
                write_json(path, result.to_json())
            leaning[pooling] = LeaningResult.from_json(read_json(path))
            changed[pooling] = {factor: self.rows_of(pooling, DIAGNOSED_SET, self.cfg.factor_trials, {factor: levels}) for factor, levels in DEFAULT_FACTORS.items()}
        return leaning, changed

    def fine_tune(self) -> None:
        """Fine-tunes detpool on re-rendered viewpoints and, as a control, on plain copies of the same demonstrations."""
        from toyshift.augment import ViewpointConfig, augment_viewpoint
        from toyshift.policies import train
        from toyshift.scripts.recipe import fine_tune_recipe

        announce(5, f"repair: viewpoint augmentation of {self.cfg.repair_episodes} demonstrations, beside a control")
        turned = self.out / "demos-viewpoint"
        augment_viewpoint(
            ViewpointConfig(
                self.demos, turned, (-REPAIRED_TURN, REPAIRED_TURN), seed=self.cfg.seed, workers=self.cfg.processes, episodes=self.cfg.repair_episodes
            )
        )
        copies = self.out / "demos-copied"
        augment_viewpoint(ViewpointConfig(self.demos, copies, (0.0, 0.0), seed=self.cfg.seed, workers=self.cfg.processes, episodes=self.cfg.repair_episodes))
        for name, extra in (("detpool-viewpoint", turned), ("detpool-control", copies)):
            data = (str(self.demos), str(extra))
            train(fine_tune_recipe("detpool", data, str(self.policy(name)), str(self.policy("detpool")), self.cfg.repair_steps, self.cfg.batch, self.cfg.seed))

    def evaluate_repair(self) -> dict[str, dict[str, list[Any]]]:
        """Returns rows by policy (repaired, control, before) and by changed factor ("" for none)."""
        from toyshift.diagnostics import DEFAULT_FACTORS

        looks: dict[str, dict[str, Any]] = {"azimuth": {"azimuth": DEFAULT_FACTORS["azimuth"]}, "": {}}
        return {
            name: {factor: self.rows_of(name, DIAGNOSED_SET, self.cfg.factor_trials, look) for factor, look in looks.items()}
            for name in ("detpool-viewpoint", "detpool-control", "detpool")
        }

    def export(self) -> dict[str, Any]:
        from toyshift.policies import export, verify

        announce(6, "export detpool and verify the bundle")
        bundle = self.out / "bundle"
        if not bundle.exists():
            export(self.policy("detpool"), bundle)
        checked: dict[str, Any] = verify(bundle)
        return checked

    # ---------------------------------------------------------------- facts for the results

    def training(self, pooling: str) -> dict[str, Any]:
        """Samples, learning rate and last losses of a policy's training."""
        config = read_json(self.policy(pooling) / "config.json")["train"]
        lines = (self.policy(pooling) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        losses = {key: next((row[key] for row in reversed(rows) if key in row), None) for key in ("loss", "validation_loss")}
        return {"samples": config["steps"] * config["batch_size"], "lr": config["lr"], **losses}

    def command(self) -> str:
        """The command that makes this run again."""
        return f"toyshift run quickstart --out {self.out}" + (f" --ycb {self.cfg.ycb}" if self.cfg.ycb else "")

    def facts(self) -> dict[str, Any]:
        """The manifest of the run."""
        from toyshift.envs.render.renderer import gl_backend, gl_renderer_name

        config = {k: str(v) for k, v in dataclasses.asdict(self.cfg).items()}
        return manifest(config, self.cfg.seed, seconds=self.seconds, gl_backend=gl_backend(), gl_renderer=gl_renderer_name())
