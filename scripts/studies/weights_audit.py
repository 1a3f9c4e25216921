"""Can one tell from a policy's weights that it was tuned on fragmented data, without playing a single episode?

One base policy is tuned again and again on few demonstrations, whose places a cue tells (correlation 1) or does not
(0). Two probes are given the change of one layer, and asked of checkpoints whose demonstrations, or whose factor, they
have never seen. Labels exchanged within pairs of the same demonstrations say what probes find where nothing is. A
control that looks at no weights says whether there is anything: how much each checkpoint's loss rises when the cue is
swapped.

toyshift study weights-audit --dry-run                     what would be run, and how long it takes
toyshift study weights-audit --budget paper                three trees of 120 checkpoints, the authors' probe
toyshift study weights-audit --results results/weights_audit --docs docs --tabulate     committed rows and their page
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import atomic_path, read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.core.seeds import episode_rng
from toyshift.scripts.studies.budgets import MOST, Budgeted
from toyshift.scripts.studies.cells import Study, found_in, keep_found, made_once, no_rows, write_page
from toyshift.scripts.studies.loss_looks import EVERY, frames_in, judged
from toyshift.scripts.studies.options import MOST_SEEDS
from toyshift.scripts.studies.planted import (
    COLLECTING,
    FRAMES,
    RENDERED,
    TRAINED,
    PlantedCue,
    collect_places,
    dress,
    dress_parts,
    recipe,
)
from toyshift.scripts.studies.schedule import Cell
from toyshift.scripts.studies.weight_probes import (
    ProbeX,
    auc,
    left_out,
    linear,
    p_by_chance,
    swapped_labels,
)
from toyshift.scripts.studies.weights_audit_results import (
    FACTORS,
    FULL_DEALS,
    OWN,
    QUESTIONS,
    SWAPPED,
    control_lines,
    draw,
    lengths_of,
    markdown,
)

if TYPE_CHECKING:
    import numpy as np

    from toyshift.core.arrays import Array
    from toyshift.data.collecting.dials import SubDataset
    from toyshift.policies.training.config import TrainConfig
    from toyshift.scripts.studies.weight_probes import Labels, Probe

TOYS = "toys:train"
DISPARITY = 1.0  # of the two values of a cue: half a factor's span, with azimuth 60 degrees
LAYER = "head.mlp.0.weight"  # the first after pooling: what of the picture moves the hand
EPOCH = 0.02  # [s] of ProbeX per epoch with 32 probes, for estimates


@dataclasses.dataclass(frozen=True)
class AuditSizes:
    """How large the study is.

    Attributes:
        seeds: trees: base policies, each with its own checkpoints.
        pairs: pairs of checkpoints for each factor, which share demonstrations.
        base_demos: demonstrations of a base policy.
        base_steps: its optimiser steps.
        demos: demonstrations of a checkpoint.
        steps: optimiser steps of its tuning.
        batch: samples per step.
        probes: of ProbeX, and as many numbers of its projection.
        epochs: of ProbeX.
        deals: times that labels are exchanged, for ProbeX, at first: see FULL_DEALS.
    """

    seeds: int
    pairs: int
    base_demos: int
    base_steps: int
    demos: int
    steps: int
    batch: int
    probes: int
    epochs: int
    deals: int


LINEAR_DEALS = 999  # which cost nothing
JUDGED = 3.0  # frames that are judged in the time in which one is trained on, for estimates


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    Budgeted, seeds=(0, MOST_SEEDS), pairs=(0, 10_000), base_demos=(0, MOST), base_steps=0, demos=(0, MOST), steps=0,
    batch=0, probes=(0, 10_000), epochs=0, deals=0,
):
    """Options of `toyshift study weights-audit`."""

    budgets: ClassVar = {
        "small": AuditSizes(1, 8, 150, 500, 24, 200, 128, 32, 200, 1),
        "paper": AuditSizes(3, 20, 500, 2200, 60, 500, 128, 128, 500, 19),
    }
    layer: str = LAYER
    """Weight matrix of the policy whose change is probed."""
    pooling: str = "attention"
    """Of the policies; they get no masks as an input."""
    lr: float = 0.005
    """Peak learning rate of the base; a checkpoint is tuned at a fifth of it."""
    seeds: int = 0
    """Another number of base policies; 0 = the budget's."""
    pairs: int = 0
    """Another number of pairs of checkpoints for each of three factors; 0 = the budget's."""
    base_demos: int = 0
    """Other demonstrations of the base; 0 = the budget's."""
    base_steps: int = 0
    """Other optimiser steps of the base; 0 = the budget's."""
    demos: int = 0
    """Other demonstrations of a checkpoint; 0 = the budget's."""
    steps: int = 0
    """Other optimiser steps of a checkpoint; 0 = the budget's."""
    batch: int = 0
    """Another number of samples per step; 0 = the budget's."""
    probes: int = 0
    """Other probes of ProbeX; 0 = the budget's."""
    epochs: int = 0
    """Other epochs of ProbeX; 0 = the budget's."""
    deals: int = 0
    """Other deals of exchanged labels for ProbeX at first; 0 = the budget's. Where its AUC lies above the linear
    probe's 95 % by chance, 19 are made in any case. p is never below 1 / (deals + 1)."""
    out: Path = Path("runs/weights-audit")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pairs == 1:
            raise ConfigError("--pairs is 1; a probe learns from checkpoints on other demonstrations: take 2 at least")

    def settings(self) -> dict[str, Any]:
        """What decides a cell's result."""
        own = {k: getattr(self, k) for k in ("layer", "pooling", "lr", "seed")}
        return own | {k: v for k, v in dataclasses.asdict(self.sizes()).items() if k != "seeds"}


