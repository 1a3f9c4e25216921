"""Whether a shortcut of `toyshift study repair` is there to be repaired: asked of the first policy without a repair.

Hours would say nothing where these do not take the shortcut, or lift too little to tell.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.scripts.studies.planted import PlantedCue, swapped_cells
from toyshift.scripts.studies.repair_entries import NATURAL

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

ABLE = 0.4  # success as in training from which a shortcut is worth the other cells


def why_closed(facts: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Says why the other cells of a shortcut are not worth running; "" where they are.

    Args:
        facts: manifest of the cell without a repair.
        rows: its episodes.
    """
    from toyshift.diagnostics import paired_difference
    from toyshift.diagnostics.swapped import swapped_of

    if facts["part"]["bed"] == NATURAL:
        plain = {(row.seed, row.episode): row for row in rows if not (row.shift or row.look)}
        pairs = [(plain[row.seed, row.episode], row) for row in rows if row.shift]
        able = sum(row.success for row in plain.values()) / len(plain)
        sides = ([pair[i].success for pair in pairs] for i in (0, 1))
        more = paired_difference(*sides, [row.object_id for row, _ in pairs]).difference
        lacks = "its success does not fall on another table"
    else:
        found = swapped_of(swapped_cells(PlantedCue(facts["part"]["bed"], facts["disparity"], 1.0), rows))
        able, more = found.id_success.value, found.excess and found.excess.difference
        lacks = "it goes to the cue's place no more often than by chance"
    if able < ABLE:
        return f"`none` lifts {100 * able:.0f} % with nothing swapped, less than {100 * ABLE:.0f} %"
    if more is None or not more.low > 0:
        interval = f" ({100 * more.low:+.0f} to {100 * more.high:+.0f} points)" if more else ""
        return f"`none` shows no shortcut: {lacks}{interval}"
    return ""


def closed_by(path: Path) -> str:
    """Returns `why_closed` of the rows in a file; "" where there are none yet."""
    return _read(path, path.stat().st_mtime_ns) if path.exists() else ""


@functools.cache  # every other cell of the shortcut asks
def _read(path: Path, stamp: int) -> str:
    from toyshift.diagnostics import read_rows, read_rows_manifest

    return why_closed(read_rows_manifest(path), read_rows(path))
