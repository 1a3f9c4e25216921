"""Shared by all rooms' tests."""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread each for the processes that share this machine's cores: threads of two processes that wait for each
    # other take longer than one. Libraries read this when they are first imported.
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
    os.environ.update({name: count for name, count in one.items() if name not in os.environ})

import numpy as np

from toyshift.core import garbage

garbage.look_seldom()  # an eighth of the time of all tests went into looking

# Files of few tests that take long. xdist hands out whole files in this order (`make test`), and one of these that came
# last would keep one process busy while the others have nothing to do.
FIRST = (
    "test_quickstart.py", "test_kills.py", "test_export_kinds.py", "test_study.py", "test_augmenting.py", "test_cue.py",
    "test_rl.py", "test_robosuite_task.py", "test_toy_studies.py", "test_repair_study.py", "test_vector.py",
    "test_ycb.py", "test_processes.py", "test_claims.py", "test_site.py", "test_option_fuzz.py",
    "test_repair_truths.py", "test_looks.py", "test_shortcut_grid.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in FIRST)  # the rest stays in its order


def pytest_collection_finish() -> None:
    """What has been imported by now stays: it is not looked at again, above all not where a test asks for garbage."""
    gc.collect()
    gc.freeze()


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = "no Chromium to run: apt install chromium"
OF_BROWSERS = ("Chromium", "Playwright", "websockets is missing")  # in the reasons for which tests of pages are skipped


@pytest.fixture(scope="session")
def chromium_path() -> str | None:
    """Returns the path of an installed Chromium, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium_program(chromium_path: str | None) -> str:
    """Returns the path of an installed Chromium; skips where there is none, which the end of the run says loudly."""
    return chromium_path or pytest.skip(NO_BROWSER)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says in a line of its own that pages were not looked at, which a count of skipped tests hides."""
    why: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = report.longrepr[-1].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        if any(word in reason for word in OF_BROWSERS):
            why[reason] = why.get(reason, 0) + 1
    for reason, count in why.items():
        told = f"NOT TESTED IN A BROWSER: {count} test{'s' * (count > 1)} of pages skipped ({reason})"
        terminalreporter.write_line(told, red=True, bold=True)


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="session")
def benchmark_file() -> Callable[[str], ModuleType]:
    """Returns what imports a file of `benchmarks/`; skips where the tests run against a wheel, which has none."""

    def load(name: str) -> ModuleType:
        path = BENCHMARKS / f"{name}.py"
        if not path.is_file():
            pytest.skip("the tests run against an installed wheel")
        spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look themselves up there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(autouse=True, scope="session")
def _one_revision() -> Iterator[None]:
    """Git is asked once for the revision of the source, not for each dataset, training and file of rows: those are
    hundreds, and the source does not change while it is tested. Two tests ask about other trees, and ask git.
    """
    module = importlib.import_module("toyshift.core.manifest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "git_revision", functools.cache(module.git_revision))
        yield


@pytest.fixture(scope="session")
def grasp_policy() -> Callable[..., Path]:
    """Writes a folder of a policy with random weights that acts in an environment."""

    def make(folder: Path, env: Any, **policy: Any) -> Path:
        import torch

        from toyshift.core.contract import ACTION, STATE
        from toyshift.core.files import write_json
        from toyshift.policies import Policy, PolicyConfig, checkpoints

        config = PolicyConfig(width=32, stem=16, hidden=64, **policy)
        sizes = {STATE: len(env.observation_contract.state_names), ACTION: env.action_contract.size}
        scales = {STATE: 1.0, ACTION: 0.2}
        stats = {key: {"mean": np.zeros(n), "std": np.full(n, scales[key])} for key, n in sizes.items()}
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(3)
            made = Policy(config, env.action_contract, env.observation_contract, stats)
            for parameter in made.parameters():
                parameter.add_(0.03 * torch.randn_like(parameter))
        checkpoints.write_contracts(folder, env.action_contract, env.observation_contract)
        write_json(folder / checkpoints.CONFIG_FILE, {"policy": config.to_json(), "manifest": {"git": None}})
        checkpoints.save_checkpoint(folder, 0, {checkpoints.MODEL: made.state_dict()}, finished=True, extra={})
        return folder

    return make


@pytest.fixture(scope="session")
def robot_bundle(grasp_policy: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a policy with random weights for the simulator's Panda, images of 32 x 32 pixels and masks."""
    from toyshift.diagnostics.bundle_facts import arm_of
    from toyshift.envs.config import EnvConfig
    from toyshift.envs.tasks.grasp import GraspEnv
    from toyshift.policies import export
    from toyshift.policies.act.bundle_facts import BundleFacts

    env, folder = GraspEnv(EnvConfig(objects="toys:test", image_size=32)), tmp_path_factory.mktemp("robot")
    looks = {"size": [32, 32], "images_seen": 1, "quantiles": [0.5], "looks": {"red": [1.0]}}
    looks["intrinsics"] = [[32.0, 0.0, 16.0], [0.0, 32.0, 16.0], [0.0, 0.0, 1.0]]
    facts = BundleFacts(arm_of("panda").to_json(), dict.fromkeys(("front", "wrist"), looks))
    run = grasp_policy(folder / "run", env)
    env.close()
    return export(run, folder / "bundle", facts)
