"""The `toyshift` command: finds the sub-command, parses its options, prints its result, and turns errors into one line.

Nothing heavy is imported before the sub-command is known, so `toyshift --help` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from toyshift.core import interrupts
from toyshift.core.errors import ConfigError, ToyShiftError, UnknownNameError, with_remedy


class Command(NamedTuple):
    """One line of the table: where a command lives, its one-line help, and its second words if it has any.

    A command's module has `main(cfg) -> dict`, whose annotation names a frozen dataclass: the options. The module of a
    command with second words has examples in its docstring instead, and a module for each of them inside.
    """

    module: str
    help: str
    words: tuple[str, ...] = ()

    def place(self, word: str) -> str:
        """Returns the module of a second word."""
        files = {"quickstart": "experiment", "import": "import_meshes", "try": "try_provider"}
        return f"{self.module}.{files.get(word, word.replace('-', '_'))}"


# Adding a command is copying one file of this folder and adding one line, or one second word, here.
TABLE = (
    ("run", "quickstart", "runs a whole experiment", "quickstart"),
    ("study", "studies", "runs a study, cell by cell",
     "cue-priority data-factors detpool-vs-shortcut dsl exam latency leave-one-out lego-table length mask-iou "
     "offline-grasp recipe repair shifts shortcut-grid toy-complexity toys-scaling train-longer tune weights-audit"),
    ("toys", "toys", "lists, shows and measures the objects of a set",
     "distance graspability grasps import list print show stats view"),
    ("envs", "envs", "shows environments, and writes files for LeRobot's EnvHub", "hub play robots shifts"),
    ("collect", "collect", "collects demonstrations of the scripted expert into a dataset", ""),
    ("data", "data", "converts, mixes, checks and shows datasets", "check convert fragment info mix replay view"),
    ("train", "train", "trains a policy on datasets", ""),
    ("train-rl", "train_rl", "trains a policy by reinforcement learning (PPO, SAC)", ""),
    ("evaluate", "evaluate", "measures success by object set, beside an oracle and a random policy", ""),
    ("replay", "replay", "plays any row of a result file again, and says whether the same comes out", ""),
    ("check-policy", "check_policy", "says whether a policy is wired as it was trained, before any episode", ""),
    ("bench", "bench", "plays a benchmark with a version, and makes a page of many results", "table"),
    ("compare", "compare", "says which policy is better, from result files of any origin", ""),
    ("power", "power", "says how many episodes a comparison needs, or what it can see", ""),
    ("diagnose", "diagnose", "says what a policy is sensitive to, how datasets differ, or what episodes tell", ""),
    ("augment", "augment", "makes repaired copies of datasets", "cue"),
    ("masks", "masks", "shows what a mask provider finds in images", "try"),
    ("serve", "serve", "answers over openpi's websocket protocol with a policy's actions", ""),
    ("export", "export", "packs a policy into a self-checking bundle (ONNX)", ""),
    ("verify", "verify", "re-runs the golden vectors of a bundle", ""),
    ("robot", "robot", "checks a robot's cameras, moves it by a bundle through a safety layer, simulates one",
     "alarm board check run sim"),
    ("report", "report", "writes the HTML report of a run", ""),
    ("doctor", "doctor", "says what this machine has, how fast it is, and what is missing", ""),
)  # fmt: skip
# commands behind which other words than their second ones stand: what takes those
OPEN = {"augment": "repair", "bench": "play"}
COMMANDS = {name: Command(f"toyshift.scripts.{file}", text, tuple(words.split())) for name, file, text, words in TABLE}

ABOUT = "Measures the generalization of robot grasping policies, and what changes it."
EPILOG = """examples:
  toyshift run quickstart                                the whole chain, ends with the path of the report
  toyshift toys show toys:train --out toys.png           a contact sheet of toys
  toyshift study lego-table --dry-run                    what a study would run, cell by cell
  toyshift collect --objects toys:train --episodes 500 --out runs/demos
  toyshift data info runs/demos                          what it holds; data check, view, convert, mix, replay
  toyshift train --data runs/demos --pooling detpool --out runs/detpool
  toyshift evaluate --policy runs/detpool --objects ycb-like --trials 100 --out runs/eval
  toyshift compare runs/a runs/b                         which policy is better, and how sure; toyshift power plans it
  toyshift diagnose --policy runs/detpool                what it is sensitive to; --data, --rows: --list shows all
  toyshift augment bridge runs/fragments runs/bridged    repairs datasets; --list shows all
  toyshift export runs/detpool --out bundle              then: toyshift verify bundle
  toyshift report runs/eval                              one HTML file
  toyshift doctor                                        what works here, and how fast

