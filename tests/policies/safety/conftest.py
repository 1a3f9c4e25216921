"""The Panda's arm, and contracts of every action mode for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from toyshift.core.contract import ActionContract
from toyshift.diagnostics.bundle_facts import arm_of
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import get_robot
from toyshift.envs.spaces import action_contract
from toyshift.policies.runtime.arm_chain import ArmChain


@pytest.fixture(scope="session")
def panda() -> ArmChain:
    return arm_of("panda")


@pytest.fixture(scope="session")
def contract_of(panda: ArmChain) -> Callable[[str], ActionContract]:
    """Returns the contract of an action mode."""
    limits = np.array([(joint.low, joint.high) for joint in panda.joints])

    def make(mode: str) -> ActionContract:
        return action_contract(EnvConfig(action_mode=mode, cameras=()), get_robot("panda"), limits)

    return make
