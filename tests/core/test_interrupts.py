"""Ctrl-C: exit code 130 and one line at any moment, nobody left, wherever KeyboardInterrupt would be lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from toyshift.core.interrupts import LINE

HEAD = """
import contextlib, hashlib, os, signal, subprocess, sys, time
from toyshift.core import interrupts

def press():
    os.kill(os.getpid(), signal.SIGINT)

interrupts.install()
from toyshift.scripts import cli
"""


def ended(code: str, handler: signal.Handlers = signal.SIG_DFL) -> subprocess.CompletedProcess[str]:
    """Runs `work` of Python code as `toyshift` runs a command; returns when no process holds its stderr any more.

    Args:
        code: it has `press`, which presses Ctrl-C.
        handler: what it finds for SIGINT, which shells have background jobs ignore.
    """
    code += "\ncli.run = lambda argv: work() or 0\nif __name__ == '__main__':\n    sys.exit(cli.main(['toys']))"
    return subprocess.run(
        [sys.executable, "-c", HEAD + code], capture_output=True, text=True, check=False, timeout=120,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )


def check_interrupted(done: subprocess.CompletedProcess[str]) -> None:
    assert done.stderr == f"{LINE}\n"
    assert done.returncode == 130


@pytest.mark.parametrize(
    ("words", "moment", "everyone"),
    [
        ("collect-help", 0.15, True), ("toys-stats", 0.4, False), ("evaluate", 0.7, True), ("evaluate", 2.0, False),
        ("collect", 1.2, False), ("collect", 3.0, True),
    ],
)
def test_a_command_ends_at_any_moment(
    words: str, moment: float, everyone: bool, tmp_path: Path, benchmark_file: Callable[[str], ModuleType]
) -> None:
    benchmark = benchmark_file("interrupts")
    command = [str(tmp_path / "out") if word == "OUT" else word for word in benchmark.COMMANDS[words]]
    end = benchmark.interrupted([sys.executable, "-m", "toyshift.scripts", *command], moment, everyone)
    # "python": a busy machine has not come to our first line; "finished": a fast one was done before
    assert end.how in ("130", "python", *(["finished"] if "help" in words else [])), end.said


@pytest.mark.parametrize(
    ("imported", "at"),
    [
        ("mujoco", "mujoco._structs"), ("trimesh", "manifold3d"), ("scipy.spatial", "numpy._core._multiarray_umath"),
    ],
)
def test_it_is_not_lost_in_an_import(imported: str, at: str) -> None:
    hook = f"sys.addaudithook(lambda event, args: press() if event == 'import' and args[0] == {at!r} else None)"
    check_interrupted(ended(f"{hook}\ndef work():\n    import {imported}\n    time.sleep(60)"))


LOST = {
    "in a __del__": """
class Thing:
    def __del__(self):
        press()

def work():
    Thing()
    time.sleep(60)
""",
    "by code that catches everything": """
interrupts.PATIENCE = 0.3

def work():
    with contextlib.suppress(BaseException):
        press()
    time.sleep(60)
""",
    "in a long native call": """
import threading
interrupts.PATIENCE = 0.3

def work():
    threading.Timer(0.2, press).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)
""",
    "by another error on the way out": """
def work():
    try:
        press()
    finally:
        raise ImportError("initialization failed")
""",
    "at the end": "def work():\n    import atexit\n    atexit.register(press)",
    "when it comes twice": """
def work():
    try:
        press()
    finally:
        press()
        time.sleep(60)
""",
}


@pytest.mark.parametrize("how", LOST)
def test_it_is_not_lost(how: str) -> None:
    check_interrupted(ended(LOST[how]))


def test_children_that_packages_have_started_are_not_heard_of() -> None:
    # as GLFW's import does: a child that writes to its parent and complains when that has gone
    child = "import time; print(1, flush=True); time.sleep(0.5); print(2, flush=True)"
    work = f"""
def work():
    with subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE) as done:
        done.stdout.readline()
        press()
"""
    check_interrupted(ended("interrupts._importing = lambda frame: True\n" + work))


def test_where_a_shell_has_it_ignored_nothing_ends() -> None:
    done = ended("def work():\n    press()\n    print('went on')", signal.SIG_IGN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_children_are_started_in_peace_and_are_not_told() -> None:
    done = ended("""
