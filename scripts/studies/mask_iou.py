"""Success against the quality of the masks: the target's mask is spoilt until it overlaps the true one by so much.

toyshift study mask-iou --policy runs/detpool
toyshift study mask-iou --policy runs/detpool --policy runs/mask-channel --objects ycb:DIR?graspable --trials 100
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash, write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.scripts.evaluate import row_names
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Cell, Study, no_rows, set_name, write_page
from toyshift.scripts.studies.figures import figures, markdown_table, percents, points
from toyshift.scripts.studies.options import StudyConfig

FACTOR = "mask-iou"
BEGIN, END = "<!-- made by `toyshift study mask-iou --tabulate` -->", "<!-- end of what is made -->"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, trials=1):
    """Options of `toyshift study mask-iou`."""

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a policy; give it several times for several."""
    objects: str = "ycb-like?graspable"
    """Object set to test on."""
    levels: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Levels of the shift mask-iou: 0 is the true mask, 5 an IoU of 0.3."""
    trials: int = 50
    """Episodes per policy and level; the same starts at all levels."""
    out: Path = Path("runs/mask-iou")
    results: Path = Path("results/mask_iou")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.policy and not self.tabulate:
            raise ConfigError("no policy was given: --policy DIR (made by `toyshift train`), or --tabulate")
        if not self.levels:
            raise ConfigError("--levels needs at least one level")


def main(cfg: Config) -> dict[str, Any]:
    """Tests policies with masks that overlap the true ones less and less, from the same starts at every level.

    The other pixels of the scene stay as they are. Killed and run again, it goes on.
    Example: toyshift study mask-iou --policy runs/detpool --objects ycb-like?graspable
    """
    return MaskIou(cfg).conduct(cfg)


class MaskIou(Study):
    """Policies times levels, and what is there of them."""

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg, objects = cfg, set_name(cfg.objects)
        self.parts = {
            f"{name}-{objects.replace(':', '-')}-{level}": (policy, name, level)
            for policy, name in row_names(cfg.policy).items() for level in cfg.levels
        }  # fmt: skip

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """Hashes by cell: rows belong to these weights and these objects."""
        from toyshift.diagnostics.actors import policy_fingerprint
        from toyshift.toys import load_objects

        cfg = self.cfg
        load_objects(cfg.objects)
        hashes = {policy: policy_fingerprint(policy) for policy in cfg.policy}
        objects = cfg.objects if set_name(cfg.objects) != "ycb" else "ycb"
        return {cell: json_hash([hashes[policy], objects, cfg.seed]) for cell, (policy, _, _) in self.parts.items()}

    def check(self) -> None:
        """Its folders hold rows of any policies, told apart by their keys: there is nothing to claim."""
        gl_backend()

    def cells(self) -> list[Cell]:
        texts = {
            cell: f"{name}, masks with an IoU of {iou_of(level):g}" for cell, (_, name, level) in self.parts.items()
        }
        return [Cell(cell, text, PLAY * self.cfg.trials) for cell, text in texts.items()]

    def path(self, cell: str) -> Path:
        return self.cfg.results / "rows" / f"{cell.replace('/', '_')}.parquet"

    def is_done(self, cell: Cell) -> bool:
        from toyshift.diagnostics import read_rows, read_rows_manifest

        path = self.path(cell.name)
        ours = self.keys[cell.name]  # refuses what is missing, even where there are no rows yet
        return path.exists() and read_rows_manifest(path)["key"] == ours and len(read_rows(path)) >= self.cfg.trials

    def run(self, cell: Cell) -> None:
        """Plays one policy at one level and keeps the rows."""
        from toyshift.diagnostics import EvaluateConfig, evaluate, write_rows

        cfg, (policy, name, level) = self.cfg, self.parts[cell.name]
        config = EvaluateConfig(
            policy, cfg.objects, cfg.trials, seed=cfg.seed + TEST_SEED, name=name, shift=f"{FACTOR}={level}"
        )
        path = self.path(cell.name)
        workers = cfg.processes if cfg.processes > 1 else 0
        rows = evaluate(config, cfg.out / "rows" / path.name, workers=workers)
        asked = {"policy": policy, "objects": cfg.objects, "trials": cfg.trials}
        facts = manifest(asked, cfg.seed, key=self.keys[cell.name], level=level, iou=iou_of(level))
        write_rows(path, rows, facts)

    def tabulate(self) -> dict[str, Any]:
        return write_results(self.cfg.results, self.cfg.docs)


def iou_of(level: int) -> float:
    """Returns the IoU of a level of the shift."""
    from toyshift.envs.shift_table import SHIFT_FACTORS

    return round(SHIFT_FACTORS[FACTOR].at(level), 6)


def write_results(folder: Path, docs: Path) -> dict[str, Any]:
    """Writes table.json, the generated part of mask_iou.md and mask_iou.png of the rows that are there.

    Returns:
        what table.json holds.
    """
    from toyshift.diagnostics import compare, read_rows, read_rows_manifest, summarise
    from toyshift.scripts.studies.charts import curve_chart

    paths = sorted((folder / "rows").glob("*.parquet"))
    if not paths:
        raise no_rows(folder, "mask-iou --policy DIR")
    groups: dict[tuple[str, str], dict[int, list[Any]]] = {}
    for path in paths:
        rows = read_rows(path)
        levels = groups.setdefault((rows[0].policy, set_name(rows[0].object_set)), {})
        levels[int(read_rows_manifest(path)["level"])] = rows
    lines = []
    for (policy, spec), levels in groups.items():
        plain = {level: [dataclasses.replace(row, shift="") for row in rows] for level, rows in levels.items()}
        for level, rows in sorted(levels.items()):
            found = summarise(rows)[0]
            loss = compare(plain[level], plain[0]).to_json() if level and 0 in levels else None
            lines.append({
                "policy": policy, "set": spec, "level": level, "iou": iou_of(level), **figures(found),
                "objects": found.objects, "minus_true_masks": loss, "failures": found.failures,
            })
    table = {"rows": lines}
    write_json(folder / "table.json", table)
    write_page(docs / "mask_iou.md", BEGIN, END, markdown(lines))
    curves = []
    for policy, spec in groups:
        own = [x for x in lines if (x["policy"], x["set"]) == (policy, spec)]
        drawn = [(x["iou"], x["rate"], *x["clustered_objects_95"]) for x in own]
        curves.append((f"{policy} on {spec}", drawn))
    axis = "IoU of the target's mask with the true one (lines: 95 % for new objects)"
    curve_chart(docs / "mask_iou.png", "Success against the masks' IoU", axis, curves)
    print(markdown(lines))
    print(f"table: {folder / 'table.json'}, {docs / 'mask_iou.md'}\nfigure: {docs / 'mask_iou.png'}")
    return table


HEAD = "| policy | objects | IoU | n | success % | 95 % episodes | 95 % new objects | minus true masks, points |"


def markdown(lines: list[dict[str, Any]]) -> str:
    """Returns the table in Markdown."""
    rows = []
    for x in lines:
        loss = x["minus_true_masks"] and x["minus_true_masks"]["difference"]
        less = f"{100 * loss['value']:+.0f} ({points(loss)})" if loss else "-"
        head = (f"`{x['policy']}`", x["set"], f"{x['iou']:g}", x["n"], f"{100 * x['rate']:.1f}")
        rows.append((*head, percents(*x["wilson_95"]), percents(*x["clustered_objects_95"]), less))
    return markdown_table(HEAD, rows)
