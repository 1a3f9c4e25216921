"""A Franka that franky-sim simulates, in a process of its own: prints its address, and runs until it is killed."""

import json
import sys
import threading
from pathlib import Path

import franky
import franky_sim
from franky_sim.mujoco_simulator import MujocoSimulator

START = json.loads(Path(__file__).with_name("recorded.json").read_text())["start"]

with MujocoSimulator() as sim:
    robot = sim.add_robot()
    with franky_sim.SimulationServer(sim) as server:
        server.run_async()
        first = franky.Robot(robot.hostname, realtime_config=franky.RealtimeConfig.Ignore)
        first.relative_dynamics_factor = 0.2
        first.move(franky.JointMotion(START))
        del first
        sys.stdout.write(f"{robot.hostname}\n")
        sys.stdout.flush()
        threading.Event().wait()
