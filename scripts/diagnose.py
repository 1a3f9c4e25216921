"""Says what a policy is sensitive to, how datasets differ, or what episodes say beyond their rate of success.

toyshift diagnose --policy runs/detpool --objects toys:test
toyshift diagnose --policy ws://localhost:8000 --training-set toys:train --measure counterfactual
toyshift diagnose --data runs/left runs/right    which cue a policy could learn there, how strongly, what breaks it
toyshift diagnose --rows runs/plain runs/shifted.parquet    whether failures are the object's, luck, or the shift's
toyshift diagnose --list                         what can be measured; --self-test tries it on planted truths
toyshift diagnose --self-test --measure hint     one of them; repairs (train --list-repairs, augment --list) too
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from toyshift.core.errors import ConfigError, UndefinedError, UnknownNameError
from toyshift.core.files import write_json
from toyshift.core.manifest import manifest
from toyshift.core.workers import Pool, core_count, worker_pool
from toyshift.diagnostics.measures import (
    ARRAYS,
    DATASETS,
    MEASURES,
    POLICY,
    ROWS,
    Asked,
    Measure,
    card_of,
    card_truths,
)
from toyshift.policies.remote.options import is_remote
from toyshift.scripts.options import Asking

if TYPE_CHECKING:
    from toyshift.diagnostics.cards import Card
    from toyshift.diagnostics.repair_truths import TriedRepair

ALL = "all"  # in the place of names
LEFT_OUT = "left_out"  # key of the measures that the data do not define: name -> why
UNFINISHED = "unfinished.json"  # what was answered before an error
GIVEN = {POLICY: "--policy DIR", DATASETS: "--data DIR DIR ...", ROWS: "--rows FILE ...", ARRAYS: "--arrays FILE"}
FILES = {POLICY: "sensitivity", DATASETS: "diversity", ROWS: "rows", ARRAYS: "arrays"}  # of all that is asked of one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Asking, scenes=2, looks=1, trials=0):
    """Options of `toyshift diagnose`."""

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a policy or bundle, ws://HOST:PORT (a server, docs/remote_policies.md), vla-eval:HOST:PORT or
    lerobot:DIR; several times for several."""
    objects: str = "toys:test"
    """Object set whose scenes the policy looks at."""
    training_set: str = ""
    """Object set that the policies were trained on, where success with nothing changed is measured; none asks their
    demonstrations. A policy below 50 % there is called incapable and gets no labels."""
    scenes: int = 40
    """Scenes per policy in which the change of the actions is measured."""
    looks: int = 5
    """Looks at each of them, along an episode."""
    along: Literal["expert", "policy"] = "expert"
    """Whose episodes counterfactual and predicted look along: the expert's, the same for every policy, or its own."""
    trained_on: tuple[Path, ...] = ()
    """Datasets that the policies were trained on, or a folder of `toyshift data fragment`: they tell where the target
    lay under each value of a factor, so what a swapped one implies, what success as in training is, and what the
    nearest example of a state is."""
    base: str = ""
    """Folder of the policy that this one was tuned from, for novelty; by default what its own folder names."""
    trials: int = 20
    """Episodes per policy and factor, and on the training set, in which success is measured; 0 leaves it out, and with
    it all labels."""
    data: tuple[Path, ...] = ()
    """Datasets to compare: LeRobot v3 or RLDS folders, robomimic files, or a folder of `toyshift data fragment`."""
    rows: tuple[str, ...] = ()
    """Result files of episodes, or NAME=FILE, as for `toyshift compare`: those without a shift and those with one, or
    those of several policies, the least first."""
    arrays: Path | None = None
    """An .npz file with actions (scenes, steps, entries) in states outside the trained region: pred (a policy's), law
    (the right ones), nearest (of the nearest training state); perhaps scale (entries) and episode (scenes) too."""
    measure: tuple[str, ...] = ()
    """Measures to take, by name, or `all`; by default those of what is given that a card is made of, without the extra
    ones (--list). With --self-test repairs, too: those of `toyshift train --list-repairs` and `toyshift augment
    --list`, allocate and plr."""
    list: bool = False
    """Show the measures: name, what of, question, paper and cost."""
    self_test: bool = False
    """Try measures and repairs on data whose answers are known; exit code 1 where one is wrong."""
    camera: str = ""
    """Camera whose images are compared (with --data); by default front, or the first that there is."""
    encoder: str = "thumbnail"
    """What makes vectors of images (with --data): thumbnail (8 x 8 colours and edges), efficientnet-lite0 (its weights
    come by pip), resnet18 or vit-tiny to vit-large with --encoder-weights, or module:function of your own."""
    encoder_weights: str = "none"
    """Weights of that encoder: FAMILY:FILE.safetensors, as for `toyshift train`."""
    scale: str = "shipped"
    """What distances of images are in units of (with --data): shipped (pictures of training toys; for thumbnail and
    efficientnet-lite0), DIR (the first images of a dataset that you name), FILE.npz (a scale made by
    benchmarks/reference_scale.py), or unit (vectors of unit length, the paper's measure)."""
    out: Path = Path("runs/diagnosis")
    """Folder of the results."""

    def __post_init__(self) -> None:
        super().__post_init__()
        tried = self.repairs if self.self_test else {}
        known = [ALL, *(m.name for m in MEASURES), *tried]
        if unknown := next((name for name in self.measure if name not in known), None):
            raise UnknownNameError("measure or repair" if tried else "measure", unknown, known)
        if left := next((name for name in self.measure if name in tried and tried[name].suite), None):
            raise ConfigError(
                f"--measure {left}: its planted truth needs {tried[left].suite}; the tests try it, --self-test cannot"
            )
        if self.list or self.self_test:
            return
        given = [needs for needs, value in self.subjects.items() if value]
        if len(given) != 1:
            asks = {needs: " ".join(m.question for m in MEASURES if m.needs == needs and not m.extra)
                    for needs in GIVEN}  # fmt: skip
            *most, last = (f"{GIVEN[needs]} ({questions})" for needs, questions in asks.items() if questions)
            raise ConfigError(f"give either {', '.join(most)} or {last}")
        if other := next((m for m in self.measures if m.needs != given[0]), None):
            raise ConfigError(f"--measure {other.name} is of {other.needs}: it needs {GIVEN[other.needs]}")
        if self.base and len(self.policy) != 1:
            raise ConfigError(f"--base is what one policy was tuned from; there are {len(self.policy)}")
        if self.trained_on and not self.policy:
            raise ConfigError("--trained-on says what a policy was trained on; give --policy as well")
        lone = next((m for m in self.measures if m.trained and m.name in self.measure), None)
        if lone and not self.trained_on:
            raise ConfigError(f"--measure {lone.name} looks for the nearest example: give --trained-on DATA")
        self.remote.meaning()  # refuses what is out of range, and files that cannot be read
        if self.named and self.policy and all(m.inside for m in self.measures) and all(map(is_remote, self.policy)):
            first = self.measures[0]  # nothing would be left to do
            raise ConfigError(f"--measure {first.name} cannot be taken of {self.policy[0]}: {first.inside}")

    @property
    def subjects(self) -> dict[str, Any]:
        """What is asked about."""
        return {POLICY: self.policy, DATASETS: self.data, ROWS: self.rows, ARRAYS: self.arrays}

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that were named, or those of what is given: with `all` all of them, else without the extra ones;
        of nothing given, all.
        """
        if self.named:
            return tuple(measure for measure in MEASURES if measure.name in self.measure)
        something = any(self.subjects.values())
        return tuple(
            m for m in MEASURES if not something or (self.subjects[m.needs] and (ALL in self.measure or not m.extra))
        )

    @property
    def repairs(self) -> dict[str, TriedRepair]:
        """All repairs by name, for the self-test."""
        from toyshift.diagnostics.repair_truths import repairs

        return repairs()

    @property
    def named(self) -> bool:
        """Whether single measures were named."""
        return bool(self.measure) and ALL not in self.measure

    @property
    def file(self) -> Path:
        """Of the results: of all that there is to ask, or of what was named."""
        asked, needs = self.measures, self.measures[0].needs
        whole = {measure for measure in MEASURES if measure.needs == needs and not measure.extra} <= {*asked}
        return self.out / f"{FILES[needs] if whole else '-'.join(measure.name for measure in asked)}.json"

    def asked(self, policy: str = "", pool: Pool | None = None) -> Asked:
        """What the questions are asked about: datasets, rows, arrays, or one of the policies, by a pool's processes."""
        return Asked(
            policy=policy, datasets=self.data, rows=self.rows, arrays=self.arrays, objects=self.objects,
            remote=self.remote, trained_on=self.trained_on, base=self.base, along=self.along,
            training_set=self.training_set, scenes=self.scenes, looks=self.looks, trials=self.trials,
            camera=self.camera, encoder=self.encoder, encoder_weights=self.encoder_weights, scale=self.scale,
            seed=self.seed, out=self.out, pool=pool,
        )