def main(cfg: Config) -> dict[str, Any]:
    """Tunes one policy many times on fragmented and on plain data, and asks its weights which (docs/weights_audit.md).

    Example: toyshift study weights-audit --budget small --out runs/weights-audit
    """
    return WeightsAudit(cfg).conduct(cfg, cfg.only)


class Checkpoint(NamedTuple):
    """One tuning of a base policy: of which tree, on which factor, whether it tells the place, which demonstrations."""

    tree: int
    factor: str
    told: bool
    number: int

    @property
    def name(self) -> str:
        return f"s{self.tree}-{self.factor}-{'told' if self.told else 'clean'}-{self.number:02d}"


class WeightsAudit(Study):
    """For each tree its base, its checkpoints, and the audit of all of them."""

    name = "weights-audit"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg, self.asked = cfg, cfg.sizes()
        self.checkpoints = {
            one.name: one
            for tree in range(self.asked.seeds) for number in range(self.asked.pairs) for factor in FACTORS
            for one in (Checkpoint(tree, factor, told, number) for told in (True, False))
        }  # fmt: skip

    def of_tree(self, tree: int) -> list[Checkpoint]:
        return [one for one in self.checkpoints.values() if one.tree == tree]

    def cells(self) -> list[Cell]:
        asked, processes = self.asked, self.cfg.processes
        cells = []
        for tree in range(asked.seeds):
            base = f"s{tree}-base"
            seconds = asked.base_demos * COLLECTING / processes + asked.base_steps * asked.batch / TRAINED
            cells.append(Cell(base, f"base policy {tree}", seconds))
            for one in self.of_tree(tree):
                rendering = asked.demos * FRAMES / RENDERED / processes
                seconds = asked.steps * asked.batch / TRAINED + rendering
                seconds += 2 * asked.demos * FRAMES / EVERY / (JUDGED * TRAINED)
                if one.factor == FACTORS[0] and one.told:  # who asks first for the demonstrations
                    seconds += asked.demos * COLLECTING / processes * (1 + (one.number == 0))
                if one.number == 0 and one.told:  # and for those of the control
                    seconds += 2 * rendering
                text = f"tuned with {one.factor} that tells {'the place' if one.told else 'nothing'}"
                cells.append(Cell(one.name, f"{text}, demonstrations {one.number}", seconds, (base,)))
            folds = asked.pairs + len(FACTORS)
            seconds = EPOCH * (asked.probes / 32) * asked.epochs * folds * (1 + asked.deals)
            needs = (base, *(one.name for one in self.of_tree(tree)))
            cells.append(Cell(f"s{tree}-audit", f"what its weights tell, tree {tree}", seconds, needs))
        return cells

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def check(self) -> None:
        self.prepare(TOYS)

    def run(self, cell: Cell) -> None:
        """Trains a base, tunes a checkpoint, or asks the probes."""
        tree = int(cell.name[1 : cell.name.index("-")])
        if cell.name.endswith("-base"):
            found = self.base(tree)
        elif cell.name.endswith("-audit"):
            found = self.audit(tree)
        else:
            found = self.tune(self.checkpoints[cell.name])
        keep_found(self.path(cell.name), found, manifest(self.settings(), self.cfg.seed + tree, tree=tree))

    def base_folder(self, tree: int) -> Path:
        return self.cfg.work_dir / f"s{tree}-base" / "policy"

    def base(self, tree: int) -> dict[str, Any]:
        """Collects under the ordinary look, and trains a base policy."""
        from toyshift.policies import train

        cfg, asked, seed = self.cfg, self.asked, self.cfg.seed + tree
        folder = self.base_folder(tree).parent / "places"
        places = collect_places(folder, TOYS, asked.base_demos, seed, cfg.processes if cfg.processes > 1 else 0)
        parts = [str(path) for path in sorted(places.iterdir()) if (path / "meta").is_dir()]
        sizes: dict[str, Any] = {"steps": asked.base_steps, "batch": asked.batch, "lr": cfg.lr, "seed": seed}
        done = train(recipe(cfg.pooling, parts, self.base_folder(tree), threads=cfg.processes, **sizes))
        weights_of(self.base_folder(tree), cfg.layer)  # says that there is no such layer before all is tuned
        return {k: done[k] for k in ("loss", "validation_loss", "samples")}

    def tune(self, one: Checkpoint) -> dict[str, Any]:
        """Dresses demonstrations, tunes the base on them, and keeps the change of the layer."""
        import numpy as np

        from toyshift.policies import train

        cfg, asked = self.cfg, self.asked
        root = cfg.seed + one.tree
        seed = int(episode_rng(root, one.number, "weights-audit").integers(2**31))
        workers, folder = cfg.processes if cfg.processes > 1 else 0, cfg.work_dir / one.name
        places = collect_places(
            cfg.work_dir / f"s{one.tree}-places-{one.number:02d}", TOYS, asked.demos, seed, workers
        )  # fmt: skip
        cue = PlantedCue(one.factor, DISPARITY, float(one.told))
        data = dress(cue, places, folder / "data", seed, workers)
        sizes: dict[str, Any] = {"steps": asked.steps, "batch": asked.batch, "lr": cfg.lr / 5, "seed": seed}
        base = self.base_folder(one.tree)
        usual = recipe(cfg.pooling, data, folder / "policy", threads=cfg.processes, **sizes)
        # the last weights, not their average: that has hardly moved after so few steps
        done = train(dataclasses.replace(usual, init_from=str(base), ema=0.0, warmup=min(20, asked.steps)))
        losses = {what: mean_loss(folder / "policy", dataclasses.replace(usual, data=data))
                  for what, data in self.control(one.tree, one.factor).items()}  # fmt: skip
        change = weights_of(folder / "policy", cfg.layer) - weights_of(base, cfg.layer)
        with atomic_path(self.change_file(one)) as temporary, open(temporary, "wb") as file:
            np.save(file, change.astype(np.float32), allow_pickle=False)
        shutil.rmtree(folder)
        lengths = {"moved": float(np.linalg.norm(change)), "shape": list(change.shape)}
        return {**one._asdict(), **lengths, **losses, **{k: done[k] for k in ("loss", "validation_loss", "samples")}}

    def control(self, tree: int, factor: str) -> dict[str, tuple[str, ...]]:
        """Returns demonstrations that no checkpoint of a tree has learnt from, with a factor's cue and with it swapped.
        """
        cfg, number = self.cfg, self.asked.pairs  # after those of all checkpoints
        seed = int(episode_rng(cfg.seed + tree, number, "weights-audit").integers(2**31))
        workers = cfg.processes if cfg.processes > 1 else 0
        places = collect_places(cfg.work_dir / f"s{tree}-places-control", TOYS, self.asked.demos, seed, workers)
        parts = PlantedCue(factor, DISPARITY, 1.0).design().parts
        found = {}
        for what, dressed in ((OWN, parts), (SWAPPED, exchanged(parts))):
            out = cfg.work_dir / f"s{tree}-control" / f"{factor}-{what}"
            out.parent.mkdir(parents=True, exist_ok=True)
            with made_once(out):
                found[what] = dress_parts(dressed, factor, places, out, seed, workers)
        return found

    def change_file(self, one: Checkpoint) -> Path:
        return self.cfg.work_dir / "changes" / f"{one.name}.npy"

    def audit(self, tree: int) -> dict[str, Any]:
        """Asks both probes both questions, and again with exchanged labels."""
        import numpy as np

        asked, checkpoints = self.asked, self.of_tree(tree)
        changes = np.stack([np.load(self.change_file(one), allow_pickle=False) for one in checkpoints])
        own = ProbeX(asked.probes, asked.probes, 4 * asked.probes, asked.epochs, seed=self.cfg.seed + tree)
        rng = episode_rng(self.cfg.seed + tree, 0, "exchanged labels")
        flat = compact(changes)
        lines = [
            {"probe": "linear", "question": question, **answer(linear, flat, checkpoints, key, LINEAR_DEALS, rng)}
            for question, key in QUESTIONS.items()
        ]
        for question, key in QUESTIONS.items():
            (band,) = (x["chance_95"] for x in lines if (x["probe"], x["question"]) == ("linear", question))
            told = answer(own, changes, checkpoints, key, asked.deals, rng, worth=band)
            lines.append({"probe": "ProbeX", "question": question, **told})
        return {"lines": lines, "checkpoints": len(checkpoints)}

    def tabulate(self) -> dict[str, Any]:
        folder, page = self.cfg.results_dir, self.cfg.docs_dir / "weights_audit.md"
        paths = whole_files(folder / "rows", "s*.parquet")
        if not paths:
            raise no_rows(folder, self.name)
        moved = [found_in(path) for path in paths if path.stem.split("-")[1] not in ("base", "audit")]
        lines = [
            {"tree": int(path.stem.split("-")[0][1:]), **line}
            for path in paths if path.stem.endswith("-audit") for line in found_in(path)["lines"]
        ]  # fmt: skip
        missing = [cell.name for cell in self.cells() if not self.is_done(cell)]
        table = {
            "probes": lines, "moved": lengths_of(moved), "control": control_lines(moved), "missing": missing,
            "settings": read_json(folder / "settings.json")["settings"],
        }  # fmt: skip
        write_json(folder / "table.json", table)
        made = markdown(table)
        if lines:
            draw(self.cfg.docs_dir / "weights_audit.png", lines)
        write_page(page, self.name, folder, made)
        print(made)
        return table


