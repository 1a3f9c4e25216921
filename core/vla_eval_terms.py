"""What ToyShift says to vla-eval (Ai2's harness) at both its ends, as a benchmark and as a model server."""

from __future__ import annotations

from typing import Any

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ContractError, MissingDependencyError

SUPPORTED = "0.8"  # version of vla-eval, up to the last number
PROTOCOL_VERSION = 1  # of its messages
# keys of an observation: maps by camera, the state, the instruction; the first, third and fourth are vla-eval's habit
IMAGES, MASKS, STATE, PROMPT = "images", "masks", "state", "task_description"
ENVIRONMENT_STATE = "environment_state"
CONTRACTS = "contracts"  # of a server's observation_params: what `policy_metadata` says


def require_vla_eval() -> None:
    """Refuses an environment without vla-eval, or with another version than the one that is supported.

    Raises:
        MissingDependencyError: says which, and how to install it.
    """
    install = f'run: pip install "vla-eval=={SUPPORTED}.*"'
    try:
        import vla_eval
    except ImportError as error:
        raise MissingDependencyError(f"this needs vla-eval {SUPPORTED}, Ai2's harness ({error}); {install}") from error
    found = str(vla_eval.__version__)
    if found.split(".")[:2] != SUPPORTED.split("."):
        raise MissingDependencyError(f"this is vla-eval {found}; ToyShift supports {SUPPORTED}: {install}")


def action_part(contract: ActionContract) -> dict[str, Any]:
    """Returns the fields of vla-eval's `DimSpec` for our actions.

    They are one part with a format of its own: parts called "position" or "gripper" would be taken for those of servers
    whose numbers have no units.
    """
    mode, rate = contract.mode, f"{contract.control_hz:g} Hz"
    return {"name": "actions", "dims": contract.size, "format": f"toyshift {mode}: m, rad, gripper 1 open, {rate}"}


def observation_parts(contract: ObservationContract, *, masks: bool) -> dict[str, dict[str, Any]]:
    """Returns name -> fields of vla-eval's `DimSpec` for what is observed.

    Args:
        contract: cameras and the state.
        masks: whether masks are among it.
    """
    shown = [(f"{IMAGES}.{camera}", 0, "rgb_hwc_uint8") for camera in contract.camera_names]
    shown += [(f"{MASKS}.{camera}", 0, "labels_hw_uint8") for camera in contract.camera_names if masks]
    shown += [(STATE, len(contract.state_names), f"toyshift: {', '.join(contract.state_names)}")]
    if names := contract.environment_state_names:
        shown += [(ENVIRONMENT_STATE, len(names), f"toyshift: {', '.join(names)}")]
    shown += [("language", 0, "language")]
    return {name: {"name": name, "dims": dims, "format": kind} for name, dims, kind in shown}


def actions_in(answer: Any) -> Any:
    """Returns the actions of a model server's answer, under the key "actions", or "action" as some servers say.

    Raises:
        ContractError: there is neither.
    """
    for key in ("actions", "action"):
        if isinstance(answer, dict) and key in answer:
            return answer[key]
    sent = ", ".join(map(str, answer)) if isinstance(answer, dict) and answer else "nothing"
    raise ContractError(f"the model server answered without 'actions'; it sent: {sent}")