Every command takes --help, --seed and --json (one JSON object as the last line of stdout).
Object sets: toys:train, toys:test?n=50, ycb-like, ycb:DIR?graspable; several are joined by +.
Exit codes: 0 fine, 1 a check failed, 2 wrong input, 130 interrupted. TOYSHIFT_DEBUG=1 shows tracebacks."""


def usage() -> str:
    """Returns the top-level help."""
    lines = ["usage: toyshift COMMAND [options]", "", ABOUT, "", "commands:"]
    words = {name: f": {', '.join(command.words)}" if command.words else "" for name, command in COMMANDS.items()}
    lines += [f"  {name:<10} {command.help}{words[name]}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", EPILOG])


def find(argv: Sequence[str]) -> tuple[str, Callable[[Any], dict[str, Any]], list[str]]:
    """Returns the words of the sub-command, its `main`, and the arguments left over.

    Raises:
        UnknownNameError: no command, or no second word of it, has that name.
        ConfigError: the second word is missing.
    """
    name = argv[0]
    if name not in COMMANDS:
        raise UnknownNameError("command", name, COMMANDS)
    command, rest = COMMANDS[name], list(argv[1:])
    if name in OPEN and (not rest or rest[0] not in command.words):
        return name, importlib.import_module(command.place(OPEN[name])).main, rest
    if not command.words:
        return name, importlib.import_module(command.module).main, rest
    if rest and rest[0] in ("-h", "--help"):
        module = importlib.import_module(command.module)
        print(f"usage: toyshift {name} {{{','.join(command.words)}}} [options]\n\n{(module.__doc__ or '').strip()}")
        raise SystemExit(0)
    if not rest or rest[0].startswith("-"):
        words = ", ".join(command.words)
        raise ConfigError(f"`toyshift {name}` needs a word behind it: {words}; see `toyshift {name} --help`")
    if rest[0] not in command.words:
        raise UnknownNameError(f"word after `toyshift {name}`", rest[0], command.words)
    return f"{name} {rest[0]}", importlib.import_module(command.place(rest[0])).main, rest[1:]


def to_json(value: dict[str, Any]) -> str:
    """Returns one line of JSON; paths become strings, NumPy values plain ones, and NaN null."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {str(key): plain(entry) for key, entry in item.items()}
        if isinstance(item, list | tuple | set | frozenset):
            return [plain(entry) for entry in (sorted(item) if isinstance(item, set | frozenset) else item)]
        if hasattr(item, "tolist"):  # a NumPy array or scalar
            return plain(item.tolist())
        if isinstance(item, float) and (item != item or item in (float("inf"), float("-inf"))):
            return None
        return item if isinstance(item, str | int | float | bool | None) else str(item)

    return json.dumps(plain(value), allow_nan=False)


def run(argv: Sequence[str]) -> int:
    """Runs one sub-command and returns the exit code: 1 when its result says "ok": False, else 0."""
    from toyshift.scripts.options import parse

    words, main, rest = find(argv)
    config = parse(main, rest, words)
    if int(os.environ.get("RANK") or 0) > 0:  # one of several processes of a launcher: the first one speaks
        with contextlib.redirect_stdout(io.StringIO()):
            result = main(config)
    elif not getattr(config, "json", False):
        result = main(config)
    else:
        # Whatever a library prints must not end up after, or inside, the JSON.
        with contextlib.redirect_stdout(sys.stderr):
            result = main(config)
        print(to_json(result), flush=True)
    return 1 if result.get("ok") is False else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; exit codes: 0 fine, 1 a check failed, 2 wrong input, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        import importlib.metadata

        print(f"toyshift {importlib.metadata.version('toyshift')}")
        return 0
    before, warnings.formatwarning = warnings.formatwarning, lambda message, *_, **__: f"toyshift: warning: {message}\n"
    try:
        return run(argv)
    except ToyShiftError as error:
        return fail(error, str(error), argv)
    except KeyboardInterrupt:
        return interrupts.say()
    except BrokenPipeError:  # `toyshift toys list ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a folder that may not be written, a file where a folder belongs, a full disk
        place = error.filename2 or error.filename
        return fail(error, with_remedy(f"{place}: {error.strerror}" if place else str(error), error), argv)
    finally:
        warnings.formatwarning = before


def fail(error: Exception, message: str, argv: Sequence[str]) -> int:
    """Prints what went wrong in one line, with --json as an object on stdout too, and returns the exit code."""
    if interrupts.came():  # a native module made another error of it, or a worker process was ended by it
        return interrupts.say()
    if os.environ.get("TOYSHIFT_DEBUG"):
        traceback.print_exception(error)
    line = re.sub(r"\S{300,}", lambda word: f"{word[0][:100]}...{word[0][-50:]}", " ".join(message.split()))
    print(f"toyshift: {line}", file=sys.stderr)
    if any(word.split("=")[0] == "--json" for word in argv):
        print(to_json({"error": {"kind": type(error).__name__, "message": line}}), flush=True)
    return getattr(error, "exit_code", 2)


if __name__ == "__main__":
    interrupts.install()
    raise SystemExit(main())
