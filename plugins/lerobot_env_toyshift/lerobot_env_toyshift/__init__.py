"""Registers ToyShift's environments with LeRobot, which imports this module by its distribution's name."""

from toyshift.envs.adapters.lerobot_env import ToyShiftEnvConfig

__all__ = ["ToyShiftEnvConfig"]
