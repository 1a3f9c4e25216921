"""Success against the quality of the masks: spoilt in different ways and by so much, or found in the images.

toyshift study mask-iou --policy runs/detpool
toyshift study mask-iou --policy runs/detpool --policy runs/mask-channel --objects ycb:DIR?graspable --trials 100
toyshift study mask-iou --policy runs/detpool --errors mask-offset --levels 3 5 --clutter 2-6
toyshift study mask-iou --policy runs/detpool --errors --providers background colour box --trials 100 --clutter ""
toyshift study mask-iou --results results/mask_iou --docs docs --tabulate          the committed rows and their page
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import json_hash, whole_files, write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.policies.masks.providers import PROVIDERS, is_provider, row_of
from toyshift.scripts.evaluate import row_names
from toyshift.scripts.studies.again import set_name
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Study, no_rows, require_equal, write_page
from toyshift.scripts.studies.figures import figures, markdown_table, percents, points
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

ERRORS = ("mask-jitter", "mask-outline", "mask-offset", "mask-dropout", "mask-gap", "mask-wrong")  # shifts
WRONG = "mask-wrong"  # the one that is another thing in clutter
TRUTH, DETECTOR = "truth", "detector"
ALPHA = 0.05  # level of the tests that are told in words
ALONE, CLUTTER = "alone", "clutter"
NAME = "mask-iou"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, trials=1):
    """Options of `toyshift study mask-iou`."""

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a policy; give it several times for several."""
    objects: str = "ycb-like?graspable"
    """Object set to test on."""
    errors: tuple[str, ...] = ERRORS
    """Ways in which masks are spoilt: shifts of masks (docs/shifts.md)."""
    levels: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Their levels; true masks and the detector's are played in any case."""
    providers: tuple[str, ...] = ()
    """Further mask providers beside the detector: background, colour, box, track:FOLDER (docs/policies.md)."""
    clutter: str = "4"
    """How many others lie on the table in the second scene: a number or a range such as 2-6; "" leaves it out."""
    trials: int = 50
    """Episodes per policy and kind of mask; the same starts for all in a scene."""
    out: Path = Path("runs/mask-iou")

    def __post_init__(self) -> None:
        from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS

        super().__post_init__()
        if not self.policy and not self.tabulate:
            raise ConfigError("no policy was given: --policy DIR (made by `toyshift train`), or --tabulate")
        known = [name for name, row in SHIFT_FACTORS.items() if "mask" in row.apply]
        if unknown := [name for name in self.errors if name not in known]:
            raise UnknownNameError("shift of masks", unknown[0], known)
        for text in self.providers:
            row_of(text)  # refuses what it does not know
        if not set(self.levels) <= set(range(1, LEVELS + 1)):
            raise ConfigError(f"--levels must be from 1 to {LEVELS}: true masks, level 0, are played in any case")


