"""Runs a whole experiment.

toyshift run quickstart                          toys, demonstrations, two policies, zero-shot test, one HTML report
toyshift run quickstart --ycb DIR                the same, with real YCB objects
toyshift run quickstart --out runs/second        another folder
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

EXPERIMENTS = {"quickstart": "toyshift.scripts.quickstart"}


def command(word: str) -> Callable[[Any], dict[str, Any]]:
    """Returns the `main` of an experiment."""
    main: Callable[[Any], dict[str, Any]] = importlib.import_module(EXPERIMENTS[word]).main
    return main
