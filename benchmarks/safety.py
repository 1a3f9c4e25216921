"""CPU milliseconds of the safety layer for one command, and where they go.

python benchmarks/safety.py --commands 2000 --json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from toyshift.core.choices import ACTION_MODES
from toyshift.diagnostics.bundle_facts import arm_of
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import get_robot
from toyshift.envs.spaces import action_contract
from toyshift.policies.runtime.robot_runtime import Readings
from toyshift.policies.safety import SafetyLayer, SafetyLimits
from toyshift.policies.safety.watchdog import Watchdog

# how far actions go to and fro [m or rad]: within all limits, and such that they are cut
SWINGS = {"joint_pos": (0.01, 0.2), "joint_delta": (0.01, 0.2), "eef_delta": (0.003, 0.05), "eef_pose": (0.003, 0.06)}
ROUNDS = 40  # of which the least is told, and the median: others on the machine slow single ones


def cpu_milliseconds(work: Callable[[int], Any], count: int) -> tuple[float, float]:
    """Returns the least and the median over rounds of the mean CPU time of a piece of work [ms]."""
    each, means = max(1, count // ROUNDS), []
    for number in range(ROUNDS):
        begun = time.process_time()
        for i in range(each):
            work(number * each + i)
        means.append(1e3 * (time.process_time() - begun) / each)
    return min(means), float(np.median(means))


def measure(count: int) -> dict[str, tuple[float, float]]:
    """Times commands of every action mode: small motions to and fro within all limits, then such that all are cut."""
    arm, rng, found = arm_of("panda"), np.random.default_rng(0), {}
    limits = np.array([(joint.low, joint.high) for joint in arm.joints])
    for mode in ACTION_MODES:
        contract = action_contract(EnvConfig(action_mode=mode, cameras=()), get_robot("panda"), limits)
        for kind, share in (("within", 0), ("cut", 1)):
            safety = SafetyLayer(arm, contract, SafetyLimits())
            safety.begin(np.asarray(arm.home), 1.0, 0.0)
            low, high = np.array(contract.low), np.array(contract.high)
            still = safety.still()
            swing = SWINGS[mode][share]
            actions = (still + swing * rng.uniform(-1, 1, (64, contract.size))).astype(np.float32)
            actions = np.clip(actions, low.astype(np.float32), high.astype(np.float32))

            def command(i: int, safety: SafetyLayer = safety, actions: Any = actions) -> None:
                safety.sent(safety.command(actions[i % 64], 0.1 * (i + 1)), 0.1 * (i + 1))

            found[f"{mode}, {kind}"] = cpu_milliseconds(command, count)
            cut = len(safety.journal.lines) / min(count // ROUNDS * ROUNDS, safety.journal.lines.maxlen or 1)
            assert (cut > 0.2) == (kind == "cut"), f"{mode}, {kind}: {cut:.0%} of the commands were cut"
    chain, start = arm.kinematics, np.asarray(arm.home)
    position, rotation = chain.forward(start)
    found["of these, inverse kinematics"] = cpu_milliseconds(
        lambda i: chain.solve(start, position + 0.001, rotation), count
    )
    image = np.zeros((96, 96, 3), np.uint8)
    watchdog = Watchdog(arm, safety.allowed, ("front", "wrist"))

    def look(i: int) -> None:
        now = 0.1 * i
        stamps = {"front": now, "wrist": now}
        watchdog.look(Readings(start + 1e-6 * (i % 7), 0.04, {"front": image, "wrist": image}, now, stamps), now, start)

    found["watchdog"] = cpu_milliseconds(look, count)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.commands)
    if asked.json:
        print(json.dumps(found))
        return
    for name, (least, median) in found.items():
        print(f"{name:<30} {least:.3f} ms at least, median {median:.3f} ms")


if __name__ == "__main__":
    main()
