"""Episodes of policies, from any number of result files: what measures of rows are asked about."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from toyshift.diagnostics.comparing.readers import read_sides
from toyshift.diagnostics.comparing.trials import Side, Trial


def read_policies(given: Sequence[str]) -> list[Side]:
    """Reads result files, as `comparing.readers.read_sides` does; files of one policy's name are put together.

    Raises:
        ConfigError: an episode occurs twice; two policies of one name must be told apart by NAME=FILE.
    """
    found: dict[str, Side] = {}
    for text in given:
        for side in read_sides([text]):
            before = found.get(side.name)
            if before is not None:
                side = dataclasses.replace(side, episodes=before.episodes + side.episodes)
            found[side.name] = side
    return list(found.values())


def by_group(side: Side) -> dict[str, list[Trial]]:
    """Returns the episodes by "policy on object set"."""
    groups: dict[str, list[Trial]] = {}
    for one in side.episodes:
        groups.setdefault(f"{side.name} on {one.group}" if one.group else side.name, []).append(one)
    return groups