def main(cfg: Config) -> dict[str, Any]:
    """Says what a policy is sensitive to, how datasets differ, or what episodes say beyond their rate of success.

    Of a policy, scenes along the expert's episodes are rendered twice with one factor changed. The change of the
    predicted actions comes first, in standard deviations of an action; beside it stand how many centimetres of the
    target's way change them as much, and the change in success of whole episodes under the same factor, from the same
    starts. Of policies and of datasets the answers end in a card: docs/measures.md. Of rows and arrays: there, too.

    Example: toyshift diagnose --policy runs/detpool --objects toys:test
    Example: toyshift diagnose --data runs/left runs/right
    Example: toyshift diagnose --data runs/fragments
    Example: toyshift diagnose --data lift.hdf5 can.hdf5 --camera agentview
    Example: toyshift diagnose --data runs/left runs/right --encoder efficientnet-lite0 --scale unit
    Example: toyshift diagnose --rows runs/plain runs/shifted --measure ignorance
    Example: toyshift diagnose --policy runs/tuned --trained-on runs/fragments --measure coherence bits novelty
    Example: toyshift diagnose --policy runs/tuned --measure all --json
    Example: toyshift diagnose --self-test
    Example: toyshift diagnose --self-test --measure case hint crop
    """
    if cfg.list:
        return listed(cfg)
    if cfg.self_test:
        return tried(cfg)
    given = {name: _told(value) for name, value in dataclasses.asdict(cfg).items()}
    made_by = {"manifest": manifest(given, cfg.seed)}
    result: dict[str, Any] = {}
    try:
        cards = of_policies(cfg, result) if cfg.policy else of_all_at_once(cfg, result)
    except BaseException:  # an error in one measure, or Ctrl-C, takes the others' answers from nobody
        if any(result.values()):
            write_json(cfg.out / UNFINISHED, result | made_by)
            print(f"what was answered until then: {cfg.out / UNFINISHED}")
        raise
    left = result.pop(LEFT_OUT, {})
    whole = len(result) == len(cfg.measures)
    file = cfg.file if whole else cfg.out / f"{'-'.join(result) or 'nothing'}.json"
    result |= {LEFT_OUT: left} if left else {}
    write_json(file, result | made_by)
    print(f"results: {file}")
    for name, card in cards.items():
        from toyshift.diagnostics.cards import card_text

        write_json(cfg.out / name, card.to_json() | made_by)
        print(f"\n{card_text(card)}\n\ncard: {cfg.out / name}")
    told = [card.to_json() for card in cards.values()]
    return result | {"out": file} | ({"cards": told} if told else {})


