"""Action contracts: scale to [-1, 1] and back, JSON round trip, disagreements are errors."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toyshift.core.contract import ActionContract, ObservationContract, require_same_contract, require_same_observations
from toyshift.core.errors import ContractError, UnknownNameError

CONTRACT = ActionContract(
    mode="eef_delta", names=("dx", "gripper"), units=("m", "1"), low=(-0.05, 0.0), high=(0.05, 1.0), control_hz=10.0,
    joint_names=("joint1",),
)


@given(st.floats(-0.05, 0.05), st.floats(0, 1))
def test_unit_scale_round_trips_and_bounds_map_to_one(dx: float, gripper: float) -> None:
    action = np.array([dx, gripper])
    unit = CONTRACT.to_unit(action)
    assert np.abs(unit).max() <= 1 + 1e-6
    np.testing.assert_allclose(CONTRACT.from_unit(unit), action, atol=1e-6)
    np.testing.assert_allclose(CONTRACT.to_unit(np.array(CONTRACT.high)), 1.0)


def test_contract_survives_json() -> None:
    assert ActionContract.from_json(CONTRACT.to_json()) == CONTRACT
    observation = ObservationContract((("front", (96, 96)),), ("joint1",))
    assert ObservationContract.from_json(observation.to_json()) == observation


@pytest.mark.parametrize(
    "change", [{"control_hz": 20.0}, {"frame": "world"}, {"high": (0.1, 1.0)}, {"gripper": "1 = closed"}]
)
def test_any_difference_between_contracts_is_an_error_that_names_it(change: dict) -> None:
    with pytest.raises(ContractError, match=next(iter(change))):
        require_same_contract(CONTRACT, dataclasses.replace(CONTRACT, **change), "dataset", "policy")
    require_same_contract(CONTRACT, CONTRACT, "dataset", "policy")


def test_observation_contracts_that_differ_are_an_error() -> None:
    a = ObservationContract((("front", (96, 96)),), ("joint1",))
    with pytest.raises(ContractError, match="differ"):
        require_same_observations(a, ObservationContract((("front", (64, 64)),), ("joint1",)), "a", "b")


def test_unknown_mode_and_ragged_contract_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="eef_delta"):
        dataclasses.replace(CONTRACT, mode="eef_detla")
    with pytest.raises(ContractError, match="lengths"):
        dataclasses.replace(CONTRACT, names=("dx",))


def test_contracts_of_other_modes_are_told_apart_by_their_mode() -> None:
    joints = ActionContract("joint_pos", ("joint1",), ("rad",), (-1.0,), (1.0,), 10.0, ("joint1",))
    hand = ActionContract("eef_delta", ("dx",), ("m",), (-1.0,), (1.0,), 10.0, ("joint1",))
    with pytest.raises(ContractError, match="mode: 'joint_pos' in a, 'eef_delta' in b; and so names, units"):
        require_same_contract(joints, hand, "a", "b")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (ObservationContract((("front", (48, 48)),), ("x",)), "camera front: 32 x 32 pixels in a, 48 x 48 pixels in b"),
        (
            ObservationContract((("front", (32, 32)), ("wrist", (32, 32))), ("x",)),
            "camera wrist: absent in a, 32 x 32 pixels in b",
        ),
        (ObservationContract((("front", (32, 32)),), ("x", "y")), "state entries only in b: y"),
    ],
)
def test_what_differs_in_observations_is_named_and_nothing_else(other: ObservationContract, named: str) -> None:
    with pytest.raises(ContractError) as caught:
        require_same_observations(ObservationContract((("front", (32, 32)),), ("x",)), other, "a", "b")
    assert f"differ ({named})." in str(caught.value)


def test_json_that_is_no_contract_is_refused() -> None:
    with pytest.raises(ContractError, match="not an action contract"):
        ActionContract.from_json([])  # type: ignore[arg-type]
