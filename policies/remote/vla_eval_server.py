"""A policy of ToyShift as a model server of vla-eval, Ai2's harness; `toyshift serve --dialect vla-eval` runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toyshift.core import vla_eval_terms as terms
from toyshift.core.contract import (
    ENVIRONMENT_STATE,
    IMAGE_PREFIX,
    MASK_PREFIX,
    STATE,
    TASK,
    environment_options,
)
from toyshift.core.errors import ConfigError, ContractError, shown
from toyshift.policies.remote.session import PolicySession, Session, policy_metadata

terms.require_vla_eval()  # before its parts are imported, which other versions may not have

from vla_eval.api import serve_background  # noqa: E402
from vla_eval.model_servers.base import SessionContext  # noqa: E402
from vla_eval.model_servers.predict import PredictModelServer  # noqa: E402
from vla_eval.specs import DimSpec  # noqa: E402

PLAIN = {terms.STATE: STATE, terms.ENVIRONMENT_STATE: ENVIRONMENT_STATE, terms.PROMPT: TASK}  # vla-eval's key -> ours
MAPS = {terms.IMAGES: IMAGE_PREFIX, terms.MASKS: MASK_PREFIX}


class PolicyModelServer(PredictModelServer):  # type: ignore[misc]  # vla-eval is not typed
    """Answers every observation with one action; the policy looks when the actions of its chunk are used up.

    It tells benchmarks what its policy needs (`observation_params`): those options that follow from the contracts, and
    the contracts, which our own benchmark checks.

    Args:
        policy: an `ActingPolicy`.
        fingerprint: hash of its weights and configuration.
        open_session: opens an episode of a client; by default one of the policy that is sent its masks.
        masks: how masks are found here; "" where they are sent.
    """

    def __init__(
        self, policy: Any, fingerprint: str, open_session: Callable[[], Session] | None = None, masks: str = ""
    ) -> None:
        super().__init__(chunk_size=int(policy.execute) or int(policy.config.chunk))
        self._open = open_session or (lambda: PolicySession(policy))
        self._sessions: dict[str, Session] = {}
        # actions come one at a time, whatever the policy executes of a chunk
        self._said = policy_metadata(policy, fingerprint, masks)["toyshift"] | {"execute": 1}
        self._actions, self._observations = policy.action_contract, policy.observation_contract

    def predict(self, obs: Mapping[str, Any], ctx: SessionContext) -> dict[str, Any]:
        """Returns the policy's chunk (K, A), physical units, of which vla-eval's server sends one action at a time.

        Raises:
            ContractError: the observation is none that the policy was trained on.
        """
        if ctx.session_id not in self._sessions:  # a client that says nothing of episodes
            self._sessions[ctx.session_id] = self._open()
        return self._sessions[ctx.session_id].infer(flat(obs))

    async def on_episode_start(self, config: dict[str, Any], ctx: SessionContext) -> None:
        await super().on_episode_start(config, ctx)
        self._sessions[ctx.session_id] = self._open()

    async def on_episode_end(self, result: dict[str, Any], ctx: SessionContext) -> None:
        await super().on_episode_end(result, ctx)
        self._sessions.pop(ctx.session_id, None)

    def get_action_spec(self) -> dict[str, DimSpec]:
        part = terms.action_part(self._actions)
        return {part["name"]: DimSpec.from_dict(part)}

    def get_observation_spec(self) -> dict[str, DimSpec]:
        parts = terms.observation_parts(self._observations, masks=self._said["needs_masks"])
        return {name: DimSpec.from_dict(part) for name, part in parts.items()}

    def get_observation_params(self) -> dict[str, Any]:
        options = environment_options(self._actions, self._observations)
        return options | {"masks": self._said["needs_masks"], terms.CONTRACTS: self._said}


def flat(obs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an observation of vla-eval's under our keys.

    Raises:
        ContractError: images or masks are no map from camera to image.
    """
    out = {ours: obs[key] for key, ours in PLAIN.items() if key in obs}
    for key, prefix in MAPS.items():
        views = obs.get(key, {})
        if not isinstance(views, Mapping):
            raise ContractError(f"{key} must be a map from camera to image, got {shown(views)}")
        out |= {f"{prefix}{camera}": view for camera, view in views.items()}
    return out


def serve_until(server: PolicyModelServer, host: str, port: int, listening: Callable[[int], None]) -> int:
    """Serves while `listening`, which is told the port, runs; returns the port.

    Args:
        server: answers.
        host: address to listen at.
        port: 0 takes a free one.
        listening: returns when it is to end.

    Raises:
        ConfigError: the address cannot be listened at.
    """
    try:
        handle = serve_background(server, host=host, port=port)
    except (OSError, OverflowError) as error:
        what = f"cannot listen at {host}:{port} ({error})"
        raise ConfigError(f"{what}; choose another --port, 0 for any that is free") from error
    with handle:
        listening(handle.port)
        return int(handle.port)
