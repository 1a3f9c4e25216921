"""Why an episode failed: the kinds, and how one is told from another."""

from __future__ import annotations

FAILURES = {  # kind -> in words, for people
    "no_plan": "no grasp planned",
    "no_contact": "never touched it",
    "not_lifted": "touched, not lifted",  # rose by less than 2 cm
    "dropped": "dropped it",  # ended more than 5 cm below its highest point
    "not_held": "not held long enough",  # high enough, but the success predicate never held
    "timeout": "out of time",  # still on its way up
    "penetrated": "fingers sank into it",  # by more than 5 mm while they held it: no grasp that a real object allows
    "unstable": "simulation diverged",
    "wrong_object": "lifted another object",  # the last one that was lifted
}


def failure_kind(
    success: bool, max_height: float, final_height: float, contact: bool | None, threshold: float,
    penetrated: bool = False,
) -> str:
    """Names why an episode failed, as far as heights and contact tell it: one of FAILURES, or "" for a success.

    Args:
        success: the environment's verdict.
        max_height: highest rise [m].
        final_height: rise at the end [m].
        contact: whether the gripper ever touched the object; None where the environment does not say.
        threshold: rise that success asks for [m].
        penetrated: whether the gripper sank deeper into what it held than counts as a grasp, at any time.
    """
    if success:
        return ""
    if penetrated:
        return "penetrated"
    if contact is False:
        return "no_contact"
    if max_height < 0.02:
        return "not_lifted"
    if max_height - final_height > 0.05:
        return "dropped"
    return "not_held" if max_height >= threshold else "timeout"
