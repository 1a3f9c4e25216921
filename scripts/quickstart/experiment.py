"""The main job end to end: toys, demonstrations, three policies, zero-shot test, diagnosis, a shortcut planted, named
and repaired, export, report.

toyshift run quickstart
toyshift run quickstart --ycb DIR
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from toyshift.core.files import atomic_path, read_json, whole_files, write_json
from toyshift.core.runs import claim, finish, found
from toyshift.core.workers import Job, Pool, core_count, play, worker_pool
from toyshift.scripts.quickstart import planted
from toyshift.scripts.quickstart.settings import DIAGNOSED_SET, POLICIES, TRAINING_TOYS, Config

if TYPE_CHECKING:
    from toyshift.diagnostics import EvaluateConfig, SensitivityConfig
    from toyshift.policies.training.config import TrainConfig

T = TypeVar("T")
Item = TypeVar("Item")


def main(cfg: Config) -> dict[str, Any]:
    """Toys -> demonstrations -> three policies -> zero-shot test -> their sensitivity -> a shortcut planted, named and
    repaired -> export -> report.

    A second run does nothing and says so; killed at any moment and run again, it goes on.
    Example: toyshift run quickstart --ycb DIR
    """
    return Quickstart(cfg).everything()


def announce(number: int, text: str) -> None:
    print(f"[{number}/7] {text}", file=sys.stderr, flush=True)


def side_by_side(work: Callable[[Item], T], items: Sequence[Item], name: str, pool: Pool) -> list[T]:
    """Does the same for every item, in as many processes as the pool has; returns the results in the items' order.

    Args:
        work: a function of a module.
        items: sent to the processes.
        name: what is done, for errors.
        pool: the processes.
    """
    job = Job(f"quickstart: {name}", contextlib.nullcontext, functools.partial(_numbered, work), name)
    done = dict(play(enumerate(items), job, pool=pool))
    return [done[number] for number in range(len(items))]


def _numbered(work: Callable[[Item], T], _: None, item: tuple[int, Item]) -> tuple[int, T]:
    number, given = item
    return number, work(given)


def _train(config: TrainConfig) -> None:
    from toyshift.policies import train

    train(config)


def _measure(asked: tuple[str, SensitivityConfig]) -> dict[str, Any]:
    from toyshift.diagnostics.sensitivity import diagnose

    policy, config = asked
    return diagnose(policy, DIAGNOSED_SET, config, workers=0).to_json()  # others are measured beside it


class Quickstart:
    """The stages in order; each reads what earlier ones wrote, and does nothing when its result is there."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.marker = cfg.out / "quickstart.json"
        self.seconds: dict[str, float] = {}
        self.pool: Any = None  # processes that the stages share

    def everything(self) -> dict[str, Any]:
        """Runs all stages and returns what results.json holds, shortened."""
        out = self.cfg.out
        done = self.finished()
        if done is not None:
            self.keep()
            print(f"nothing to do: {out} is complete (delete it, or give another --out, to run again)")
            print(f"report: {out / 'report.html'}")
            return done | {"cached": True}
        self.check()
        claim(self.marker, self.cfg.identity(), self.cfg.to_json())
        from toyshift.scripts.quickstart.results import Results, write_results

        self.timed("demonstrations", self.collect)
        with worker_pool(self.cfg.processes) as self.pool:
            self.timed("training", self.train)
            rows = self.timed("evaluation", self.evaluate)
            sensitivity, changed = self.timed("diagnosis", self.diagnose)
            self.timed("planted demonstrations", self.plant)
            self.timed("planted training", self.train_planted)
            shortcut = self.timed("planted evaluation", self.evaluate_planted)
            verified = self.timed("export", self.export)
            announce(7, "report")
            pages = functools.partial(side_by_side, pool=self.pool)
            results = Results(rows, sensitivity, changed, shortcut, verified, self.seconds)
            result = write_results(self.cfg, results, pages)
        self.keep()
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

    def keep(self) -> None:
        """Copies results and rows to where they are kept, in place of an earlier run's, if that is wanted."""
        cfg = self.cfg
        if cfg.results is None:
            return
        cfg.check_results()
        for old in (cfg.results / "rows").glob("*.parquet"):
            old.unlink()
        copies = {path: cfg.results / "rows" / path.name for path in whole_files(cfg.rows, "*.parquet")}
        for path, copy in {cfg.out / "results.json": cfg.results_json, **copies}.items():
            with atomic_path(copy) as temporary:
                shutil.copyfile(path, temporary)
        print(f"kept: {cfg.results_json}, {cfg.results / 'rows'}")

    def check(self) -> None:
        """Finds what is missing before half an hour is spent: GL, every object set, room for results that are kept."""
        from toyshift.core.graphics import gl_backend
        from toyshift.toys import load_objects

        gl_backend()
        self.cfg.check_results()
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
        from toyshift.scripts.recipe import quickstart_recipe

        cfg, data = self.cfg, (str(self.cfg.demos),)
        announce(2, f"train {', '.join(POLICIES)} on the same samples")
        self.trained([
            quickstart_recipe(name, data, str(cfg.policy(name)), cfg.steps, cfg.batch, cfg.seed) for name in POLICIES
        ])

    def trained(self, recipes: Sequence[TrainConfig]) -> None:
        """Trains policies side by side, for a second thread brings so small a network little.

        They share the cores; those that are left for a last round have them to themselves.
        """
        count, at_once = len(recipes), self.cfg.processes
        last = count % at_once  # in the last round, if it is not a whole one
        shares = [at_once] * (count - last) + [last] * last
        configs = [
            dataclasses.replace(recipe, threads=max(1, core_count() // share))
            for recipe, share in zip(recipes, shares, strict=True)
        ]
        side_by_side(_train, configs, "training", self.pool)

    def evaluate(self) -> list[Any]:
        sets, policies = self.cfg.test_sets, (*POLICIES, "oracle", "random")
        announce(3, "evaluate on " + ", ".join(sets))
        return [row for spec in sets for policy in policies for row in self.rows_of(policy, spec, self.cfg.trials)]

    def rows_of(self, policy: str, objects: str, trials: int, look: Mapping[str, Any] | None = None) -> list[Any]:
        """Evaluates one policy on one set; its rows are kept in a file of their own."""
        factor = "-".join(look) if look else "plain"
        return self.rows_under(self.cfg.evaluation(policy, objects, trials, look), factor)

    def rows_under(self, config: EvaluateConfig, condition: str) -> list[Any]:
        """Evaluates one policy under one condition; its rows are kept in a file of that name."""
        from toyshift.diagnostics import evaluate

        objects = "".join(c if c.isalnum() else "-" for c in config.objects.split("/")[-1])
        path = self.cfg.rows / f"{config.name}_{objects}_{condition}_{config.trials}.parquet"
        return list(evaluate(config, path, workers=self.cfg.processes, pool=self.pool))

    def diagnose(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns what each policy is sensitive to, and its success with each factor changed."""
        from toyshift.diagnostics import DEFAULT_FACTORS, ChangedSuccess, SensitivityConfig, SensitivityResult

        cfg = self.cfg
        announce(4, f"what they are sensitive to: {', '.join(DEFAULT_FACTORS)}")
        config = SensitivityConfig(scenes=cfg.scenes, seed=cfg.seed + 2000)
        paths = {name: cfg.out / "sensitivity" / f"{name}.json" for name in POLICIES}
        missing = [name for name, path in paths.items() if not path.exists()]
        asked = [(str(cfg.policy(name)), config) for name in missing]
        for name, answer in zip(missing, side_by_side(_measure, asked, "measuring", self.pool), strict=True):
            write_json(paths[name], answer)
        changed = {}
        for name in POLICIES:
            # the same episodes as under the changes, so that the difference is the change's and not the draw's
            same = self.rows_of(name, DIAGNOSED_SET, cfg.trials)[: cfg.factor_trials]
            under = {
                factor: self.rows_of(name, DIAGNOSED_SET, cfg.factor_trials, {factor: levels})
                for factor, levels in DEFAULT_FACTORS.items()
            }
            changed[name] = ChangedSuccess.of_rows({"": same, **under}, self.rows_of(name, TRAINING_TOYS, cfg.trials))
        found = {name: SensitivityResult.from_json(read_json(path)) for name, path in paths.items()}
        return {name: result.judged(changed[name]) for name, result in found.items()}, changed

    def plant(self) -> None:
        announce(5, f"a shortcut: {self.cfg.planted_episodes} demonstrations whose table tells where the target lies")
        planted.make_demonstrations(self.cfg)

    def train_planted(self) -> None:
        self.trained(planted.recipes(self.cfg))

    def evaluate_planted(self) -> planted.Planted:
        """Plays with the tables swapped and with their own, and names the cue."""
        rows = {
            name: [row for test in tests for row in self.rows_under(test, test.cell.name.replace(" ", "-"))]
            for name, tests in planted.tests(self.cfg).items()
        }
        found = planted.Planted(rows, planted.named(self.cfg))
        print(found.text())
        return found

    def export(self) -> dict[str, Any]:
        from toyshift.diagnostics.bundle_facts import bundle_facts
        from toyshift.policies import export, verify

        announce(6, "export detpool and verify the bundle")
        bundle = self.cfg.out / "bundle"
        if not bundle.exists():
            policy = self.cfg.policy("detpool")
            export(policy, bundle, bundle_facts(policy))
        checked: dict[str, Any] = verify(bundle)
        return checked
