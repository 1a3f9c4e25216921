"""What every shift costs a policy: factors x levels and the control on the same starts, a ranking, and pairs.

toyshift study shifts --policy runs/detpool
toyshift study shifts --policy runs/detpool --policy ws://localhost:8000 --objects ycb-like?graspable
toyshift study shifts --policy runs/detpool --factors table-texture camera-azimuth --levels 5 --trials 20 --pairs 2
toyshift study shifts --policy runs/detpool --budget paper           10,080 shifted episodes, each with its control
toyshift study shifts --results results/shifts --tabulate --against real.csv      columns name, rate
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import json_hash
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.policies.remote.options import is_remote
from toyshift.scripts.evaluate import REFERENCES, row_names
from toyshift.scripts.options import Asking
from toyshift.scripts.studies.again import set_name
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Study, pool_of
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.schedule import Cell
from toyshift.scripts.studies.shift_results import BELONGS, CONTROL, FACTOR, NAME, PAIRS, known_rates, write_results

if TYPE_CHECKING:
    from toyshift.core.workers import Pool
    from toyshift.diagnostics import EvaluateConfig


STRIDE = 1000  # between the starts of one --seed and of the next; more than a matrix takes


class MatrixBudget(NamedTuple):
    """How much is played: levels, episodes per condition, and whose the controls are."""

    levels: tuple[int, ...]
    trials: int
    controls: str


BUDGETS = {"small": MatrixBudget((1, 3, 5), 50, "shared"), "paper": MatrixBudget((1, 2, 3, 4, 5), 63, "own")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, Asking, trials=0, pairs=0):
    """Options of `toyshift study shifts`."""

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a policy, ws://HOST:PORT, vla-eval:HOST:PORT, lerobot:DIR, oracle or random; several times for
    several."""
    objects: str = "toys:test"
    """Object set to test on."""
    budget: Literal["small", "paper"] = "small"
    """small (levels 1, 3 and 5, 50 starts that all shifts share) or paper (LIBERO-Plus' size: all levels, 63 starts of
    its own for each factor and level)."""
    factors: tuple[str, ...] = ()
    """Shifts (docs/shifts.md); by default all that reach the policy: one without cameras meets none that is only
    seen."""
    levels: tuple[int, ...] = ()
    """Other levels than the budget's."""
    trials: int = 0
    """Other episodes per factor and level than the budget's; 0 = the budget's."""
    controls: Literal["budget", "shared", "own"] = "budget"
    """shared: all shifts are played from the same starts, which have one control. own: every factor and level has
    starts and controls of its own."""
    pairs: int = 4
    """How many of the worst factors are paired with each other, at the middle level and on starts of their own; 0 for
    none."""
    against: Path | None = None
    """CSV file with the columns name and rate: a real robot's or another simulator's success by shift (such as
    camera-azimuth=3; none for no shift) or by policy, from 0 to 1; kept beside the rows."""
    only: tuple[str, ...] = ()
    """Cells to run, with * for anything; those that they need are run first."""
    out: Path = Path("runs/shifts")

    def __post_init__(self) -> None:
        from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS

        super().__post_init__()
        if not self.policy and not self.tabulate:
            raise ConfigError("no policy was given: --policy DIR (made by `toyshift train`), or --tabulate")
        if unknown := [name for name in self.factors if name not in SHIFT_FACTORS]:
            raise UnknownNameError("shift", unknown[0], SHIFT_FACTORS)
        if not set(self.levels) <= set(range(1, LEVELS + 1)):
            raise ConfigError(f"--levels must be from 1 to {LEVELS}: no shift, level 0, is played in any case")
        for name in ("factors", "levels"):
            given = getattr(self, name)
            if twice := [value for value in given if given.count(value) > 1]:
                raise ConfigError(f"--{name} holds {twice[0]} twice")
        if self.pairs == 1:
            raise ConfigError("--pairs is 1, which makes no pair: 2 or more, or 0 for none")
        self.remote.meaning()  # refuses files that cannot be read

    @property
    def plan(self) -> MatrixBudget:
        """The budget with what other options change in it."""
        levels, trials, controls = BUDGETS[self.budget]
        own = controls if self.controls == "budget" else self.controls
        return MatrixBudget(tuple(sorted(self.levels)) or levels, self.trials or trials, own)


