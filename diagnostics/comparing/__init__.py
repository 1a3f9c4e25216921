"""Policies compared on result files of any origin: readers, pairs of episodes, differences with verdicts, splits."""