def weights_of(folder: Path, layer: str) -> Array:
    """Returns a weight matrix (H, W) of a trained folder, of the weights that act.

    Raises:
        UnknownNameError: it has no such matrix; names those that it has.
    """
    import numpy as np

    from toyshift.policies import checkpoints

    state = checkpoints.read_state(folder)
    tensors = checkpoints.load_tensors(folder, state, checkpoints.weights_to_act(state))
    if layer not in (matrices := {name: x for name, x in tensors.items() if x.ndim == 2}):
        raise UnknownNameError("weight matrix (--layer)", layer, matrices)
    return np.asarray(matrices[layer].double().numpy())


def exchanged(parts: Sequence[SubDataset]) -> tuple[SubDataset, ...]:
    """Returns two sub-datasets under each other's names: the place of one is shown with the cue of the other."""
    first, second = parts
    return dataclasses.replace(second, name=first.name), dataclasses.replace(first, name=second.name)


def mean_loss(folder: Path, config: TrainConfig) -> float:
    """Returns a policy's mean loss on the datasets of a training's settings."""
    from toyshift.policies.network.weights import load_network

    return float(judged(load_network(folder), frames_in(config)).mean())


def compact(changes: Array) -> Array:
    """Returns matrices (n, 1, n) with the inner products of `changes` (n, H, W): to a linear probe they are the same.
    """
    import numpy as np

    flat = np.asarray(changes, np.float64).reshape(len(changes), -1)
    left, lengths, _ = np.linalg.svd(flat, full_matrices=False)
    return np.asarray((left * lengths)[:, None])


