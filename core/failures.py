"""Why an episode failed: the kinds, and how one is told from another.

Where the simulator tells its events (`envs/tasks/events.py`), a kind is what became of the last grip that mattered, or
why there was none. Where it does not (other simulators, rows of before), heights and contact tell a coarser one. No
name is a kind of both, save those that mean the same, so that a row says by itself which it was told by.
"""

from __future__ import annotations

from collections.abc import Sequence

# kind -> in words, for people. Each kind is met in the order in which it stands here: the first that fits is the one.
ALWAYS = {  # told of every episode
    "no_plan": "no grasp planned",  # the expert's search found none; nothing was played
    "unstable": "simulation diverged",
    "wrong_object": "lifted another object",  # the last one that the gripper held 5 cm up
    "penetrated": "fingers sank into it",  # by more than 5 mm while they held it: no grasp that a real object allows
}
BY_EVENTS = {  # those of the first three that fit the last grip; of the others, where there was none that mattered
    "slipped": "slipped out of the grip",  # while the gripper pressed
    "lifted_not_held": "lifted, not held",  # let go of when 5 cm up, or high enough, but not long enough
    "out_of_time": "out of time",  # in the grip on its way up; or the hand was there, and none of these happened
    "never_reached": "never reached it",  # the hand came no nearer than 5 cm, and the gripper never touched it
    "knocked_away": "knocked it away",  # by 3 cm or more, before the hand first closed on nothing
    "closed_on_nothing": "closed on nothing",  # for half a second, before the target was knocked away
}
BY_HEIGHTS = {
    "no_contact": "never touched it",
    "not_lifted": "touched, not lifted",  # rose by less than 2 cm
    "dropped": "dropped it",  # ended more than 5 cm below its highest point
    "not_held": "not held long enough",  # high enough, but the success predicate never held
    "timeout": "out of time, by height",  # still on its way up
}
FAILURES = ALWAYS | BY_EVENTS | BY_HEIGHTS
EVENTLESS = ("no_plan", "unstable", "out_of_time", "never_reached")  # kinds that may have had no event before
MISSED = {"knocked": "knocked_away", "shut": "closed_on_nothing"}  # events without a grip; the first one counts


def failure_kind(
    success: bool, otherwise: str, unstable: bool = False, wrong_object: bool = False, penetrated: bool = False
) -> str:
    """Names why an episode failed: one of FAILURES, or "" for a success.

    Args:
        success: the environment's verdict.
        otherwise: kind by events, or by heights, if it is none of the following.
        unstable: whether the simulation diverged; then there is no success.
        wrong_object: whether the last object that the gripper lifted is another than the target.
        penetrated: whether the gripper sank deeper into what it held than counts as a grasp, at any time.
    """
    if unstable:
        return "unstable"
    if success:
        return ""
    if wrong_object:
        return "wrong_object"
    return "penetrated" if penetrated else otherwise


def kind_by_events(events: Sequence[str]) -> str:
    """Names why an episode without success failed, of BY_EVENTS.

    Args:
        events: names of `envs.tasks.events.EVENTS`, in the order in which they happened.
    """
    kind = before = ""
    raised = False
    for event in events:
        if event == "gripped":
            kind, before, raised = "out_of_time", kind, False
        elif event == "raised":
            raised = True
        elif event == "lifted":
            kind = "lifted_not_held"
        elif event == "slipped":
            kind = "slipped"
        elif event == "let_go":  # of what lies on the table: this grip did not matter
            kind = "lifted_not_held" if raised else before
    if kind:
        return kind
    if "reached" not in events:
        return "never_reached"
    return next((MISSED[event] for event in events if event in MISSED), "out_of_time")


def kind_by_heights(max_height: float, final_height: float, contact: bool | None, threshold: float) -> str:
    """Names why an episode without success failed, of BY_HEIGHTS.

    Args:
        max_height: highest rise [m].
        final_height: rise at the end [m].
        contact: whether the gripper ever touched the object; None where the environment does not say.
        threshold: rise that success asks for [m].
    """
    if contact is False:
        return "no_contact"
    if max_height < 0.02:
        return "not_lifted"
    if max_height - final_height > 0.05:
        return "dropped"
    return "not_held" if max_height >= threshold else "timeout"
