"""Says what a dataset holds, of ours or any LeRobot v3 dataset.

toyshift data info runs/demos
toyshift data info runs/fragments       a folder of sub-datasets: the dependence planted and measured as well
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from toyshift.scripts.data.options import DatasetConfig


def main(cfg: DatasetConfig) -> dict[str, Any]:
    """Says what a dataset holds: episodes, success, contract, cameras, columns, objects, factors, sizes, content hash.

    Example: toyshift data info runs/demos
    """
    from toyshift.data.collecting.fragment_folder import dependence_of, is_fragmented

    if not is_fragmented(cfg.data):
        return _tell(cfg.data)
    design, dependence = dependence_of(cfg.data)
    parts = {part.name: _tell(cfg.data / part.name) for part in design.parts}
    print(dependence.told(design.relevant, design.factor))
    facts = {"design": design.to_json(), "dependence": dataclasses.asdict(dependence)}
    return {"folder": str(cfg.data), **facts, "parts": parts}


def _tell(folder: Path) -> dict[str, Any]:
    """Prints and returns what one dataset holds."""
    from toyshift.data.formats.lerobot_folder import is_ours

    return _tell_ours(folder) if is_ours(folder) else _tell_foreign(folder)


def _tell_foreign(folder: Path) -> dict[str, Any]:
    from toyshift.data.formats.lerobot_foreign import summary

    facts = summary(folder)
    length = f"{facts['frames']} frames at {facts['fps']:g} Hz ({60 * facts['hours']:.1f} minutes)"
    print(f"{folder}: {facts['episodes']} episodes, {length}, {facts['bytes'] / 1e6:.1f} MB, LeRobot v3, no contract")
    print(f"robot     {facts['robot'] or 'not told'}")
    print(f"cameras   {', '.join(f'{name} {size[0]}x{size[1]}' for name, size in facts['cameras'].items()) or 'none'}")
    for key, feature in facts["features"].items():
        print(f"feature   {key}: {feature['dtype']} {feature['shape']} {', '.join(feature['names'])}".rstrip())
    for task, count in facts["tasks"].items():
        print(f"task      {task or 'not told'}: {count} episodes")
    return facts


def _tell_ours(folder: Path) -> dict[str, Any]:
    from toyshift.data import open_dataset
    from toyshift.data.store.summary import summarise

    facts = summarise(open_dataset(folder))
    action, rate = facts["action_contract"], facts["success"]["rate"]
    length = f"{facts['frames']} frames at {action['control_hz']:g} Hz ({60 * facts['hours']:.1f} minutes)"
    print(f"{facts['folder']}: {facts['episodes']} episodes, {length}, {facts['bytes']['total'] / 1e6:.1f} MB")
    print(f"success   {_share(rate, facts['success']['known'])}")
    entries = ", ".join(f"{name} [{unit}]" for name, unit in zip(action["names"], action["units"], strict=True))
    print(f"action    {action['mode']} in {action['frame']}, {action['rotation']}: {entries}; "
          f"gripper {action['gripper']}")
    print(f"cameras   {', '.join(f'{name} {size[0]}x{size[1]}' for name, size in facts['cameras'].items()) or 'none'}")
    print(f"state     {', '.join(facts['observation_contract']['state_names'])}")
    print(f"columns   {', '.join(facts['features'])}")
    print(f"objects   {facts['objects']['count']} of {', '.join(facts['object_sets']) or 'unknown sets'}")
    for name, row in facts["factors"].items():
        if "min" in row:
            told = f"{row['min']:g} to {row['max']:g}, mean {row['mean']:.3g}"
        else:
            told = ", ".join(row.get("values", {})) or f"{row['distinct']} values"
        print(f"factor    {name}: {told}")
    print(f"hash      {facts['content_hash']}")
    return facts


def _share(rate: float | None, known: int) -> str:
    return "not recorded" if rate is None else f"{rate:.1%} of {known} episodes"
