"""Lists, shows and measures the objects of a set.

toyshift toys import my_meshes                   what each object is and what is wrong with it
toyshift toys list ycb-like                      one line per object
toyshift toys show toys:train?n=48 --out toys.png
toyshift toys grasps ycb-like --out grasps       grasp poses of every object, in files
toyshift toys stats ycb:DIR                      sizes, masses, and what a gripper cannot hold
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

# Word -> the file that holds its `main`; the same words stand in cli.py's table.
WORDS: dict[str, str] = {
    "distance": "toyshift.scripts.toys_distance",
    "graspability": "toyshift.scripts.toys_graspability",
    "grasps": "toyshift.scripts.toys_grasps",
    "print": "toyshift.scripts.toys_print",
    "import": "toyshift.scripts.toys_import",
    "list": "toyshift.scripts.toys_list",
    "show": "toyshift.scripts.toys_show",
    "stats": "toyshift.scripts.toys_stats",
    "view": "toyshift.scripts.toys_view",
}


def command(word: str) -> Callable[[Any], dict[str, Any]]:
    """Returns the function of one word."""
    main: Callable[[Any], dict[str, Any]] = importlib.import_module(WORDS[word]).main
    return main
