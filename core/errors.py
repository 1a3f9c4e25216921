"""The errors ToyShift raises: one base class, one small class per kind of failure."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable
from typing import Any

SHOWN = 100  # characters of a value in a message
LISTED = 1000  # characters of a list of names in a message: all shifts, all options of `toyshift train`


def shown(value: Any) -> str:
    """Returns a value as it stands in a message: as Python writes it, shortened where it is long."""
    text = f"a number of {value.bit_length()} bits" if isinstance(value, int) and abs(value) >> 256 else repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 4 :]}"


class ToyShiftError(Exception):
    """Base of every error that ToyShift raises on purpose; its message names the culprit and the remedy."""


class UnknownNameError(ToyShiftError, ValueError):
    """A name that is in no registry.

    Args:
        kind: what was looked up, e.g. "object set".
        got: the name that was given.
        choices: the names that exist.
        elsewhere: where else the name may belong, in words; "" for nowhere.
    """

    def __init__(self, kind: str, got: object, choices: Iterable[str], elsewhere: str = "") -> None:
        names = sorted(choices)
        close = difflib.get_close_matches(str(got)[:SHOWN], names, n=1, cutoff=0.4)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        told = ", ".join(names) or "none"
        if len(told) > LISTED:
            told = f"{told[:LISTED].rpartition(', ')[0]}, ... ({len(names)} in all)"
        more = f"; {elsewhere}" if elsewhere else ""
        super().__init__(f"unknown {kind} {shown(got)}.{hint} Available: {told}{more}")
        self._arguments = (kind, got, tuple(names), elsewhere)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, object, tuple[str, ...], str]]:
        return type(self), self._arguments  # errors cross process borders


class ConfigError(ToyShiftError, ValueError):
    """A value that is out of range or contradicts another one."""


class UndefinedError(ConfigError):
    """Data that do not define what was asked of them: too few, or without an image; other questions may be answered."""


class ContractError(ToyShiftError, ValueError):
    """Two action or observation contracts that must agree differ."""


class FileError(ToyShiftError):
    """A file or folder that is missing, truncated, malformed or of another version."""


class MeshError(FileError):
    """A mesh that cannot be used: empty, flat, unreadable, or in the wrong unit."""


class MissingDependencyError(ToyShiftError, ImportError):
    """An optional package or a system library is missing; the message says how to install it."""


class GraspError(ToyShiftError):
    """No grasp could be planned for an object."""


class RemoteError(ToyShiftError, RuntimeError):
    """A policy server that cannot be reached, breaks off, answers with an error, or speaks another protocol."""


class RefusalError(RemoteError):
    """A policy server that is there, and answers what it was asked with an error."""


class RobotError(ToyShiftError, RuntimeError):
    """A robot that cannot be reached, breaks off, or does not do what it was told."""


_READABLE = "choose a place where you may read and write"
_FILE_THERE = "there is a file where a folder is wanted: choose another place, or move the file away"
_REMEDIES = {
    errno.EACCES: _READABLE, errno.EPERM: _READABLE, errno.EROFS: _READABLE, errno.EEXIST: _FILE_THERE,
    errno.ENOTDIR: _FILE_THERE, errno.EISDIR: "there is a folder where a file is wanted: choose another place",
    errno.ENOSPC: "the disk is full: make room and run the same command again",
    errno.EFBIG: "the system allows no file of that size: raise the limit (`ulimit -f`) and run the same command again",
    errno.EDQUOT: "your share of the disk is full: make room and run the same command again",
}  # fmt: skip


def remedy_of(error: Exception) -> str:
    """Returns what helps against an error of the operating system, told by its number or, in a library's, its words.

    "" where nothing is known that helps, and no path is named that could be looked at.
    """
    told = getattr(error, "errno", None)
    number = told or next((number for number in _REMEDIES if os.strerror(number) in str(error)), 0)
    return _REMEDIES.get(number, "check that path" if getattr(error, "filename", None) else "")


def with_remedy(told: str, error: Exception, other: str = "") -> str:
    """Returns a message with what helps behind it: what `remedy_of` knows, and what else does."""
    helps = ", or ".join(filter(None, (remedy_of(error), other)))
    return f"{told}; {helps}" if helps else told
