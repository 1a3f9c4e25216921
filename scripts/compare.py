"""Says which of several policies is better, from result files of any origin, with intervals and a verdict.

toyshift compare runs/a runs/b                        two folders of `toyshift evaluate`; several policies in one do too
toyshift compare lerobot_a/eval_info.json lerobot_b/eval_info.json --pairing paired
toyshift compare pi0=results/pi0 oft=results/oft --margin 3 --split object
toyshift compare trials.csv --columns success=ok object=item start=trial
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import write_json
from toyshift.core.manifest import manifest
from toyshift.diagnostics.comparing import PAIRINGS, SPLITS
from toyshift.scripts.options import Parallel

if TYPE_CHECKING:  # for a type checker the choices are texts
    Pairing = str
    Split = str
else:
    Pairing, Split = Literal[PAIRINGS], Literal[SPLITS]

REFERENCES = ("oracle", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Parallel, margin=(0.01, 100), confidence=(50, 99.99)):
    """Options of `toyshift compare`."""

    files: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """Result files, or NAME=FILE to call the policy so: rows of `toyshift evaluate`, lerobot-eval's eval_info.json,
    vla-eval's JSON or SQLite, a CSV table; or folders of those. A file may hold several policies."""
    policy: tuple[str, ...] = ()
    """Which policies, the one that the others are compared with first; by default all but oracle and random."""
    all_pairs: bool = False
    """Compare each with each, not only the first with the others."""
    margin: float = 5.0
    """Largest difference that does not matter, in percentage points: within it, policies are equivalent."""
    confidence: float = 95.0
    """Confidence of intervals [%]."""
    pairing: Pairing = "auto"
    """auto (paired where files tell that starts are shared), paired (where they do not tell, the i-th episodes of an
    object count as one start: only if both were run with one seed), or unpaired."""
    split: tuple[Split, ...] = ()
    """Take the difference apart by object, factor (of shifts, its levels together), shift (factor and level), failure
    or distance (of the object's shape to the training toys)."""
    training_set: str = ""
    """The training toys, for --split distance. None asks the rows what their policies were trained on."""
    columns: tuple[str, ...] = ()
    """What a CSV table calls its columns, as success=ok object=item; understood are success, policy, object, group,
    start, seed, episode, shift and failure."""
    out: Path | None = None
    """File for the comparisons, as JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := next((text for text in self.columns if not all(text.partition("="))), None):
            raise ConfigError(f"--columns {wrong}: write WHAT=NAME, such as success=ok")


def main(cfg: Config) -> dict[str, Any]:
    """Compares policies on result files: the difference with its intervals for these objects and for new ones.

    Paired where starts are shared; where they are not, that is said, and Newcombe's interval taken. Verdicts are
    better, worse, equivalent within the margin, or underpowered with how much more would decide: docs/statistics.md.

    Example: toyshift compare runs/a runs/b
    Example: toyshift compare runs/eval/rows.parquet --policy detpool attention --split object failure
    Example: toyshift compare runs/a runs/b --split factor distance --training-set toys:train
    Example: toyshift compare a=outputs/a/eval_info.json b=outputs/b/eval_info.json --pairing paired
    """
    from toyshift.diagnostics.comparing.readers import read_sides
    from toyshift.diagnostics.comparing.splits import split
    from toyshift.diagnostics.comparing.text import all_text
    from toyshift.diagnostics.comparing.versus import compare_sides, couples

    columns = dict(text.split("=", 1) for text in cfg.columns)
    sides = {side.name: side for side in read_sides(cfg.files, columns)}
    if unknown := next((name for name in cfg.policy if name not in sides), None):
        raise UnknownNameError("policy of these files", unknown, sides)
    tested = [name for name in sides if name not in REFERENCES]
    chosen = [sides[name] for name in cfg.policy or (tested if len(tested) > 1 else sides)]
    confidence = cfg.confidence / 100
    comparisons = compare_sides(chosen, cfg.margin / 100, confidence, cfg.pairing, cfg.all_pairs)
    splits = [
        split(pair, by, confidence, cfg.pairing, cfg.training_set, cfg.processes)
        for by in cfg.split for pair in couples(chosen, cfg.all_pairs)
    ]  # fmt: skip
    print(all_text(comparisons, splits, confidence))
    if left := [name for name in sides if name not in {side.name for side in chosen}]:
        print(f"\nleft out: {', '.join(left)} (--policy names who is compared)")
    result = {"comparisons": [c.to_json() for c in comparisons], "splits": [s.to_json() for s in splits]}
    if cfg.out:
        facts = manifest(dataclasses.asdict(cfg) | {"out": str(cfg.out)}, cfg.seed)
        write_json(cfg.out, result | {"manifest": facts})
        print(f"\ncomparisons: {cfg.out}")
    return result