def work():
    with interrupts.kept_from_children():
        press()
        command = [sys.executable, "-c", "import signal; print(*signal.pthread_sigmask(signal.SIG_BLOCK, ()))"]
        print(subprocess.run(command, capture_output=True, text=True).stdout)
    print("not come to")
""")
    check_interrupted(done)
    assert done.stdout.split() == [str(int(signal.SIGINT))]


@pytest.mark.parametrize("press", ["press()", "os.killpg(0, signal.SIGINT)"], ids=["alone", "everyone"])
def test_workers_end_in_the_middle_of_their_work_without_a_word(press: str) -> None:
    check_interrupted(ended(f"""
from toyshift.core.workers import worker_pool

def work():
    with worker_pool(2) as pool:
        running = [pool.submit(time.sleep, 600) for _ in range(2)]
        while not all(future.running() for future in running):
            time.sleep(0.01)
        {press}
        running[0].result()
"""))


def test_workers_end_where_the_program_leaves_at_once() -> None:
    check_interrupted(ended("""
from toyshift.core.workers import worker_pool

def work():
    with worker_pool(2) as pool:
        running = pool.submit(time.sleep, 600)
        while not running.running():
            time.sleep(0.01)
        interrupts.leave()
"""))


@pytest.mark.parametrize("press", ["press()", "os.killpg(0, signal.SIGINT)"], ids=["alone", "everyone"])
def test_children_that_build_end_in_the_middle_of_it(press: str, tmp_path: Path) -> None:
    build = "import time\n\ndef build(folder, name):\n    open(f'{folder}/{name}', 'w').close()\n    time.sleep(600)"
    (tmp_path / "slow_builds.py").write_text(build, encoding="utf-8")
    check_interrupted(ended(f"""
import threading
from toyshift.toys.building import build_in_processes
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, ({str(tmp_path)!r}, os.environ.get("PYTHONPATH"))))

def when_both_build():
    while not all(os.path.exists(f"{tmp_path}/{{k}}") for k in range(2)):
        time.sleep(0.01)
    {press}

def work():
    threading.Thread(target=when_both_build).start()
    build_in_processes([["slow_builds:build", {str(tmp_path)!r}, str(k)] for k in range(4)], "building")
"""))


def test_a_child_ends_with_its_parent() -> None:
    child = "import time; from toyshift.core.interrupts import end_with_parent as e; e(0.05); print(1, flush=True)"
    code = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {child + '; time.sleep(600)'!r}], "
    code += "stdout=sys.stdout); input(); os._exit(0)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "1\n"
    parent.communicate("\n", timeout=60)  # comes back once nobody holds stdout any more
    assert parent.returncode == 0


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
@pytest.mark.parametrize("late", [False, True])
def test_a_worker_ends_with_its_parent_even_one_that_has_lost_it_before_it_works(
    tmp_path: Path, late: bool, context: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
import multiprocessing, os, time
from toyshift.core.interrupts import end_with_parent

def work():
    print("begun", flush=True)
    while {late} and multiprocessing.parent_process().is_alive():
        time.sleep(0.01)
    end_with_parent(0.05)
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.get_context("{context}").Process(target=work).start()
    input()
    os._exit(0)
""")
    command = [sys.executable, str(script)]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "begun\n"
    parent.communicate("\n", timeout=60)  # comes back once nobody holds stdout any more
    assert parent.returncode == 0


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_what_is_told_to_end_ends_by_itself(number: str) -> None:
    code = f"""
def work():
    with interrupts.told_to_end() as wait:
        os.kill(os.getpid(), signal.{number})
        os.kill(os.getpid(), signal.SIGWINCH)
        wait()
    print("ended", interrupts.came(), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""
    done = ended(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended False True\n", "")


def test_after_it_was_told_to_end_ctrl_c_interrupts_again() -> None:
    code = """
def work():
    with interrupts.told_to_end() as wait:
        press()
        wait()
        press()
        time.sleep(60)
"""
    done = ended(code)
    assert (done.returncode, done.stderr) == (130, LINE + "\n")
