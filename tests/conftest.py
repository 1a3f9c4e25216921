"""Shared by all rooms' tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

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
