"""Runs a study: rows that are kept as they come, a table, a figure.

toyshift study lego-table --budget small --ycb DIR           pooling x demonstrations x seeds, zero-shot success
toyshift study lego-table --dry-run                          what it would run, and how long that takes
toyshift study lego-table --tabulate                         table and figure of what there is so far
toyshift study recipe --ycb DIR                              the best recipe, three seeds
toyshift study mask-iou --policy runs/detpool                success against the masks' IoU
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

STUDIES = {"lego-table": "toyshift.scripts.study_lego_table", "mask-iou": "toyshift.scripts.study_mask_iou", "recipe": "toyshift.scripts.study_recipe"}


def command(word: str) -> Callable[[Any], dict[str, Any]]:
    """Returns the `main` of a study."""
    main: Callable[[Any], dict[str, Any]] = importlib.import_module(STUDIES[word]).main
    return main
