"""Between policy and robot: what is sent lies within all limits, and every fault ends in hold or stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toyshift.core.lazy import lazy_names

if TYPE_CHECKING:
    from toyshift.policies.safety.feature_alarm import Alarm as Alarm
    from toyshift.policies.safety.journal import Journal as Journal
    from toyshift.policies.safety.limits import RobotLimits as RobotLimits
    from toyshift.policies.safety.limits import SafetyLimits as SafetyLimits
    from toyshift.policies.safety.safety_layer import SafetyLayer as SafetyLayer

_PLACES = {
    "Alarm": "feature_alarm",
    "Journal": "journal",
    "RobotLimits": "limits",
    "SafetyLayer": "safety_layer",
    "SafetyLimits": "limits",
}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
