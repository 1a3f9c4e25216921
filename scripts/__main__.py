"""Where `toyshift` and `python -m toyshift.scripts` begin: Ctrl-C is taken care of before anything else is imported."""

from __future__ import annotations

from toyshift.core import garbage, interrupts


def main() -> int:
    """Runs the command line, and returns its exit code."""
    interrupts.install()
    garbage.look_seldom()
    from toyshift.scripts import cli

    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
