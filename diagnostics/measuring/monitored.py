"""What a monitor saw while a policy was trained (`toyshift train --monitor`): whether it was still reorganising itself.

After "Where to find Grokking in LLM Pretraining?". The distance of pathways within a group of alike samples falls while
a network finds what they share. It marks the onset of that, and not its end, so the verdict is "still reorganising" or
"settled", never "generalizes".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.diagnostics.measuring.finding import Finding, Findings, percent, undefined
from toyshift.diagnostics.statistics import Estimate
from toyshift.policies.remote.options import is_remote
from toyshift.policies.training.loop import METRICS
from toyshift.policies.training.monitor import COLUMNS

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "monitor"
FALL = "of the pathway distance is gone since its highest value"
MOVES = 0.05  # change of the distance in the last third of the training that counts as still moving, relative
LEAST = 4  # looks of a monitor that tell a course


def monitored(rows: Sequence[Mapping[str, Any]], subject: str = "") -> Finding:
    """Returns how far the pathways of alike samples have come together, and whether they still move.

    Args:
        rows: of metrics.jsonl, in order; those with the columns of a monitor count.
        subject: whose training it was.
    """
    looked = [row for row in rows if "pathway_distance" in row]
    if len(looked) < LEAST:
        told = f"{len(looked)} rows of its training tell pathways, it takes {LEAST}"
        return undefined(NAME, FALL, f"{told}: train with --monitor, and validate more often", subject=subject)
    step = np.array([row["step"] for row in looked])
    apart = np.array([row["pathway_distance"] for row in looked], dtype=np.float64)
    highest = int(np.argmax(apart))
    if apart[highest] <= 0:
        why = "all samples of a group have the same pathway at every step"
        return undefined(NAME, FALL, why, n=len(looked), subject=subject)
    fall = float(1.0 - apart[-1] / apart[highest])
    late = apart[step >= step[0] + 2 * (step[-1] - step[0]) / 3]
    moved = float(np.ptp(late) / apart[highest])
    course = f"pathway distance {apart[highest]:.2f} at step {step[highest]}, {apart[-1]:.2f} at step {step[-1]}"
    if moved > MOVES:
        verdict = f"still reorganising at the end of its training: {percent(moved)} in the last third ({course})"
    else:
        verdict = f"its pathways have settled ({course})"
    columns = [name for name in ("step", *COLUMNS, "validation_loss") if any(name in row for row in looked)]
    table = tuple({name: row.get(name, float("nan")) for name in columns} for row in looked)
    nothing = float("nan")
    return Finding(
        name=NAME, subject=subject, value=Estimate(fall, nothing, nothing, len(looked)), unit=FALL, null=0.0,
        verdict=verdict, card=verdict if moved > MOVES else "", table=table,
        caveats=("one training, so no interval", "it marks the onset of reorganising, and does not say that it "
                 "generalizes; between groups the distance rises"),
    )  # fmt: skip


def monitored_of(asked: Asked) -> Findings:
    """Answers for a policy's folder."""
    metrics = Path(asked.policy) / METRICS
    if is_remote(asked.policy) or not metrics.is_file():
        why = "the policy brings no metrics.jsonl of its training; name the trained folder"
        return Findings((undefined(NAME, FALL, why, subject=asked.policy),))
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    return Findings((monitored(rows, Path(asked.policy).name),))
