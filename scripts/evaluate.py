"""Measures success by object set, beside an oracle and a random policy.

toyshift evaluate --policy runs/detpool --objects ycb-like --trials 100 --out runs/eval
toyshift evaluate --policy runs/detpool --shift camera-azimuth=1 --shift camera-azimuth=3 --out runs/eval
toyshift evaluate --policy ws://localhost:8000 --remote-keys libero --remote-actions libero --out runs/eval
toyshift evaluate --policy runs/detpool --policy runs/mean --objects toys:test --objects ycb:DIR?graspable
toyshift evaluate --policy runs/detpool --policy runs/mean --objects toys:test --until decided --trials 2000
toyshift evaluate --policy runs/detpool --swapped runs/fragments --trials 100 --out runs/swapped
toyshift evaluate --policy runs/detpool --objects toys:test --latency 0.2 --jitter 0.05 --out runs/late
toyshift evaluate --policy /shared/detpool --objects toys:test --trials 1000 --ray auto --out runs/eval
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from toyshift.core.choices import Compensation, Purpose, RobotName, Task
from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash, read_json, real_path, write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.policies.remote.options import LEROBOT, is_remote
from toyshift.scripts.options import Asking, Clustered

if TYPE_CHECKING:
    from toyshift.diagnostics import Row
    from toyshift.diagnostics.evaluation import EvaluateConfig

REFERENCES = ("oracle", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    Clustered, Asking, trials=(1, 1_000_000), max_steps=1, margin=(0, 99), reach=(0.001, 0.2),
    latency=(0, 10), jitter=(0, 10),
):
    """Options of `toyshift evaluate`."""

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    """Folder of a policy, oracle, random, ws://HOST:PORT (a server, docs/remote_policies.md), vla-eval:HOST:PORT
    or lerobot:DIR; several times for several."""
    objects: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Object set to test on; give it several times for several; none is ycb-like, with --swapped that of the folder."""
    task: Annotated[Task, tyro.conf.arg(aliases=["--env"])] = "grasp"
    """grasp (one object) or pick (2-6 objects; the instruction names the target); --env is its old name."""
    clutter: str = ""
    """How many others lie on the table: a number or a range such as 2-6; by default 0 for grasp, 1-5 for pick."""
    robot: RobotName = "panda"
    """Which robot acts: the one whose demonstrations the policy has seen; e.g. so101 (docs/robots.md)."""
    shift: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Distance from the training distribution, e.g. camera-azimuth=3; several times for several, factor=0 is unshifted;
    factors: docs/shifts.md."""
    masks: str = "truth"
    """Masks that policies see: truth, noisy:IOU (such as noisy:0.6); found in the images: detector (by the table's
    colour), background[:FOLDER] (against a picture of the empty table); told the target's box in the first image: box,
    colour (by the target's), track:FOLDER (SAM 2 or EdgeTAM); or module:name of your own (docs/policies.md)."""
    training_set: str = ""
    """The one of the object sets that was trained on; retention is over success there, and a policy below 20 % on it is
    flagged. None asks what each policy says it was trained on."""
    trials: int = 100
    """Episodes per policy, set and shift, or per policy and cell of --swapped; the objects take turns. With --until the
    most that each policy plays."""
    until: Literal["trials", "decided", "decided-for-new"] = "trials"
    """trials: all are played. decided: two policies are played in rounds of all objects, from the same starts, until it
    is settled which is better on these objects; decided-for-new: on new objects (docs/sequential.md)."""
    margin: float = 0.0
    """With --until: also settled once the gap is shown to be below this many points, e.g. 5; 0 does not ask. It is the
    gap for which the episodes of a fixed design are told, too."""
    swapped: Path | None = None
    """Folder of `toyshift data fragment`: measures the degree of shortcut learning. Targets lie where one sub-dataset
    had them, under the cue of the other, and under their own as a control (docs/dsl.md)."""
    reach: float | None = None
    """With --swapped: within which the hand has approached a place [m]; by default 0.04."""
    out: Path = Path("runs/evaluation")
    """Folder of the rows; an interrupted evaluation goes on where it was."""
    interface: Literal["auto", "check", "skip"] = "auto"
    """Whether policies are first asked if they are wired as they were trained, as `toyshift check-policy` does: auto
    those from elsewhere (ws://, vla-eval:, lerobot:), check all, skip none. With two cameras a server gives 3,024
    answers for that before the first episode; `toyshift bench` asks none (docs/remote_policies.md)."""
    purpose: Purpose = "test"
    """Which starts: test, validation (to choose by: no choice is then made on what is reported) or collection (those of
    demonstrations with this seed)."""
    no_references: bool = False
    """Leave out the oracle and the random policy."""
    latency: float = 0.0
    """Mean time from an observation to its actions [s], in virtual time: the robot goes on meanwhile; see
    docs/robot.md."""
    jitter: float = 0.0
    """With --latency: largest deviation from it [s]."""
    compensation: Compensation = "skip"
    """With --latency: skip (as many actions as were executed meanwhile), none (late actions are executed as they are)
    or wait (the robot stands still meanwhile)."""
    max_steps: int = 100
    """Control steps of an episode; 100 are 10 s at the 10 Hz of the default environment."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.policy:
            raise ConfigError("no policy was given: --policy DIR (made by `toyshift train`), oracle or random")
        if self.training_set and self.training_set not in self.sets:
            tested = ", ".join(self.sets)
            raise ConfigError(
                f"--training-set is {self.training_set}, but tested are {tested}; add --objects {self.training_set}"
            )
        if self.margin and not self.compares:
            raise ConfigError("--margin says when a comparison is settled; give --until decided as well")
        if self.compares and (len(set(self.policy)), len(self.sets), len(set(self.shift or ("",)))) != (2, 1, 1):
            given = f"{len(set(self.policy))} --policy, {len(self.sets)} --objects, {len(set(self.shift))} --shift"
            raise ConfigError(f"--until {self.until} compares two policies on one set, under one shift; got {given}")
        if self.swapped is not None:
            others = {
                "--shift": any(self.shift), "--until": self.compares, "--task": self.task != "grasp",
                "--robot": self.robot != "panda",
                "--clutter": self.clutter, "--training-set": self.training_set, "several --objects": self.sets[1:],
            }
            if refused := [name for name, value in others.items() if value]:
                raise ConfigError(f"--swapped changes only cue and place, as sub-datasets do; leave out {refused[0]}")
        elif self.reach is not None:
            raise ConfigError("--reach says how near counts as approached with swapped cues; give --swapped as well")
        if not self.here and (local := [policy for policy in self.policy if policy.startswith(LEROBOT)]):
            told = "is served on this machine, where the nodes of a cluster do not see it"
            raise ConfigError(f"{local[0]} {told}; --ray is {self.ray}: leave it out, or give --ray local")
        if not self.latency and (self.jitter or self.compensation != "skip"):
            raise ConfigError("--jitter and --compensation say how late actions are taken; give --latency as well")
        if self.jitter > self.latency:
            raise ConfigError(f"--jitter is {self.jitter:g}, --latency {self.latency:g}: it must not be larger")
        if self.latency and self.swapped is not None:
            raise ConfigError("--swapped asks where the hand goes, not how late; leave out --latency")
        self.remote.meaning()  # refuses what is out of range, and files that cannot be read

    @property
    def sets(self) -> tuple[str, ...]:
        """The object sets, each once."""
        return tuple(dict.fromkeys(self.objects or ("ycb-like",)))

    @property
    def compares(self) -> bool:
        """Whether two policies are played until one is shown to be better."""
        return self.until != "trials"

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """What the environment is given besides the object set; empty for the default task."""
        given = {
            "task": "" if self.task == "grasp" else self.task, "clutter": self.clutter,
            "robot": "" if self.robot == "panda" else self.robot,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value}


def row_names(policies: Collection[str]) -> dict[str, str]:
    """Returns what each policy is called in the rows: its folder's name, or the whole path where two are equal."""
    short = {p: p if p in REFERENCES else real_path(p.removeprefix(LEROBOT)).name for p in policies}
    names = list(short.values())
    return {policy: name if names.count(name) == 1 else policy for policy, name in short.items()}


def asked_of(cfg: Config, policy: str, plain: str, objects: str, shift: str) -> EvaluateConfig:
    """Returns what is evaluated of one policy, in one set and under one shift.

    Args:
        cfg: the options.
        policy: as it was given.
        plain: what it is called, see `row_names`; other masks and latency are said behind it.
        objects, shift: of those that were asked for.
    """
    from toyshift.diagnostics.actors import EnvSpec
    from toyshift.diagnostics.evaluation import EvaluateConfig
    from toyshift.diagnostics.late import Latency
    from toyshift.diagnostics.mask_sources import TRUTH

    masks = TRUTH if policy in REFERENCES else cfg.masks
    late = Latency() if policy in REFERENCES else Latency(cfg.latency, cfg.jitter, cfg.compensation)
    name = plain if masks == TRUTH else f"{plain} [masks {masks}]"
    return EvaluateConfig(
        policy, objects, trials=cfg.trials, seed=cfg.seed, name=f"{name} [{late.label}]" if late.label else name,
        env=EnvSpec(cfg.env_kwargs, masks), shift=shift, max_steps=cfg.max_steps, remote=cfg.remote,
        purpose=cfg.purpose, latency=late,
    )


def rows_file(
    folder: Path, policy: str, name: str, objects: str, env_kwargs: Mapping[str, Any] | None = None, shift: str = ""
) -> Path:
    """Returns where the rows of one policy on one set, in one task and under one shift, are kept."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{name}-{objects}{shift and '-' + shift}")[:80]
    facts = [policy, objects, *([dict(env_kwargs)] if env_kwargs else []), *([shift] if shift else [])]
    return folder / "rows" / f"{readable}-{json_hash(facts)[:6]}.parquet"


def main(cfg: Config) -> dict[str, Any]:
    """Measures success by object set: one row per episode, a table with intervals, the same starts for every policy.

    An oracle (the expert) and a random policy are in every table.
    Example: toyshift evaluate --policy runs/detpool --objects ycb-like --trials 100 --out runs/eval
    """
    if any(policy not in REFERENCES for policy in cfg.policy):
        gl_backend()  # these look at images; the references do not
    from toyshift.diagnostics import evaluate_all, shift_table, summarise, summary_table, write_rows
    from toyshift.diagnostics.actors import policy_fingerprint
    from toyshift.diagnostics.evaluation import POLICY_HASH, PROTOCOL
    from toyshift.diagnostics.mask_sources import TRUTH, mask_source
    from toyshift.diagnostics.named import NOTHING, named_table, picked, told_of
    from toyshift.diagnostics.overlap import overlap
    from toyshift.diagnostics.retention import FLAG, retentions, training_sets, undertrained
    from toyshift.diagnostics.seen import DEMONSTRATED, SEEN, demonstrated_sets, seen_in_rows
    from toyshift.diagnostics.sequential import NEW, THESE
    from toyshift.diagnostics.tables import mask_table, retention_table
    from toyshift.diagnostics.until_decided import evaluate_until_decided
    from toyshift.envs.config import EnvConfig
    from toyshift.envs.robots import get_robot
    from toyshift.envs.shifts import Shifts
    from toyshift.toys import load_objects

    references = () if cfg.no_references or cfg.compares else REFERENCES
    names = row_names(dict.fromkeys([*cfg.policy, *references]))
    mask_source(cfg.masks).reset(cfg.seed, 0)  # refuses what it does not know, and what is no detector
    shifts = tuple(dict.fromkeys(str(Shifts.parse(text)) for text in cfg.shift or ("",)))
    prints = {p: policy_fingerprint(p, cfg.remote) for p in names}  # the last that is wrong must not wait for the first
    if cfg.compares and len(set(prints.values())) == 1:
        warnings.warn(f"{' and '.join(names)} hold the same weights: nothing can be decided", stacklevel=1)
    gates = _check_interfaces(cfg, prints)
    if cfg.swapped is not None:
        return _swapped(cfg, cfg.swapped, names)
    of_training = training_sets(list(names), cfg.sets, cfg.training_set)
    sets = {objects: load_objects(objects) for objects in cfg.sets}
    get_robot(cfg.robot).require_files()
    for objects in sets:
        EnvConfig(objects=objects, **cfg.env_kwargs)
    asked, trained_on, called = [], {}, {}
    told_by: dict[str, str] = {}
    overlaps: dict[tuple[str, str], dict[str, Any]] = {}  # the same under every shift
    for objects, (policy, plain), shift in itertools.product(cfg.sets, names.items(), shifts):
        config = asked_of(cfg, policy, plain, objects, shift)
        name, late = config.name, config.latency
        trained_on[name], called[name] = of_training[policy], policy
        if cfg.task == "pick" and name not in told_by:
            told_by[name] = told_of(policy, config.env.masks)
            if told_by[name] == NOTHING:
                what = "was not trained with instructions, and is not shown where the target is"
                warnings.warn(f"{name} {what}: it picks the named object by chance, one of those there", stacklevel=1)
        own: dict[str, Any] = {} if config.env.masks == TRUTH else {"masks": config.env.masks}
        own |= {"latency": dataclasses.asdict(late)} if late.label else {}
        own |= {} if cfg.purpose == "test" else {"purpose": cfg.purpose}
        path = rows_file(cfg.out, policy, name, objects, cfg.env_kwargs | own, shift)
        if shift == shifts[0] and (shared := overlap(config, sets[objects].ids)):
            warnings.warn(str(shared), stacklevel=1)
            overlaps[policy, objects] = shared.to_json()
        asked.append((config, path))
    rows: list[Row] = []
    decision = None
    if cfg.compares:
        (first, one), (second, other) = asked
        about = NEW if cfg.until == "decided-for-new" else THESE
        decision = evaluate_until_decided(
            first, second, (one, other), about, cfg.margin / 100, cfg.processes, ray=cfg.ray
        )
        rows += decision.rows
    else:
        rows += [row for some in evaluate_all(asked, workers=cfg.processes, ray=cfg.ray) for row in some]
    summaries = summarise(rows)
    retained = retentions(summaries, trained_on)
    hashes = {name: str(found.fingerprint) for name, found in sets.items()}
    told = {
        "trained_on": trained_on, SEEN: seen_in_rows(rows, called), DEMONSTRATED: demonstrated_sets(called),
        "protocol": PROTOCOL, "objects_hash": hashes,
        POLICY_HASH: {name: prints[policy] for name, policy in called.items()},
    }  # fmt: skip
    facts = manifest(dataclasses.asdict(cfg) | {"out": str(cfg.out)}, cfg.seed, **told)
    write_rows(cfg.out / "rows.parquet", rows, facts)
    result = {
        "summaries": [summary.to_json() for summary in summaries],
        "overlaps": list(overlaps.values()),
        "retention": [found.to_json() for found in retained],
        FLAG: undertrained(summaries, trained_on),
        "interface": gates,
        **({"named": [one.to_json() for one in picked(rows, told_by)]} if told_by else {}),
        **({"decision": decision.to_json()} if decision else {}),
    }
    write_json(cfg.out / "results.json", result | {"manifest": facts})
    print(summary_table(summaries, trained_on))
    if decision:
        print(f"\n{decision.text()}")
    if told_by:
        print(f"\nof several objects one is named\n{named_table(picked(rows, told_by))}")
    if retained:
        print(f"\nretention: success over that on the training set\n{retention_table(retained)}")
    if any(shifts):
        print(f"\nsuccess % by factor and level\n{shift_table(summaries)}")
    wrong = cfg.masks != TRUTH or any("mask-" in shift for shift in shifts)
    if wrong and (quality := mask_table(rows)):
        print(f"\nmasks shown, against the true ones\n{quality}")
    print(f"rows: {cfg.out / 'rows.parquet'}\nresults: {cfg.out / 'results.json'}")
    return result | {"out": cfg.out}


def _check_interfaces(cfg: Config, prints: Mapping[str, str]) -> list[dict[str, Any]]:
    """Asks policies whether they look wired as they were trained, once in a folder of results, and warns if not."""
    from toyshift.diagnostics.actors import EnvSpec
    from toyshift.diagnostics.evaluation import EvaluateConfig
    from toyshift.diagnostics.interface.asking import check_policy_interface
    from toyshift.diagnostics.interface.gate import EDITION

    found = []
    for policy, own in prints.items():
        if policy in REFERENCES or cfg.interface == "skip" or (cfg.interface == "auto" and not is_remote(policy)):
            continue
        objects, stated = cfg.training_set or cfg.sets[0], cfg.remote.meaning() if is_remote(policy) else {}
        key = [policy, own, cfg.env_kwargs, objects, stated, EDITION]
        kept = cfg.out / "interface" / f"{json_hash(key)[:12]}.json"
        if not kept.is_file():
            asked = EvaluateConfig(policy, objects, seed=cfg.seed, env=EnvSpec(cfg.env_kwargs), remote=cfg.remote)
            write_json(kept, check_policy_interface(asked).to_json())
        report = read_json(kept)
        if not report["sound"]:
            warnings.warn(f"{policy} {report['verdict']}; see `toyshift check-policy`", stacklevel=1)
        found.append(report)
    return found


def _swapped(cfg: Config, folder: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """Plays every policy in the cells of a folder of sub-datasets, and says what it went to first."""
    from toyshift.data.collecting.fragment_folder import read_plan
    from toyshift.diagnostics import EvaluateConfig, evaluate_all, summarise, write_rows
    from toyshift.diagnostics.actors import EnvSpec
    from toyshift.diagnostics.dsl import REACH
    from toyshift.diagnostics.mask_sources import TRUTH
    from toyshift.diagnostics.swapped import swapped_of, swapped_table
    from toyshift.diagnostics.swapped_cells import cells_of
    from toyshift.toys import load_objects

    cells = cells_of(folder, REACH if cfg.reach is None else cfg.reach)
    objects = cfg.objects[0] if cfg.objects else str(read_plan(folder)[1]["objects"])
    load_objects(objects)
    asked = []
    for policy, plain in names.items():
        masks = TRUTH if policy in REFERENCES else cfg.masks
        name, env = (plain if masks == TRUTH else f"{plain} [masks {masks}]"), EnvSpec({}, masks)
        for cell in cells:
            config = EvaluateConfig(
                policy, objects, trials=cfg.trials, seed=cfg.seed, name=name, env=env, max_steps=cfg.max_steps,
                remote=cfg.remote, purpose=cfg.purpose, cell=cell,
            )
            own = {"cell": dataclasses.asdict(cell), "masks": masks, "purpose": cfg.purpose}
            path = rows_file(cfg.out, policy, name, objects, own)
            asked.append((config, path))
    played = evaluate_all(asked, workers=cfg.processes, ray=cfg.ray)
    by_policy = [played[i : i + len(cells)] for i in range(0, len(played), len(cells))]
    found = [swapped_of(list(zip(cells, some, strict=True))) for some in by_policy]
    rows = [row for some in played for row in some]
    facts = manifest(dataclasses.asdict(cfg) | {"out": str(cfg.out), "swapped": str(folder)}, cfg.seed)
    write_rows(cfg.out / "rows.parquet", rows, facts)
    result = {
        "swapped": [one.to_json() for one in found], "cells": [dataclasses.asdict(cell) for cell in cells],
        "summaries": [summary.to_json() for summary in summarise(rows)],
    }  # fmt: skip
    write_json(cfg.out / "results.json", result | {"manifest": facts})
    print(f"{cells[0].factor} swapped between {cells[0].place_of} and {cells[-1].place_of}\n{swapped_table(found)}")
    print(f"rows: {cfg.out / 'rows.parquet'}\nresults: {cfg.out / 'results.json'}")
    return result | {"out": cfg.out}
