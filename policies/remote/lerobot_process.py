"""A LeRobot policy in a process of its own: LeRobot's pins and ours exclude each other, so it has its environment."""

from __future__ import annotations

import atexit
import importlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any

from toyshift.core.contract import IMAGE_PREFIX
from toyshift.core.errors import ConfigError, FileError, MissingDependencyError, RemoteError
from toyshift.core.files import content_hash, read_json, real_path
from toyshift.policies.remote.options import LEROBOT, RemoteOptions
from toyshift.policies.remote.wire import msgpack_package, websockets_package

PYTHON = "TOYSHIFT_LEROBOT_PYTHON"
SHOWN = 1200  # characters of what the process said last


def lerobot_folder(policy: str) -> Path:
    """Returns the folder of "lerobot:DIR".

    Raises:
        FileError: it is none that LeRobot wrote.
    """
    folder = Path(policy.removeprefix(LEROBOT))
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            nested = sorted(folder.glob("**/pretrained_model/config.json"))
            hint = "LeRobot writes checkpoints/STEP/pretrained_model"
            hint = f"did you mean {nested[-1].parent}?" if nested else hint
            raise FileError(f"{folder} is no folder of a LeRobot policy: no {name} in it; {hint}")
    return folder


def lerobot_fingerprint(policy: str) -> str:
    """Returns a hash of the configuration, weights and processors of "lerobot:DIR"."""
    files = sorted(p for p in lerobot_folder(policy).iterdir() if p.suffix in (".json", ".safetensors"))
    files = [p for p in files if p.name != "train_config.json"]
    return content_hash(*(part for p in files for part in (p.name, p.read_bytes())))


def contracts_of_training(folder: Path) -> dict[str, Any]:
    """Returns the contracts of the ToyShift dataset that a LeRobot policy was trained on, {} without one.

    They are the data's own statement of what its states and actions mean, and what the policy was trained to reproduce.
    """
    if not (folder / "train_config.json").is_file():
        return {}
    root = (read_json(folder / "train_config.json").get("dataset") or {}).get("root")
    ours = Path(root) / "meta" / "toyshift.json" if root else None
    if ours is None or not ours.is_file():
        return {}
    dataset, features = read_json(ours), read_json(folder / "config.json").get("input_features") or {}
    seen = dataset["observation_contract"]
    used = {camera: size for camera, size in seen["cameras"].items() if IMAGE_PREFIX + camera in features}
    return {"action_contract": dataset["action_contract"], "observation_contract": {**seen, "cameras": used}}


def interpreter(options: RemoteOptions) -> str:
    """Returns the Python that has LeRobot.

    Raises:
        ConfigError: none is named, or it is no program.
    """
    python = options.lerobot_python or os.environ.get(PYTHON, "")
    if not python:
        raise ConfigError(
            f"lerobot: policies run in an environment of their own: name its Python with --lerobot-python or {PYTHON} "
            "(pip install lerobot==0.4.4 there)"
        )
    if not os.access(python, os.X_OK) or Path(python).is_dir():
        what = "--lerobot-python names the one of an environment with LeRobot"
        raise ConfigError(f"{python} is no Python interpreter that can be run; {what}")
    return python


class LeRobotProcess:
    """Starts the server and waits until it listens.

    Args:
        policy: "lerobot:DIR".
        options: names the interpreter.

    Attributes:
        url: where the policy answers.

    Raises:
        RemoteError: the process ended before; its last words are in the message.
        MissingDependencyError: it has no LeRobot.
    """

    def __init__(self, policy: str, options: RemoteOptions) -> None:
        folder, python = real_path(lerobot_folder(policy)), interpreter(options)
        websockets_package()
        rooms = {f"toyshift.{room.name}": str(room) for room in (_room("core"), _room("policies"))}
        packages, contracts = str(Path(msgpack_package().__file__).parents[1]), contracts_of_training(folder)
        request = {"policy": str(folder), "rooms": rooms, "packages": packages, "contracts": contracts}
        command = [python, str(Path(__file__).with_name("lerobot_server.py")), json.dumps(request)]
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words)
        atexit.register(self.close)
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            self._process.wait()
            words = self.last_words()
            if "No module named 'lerobot" in words:
                remedy = f"{python} -m pip install lerobot==0.4.4, or name another --lerobot-python"
                raise MissingDependencyError(f"{python} has no LeRobot: {remedy}")
            how = f"{python}, exit code {self._process.returncode}"
            raise RemoteError(f"LeRobot could not serve {folder} ({how}): {words}")
        self.url = f"ws://127.0.0.1:{json.loads(line)['port']}"

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """Returns the end of what it wrote to its standard error."""
        self._words.seek(0)
        return self._words.read().decode(errors="replace").strip()[-SHOWN:]

    def close(self) -> None:
        """Ends the process."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _room(name: str) -> Path:
    """Returns the folder of one of ToyShift's rooms."""
    return Path(str(importlib.import_module(f"toyshift.{name}").__file__)).resolve().parent


_running: dict[tuple[str, str], LeRobotProcess] = {}


def lerobot_process(policy: str, options: RemoteOptions) -> LeRobotProcess:
    """Returns the running process of "lerobot:DIR", started once in this process: loading may take minutes."""
    key = (policy, options.lerobot_python)
    if key not in _running or _running[key].exit_code is not None:
        _running[key] = LeRobotProcess(policy, options)
    return _running[key]
