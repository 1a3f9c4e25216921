"""A policy at the start of its training: random weights from the seed, pretrained encoders, or a run's weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from toyshift.core.arrays import Float32
from toyshift.core.contract import ACTION, require_same_contract, require_same_observations
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.proprioception import ONE_SIDED
from toyshift.policies import checkpoints
from toyshift.policies.config import BACKBONE_NAMES, PolicyConfig
from toyshift.policies.network.conditioning import LATENT, WORDS
from toyshift.policies.network.policy import Policy, state_to_action
from toyshift.policies.network.weights import load_weights
from toyshift.policies.training.augmentation import MIRRORED_ACTION, MIRRORED_STATE, mirror_signs
from toyshift.policies.training.config import TrainConfig
from toyshift.policies.training.training_data import TrainingData


def _with_vocabulary(config: PolicyConfig, source: TrainingData) -> PolicyConfig:
    """Returns the configuration with the instructions that the data's batches are coded by."""
    if config.told != ("none" if source.instructions is None else source.instructions.kind):
        raise ConfigError(f"the policy is told {config.told}, but the batches are made for another one")
    if source.instructions is None:
        return config
    return dataclasses.replace(config, vocabulary=source.instructions.vocabulary)


def initial_policy(config: TrainConfig, source: TrainingData) -> Policy:
    """Makes the policy at its start: random weights from the seed, or those of `init_from`."""
    windows = source.windows
    stats = source.stats()
    if config.policy.relative:
        stats[ACTION] = source.relative_stats(state_to_action(windows.action_contract, windows.observation_contract))
    with torch.random.fork_rng(devices=[]):  # the caller's random state is not ours to change
        torch.manual_seed(config.seed)
        told = _with_vocabulary(config.policy, source)
        policy = Policy(told, windows.action_contract, windows.observation_contract, stats)
    if config.init_from:  # its encoder's weights are in it
        folder = Path(config.init_from)
        state = checkpoints.read_state(folder)
        if not state["finished"]:
            raise FileError(f"cannot fine-tune from {folder}: its training is not finished; run it to the end first")
        action, observation = checkpoints.read_contracts(folder)
        require_same_contract(action, windows.action_contract, str(folder), "the dataset")
        require_same_observations(observation, windows.observation_contract, str(folder), "the dataset")
        tensors = checkpoints.load_tensors(folder, state, checkpoints.weights_to_act(state))
        # a layer that `--repair erase` adds, and fits later
        tensors = {k: v for k, v in policy.state_dict().items() if k.startswith("eraser.")} | tensors
        if config.policy.latent and WORDS in tensors:  # where `--repair latent` starts: between all that is known
            tensors[LATENT] = tensors.pop(WORDS).mean(dim=0)
        load_weights(policy, tensors, folder)  # with its normaliser: the weights mean nothing under another one
    elif config.policy.encoder in BACKBONE_NAMES:
        from toyshift.policies.network.pretrained import load_pretrained

        policy.origin = load_pretrained(policy)
    return policy


def signs_of_mirrored(policy: Policy) -> tuple[Float32, Float32]:
    """Returns the signs of state and action entries in a mirrored scene.

    Raises:
        ConfigError: the actions are not hand motions, the policy sees joint angles, whose mirror image nobody knows, or
            the hand is not symmetric.
    """
    contract, names = policy.action_contract, policy.observation_contract.state_names
    entries = policy.config.state_entries
    seen = names if entries is None else entries
    joints = [name for name in seen if name in contract.joint_names]
    if contract.mode != "eef_delta" or joints:
        raise ConfigError(
            "mirror needs eef_delta actions and a state_keep without joint angles; "
            f"actions are {contract.mode}, the policy sees {', '.join(joints) or 'none'}"
        )
    if contract.joint_names in ONE_SIDED:
        raise ConfigError("mirror takes hands for symmetric; a jaw that closes against a finger is not: drop mirror")
    return mirror_signs(names, MIRRORED_STATE), mirror_signs(contract.names, MIRRORED_ACTION)
