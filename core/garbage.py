"""How often Python looks for garbage in cycles."""

import gc


def look_seldom() -> None:
    """Has this process look for garbage in cycles after 10,000 new containers instead of 700 (Python 3.11).

    What is in no cycle, as all images and frames are, goes as soon as it is not used. Importing torch makes a million
    containers that stay: a fifth of that time goes into looking at them. For a process of our own; a library that is
    imported by other programs leaves this to them.
    """
    gc.set_threshold(10_000, 10, 10)