def main(cfg: Config) -> dict[str, Any]:
    """Measures what every shift costs: success and drop by factor and level, a ranking, and whether two compound.

    Shifted episodes and their controls have the same starts. Killed and run again, it goes on.
    Example: toyshift study shifts --policy runs/detpool --objects toys:test
    """
    return ShiftMatrix(cfg).conduct(cfg, cfg.only)


class Starts(NamedTuple):
    """Episodes of a cell: under a shift ("" for none), from the starts of a root seed."""

    shift: str
    seed: int


@dataclasses.dataclass(frozen=True)
class MatrixPart:
    """What a cell plays.

    Attributes:
        policy: as it was given.
        name: what it is called.
        kind: CONTROL, FACTOR or PAIRS.
        factor: of a FACTOR.
    """

    policy: str
    name: str
    kind: str
    factor: str = ""


def unreached(factor: str, cameras: Sequence[str], masks: bool) -> str:
    """Says why a shift cannot reach a policy, "" if it can: such a drop is 0 by construction, and no finding.

    Args:
        factor: its name.
        cameras: what the policy sees.
        masks: whether it is given masks.
    """
    from toyshift.envs.shift_table import SHIFT_FACTORS

    when = SHIFT_FACTORS[factor].apply.keys()
    if "mask" in when:
        return "" if masks else "it is given no masks"
    if when & {"appearance", "image"} and not cameras:
        return "it has no cameras"
    if factor.startswith("camera-") and "front" not in cameras:
        return f"it has no front camera, only {', '.join(cameras)}"
    return ""