def card_file(policy: str, policies: Sequence[str]) -> str:
    """Returns the file of a policy's card, named after its folder, or its whole place where folders share a name."""
    name = Path(policy).name
    told = name if [Path(other).name for other in policies].count(name) == 1 else policy
    return f"card-{''.join(c if c.isalnum() or c in '-_.' else '_' for c in told)}.json"


def _told(value: Any) -> Any:
    """Returns an option's value for JSON."""
    if isinstance(value, tuple):
        return [_told(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def listed(cfg: Config) -> dict[str, Any]:
    """Shows the table of measures."""
    from toyshift.diagnostics.tables import render_table

    columns = ("name", "needs", "question", "paper", "cost")
    lines = [{name: getattr(measure, name) for name in columns} for measure in cfg.measures]
    print(render_table(["name", "of", *columns[2:]], [[*line.values()] for line in lines]))
    return {"measures": lines}


def tried(cfg: Config) -> dict[str, Any]:
    """Tries measures and repairs on their planted truths; of a repair that only the tests can try, it says so."""
    from toyshift.diagnostics.measuring.self_test import truths_table

    found = [(measure.name, truth) for measure in cfg.measures for truth in measure.truths()]
    if not cfg.named:
        found += [(f"{needs} card", truth) for needs in GIVEN for truth in card_truths(needs)]
    repairs = {name: repair for name, repair in cfg.repairs.items() if not cfg.named or name in cfg.measure}
    found += [(name, truth) for name, repair in repairs.items() for truth in repair.truths()]
    print(truths_table(found))
    left = {name: repair.suite for name, repair in repairs.items() if repair.suite}
    for suite in dict.fromkeys(left.values()):
        print(f"tested in the suite, not here: {', '.join(n for n in left if left[n] == suite)}; needs {suite}")
    lines = [{"name": name, **dataclasses.asdict(truth), "ok": truth.ok} for name, truth in found]
    return {"ok": all(truth.ok for _, truth in found), "truths": lines, "left_to_tests": left}


def of_policies(cfg: Config, results: dict[str, Any]) -> dict[str, Card]:
    """Answers every question about each policy into `results`: name of the measure -> policy -> result.

    A measure that cannot be taken of a policy is answered too: it is undefined, and says why; the others go on.

    Returns:
        file -> card.
    """
    from toyshift.diagnostics.actors import BUILTIN, policy_fingerprint
    from toyshift.diagnostics.measuring.finding import undefined

    for policy in cfg.policy:
        if policy in BUILTIN:
            raise ConfigError(
                f"{policy} looks at no images and is sensitive to none of their factors; "
                f"give the folder of a trained policy"
            )
        policy_fingerprint(policy, cfg.remote)
    results |= {measure.name: {} for measure in cfg.measures}
    cards = {}
    with worker_pool(core_count()) as pool:
        for policy in cfg.policy:
            asked = cfg.asked(policy, pool)
            answers: dict[str, Any] = {}
            for measure in cfg.measures:
                far = measure.inside and is_remote(policy)
                why = f"{measure.inside}, and this policy is behind a server" if far else ""
                answer = None if why else measure.answer(asked)
                if answer is not None:
                    print(measure.show(answer))
                    answers[measure.name] = answer
                    results[measure.name][policy] = answer.to_json()
                    continue
                # what was asked for and has no answer leaves a trace: why, and no number
                found = undefined(measure.name, "", why or f"--trials {cfg.trials} leaves it out", subject=policy)
                print(f"{measure.name} of {policy}: {found.verdict}")
                results[measure.name][policy] = [found.to_json()]
            if card := card_of(POLICY, asked, answers):
                cards[card_file(policy, cfg.policy)] = card
    return cards


def of_all_at_once(cfg: Config, results: dict[str, Any]) -> dict[str, Card]:
    """Answers every question about datasets, rows or arrays, all of them together, into `results`: name of the measure
    -> result.

    Returns:
        file -> card.

    What was not named and these data do not define is left out, and said, under LEFT_OUT too. Where nothing was named,
    a card comes last.
    """
    asked = cfg.asked()
    answers: dict[str, Any] = {}
    for measure in cfg.measures:
        try:
            answer = measure.answer(asked)
        except UndefinedError as error:
            if cfg.named:
                raise
            print(f"{measure.name} is left out: {error}\n")
            results.setdefault(LEFT_OUT, {})[measure.name] = str(error)
            continue
        if answer is not None:
            print(("\n" if answers else "") + measure.show(answer))
            answers[measure.name] = answer
            results[measure.name] = answer.to_json()
    card = None if cfg.named else card_of(cfg.measures[0].needs, asked, answers)
    return {f"{card.kind}_card.json": card} if card else {}
