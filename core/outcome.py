"""What became of an episode, told action by action: the outcome columns of a row, whoever plays it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toyshift.core.failures import failure_kind, kind_by_events, kind_by_heights


class Outcome:
    """Looks at what a world says after every action.

    Args:
        object_id: the target.
        threshold: rise that success asks for [m].

    Attributes:
        steps: actions so far.
        success: the world's verdict after the last one.
        height: how far the target's lowest point is above its start now [m].
        highest: how far it was at most [m].
        penetration: how deep the gripper sank into it at most [m].
    """

    def __init__(self, object_id: str, threshold: float) -> None:
        self._object, self._threshold = object_id, threshold
        self.steps, self.success = 0, False
        self.height = self.highest = self.penetration = 0.0
        self._contact: bool | None = None
        self._penetrated = False
        self._info: Mapping[str, Any] = {}

    def add(self, info: Mapping[str, Any]) -> None:
        """Takes what a world says after an action."""
        self.steps += 1
        self.height = float(info["lift_height"])
        self.highest = max(self.highest, self.height, float(info.get("max_height", self.height)))
        touched = info.get("touched")
        self._contact = self._contact if touched is None else bool(touched) or bool(self._contact)
        self.penetration = max(self.penetration, float(info.get("penetration", 0.0)))
        self._penetrated = self._penetrated or not info.get("predicates", {}).get("not_penetrated", True)
        self.success = bool(info["is_success"]) and not info.get("unstable")
        self._info = info

    def failure(self) -> str:
        """Returns why the episode failed, of `FAILURES`, if it ends now; "" for a success."""
        if "events" in self._info:
            kind = kind_by_events([name for _, name in self._info["events"]])
        else:
            kind = kind_by_heights(self.highest, self.height, self._contact, self._threshold)
        wrong = self._info.get("lifted_object", "") not in ("", self._object)
        return failure_kind(self.success, kind, bool(self._info.get("unstable")), wrong, self._penetrated)

    def columns(self) -> dict[str, Any]:
        """Returns success, max_height [m], steps, failure, penetration [m] and events ("name@step ..."), as in rows."""
        events = " ".join(f"{name}@{step}" for step, name in self._info.get("events", ()))
        return {
            "success": self.success, "max_height": self.highest, "steps": self.steps, "failure": self.failure(),
            "penetration": self.penetration, "events": events,
        }  # fmt: skip
