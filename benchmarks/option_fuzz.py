"""Gives every option of every command values that make no sense, and looks for tracebacks and errors that do not help.

Each case is the words of a command that works, with some options changed, run in this process as the console command
would be. A case must be taken, or refused with exit code 2 and one line that holds an option or a value that was
changed, as a word; whether a value should have been refused is not known here. Cases are taken as soon as work begins:
hooks end it there, and a clock ends what they miss.

python benchmarks/option_fuzz.py --cases 10000
python benchmarks/option_fuzz.py --first 1234 --cases 1        one case again, with its traceback
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import importlib
import importlib.util
import io
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.fields import choices_of
from toyshift.scripts import cli
from toyshift.scripts.options import Option, option_list, options_of

SECONDS = 10.0  # after which a case counts as taken
MEMORY = 4 * 2**30  # that all cases may take beyond what is taken at their start [bytes]
LONGEST = 1500  # characters of an error
SET = "toys:train?n=8"  # enough for Pick
NUMBERS = (
    "nan", "inf", "-inf", "-1", "0", "1", "2", "1.5", "1e3", "-1e3", "1e-9", "1e9", "1e308", "1e400", "9" * 18,
    "9" * 30, "9" * 5000, "0x10", "1_000", "1,5", "٣",
)  # fmt: skip
WHOLE = (
    "-1", "0", "1", "2", "3", "1e3", "1e5", "1e7", "1e9", "1e12", "9" * 18, str(2**63 - 1), str(2**63), "1.5", "nan",
)  # fmt: skip
TEXTS = (
    "", " ", "x", "None", "true", "[]", "{}", "a,b", "=", "a=b", "--", "-", "-x", "é", "日本", "\u202e", "\x1b[31m",
    "\n", "a" * 300, "a" * 5000, "é" * 300, "\udcff", "*", "..", ".", "%s", "{0}", "a/b/c", "none",
)  # fmt: skip
PATHS = ("data", "policy", "file", "empty", "missing", "missing/deep", "file/below", "loop", "deep.json", "new.json",
         "new.mp4", "new.png", "odd.json", "odd.yaml", "bad.parquet", "number.json")  # fmt: skip
OTHERS = (
    SET, "toys:test?n=-1", "toys:lego?n=0", "toys:train?n=" + "9" * 5000, "toys:train?seed=nan", "toys:deep.json",
    "toys:odd.json", "toys:", "ycb:", "ycb:data", "ycb:missing", "meshes:empty", "meshes:file", "ycb-like?half=c",
    "toys:train+toys:train", "+", "?", "ycb-like?graspable=nan", "oracle", "random", "ws://localhost:1", "ws://",
    "ws://a:x", "lerobot:missing", "lerobot:", "camera-azimuth=3", "camera-azimuth=" + "9" * 5000,
    "camera-azimuth=-1", "shift=3", "meshes:meshes?unit=m&scale=1e308",
    "noisy:nan", "noisy:2", "detector", "os:getcwd", "os:nothing", ":", "a:", ":a", ".a:b", "sys:path", "2-6", "6-2",
    "9-" + "9" * 5000, "timm:file", "timm:", "mae:missing.safetensors", "shipped", "unit", "localhost", "256.0.0.1",
    "viewpoint?azimuth=nan", "toward-own?side=x", "object-swap?tries=0", "crop?scale=0", "bridge", "reskin+", "jitter",
    "hint", "hint?of=plce", "sam?rho=nan", "sam+rm3", "winsor?c=" + "9" * 5000, "rm3+", "prototype?share=0.5", "erase",
    "useful?share=0", "divdis", "divdis?unlabelled=missing", "blind+prototype",
    "m", "mm", "0.1", "bridge_dataset", "front", "wrist", "target", "toyshift/Pick-v0", "local", "auto",
)  # fmt: skip
# Words of a command that works; where it stands, of an option that must be given.
BASE: dict[str, Any] = {
    "SET": SET, "A": SET, "B": "toys:test?n=2", "DIR": "data", "SRC": "data", "DST": "new", "RUNDIR": "run",
    "BUNDLE": "policy", "POLICY": "policy", "--out": "new", "--policy": "policy", "--azimuth": ("-5", "5"),
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "train": {"--data": "data", "--out": "new", "--encoder-size": "16"},
    "train-rl": {"--out": "new", "--objects": SET},
    "evaluate": {"--policy": "oracle", "--objects": SET, "--trials": "2"},
    "bench table": {"DIR|FILE": ("data",)},
    "replay": {"ROWS": "rows.parquet", "--episode": "0", "--no-film": ()},
    "check-policy": {"--episodes": "3", "--looks": "1"},
    "compare": {"FILE": "trials.csv"},
    "collect": {"--objects": SET, "--episodes": "1", "--workers": "1"},
    "diagnose": {"--data": "data", "--out": "new"},
    "augment": {"NAME": "duplicate", "SRC... DST": ("data", "new"), "--workers": "1"},
    "data fragment": {"--objects": SET, "--workers": "1"},
    "data view": {"--out": "new.html"},
    "data mix": {"DIR": "data", "--out": "new.json"},
    "toys import": {"DIR": "meshes"},
    "toys graspability": {"--workers": "0"},
    "toys view": {"--out": "new.html"},
    "toys show": {"--out": "new.png"},
    "envs robots": {"--out": "new.png"},
    "envs play": {"--out": "new.mp4"},
    "masks try": {"--data": "data", "--provider": "detector", "--out": "new.mp4"},
    "robot board": {"--out": "new.png"},
    "robot check": {"BUNDLE": "policy", "--image": "front=file"},
    "export": {"DIR": "policy"},
    "report": {"RUNDIR": "run"},
    "study mask-iou": {"--policy": "policy", "--allow-dirty": ()},
    "study shifts": {"--policy": "policy", "--allow-dirty": ()},
    "study latency": {"--policy": "policy", "--allow-dirty": ()},
    "study lego-table": {"--allow-dirty": ()},
    "study recipe": {"--allow-dirty": ()},
    "study dsl": {"--allow-dirty": ()},
    "study exam": {"--allow-dirty": ()},
    "study repair": {"--allow-dirty": ()},
    "study tune": {"--allow-dirty": ()},
    "study toys-scaling": {"--allow-dirty": ()},
    "study leave-one-out": {"--allow-dirty": ()},
    "study toy-complexity": {"--allow-dirty": ()},
    "study shortcut-grid": {"--allow-dirty": ()},
    "study detpool-vs-shortcut": {"--allow-dirty": ()},
    "study weights-audit": {"--allow-dirty": ()},
    "study length": {"--allow-dirty": ()},
    "study cue-priority": {"--allow-dirty": ()},
    "study offline-grasp": {"--allow-dirty": ()},
    "study data-factors": {"--allow-dirty": ()},
    "study train-longer": {"--allow-dirty": ()},
}

# what the inputs are refused for: no bundle, of no simulator, actions beyond their contract, images of their own size,
# no robot there
REFUSED = (
    "verify", "robot check", "data replay", "augment cue", "data check", "study shifts", "robot alarm", "robot run",
    "check-policy", "bench table",
)  # fmt: skip


class Begun(BaseException):
    """Work has begun: the case was taken."""


class Slow(Begun):
    """The clock ended a case."""


# ---------------------------------------------------------------- cases


@dataclasses.dataclass(frozen=True)
class Command:
    """A command with its options."""

    words: str
    options: tuple[Option, ...]

    def base(self) -> dict[Option, tuple[str, ...]]:
        """What it must be given, and what it is given to be quick."""
        own, found = OWN.get(self.words, {}), {}
        for option in self.options:
            name = option.names[0]
            if name in own or option.required:
                value = own.get(name, BASE.get(name, choices_of(option.kind)[:1] or "1"))
                found[option] = (value,) if isinstance(value, str) else tuple(value)
        return found


def commands() -> list[Command]:
    """Returns all commands as their dataclasses have them, so that new ones are among them."""
    found = []
    for name, command in cli.COMMANDS.items():
        for word in (*command.words, *([] if command.words and name not in cli.OPEN else [""])):
            words, main, _ = cli.find([name, word] if word else [name])
            found.append(Command(words, tuple(option_list(options_of(main)))))
    return found


@dataclasses.dataclass(frozen=True)
class Case:
    """Words behind `toyshift`, and what of them was changed: names of options, and values."""

    argv: tuple[str, ...]
    changed: tuple[str, ...]


def case(number: int, seed: int = 0) -> Case:
    """Returns a case; the options take turns, so that as many cases as there are options change each."""
    command, option = pairs()[number % len(pairs())]
    rng = random.Random(f"{seed}:{number}")
    also = [other for other in rng.sample(command.options, min(3, len(command.options))) if other is not option]
    given = command.base()
    changed: list[str] = []
    for one in (option, *also[: rng.choice((0, 0, 0, 1, 2))]):
        given[one] = _values(one, rng)
        changed += [str(Path(value)) for value in given[one]]  # ws://a is shown as ws:/a where it is a path
        # a flag may make any option matter
        changed += [*one.names, *given[one], *(name for o in command.options for name in o.names if one.kind is bool)]
        if one.positional:  # one word too many may be any of them
            changed += [word for place, values in given.items() if place.positional for word in values]
    argv = _argv(command, given, rng)
    if rng.random() < 0.02:
        argv.append(extra := rng.choice((*TEXTS, "--nothing", "--seed", "--out=")))
        changed += [extra, extra.partition("=")[0]]
    return Case(tuple(argv), tuple(changed))


def unchanged(command: Command) -> Case:
    """Returns the words of a command that works."""
    return Case(tuple(_argv(command, command.base(), random.Random(0))), ())


def _argv(command: Command, given: Mapping[Option, Sequence[str]], rng: random.Random) -> list[str]:
    argv = [*command.words.split(), *(word for one, values in given.items() if one.positional for word in values)]
    for one, values in given.items():
        if not one.positional:
            name = rng.choice(one.names)
            argv += [f"{name}={values[0]}"] if len(values) == 1 and rng.random() < 0.3 else [name, *values]
    return argv


_PAIRS: list[tuple[Command, Option]] = []


def pairs() -> list[tuple[Command, Option]]:
    """Returns every option of every command."""
    if not _PAIRS:
        _PAIRS.extend((command, option) for command in commands() for option in command.options)
    return _PAIRS


def _values(option: Option, rng: random.Random) -> tuple[str, ...]:
    """Returns values for an option, sensible ones and others."""
    if option.kind is bool:
        return () if rng.random() < 0.8 else (rng.choice(TEXTS),)
    usual: tuple[str, ...] = choices_of(option.kind) or (
        WHOLE if option.kind is int else NUMBERS if option.kind is float else PATHS if option.kind is Path else OTHERS
    )
    count = option.count if option.count and rng.random() < 0.9 else rng.choice((0, 1, 1, 2, 3))
    pools = (usual, usual, usual, NUMBERS, TEXTS, PATHS, OTHERS)
    return tuple(rng.choice(rng.choice(pools)) for _ in range(count))


# ---------------------------------------------------------------- one case


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        kind: "refused", "done", "begun" or "slow"; of those that must not be "traceback", "unclear" and "exit code".
        text: the error, or the traceback.
    """

    kind: str
    text: str = ""

    @property
    def good(self) -> bool:
        return self.kind in ("refused", "done", "begun", "slow")


