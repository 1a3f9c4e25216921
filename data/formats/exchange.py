"""What conversions pass on: contracts, and episodes one after the other; and the table of formats."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, STATE, ActionContract, ObservationContract, image_key
from toyshift.core.errors import ContractError, FileError, MissingDependencyError, UnknownNameError
from toyshift.core.files import BY_HAND, read_json
from toyshift.core.progress import track
from toyshift.data.episode import Episode

# What a converted file or folder says about itself, as JSON, so that nothing has to be guessed when it comes back.
CONTRACTS = "toyshift_contracts"


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """Episodes from somewhere, under one pair of contracts.

    Attributes:
        action: what the actions mean (physical units).
        observation: cameras and state entries.
        total: how many episodes there are.
        episodes: first -> iterator over episodes first, first + 1, ...; one that cannot be read comes as its error.
        facts: JSON-able facts about the source, for the manifest.
        robot_type: name of the robot.
    """

    action: ActionContract
    observation: ObservationContract
    total: int
    episodes: Callable[[int], Iterator[Episode | FileError]]
    facts: dict[str, Any]
    robot_type: str = "panda"

    @property
    def source(self) -> str:
        """What to call it in errors."""
        return str(self.facts.get("source", ""))

    def readable(self, skip_damaged: bool, dropped: dict[str, str]) -> Iterator[Episode]:
        """Yields the episodes that can be read and fit the contracts; notes the number and the error of the others.

        Raises:
            FileError: an episode cannot be read and `skip_damaged` is off.
        """
        for number, episode in enumerate(track(self.episodes(0), "convert", self.total, "episode")):
            if not isinstance(episode, FileError):
                yield require_episode(self, episode, self.source)
            elif skip_damaged:
                dropped[str(number)] = str(episode)
            else:
                raise episode


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What a file does not say about itself.

    Attributes:
        contract: JSON file with the action contract, where the source has none.
        oxe: name of the Open X-Embodiment sub-dataset, where the folder's name does not tell.
        control_hz: actions per second [Hz], where neither says.
    """

    contract: Path | None = None
    oxe: str = ""
    control_hz: float = 0.0


# format -> module beside this one, with recognises(path), read(path, options) and write(path, stream, skip_damaged)
FORMATS = {"lerobot": "lerobot_folder", "rlds": "rlds", "robomimic": "robomimic"}


def module_of(name: str) -> Any:
    """Returns the module of a format."""
    if name not in FORMATS:
        raise UnknownNameError("dataset format", name, FORMATS)
    return importlib.import_module(f"toyshift.data.formats.{FORMATS[name]}")


def recognise(path: Path) -> str:
    """Returns the format of a file or folder.

    Raises:
        FileError: it does not exist, or is none of the known formats.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path} does not exist")
    for name in FORMATS:
        if module_of(name).recognises(path):
            return name
    rlds = "an RLDS folder features.json and dataset_info.json"
    known = f"a LeRobot folder has meta/info.json, {rlds}, a robomimic file ends in .hdf5"
    raise FileError(f"{path} is no dataset that is known here: {known}")


def open_stream(path: Path, options: ReadOptions | None = None) -> Stream:
    """Opens a dataset of any format; see the modules in `FORMATS` for what they refuse."""
    stream: Stream = module_of(recognise(path)).read(Path(path), options or ReadOptions())
    if stream.total < 1:
        raise FileError(f"{path} holds no episodes")
    return stream


def contracts_json(stream: Stream) -> str:
    """Returns both contracts as one line of JSON."""
    contracts = {"action_contract": stream.action.to_json(), "observation_contract": stream.observation.to_json()}
    return json.dumps(contracts | {"robot_type": stream.robot_type}, sort_keys=True)


def contracts_from(text: str, where: str) -> tuple[ActionContract, ObservationContract, str]:
    """Reads what `contracts_json` wrote.

    Raises:
        ContractError: it is something else.
    """
    try:
        value = json.loads(text)
        action = ActionContract.from_json(value["action_contract"])
        observation = ObservationContract.from_json(value["observation_contract"])
        return action, observation, str(value.get("robot_type", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise ContractError(f"{where}: the contracts in it are damaged ({error})") from error


def given_contract(options: ReadOptions, where: str, why: str) -> ActionContract:
    """Returns the action contract of --contract.

    Raises:
        ContractError: there is none; guessing what actions mean is refused.
    """
    if options.contract is None:
        remedy = "name a JSON file with the action contract (--contract FILE; `toyshift data info --json` shows one)"
        raise ContractError(f"{where} {why}, so what its actions mean is unknown, and guessing is refused: {remedy}")
    value = read_json(options.contract, BY_HAND)
    if not isinstance(value, dict):
        raise ContractError(f"{options.contract} is no action contract: {type(value).__name__} instead of an object")
    return ActionContract.from_json(value.get("action_contract", value))


def require_episode(stream: Stream, episode: Episode, where: str) -> Episode:
    """Returns the episode.

    Raises:
        ContractError: its actions, state or images do not have the sizes that the contracts say.
    """
    wanted: dict[str, tuple[int, ...]] = {ACTION: (stream.action.size,), STATE: (len(stream.observation.state_names),)}
    wanted |= {image_key(camera): (*size, 3) for camera, size in stream.observation.cameras}
    for key, shape in wanted.items():
        got = episode.frames[key].shape[1:] if key in episode.frames else None
        if got != shape:
            raise ContractError(f"{where}, episode {episode.index}: {key} has shape {got}, the contracts say {shape}")
    return episode


def unit_actions(contract: ActionContract, actions: NDArray[np.floating[Any]], where: str) -> NDArray[np.float64]:
    """Maps physical actions (T, A) to [-1, 1] in double precision, so that the way back gives the same float32.

    Raises:
        ContractError: an action is outside the contract's bounds, or these are no bounds.
    """
    low, high = np.asarray(contract.low), np.asarray(contract.high)
    if not np.isfinite(low).all() or not np.isfinite(high).all() or (high <= low).any():
        bounds = f"low {contract.low}, high {contract.high}"
        raise ContractError(f"{where}: the action contract has no proper bounds ({bounds}); [-1, 1] needs them")
    unit: NDArray[np.float64] = 2.0 * (np.asarray(actions, dtype=np.float64) - low) / (high - low) - 1.0
    if np.abs(unit).max(initial=0.0) > 1.0 + 1e-6:
        t, entry = (int(v) for v in np.argwhere(np.abs(unit) > 1.0 + 1e-6)[0])
        outside = f"outside the contract's {low[entry]:g} to {high[entry]:g}; [-1, 1] cannot hold it"
        raise ContractError(f"{where}, frame {t}: action {contract.names[entry]} is {actions[t, entry]:.4g}, {outside}")
    return unit


def require_package(name: str, extra: str, why: str) -> Any:
    """Imports an optional package.

    Raises:
        MissingDependencyError: naming the extra that brings it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(f"{why} needs {name} ({error}); run: pip install 'toyshift[{extra}]'") from error
