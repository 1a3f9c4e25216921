"""Reads the `eval_info.json` of `lerobot-eval`.

Since suites of tasks exist: `per_task[{task_group, task_id, metrics{successes, sum_rewards, max_rewards, ...}}]`,
without seeds. Before: `per_episode[{episode_ix, success, seed, ...}]`, which `eval_policy` still returns to Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toyshift.core.errors import FileError
from toyshift.core.files import read_json
from toyshift.diagnostics.comparing.trials import Side, Trial

NAME = "eval_info.json"


def _file(path: Path) -> Path:
    return path / NAME if path.is_dir() else path


def recognises(path: Path) -> bool:
    """Whether this is such a file, or a folder with one."""
    file = _file(path)
    if not file.is_file() or file.suffix != ".json":
        return False
    found = read_json(file)
    return isinstance(found, dict) and bool({"per_task", "per_episode"} & found.keys())


def read(path: Path, name: str, columns: Mapping[str, str]) -> list[Side]:
    """Returns the one policy of the file, called as its folder is."""
    file = _file(path)
    found = read_json(file)
    name = name or (file.resolve().parent.name if file.name == NAME else file.stem)
    try:
        if "per_task" in found:
            tasks = [(str(task["task_group"]), str(task["task_id"]), task["metrics"]) for task in found["per_task"]]
            episodes = tuple(
                Trial(group, task, None, _bool(success))
                for group, task, metrics in tasks for success in metrics["successes"]
            )  # fmt: skip
            starts = "lerobot-eval writes no seeds into this file (--pairing paired: both sides had the same --seed)"
        else:
            episodes = tuple(Trial("", "", _start(one), _bool(one["success"])) for one in found["per_episode"])
            starts = "the seed of an episode fixes its start"
    except (KeyError, TypeError) as error:
        raise FileError(f"{file} lacks what lerobot-eval writes ({error})") from error
    return [Side(name, "lerobot-eval", episodes, starts)]


def _start(episode: Mapping[str, Any]) -> tuple[str, int] | None:
    return None if episode.get("seed") is None else ("seed", episode["seed"])


def _bool(value: Any) -> bool:
    if value not in (True, False):  # 0 and 1 are equal to them
        raise TypeError(f"a success is {value!r}")
    return bool(value)