def main(cfg: Config) -> dict[str, Any]:
    """Tests policies with masks that are wrong in different ways, from the same starts, on one object and in clutter.

    The other pixels of the scene stay as they are. How far the masks that a policy was shown overlap the true ones is
    measured on the same images. Killed and run again, it goes on.
    Example: toyshift study mask-iou --policy runs/detpool --objects ycb-like?graspable
    """
    return MaskIou(cfg).conduct(cfg)


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of masks in one scene.

    Attributes:
        scene: ALONE or CLUTTER.
        masks: TRUTH, a mask provider or a shift of masks.
        level: of the shift.
    """

    scene: str
    masks: str
    level: int = 0

    @property
    def name(self) -> str:
        masks = self.masks.replace("/", "-").replace(":", "-")  # of a folder
        return f"{self.scene}-{masks}" + (f"-{self.level}" if self.level else "")

    @property
    def shift(self) -> str:
        return f"{self.masks}={self.level}" if self.level else ""

    @property
    def asked(self) -> str:
        """What the level comes to, for people; "" without one."""
        from toyshift.envs.shift_table import SHIFT_FACTORS

        if not self.level:
            return ""
        row = SHIFT_FACTORS[self.masks]
        return f"{'share' if row.unit == '1' else row.unit} {round(row.at(self.level), 6):g}"


def cases(errors: Sequence[str], levels: Sequence[int], clutter: bool, providers: Sequence[str] = ()) -> list[Case]:
    """Returns what a policy is tested with, the true masks of a scene first, then those found in its images."""
    found = tuple(dict.fromkeys((TRUTH, DETECTOR, *providers)))
    out = [*(Case(ALONE, name) for name in found), *(Case(ALONE, name, n) for name in errors for n in levels)]
    if clutter:
        out += [Case(CLUTTER, name) for name in found]
        out += [Case(CLUTTER, WRONG, n) for n in levels if WRONG in errors]
    return out


class MaskIou(Study):
    """Policies times kinds of masks, and what is there of them."""

    name = NAME

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg, objects = cfg, set_name(cfg.objects)
        self.parts = {
            f"{name}-{objects.replace(':', '-')}-{case.name}": (policy, name, case)
            for policy, name in row_names(cfg.policy).items()
            for case in cases(cfg.errors, cfg.levels, bool(cfg.clutter), cfg.providers)
        }

    def env_kwargs(self, case: Case) -> dict[str, Any]:
        return {"clutter": self.cfg.clutter} if case.scene == CLUTTER else {}

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """Hashes by cell: rows belong to these weights, these objects, this protocol and this scene."""
        from toyshift.diagnostics.actors import policy_fingerprint
        from toyshift.diagnostics.evaluation import PROTOCOL
        from toyshift.envs import EnvConfig
        from toyshift.toys import load_objects

        cfg = self.cfg
        load_objects(cfg.objects)
        hashes = {policy: policy_fingerprint(policy) for policy in cfg.policy}
        objects = _wherever(cfg.objects)
        keys = {}
        for cell, (policy, _, case) in self.parts.items():
            EnvConfig(objects=cfg.objects, **self.env_kwargs(case))  # refuses a clutter that is no range
            keys[cell] = json_hash([PROTOCOL, hashes[policy], objects, cfg.seed, case.name, self.env_kwargs(case)])
        return keys

    def check(self) -> None:
        """Its folders hold rows of any policies, told apart by their keys: there is nothing to claim."""
        gl_backend()

    def require_settings(self, folder: Path) -> None:
        """Refuses rows of other objects, clutter, episodes or seed; every cell's file says its own.

        The policies' weights are not compared: trained again on another kind of CPU they are others.
        """
        from toyshift.diagnostics import read_rows_manifest

        cfg = self.cfg
        now = {"objects": _wherever(cfg.objects), "clutter": cfg.clutter, "trials": cfg.trials, "seed": cfg.seed}
        for path in (folder / "rows" / self.path(cell).name for cell in self.parts):
            if path.exists():
                facts = read_rows_manifest(path)
                asked = facts["config"] | {"seed": facts["seed"]}
                there = {name: asked[name] for name in now}
                require_equal(path, now, there | {"objects": _wherever(there["objects"])})

    def cells(self) -> list[Cell]:
        seconds = PLAY * self.cfg.trials
        return [
            Cell(cell, f"{name}, {case.scene}, masks: {' '.join(filter(None, (case.masks, case.asked)))}", seconds)
            for cell, (_, name, case) in self.parts.items()
        ]

    def is_done(self, cell: Cell) -> bool:
        from toyshift.diagnostics import read_rows, read_rows_manifest

        path = self.path(cell.name)
        ours = self.keys[cell.name]  # refuses what is missing, even where there are no rows yet
        return path.exists() and read_rows_manifest(path)["key"] == ours and len(read_rows(path)) >= self.cfg.trials

    def run(self, cell: Cell) -> None:
        """Plays one policy with one kind of masks and keeps the rows."""
        from toyshift.diagnostics import EnvSpec, EvaluateConfig, evaluate, write_rows
        from toyshift.diagnostics.evaluation import PROTOCOL
        from toyshift.envs.render.renderer import gl_renderer_name

        cfg, (policy, name, case) = self.cfg, self.parts[cell.name]
        env = EnvSpec(self.env_kwargs(case), TRUTH if case.level else case.masks)
        config = EvaluateConfig(
            policy, cfg.objects, cfg.trials, seed=cfg.seed + TEST_SEED, name=name, shift=case.shift, env=env
        )
        path = self.path(cell.name)
        workers = cfg.processes if cfg.processes > 1 else 0
        rows = evaluate(config, cfg.work_dir / "rows" / path.name, workers=workers)
        asked = {"policy": policy, "objects": cfg.objects, "trials": cfg.trials, "clutter": cfg.clutter}
        facts = dataclasses.asdict(case) | {"protocol": PROTOCOL, "key": self.keys[cell.name]}
        write_rows(path, rows, manifest(asked, cfg.seed, gl_renderer=gl_renderer_name(), **facts))

    def tabulate(self) -> dict[str, Any]:
        return write_results(self.cfg.results_dir, self.cfg.docs_dir)


def _wherever(objects: str) -> str:
    """Returns an object set without the folder in which real objects lie on a machine."""
    return objects if set_name(objects) != "ycb" else "ycb"


def found_rows(folder: Path) -> dict[tuple[str, str], dict[Case, list[Row]]]:
    """Returns the rows that are there by policy and object set, and by case in the table's order.

    Those of another protocol began from other starts: they are named and left out.

    Raises:
        FileError: there are none.
    """
    from toyshift.diagnostics import read_rows, read_rows_manifest
    from toyshift.diagnostics.evaluation import PROTOCOL
    from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS

    paths = whole_files(folder / "rows", "*.parquet")
    told = {path: read_rows_manifest(path) for path in paths}
    old = [path.name for path in paths if told[path].get("protocol") != PROTOCOL]
    if old:
        print(f"left out, of an older protocol (delete them): {', '.join(old)}", file=sys.stderr)
    groups: dict[tuple[str, str], dict[Case, list[Row]]] = {}
    for path in (path for path in paths if path.name not in old):
        rows, facts = read_rows(path), told[path]
        played = groups.setdefault((rows[0].policy, set_name(rows[0].object_set)), {})
        played[Case(facts["scene"], facts["masks"], facts["level"])] = rows
    if not groups:
        raise no_rows(folder, "mask-iou --policy DIR")
    errors = [name for name, row in SHIFT_FACTORS.items() if "mask" in row.apply]
    played_with = {case.masks for played in groups.values() for case in played if is_provider(case.masks)}
    providers = sorted(played_with, key=lambda text: (list(PROVIDERS).index(text.partition(":")[0]), text))
    order = cases(list(dict.fromkeys((*ERRORS, *errors))), range(1, LEVELS + 1), clutter=True, providers=providers)
    return {group: {case: played[case] for case in order if case in played} for group, played in groups.items()}


def write_results(folder: Path, docs: Path) -> dict[str, Any]:
    """Writes table.json, the generated part of mask_iou.md and a figure per policy, of the rows that are there.

    Returns:
        what table.json holds.
    """
    from toyshift.diagnostics import compare, holm, summarise

    lines = []
    for (policy, spec), played in found_rows(folder).items():
        plain = {case: [dataclasses.replace(row, shift="") for row in rows] for case, rows in played.items()}
        for case, rows in played.items():
            found, truth = summarise(rows)[0], plain.get(Case(case.scene, TRUTH))
            loss = compare(plain[case], truth).to_json() if truth and case.masks != TRUTH else None
            lines.append({
                "policy": policy, "set": spec, **dataclasses.asdict(case), "asked": case.asked,
                "mask_iou": _mean([row.mask_iou for row in rows]),
                "mask_missed": _mean([row.mask_missed for row in rows]), **figures(found),
                "objects": found.objects, "minus_true_masks": loss, "failures": found.failures,
            })
    compared = [x["minus_true_masks"] for x in lines if x["minus_true_masks"]]
    for loss, p in zip(compared, holm([loss["p_value"] for loss in compared]), strict=True):
        loss["p_holm"] = p
    table = {"rows": lines}
    write_json(folder / "table.json", table)
    charts = draw(docs, lines)
    made = markdown(lines) + "".join(f"\n\n![success against IoU]({path.name})" for path in charts)
    write_page(docs / "mask_iou.md", NAME, folder, made)
    print(made)
    print(f"table: {folder / 'table.json'}, {docs / 'mask_iou.md'}")
    if charts:
        print(f"figures: {', '.join(map(str, charts))}")
    return table


def _mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean over episodes that have a value; None where none has."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def draw(docs: Path, lines: list[dict[str, Any]]) -> list[Path]:
    """Draws a figure for each policy and set: a curve per way of spoiling masks, a point for each provider.

    Where masks were spoilt in no way there is no curve, and no figure.
    """
    from toyshift.scripts.studies.charts import curve_chart

    charts = []
    for policy, spec in dict.fromkeys((x["policy"], x["set"]) for x in lines):
        own = [x for x in lines if (x["policy"], x["set"]) == (policy, spec) and x["mask_iou"] is not None]
        if all(x["masks"] == TRUTH or is_provider(x["masks"]) for x in own):
            continue
        curves = []
        for scene, masks in dict.fromkeys((x["scene"], x["masks"]) for x in own if x["masks"] != TRUTH):
            first = [] if is_provider(masks) else [TRUTH]
            shown = [x for x in own if x["scene"] == scene and x["masks"] in (masks, *first)]
            drawn = [(x["mask_iou"], x["rate"], *x["clustered_objects_95"]) for x in shown]
            curves.append((masks + (" in clutter" if scene == CLUTTER else ""), drawn))
        path = docs / f"mask_iou_{policy}-{spec}.png".replace("/", "_").replace(":", "-")
        axis = "mean IoU of the masks shown with the true ones (lines: 95 % for new objects)"
        curve_chart(path, f"{policy} on {spec}", axis, curves, (1.0, 0.8, 0.6, 0.4, 0.2, 0.0))
        charts.append(path)
    return charts


HEAD = (
    "| policy | objects | scene | masks | asked | mean IoU | missed % | n | success % | 95 % episodes | "
    "95 % new objects | minus true masks, points | McNemar p | Holm p |"
)


def markdown(lines: list[dict[str, Any]]) -> str:
    """Returns what the rows say, and the table, in Markdown."""
    rows = []
    for x in lines:
        loss, less = x["minus_true_masks"], ("-", "-", "-")
        if loss:
            change = f"{100 * loss['difference']['value']:+.0f} ({points(loss['difference'])})"
            less = (change, f"{loss['p_value']:.2g}", f"{loss['p_holm']:.2g}")
        quality = ("-", "-") if x["mask_iou"] is None else (f"{x['mask_iou']:.2f}", f"{100 * x['mask_missed']:.0f}")
        head = (f"`{x['policy']}`", x["set"], x["scene"], x["masks"], x["asked"] or "-", *quality, x["n"])
        figures_ = f"{100 * x['rate']:.1f}", percents(*x["wilson_95"]), percents(*x["clustered_objects_95"])
        rows.append((*head, *figures_, *less))
    return "\n".join((*summaries(lines), "", markdown_table(HEAD, rows)))


def summaries(lines: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each policy and set: where it loses something that the episodes show.

    Holm's correction is for all comparisons of the table.
    """
    out = []
    for policy, spec in dict.fromkeys((x["policy"], x["set"]) for x in lines):
        own = [x for x in lines if (x["policy"], x["set"]) == (policy, spec) and x["minus_true_masks"]]
        losses = [(x, x["minus_true_masks"]) for x in own if x["minus_true_masks"]["difference"]["value"] < 0]
        worse = [_words(x) for x, loss in losses if loss["p_holm"] <= ALPHA]
        perhaps = [_words(x) for x, loss in losses if loss["p_value"] <= ALPHA < loss["p_holm"]]
        told = f"- `{policy}` on {spec}: fewer successes than with true masks (Holm's p at most {ALPHA:g}): "
        out.append(
            f"{told}{'; '.join(worse) or 'nowhere'}. Before the correction for all comparisons also: "
            f"{'; '.join(perhaps) or 'nowhere'}."
        )
    return out


def _words(x: dict[str, Any]) -> str:
    where = " in clutter" if x["scene"] == CLUTTER else ""
    return " ".join(filter(None, (x["masks"] + where, x["asked"])))
