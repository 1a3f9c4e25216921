"""Simulates a robot behind a socket, in its own process and time.

toyshift robot sim --port 8123
toyshift robot sim --port 8123 --objects ycb-like --latency 0.05 --jitter 0.02
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

from toyshift.core import interrupts
from toyshift.core.choices import RobotName
from toyshift.core.graphics import gl_backend
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, port=(0, 65535), size=(16, 1024), rate=(1, 50), latency=(0, 5), jitter=(0, 5)):
    """Options of `toyshift robot sim`."""

    port: int = 8123
    """Port to listen at; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address to listen at. Whoever reaches it moves the robot."""
    objects: str = "toys:test"
    """Object set; every episode has one of its objects."""
    robot: RobotName = "panda"
    """Which arm."""
    shift: str = ""
    """What differs from the training, e.g. "camera-azimuth=3"."""
    size: int = 96
    """Height and width of its images [pixels]."""
    rate: float = 25.0
    """Readings per second [Hz]."""
    latency: float = 0.0
    """Mean time that readings and commands take on their way, each [s]."""
    jitter: float = 0.0
    """Largest deviation from it [s]."""


def main(cfg: Config) -> dict[str, Any]:
    """Simulates our Panda as a robot of its own, behind a socket, until Ctrl-C or SIGTERM; see docs/robot.md.

    Example: toyshift robot sim --port 8123 --latency 0.05
    """
    gl_backend()  # a clear error before anything is built
    from toyshift.diagnostics.robot_sim import RobotSim, SimOptions

    options = SimOptions(cfg.objects, cfg.robot, cfg.shift, cfg.size, cfg.rate, cfg.latency, cfg.jitter, cfg.seed)
    with interrupts.told_to_end() as wait:
        sim = RobotSim(options, cfg.host, cfg.port)
        failed: list[BaseException] = []
        thread = threading.Thread(target=_until_ended, args=(sim, failed))
        thread.start()
        where = f"socket:{cfg.host}:{sim.port}"
        print(f"a {cfg.robot} at {where}, Ctrl-C ends it; try: toyshift robot run BUNDLE --robot {where}", flush=True)
        wait()
    sim.end()
    thread.join()
    if failed:
        raise failed[0]
    return {"port": sim.port, "late": sim.late, "refused": sim.refused}


def _until_ended(sim: Any, failed: list[BaseException]) -> None:
    """Runs the robot in this thread; where it fails, the command ends with its error."""
    try:
        sim.run()
    except BaseException as error:
        import os
        import signal

        failed.append(error)
        os.kill(os.getpid(), signal.SIGTERM)
