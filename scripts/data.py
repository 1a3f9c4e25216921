"""Converts, mixes, checks and shows datasets.

toyshift data info runs/demos                            what it holds; --json for programs
toyshift data check runs/demos --repair runs/clean       what is wrong with it, and a copy without that
toyshift data convert runs/demos demos.hdf5 --to robomimic
toyshift data fragment --m 2 --radius 0.5 --distance 0.8 --out runs/fragments    sub-datasets with a planted dependence
toyshift data mix runs/a runs/b --weights 2 1 --out mix.json
toyshift data view runs/demos --out demos.html           one HTML page with sampled episodes
toyshift data replay runs/demos                          executes the recorded actions again
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

# Word -> the file that holds its `main`; the same words stand in cli.py's table.
WORDS: dict[str, str] = {
    "check": "toyshift.scripts.data_check",
    "convert": "toyshift.scripts.data_convert",
    "fragment": "toyshift.scripts.data_fragment",
    "info": "toyshift.scripts.data_info",
    "mix": "toyshift.scripts.data_mix",
    "replay": "toyshift.scripts.data_replay",
    "view": "toyshift.scripts.data_view",
}


def command(word: str) -> Callable[[Any], dict[str, Any]]:
    """Returns the function of one word."""
    main: Callable[[Any], dict[str, Any]] = importlib.import_module(WORDS[word]).main
    return main
