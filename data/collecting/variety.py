"""How demonstrations differ as people's do: pace, height, steepness and direction of the approach, and start pose."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.core.errors import ConfigError
from toyshift.data.grasping.expert import ExpertConfig
from toyshift.envs.config import EnvConfig


@dataclasses.dataclass(frozen=True)
class Variety:
    """What is drawn, uniformly, for each demonstration; at amount 0 every one is as it was before there was variety.

    Attributes:
        amount: 0 to 1, the share of the ranges below that is used.
        slowest: smallest factor on the speeds of the hand at amount 1; the largest is 1.
        lowest: smallest factor on the height at which the hand travels.
        highest: largest factor on it.
        gentlest: smallest factor on how steeply the hand comes down.
        steepest: largest factor on it.
        tilt: largest angle between the approach and straight down, on both sides, where such a grasp is found [rad].
        start_noise: standard deviation of the joint angles at the start at amount 1 [rad]: about 7 cm at the hand.
    """

    amount: float = 0.0
    slowest: float = 0.5
    lowest: float = 0.7
    highest: float = 1.6
    gentlest: float = 0.6
    steepest: float = 1.7
    tilt: float = 0.35
    start_noise: float = 0.08

    def __post_init__(self) -> None:
        if not 0.0 <= self.amount <= 1.0:  # refuses NaN as well
            raise ConfigError(f"variety is {self.amount}; it must be between 0 (all demonstrations alike) and 1")

    def expert(self, config: ExpertConfig, rng: np.random.Generator) -> ExpertConfig:
        """Returns how the expert moves in one demonstration; `rng` is a stream of that episode."""
        if not self.amount:
            return config
        pace = rng.uniform(1.0 - self.amount * (1.0 - self.slowest), 1.0)
        hover = rng.uniform(1.0 - self.amount * (1.0 - self.lowest), 1.0 + self.amount * (self.highest - 1.0))
        funnel = rng.uniform(1.0 - self.amount * (1.0 - self.gentlest), 1.0 + self.amount * (self.steepest - 1.0))
        tilt = float(rng.uniform(-1.0, 1.0) * self.amount * self.tilt)
        return dataclasses.replace(
            config, speed=config.speed * pace, turn_speed=config.turn_speed * pace, hover=config.hover * hover,
            funnel=config.funnel * funnel,
            planner=dataclasses.replace(config.planner, tilts=(tilt,)),
            second_try=dataclasses.replace(
                config.second_try, tilts=tuple(dict.fromkeys((0.0, *config.second_try.tilts)))
            ),
        )

    def environment(self, config: EnvConfig) -> EnvConfig:
        """Returns the environment with wider start poses."""
        wider = config.start_noise + self.amount * max(0.0, self.start_noise - config.start_noise)
        return dataclasses.replace(config, start_noise=wider)
