"""What evaluation asks of an environment: actions in, observations and outcomes out, and a state that can be put back."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ActionContract, ObservationContract


class World(Protocol):
    """An environment without Gymnasium's wrappers (`env.unwrapped`).

    Attributes:
        action_contract: what its actions mean.
        observation_contract: what it shows.
        task_description: the instruction of the present episode.
    """

    action_contract: ActionContract
    observation_contract: ObservationContract
    task_description: str

    @property
    def lift_height(self) -> float:
        """Rise that success asks for [m]."""
        ...

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Starts the episode that (seed, options["episode"], options["object"]) names, under options["shift"]."""
        ...

    def advance(self, action: NDArray[np.float32]) -> tuple[float, bool, dict[str, Any]]:
        """Executes one action (A,) without rendering; returns reward, terminated and info."""
        ...

    def observe(self) -> dict[str, Any]:
        """Renders every camera once and returns the observation."""
        ...

    def set_look(self, look: Any) -> None:
        """Changes the appearance until the next reset; takes a `toyshift.envs.Look`."""
        ...

    def sim_state(self) -> NDArray[np.float64]:
        """Returns the simulator's state (N,)."""
        ...

    def load_sim_state(self, object_id: str, state: NDArray[np.float64]) -> None:
        """Puts the simulator into a state that `sim_state` returned while this object was the target."""
        ...

    def move_object(self, dx: float, dy: float) -> None:
        """Moves the target on the table [m]."""
        ...

    def picture(self, size: int, camera: str) -> NDArray[np.uint8]:
        """Returns an image (size, size, 3) of the present state, for people."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...
