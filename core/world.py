"""What evaluation asks of an environment: actions in, observations and outcomes out, a state that can be put back."""

from __future__ import annotations

from typing import Any, Protocol

from toyshift.core.arrays import Array, Float32, Image, Mask
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
        """Starts the episode that (seed, options["episode"], options["object"], options["purpose"]) names, under
        options["shift"].
        """
        ...

    def advance(self, action: Float32) -> tuple[float, bool, dict[str, Any]]:
        """Executes one action (A,) without rendering; returns reward, terminated and info."""
        ...

    def observe(self) -> dict[str, Any]:
        """Renders every camera once and returns the observation."""
        ...

    def true_masks(self) -> dict[str, Mask]:
        """Returns the masks (H, W) of the latest observation by camera as they are without noise; {} where it has none.
        """
        ...

    def set_look(self, look: Any) -> None:
        """Changes the appearance until the next reset; takes a `toyshift.envs.Look`."""
        ...

    def sim_state(self) -> Array:
        """Returns the simulator's state (N,)."""
        ...

    def load_sim_state(self, object_id: str, state: Array) -> None:
        """Puts the simulator into a state that `sim_state` returned while this object was the target."""
        ...

    def move_object(self, dx: float, dy: float) -> None:
        """Moves the target on the table [m]."""
        ...

    def picture(self, size: int, camera: str) -> Image:
        """Returns an image (size, size, 3) of the present state, for people."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


def episode_options(object_id: str, episode: int, purpose: str, shift: str = "") -> dict[str, Any]:
    """Returns the options with which a world is reset for an episode of an evaluation, whoever plays it.

    Args:
        object_id: the target, `core.seeds.object_of_episode`'s.
        episode: its number.
        purpose: of `core.choices.PURPOSES`.
        shift: distance from the training distribution; "" for none.
    """
    own = {"episode": episode, "object": object_id, "purpose": purpose}
    return own | ({"shift": shift} if shift else {})
