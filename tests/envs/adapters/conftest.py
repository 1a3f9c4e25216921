"""Robosuite's small functions are not compiled here: on a fresh machine that takes 10 s, and tests take few steps."""

import os

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