class Runner:
    """Runs cases in a copy of the inputs, which is made anew after a case that changed it.

    Args:
        inputs: what `make_inputs` made.
    """

    def __init__(self, inputs: Path) -> None:
        self._inputs, self._copy = inputs, inputs.with_name(f"{inputs.name}-copy")
        self._state: Any = None

    def run(self, one: Case) -> Outcome:
        if self._state is None or self._state != _state(self._copy):
            shutil.rmtree(self._copy, ignore_errors=True)
            shutil.copytree(self._inputs, self._copy / "inner" / "here", symlinks=True)
            self._state = _state(self._copy)
        before = Path.cwd()
        os.chdir(self._copy / "inner" / "here")
        try:
            return _run(one)
        finally:
            os.chdir(before)


def _state(folder: Path) -> set[tuple[str, int, int]]:
    """Returns path, time and size of everything in a folder."""
    found = set()
    for top, folders, files in os.walk(folder):
        for path in (os.path.join(top, name) for name in (*folders, *files)):
            facts = os.lstat(path)
            found.add((path, facts.st_mtime_ns, facts.st_size))
    return found


def _run(one: Case) -> Outcome:
    out, said = io.StringIO(), io.StringIO()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _made.clear()
            code = cli.main(list(one.argv))
    except Slow:
        return Outcome("slow")
    except Begun:
        return Outcome("begun")
    except BaseException:
        return Outcome("traceback", traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if code in (0, 1):
        return Outcome("done")
    lines = said.getvalue().splitlines()
    errors = [line for line in lines if line.startswith("toyshift: ") and not line.startswith("toyshift: warning: ")]
    text = "\n".join(lines)
    if code != 2:
        return Outcome("exit code", f"{code}: {text}")
    clear = len(errors) == 1 and len(errors[0]) <= LONGEST and "Traceback" not in text
    culprits = (*one.changed, *(one.argv if " ".join(one.argv).startswith(REFUSED) else ()))
    if "." in culprits:  # who names the folder names what is in it
        culprits += tuple(path.name for path in Path().iterdir())
    return Outcome("refused" if clear and _names(errors[0], culprits) else "unclear", text)


def _names(error: str, changed: Sequence[str]) -> bool:
    """Says whether an error names an option that was changed, or a value, as whole words: where we point to is none."""
    error = re.sub(r"[;,:]? see [^;]*$", "", error.removeprefix("toyshift: "))
    if any(not word.strip() and (repr(word) in error or "empty" in error) for word in changed):
        return True
    error = error.lower().replace("_", "-")
    return any(_holds(error, form.lower().replace("_", "-")) for word in changed for form in _forms(word))


def _forms(word: str) -> Iterator[str]:
    """Yields how a changed word may stand in an error: as it is, as Python writes it, in pieces, and numbers anew."""
    for form in (word, repr(word)[1:-1], " ".join(word.split())):
        for piece in (form, *re.split("[:?/=&+]", form)):
            yield from (piece, piece.lstrip("-"))
    with contextlib.suppress(ValueError, OverflowError):
        number = float(word)
        yield from (f"{number:g}", f"{number:.10g}", str(int(number)), f"{int(number):,}")


def _holds(error: str, form: str) -> bool:
    """Says whether an error holds a form as a whole word; of long ones, which are shortened, the beginning."""
    begins, ends = r"(?:^|(?<=[\s'\"`(\[,;:=/]))", r"(?=[\s'\"`)\],;:=/?]|\.?$|\.\s)" if len(form) <= 24 else ""
    return bool(form.strip()) and re.search(begins + re.escape(form[:24]) + ends, error) is not None


# ---------------------------------------------------------------- where work begins

_made: collections.Counter[str] = collections.Counter()  # of this case
MOST = {"object": 4, "toy": 400}


def _begin(*_: Any, **__: Any) -> Any:
    raise Begun


@contextlib.contextmanager
def hooks() -> Iterator[None]:
    """Ends work where it begins, inside the block."""
    from toyshift.policies.config import BACKBONE_NAMES

    undo: list[tuple[Any, str, Any]] = []

    def put(module: str, name: str, value: Any = _begin) -> None:
        owner: Any = importlib.import_module(f"toyshift.{module}")
        *inner, last = name.split(".")
        for part in inner:
            owner = getattr(owner, part)
        undo.append((owner, last, getattr(owner, last)))
        setattr(owner, last, value)

    def counted(module: str, name: str, what: str) -> None:
        owner: Any = importlib.import_module(f"toyshift.{module}")
        for part in name.split("."):
            owner = getattr(owner, part)
        real = owner

        def call(*args: Any, **kwargs: Any) -> Any:
            _made[what] += 1
            if _made[what] > MOST[what]:
                raise Begun
            return real(*args, **kwargs)

        put(module, name, call)

    from toyshift.policies.training import training_run

    made = training_run.initial_policy

    def small(config: Any, source: Any) -> Any:
        policy = config.policy
        if policy.encoder in BACKBONE_NAMES or policy.policy_net != "mlp" or max(policy.width, policy.hidden) > 1024:
            raise Begun
        return made(config, source)

    for module, name in (
        ("core.workers", "_do"), ("core.workers", "ProcessPoolExecutor"), ("core.workers", "ray_package"),
        ("envs.tasks.stage", "Stage.load"), ("envs.render.renderer", "Renderer.render"),
        ("policies.training.train", "run_loop"), ("policies.training.training_run", "Run.train_step"),
        ("policies.training.training_run", "source_of_tokens"), ("policies.training.robust", "robust_run"),
        ("policies.remote.server", "PolicyServer.__init__"), ("diagnostics.robot_sim", "RobotSim.__init__"),
        ("policies.act.bundle", "export"),
        ("scripts.doctor", "isolated"), ("scripts.studies.cells", "run_cells"),
    ):  # fmt: skip
        put(module, name)
    put("scripts.studies.tune", "optuna_package", lambda: None)  # an extra, which not everyone has
    put("policies.training.training_run", "initial_policy", small)
    counted("toys.objectset", "ObjectSet.by_id", "object")
    counted("toys.random_toys.toy_set", "ToyRecipe.draw", "toy")
    before, room = signal.signal(signal.SIGALRM, _slow), resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, room[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, room)
        signal.signal(signal.SIGALRM, before)
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)


