"""Plays and shows the environments.

toyshift envs play                               keyboard control in MuJoCo's viewer, or a video
toyshift envs shifts --out runs/shifts           a contact sheet of every shift at every level
toyshift envs robots --out runs/robots.png       a contact sheet of every robot
toyshift envs hub --out runs/hub                 env.py and README.md of a Hub repository for LeRobot
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

# Word -> the file that holds its `main`; the same words stand in cli.py's table.
WORDS: dict[str, str] = {
    "play": "toyshift.scripts.envs_play",
    "shifts": "toyshift.scripts.envs_shifts",
    "robots": "toyshift.scripts.envs_robots",
    "hub": "toyshift.scripts.envs_hub",
}


def command(word: str) -> Callable[[Any], dict[str, Any]]:
    """Returns the function of one word."""
    main: Callable[[Any], dict[str, Any]] = importlib.import_module(WORDS[word]).main
    return main
