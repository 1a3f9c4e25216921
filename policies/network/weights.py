"""Weights of a trained folder in the network they were trained in, and in no other."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from toyshift.core.errors import FileError
from toyshift.policies import checkpoints
from toyshift.policies.network.policy import Policy


def load_weights(policy: Policy, tensors: dict[str, Tensor], folder: Path) -> None:
    """Loads weights into a policy of the same make.

    Raises:
        FileError: names or shapes differ.
    """
    own = policy.state_dict()
    wrong = sorted(set(own) ^ set(tensors)) + [k for k in own if k in tensors and own[k].shape != tensors[k].shape]
    if wrong:
        what = f"{len(wrong)} tensors are missing, extra or of another shape, first {wrong[0]!r}"
        raise FileError(f"the weights in {folder} are of another policy: {what}")
    policy.load_state_dict(tensors)


def load_network(folder: Path, unfinished: bool = False) -> Policy:
    """Builds the `Policy` of a trained folder with the weights that act (the averaged ones where there are any).

    Args:
        folder: written by `train`.
        unfinished: take the last checkpoint of a run that is not finished.

    Raises:
        FileError: the folder is missing, half-trained, damaged, or holds pickles.
    """
    folder = Path(folder)
    state = checkpoints.read_state(folder)
    if not state["finished"] and not unfinished:
        raise FileError(f"{folder} is half-trained (step {state['step']}); run the same `toyshift train` to finish it")
    config = checkpoints.read_policy_config(folder)
    action, observation = checkpoints.read_contracts(folder)
    policy = Policy(config, action, observation)
    load_weights(policy, checkpoints.load_tensors(folder, state, checkpoints.weights_to_act(state)), folder)
    return policy.eval()