def _slow(*_: Any) -> None:
    raise Slow


# ---------------------------------------------------------------- inputs


def make_inputs(folder: Path) -> None:
    """Makes what the words of commands name: a tiny dataset, a policy of one step, files that are damaged."""
    from toyshift.policies import PolicyConfig, TrainConfig, train

    place = Path(__file__).parents[1] / "tests" / "data" / "conftest.py"
    spec = importlib.util.spec_from_file_location("fuzz_data", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.Maker.dataset(folder / "data", range(3), 4)
    least = {"width": 8, "stem": 8, "token_hidden": 8, "hidden": 8, "layers": 1, "chunk": 2, "execute": 1}
    policy = PolicyConfig(pooling="mean", encoder_size=16, **least)
    with contextlib.redirect_stderr(io.StringIO()):
        train(TrainConfig(data=(str(folder / "data"),), out=str(folder / "policy"), policy=policy, steps=1, threads=1))
    for name in ("empty", "run", "meshes"):
        (folder / name).mkdir()
    (folder / "run" / "metrics.jsonl").write_text((folder / "policy" / "metrics.jsonl").read_text())
    corners, sides = "0 0 0\n2 0 0\n0 2 0\n0 0 2\n", "3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n"
    (folder / "meshes" / "tetrahedron.off").write_text(f"OFF\n4 4 0\n{corners}{sides}")
    (folder / "file").write_text("nothing\n")
    (folder / "deep.json").write_text("[" * 200_000)
    (folder / "number.json").write_text("9" * 5000)
    trials = [f"{policy},{i % 3},{i},{(i + len(policy)) % 2}" for policy in ("a", "bb") for i in range(9)]
    (folder / "trials.csv").write_text("\n".join(["policy,object,start,success", *trials]))
    (folder / "odd.json").write_text('{"counts": [1e999], "lr": NaN, "data": {}}')
    (folder / "odd.yaml").write_text("? [a]\n: 1\nlr: .nan\n")
    (folder / "bad.parquet").write_bytes(b"PAR1PAR1")
    (folder / "loop").symlink_to("loop")
    _make_rows(folder / "rows.parquet")


def _make_rows(path: Path) -> None:
    """Writes rows that were never played, of a start that could be."""
    from toyshift.diagnostics.evaluation import PROTOCOL, EvaluateConfig
    from toyshift.diagnostics.rows import Row, write_rows

    ended = (False, 0.0, 1, "never_reached", "", 0.0)
    rows = [Row("random", "", SET, "x", 0, i, *ended, purpose="test") for i in range(2)]
    facts = {"protocol": PROTOCOL, "run_key": "x", "config": EvaluateConfig("random", SET).to_json()}
    write_rows(path, rows, facts)


# ---------------------------------------------------------------- the command


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder) / "inputs")
        runner = Runner(Path(folder) / "inputs")
        with hooks():
            for number in range(asked.first, asked.first + asked.cases):
                one = case(number, asked.seed)
                outcome = runner.run(one)
                counts[outcome.kind] += 1
                if not sum(counts.values()) % 1000:
                    print(f"{sum(counts.values())} of {asked.cases}", file=sys.stderr, flush=True)
                if not outcome.good or asked.cases == 1:
                    words = " ".join(repr(word[:60]) for word in one.argv)
                    print(f"{number} {outcome.kind}: toyshift {words}\n{outcome.text.strip()}\n", flush=True)
    found = sum(count for kind, count in counts.items() if not Outcome(kind).good)
    print(f"{asked.cases} cases: {', '.join(f'{count} {kind}' for kind, count in counts.most_common())}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