class ShiftMatrix(Study):
    """Policies times factors, and what is there of them."""

    name = NAME

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg, self.base = cfg, TEST_SEED + STRIDE * cfg.seed
        self.left_out: dict[str, dict[str, str]] = {}
        self.pool: Pool | None = None
        self._worst: dict[str, list[str]] = {}

    # ---------------------------------------------------------------- what is played

    @functools.cached_property
    def prints(self) -> dict[str, Any]:
        """What the rows of each policy belong to: its weights, or what its server says and how it is asked."""
        from toyshift.diagnostics.actors import policy_fingerprint

        remote = self.cfg.remote
        meaning = {policy: remote.meaning() if is_remote(policy) else {} for policy in self.cfg.policy}
        return {policy: [policy_fingerprint(policy, remote), meaning[policy]] for policy in self.cfg.policy}

    @functools.cached_property
    def objects_hash(self) -> str:
        """Of the object set's content: the same text may come to hold other objects, the same objects lie elsewhere."""
        from toyshift.toys import load_objects

        return str(load_objects(self.cfg.objects).fingerprint)

    @functools.cached_property
    def parts(self) -> dict[str, MatrixPart]:
        """Cells by name, in the order in which they run.

        Raises:
            ConfigError: a shift that was asked for cannot reach a policy.
        """
        parts = {}
        for policy, name in row_names(self.cfg.policy).items():
            stem = f"{name}-{set_name(self.cfg.objects).replace(':', '-')}"
            factors = self._factors(policy, name)
            if self.cfg.plan.controls == "shared":
                parts[f"{stem}-{CONTROL}"] = MatrixPart(policy, name, CONTROL)
            parts |= {f"{stem}-{factor}": MatrixPart(policy, name, FACTOR, factor) for factor in factors}
            if self.cfg.pairs and len(factors) > 1:
                parts[f"{stem}-{PAIRS}"] = MatrixPart(policy, name, PAIRS)
        return parts

    def _factors(self, policy: str, name: str) -> list[str]:
        from toyshift.diagnostics.actors import FolderActor, RemoteActor
        from toyshift.diagnostics.evaluation import opened_session
        from toyshift.envs.shift_table import SHIFT_FACTORS

        assert self.prints  # an unknown policy is said before any is loaded
        with opened_session(self.config_of(policy, name, Starts("", self.base))) as (actor, world):
            cameras = world.observation_contract.camera_names
            masks = isinstance(actor, FolderActor) and bool(actor.policy.needs_masks)
            if isinstance(actor, RemoteActor):
                cameras = actor.policy.shown_cameras(cameras)
        why = {factor: unreached(factor, cameras, masks) for factor in self.cfg.factors or SHIFT_FACTORS}
        self.left_out[name] = {factor: reason for factor, reason in why.items() if reason}
        if self.cfg.factors and self.left_out[name]:
            factor, reason = next(iter(self.left_out[name].items()))
            raise ConfigError(f"--factors: {factor} cannot reach {name}: {reason}")
        return [factor for factor, reason in why.items() if not reason]

    def config_of(self, policy: str, name: str, played: Starts) -> EvaluateConfig:
        """Returns an evaluation as `diagnostics.evaluate` takes it."""
        from toyshift.diagnostics import EvaluateConfig

        cfg = self.cfg
        return EvaluateConfig(
            policy, cfg.objects, cfg.plan.trials, seed=played.seed, name=name, shift=played.shift, remote=cfg.remote
        )

    def played(self, part: MatrixPart) -> list[Starts]:
        """Returns the episodes of a cell; [] of pairs whose factors are not known yet."""
        from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS
        from toyshift.envs.shifts import Shifts

        levels, _, controls = self.cfg.plan
        if part.kind == CONTROL:
            return [Starts("", self.base)]
        if part.kind == FACTOR:
            shifts = [f"{part.factor}={level}" for level in levels]
            if controls == "shared":
                return [Starts(shift, self.base) for shift in shifts]
            first = self.base + 2 + LEVELS * list(SHIFT_FACTORS).index(part.factor)
            return [Starts(x, first + n) for n, shift in zip(levels, shifts, strict=True) for x in ("", shift)]
        # Starts of their own: on those by which the worst were chosen, they look worse than they are.
        worst = [f"{factor}={levels[len(levels) // 2]}" for factor in self.worst(part)]
        pairs = [str(Shifts.parse(f"{a},{b}")) for a, b in itertools.combinations(worst, 2)]
        return [Starts(shift, self.base + 1) for shift in ("", *worst, *pairs)] if pairs else []

    def worst(self, part: MatrixPart) -> list[str]:
        """Returns the factors that are paired: those with the largest drops, once all were played."""
        from toyshift.diagnostics import read_rows
        from toyshift.diagnostics.shift_matrix import ranking

        if part.name in self._worst:  # finished cells stay as they are while a study runs
            return self._worst[part.name]
        own = [cell for cell in self.cells() if self.parts[cell.name].name == part.name]
        single = [cell for cell in own if self.parts[cell.name].kind != PAIRS]
        if not all(map(self.is_done, single)):
            return []
        rows = [row for cell in single for row in read_rows(self.path(cell.name))]
        self._worst[part.name] = [one.factor for one in ranking(rows)[: self.cfg.pairs]]
        return self._worst[part.name]

    def key(self, part: MatrixPart) -> str:
        """Returns the hash of all that decides a cell's rows but how many there are."""
        from toyshift.diagnostics.evaluation import PROTOCOL

        return json_hash([PROTOCOL, self.prints[part.policy], self.objects_hash, self.played(part)])

    def belongs(self, part: MatrixPart) -> dict[str, Any]:
        """Returns what all cells of a table must share, as far as it decides this one's rows.

        How many episodes there are is not among it: drops are taken over the starts that were played both ways.
        """
        levels, _, controls = self.cfg.plan
        policy = json_hash(self.prints[part.policy])
        found: dict[str, Any] = {"policy": policy, "objects": self.objects_hash, "seed": self.cfg.seed}
        if part.kind != PAIRS:  # which have controls of their own
            found["controls"] = controls
        if part.kind == FACTOR:
            found["levels"] = list(levels)
        return found

    # ---------------------------------------------------------------- the study

    def conduct(self, cfg: StudyConfig, only: Sequence[str] = ()) -> dict[str, Any]:
        with pool_of(cfg.processes) as self.pool:  # from cell to cell, processes keep policy and environment
            return super().conduct(cfg, only)

    def cells(self) -> list[Cell]:
        levels, trials, controls = self.cfg.plan
        cells: list[Cell] = []
        for name, part in self.parts.items():
            k = min(self.cfg.pairs, sum(p.kind == FACTOR and p.name == part.name for p in self.parts.values()))
            count = {CONTROL: 1, FACTOR: len(levels) * (1 + (controls == "own")), PAIRS: 1 + k + k * (k - 1) // 2}
            text = {CONTROL: "no shift", FACTOR: part.factor, PAIRS: f"pairs of the {k} worst"}[part.kind]
            before = [c.name for c in cells if self.parts[c.name].name == part.name]
            control = [name for name in before if self.parts[name].kind == CONTROL]
            needs = tuple({CONTROL: [], FACTOR: control, PAIRS: before}[part.kind])
            cells.append(Cell(name, f"{part.name}: {text}", PLAY * trials * count[part.kind], needs))
        return cells

    def is_done(self, cell: Cell) -> bool:
        from toyshift.diagnostics import read_rows, read_rows_manifest

        path, part = self.path(cell.name), self.parts[cell.name]
        if not path.exists() or read_rows_manifest(path)["key"] != self.key(part):
            return False
        there = [(row.shift, row.seed) for row in read_rows(path)]
        wanted = self.played(part)
        return bool(wanted) and all(there.count(played) >= self.cfg.plan.trials for played in wanted)

    def check(self) -> None:
        """Its folders hold rows of any policies, told apart by their keys: there is nothing to claim."""
        if any(policy not in REFERENCES for policy in self.cfg.policy):
            gl_backend()
        for name, factors in self.left_out.items():
            for reason in dict.fromkeys(factors.values()):
                without = ", ".join(factor for factor, why in factors.items() if why == reason)
                print(f"left out for {name}, since {reason}: {without}", file=sys.stderr)
        if self.cfg.against:
            known_rates(self.cfg.against, row_names(self.cfg.policy).values())  # what is wrong must not wait for hours

    def run(self, cell: Cell) -> None:
        """Plays a cell's episodes, start by start, and keeps the rows."""
        from toyshift.diagnostics import evaluate_all, write_rows
        from toyshift.diagnostics.evaluation import PROTOCOL
        from toyshift.diagnostics.seen import DEMONSTRATED, SEEN, demonstrated_sets, seen_in_rows
        from toyshift.envs.render.renderer import gl_renderer_name

        cfg, part = self.cfg, self.parts[cell.name]
        conditions = []
        for played in self.played(part):
            file = f"{cell.name}-{played.shift or 'none'}-{played.seed}.parquet".replace("/", "_").replace("=", "-")
            conditions.append((self.config_of(part.policy, part.name, played), cfg.work_dir / "rows" / file))
        rows = [row for some in evaluate_all(conditions, workers=0, pool=self.pool) for row in some]
        asked = {"policy": part.policy, "objects": cfg.objects, **cfg.plan._asdict()}
        facts = {"kind": part.kind, "key": self.key(part), "protocol": PROTOCOL, "left_out": self.left_out[part.name]}
        facts["gl_renderer"] = "none" if part.policy in REFERENCES else gl_renderer_name()
        called = {part.name: part.policy}
        facts |= {SEEN: seen_in_rows(rows, called), DEMONSTRATED: demonstrated_sets(called)}
        facts[BELONGS] = self.belongs(part)
        write_rows(self.path(cell.name), rows, manifest(asked, cfg.seed, **facts))

    def tabulate(self) -> dict[str, Any]:
        return write_results(self.cfg.results_dir, self.cfg.docs_dir, self.cfg.against)