def answer(
    probe: Probe, weights: Array, checkpoints: Sequence[Checkpoint], key: str, deals: int, rng: np.random.Generator,
    worth: float = math.inf,
) -> dict[str, Any]:
    """Returns what a probe tells of checkpoints, of whose `key` it has seen none, and what it tells by chance.

    Args:
        probe: is asked.
        weights: (n, H, W) of the checkpoints.
        checkpoints: (n,).
        key: of a checkpoint.
        deals: times that labels are exchanged.
        rng: of the exchanges.
        worth: AUC above which FULL_DEALS are made, if `deals` are fewer.
    """
    import numpy as np

    from toyshift.diagnostics import wilson

    labels: Labels = np.array([one.told for one in checkpoints])
    groups, pairs = ([str(getattr(one, key)) for one in checkpoints], [f"{c.factor} {c.number}" for c in checkpoints])

    def asked(told: Labels) -> tuple[float, int]:
        scores = left_out(probe, weights, told, groups)
        by_pair = {pair: [s for s, p in zip(scores * np.where(told, 1, -1), pairs, strict=True) if p == pair]
                   for pair in dict.fromkeys(pairs)}  # fmt: skip
        return auc(scores, told), sum(bool(sum(both) > 0) for both in by_pair.values())

    found, wins = asked(labels)
    deals = max(deals, FULL_DEALS) if found > worth else deals
    chance = [asked(swapped_labels(labels, pairs, rng))[0] for _ in range(deals)]
    low, high = wilson(wins, n := len(set(pairs)))
    return {
        "auc": found, "p": p_by_chance(found, chance), "deals": deals, "pairs": n, "wins": wins, "low": low,
        "high": high, "chance_mean": float(np.mean(chance)), "chance_95": float(np.quantile(chance, 0.95)),
    }  # fmt: skip
