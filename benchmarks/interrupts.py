"""Presses Ctrl-C at many moments of many commands, and says how they ended: exit code 130, one line, nobody left.

python benchmarks/interrupts.py                          8 commands, 20 moments from 0.02 s on, both ways: 20 minutes
python benchmarks/interrupts.py --moments 5 --commands collect evaluate

At a moment before ToyShift's first line Python itself answers: with a traceback and SIGINT, while it imports its `site`
with "Fatal Python error" and exit code 1, or, seldom, with "Exception ignored", and goes on. Counted as "python"; an
editable install takes longer to get there.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

GONE = 30.0  # a process that is still there so long after the signal [s] was not ended by it
SETS = ("--objects", "toys:train?n=4")
COMMANDS = {
    "help": ("--help",),
    "collect-help": ("collect", "--help"),
    "toys-stats": ("toys", "stats", "toys:train?n=300"),
    "collect": ("collect", *SETS, "--episodes", "50", "--workers", "2", "--out", "OUT"),
    "evaluate": ("evaluate", *SETS, "--policy", "random", "--trials", "400", "--workers", "2", "--out", "OUT"),
    "toys-distance": ("toys", "distance", "toys:train?n=40", "toys:test?n=40", "--workers", "2"),
    "quickstart": ("run", "quickstart", "--workers", "2", "--out", "OUT"),
    "doctor": ("doctor",),
}


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        how: "130", "python", "finished" (before the signal) or what is wrong.
        seconds: from the signal to its end.
        said: its stderr.
    """

    how: str
    seconds: float
    said: str


def session(leader: int) -> list[int]:
    """Returns the processes of a session, those aside that have ended and wait for their parent."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                state, _, _, its = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
                if int(its) == leader and state != "Z":
                    found.append(int(entry.name))
    return found


def interrupted(command: Sequence[str], moment: float, everyone: bool) -> Ended:
    """Starts a command, sends SIGINT after so long [s], and says how it ended.

    Args:
        command: program and arguments.
        moment: after the start [s].
        everyone: the signal goes to the process group, as a terminal sends it; else to the process alone.
    """
    with tempfile.TemporaryFile("w+") as words:
        # a shell's background jobs ignore SIGINT, and so would their children
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        time.sleep(moment)
        before, sent = child.poll(), time.monotonic()
        if before is None:
            os.killpg(child.pid, signal.SIGINT) if everyone else child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GONE)
        seconds = time.monotonic() - sent
        while (left := session(child.pid)) and time.monotonic() - sent < GONE:
            time.sleep(0.02)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = child.wait()
        words.seek(0)
        said = words.read()
    return Ended(how_it_ended(before, code, said, len(left)), seconds, said)


def how_it_ended(before: int | None, code: int, said: str, left: int) -> str:
    """Says in a word what came of a signal.

    Args:
        before: exit code, where it had ended before the signal.
        code: exit code.
        said: its stderr.
        left: processes that are left.
    """
    if before is not None:
        return "finished" if before == 0 else f"failed by itself with {before}"
    if left:
        return f"{left} processes left"
    # once ToyShift has the signal, "ignored" is never said: tests/core/test_interrupts.py
    ignored = "Exception ignored" in said and "KeyboardInterrupt" in said
    if ignored or "Fatal Python error: init_" in said or (code == -signal.SIGINT and ", in main\n" not in said):
        return "python"
    lines = [part for line in said.splitlines() if (part := line.rpartition("\r")[2].strip())]
    own = [line for line in lines if "%|" not in line and not line.startswith("[")]  # beside progress
    if code != 130 or len(own) > 1:
        return f"exit code {code}, {len(own)} lines"
    return "130"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--last", type=float, default=3.0, help="the last moment [s]; the first is 0.02 s")
    args = parser.parse_args()
    moments = [0.02 * (args.last / 0.02) ** (k / max(1, args.moments - 1)) for k in range(args.moments)]
    wrong = 0
    for name in args.commands:
        ends: collections.Counter[str] = collections.Counter()
        slowest = 0.0
        for moment in moments:
            for everyone in (True, False):
                with tempfile.TemporaryDirectory() as folder:
                    words = [f"{folder}/out" if word == "OUT" else word for word in COMMANDS[name]]
                    ended = interrupted([sys.executable, "-m", "toyshift.scripts", *words], moment, everyone)
                ends[ended.how] += 1
                slowest = max(slowest, ended.seconds)
                if ended.how not in ("130", "python", "finished"):
                    wrong += 1
                    print(f"{name} at {moment:.2f} s, {'group' if everyone else 'alone'}: {ended.how}\n{ended.said}")
        print(f"{name:14} {dict(ends)}, gone after {slowest:.1f} s at most", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
