"""Whether this process is there for one command alone; only then may a command make settings for the whole process.

A command also runs inside other programs: the dashboard, a notebook, a test. What it set there would stay set for all
that they do afterwards.
"""

from __future__ import annotations

import gc

_ALLOCATIONS = 20_000
_ours = False


def declare() -> None:
    """Say that this process was started for one command and ends with it."""
    global _ours
    _ours = True


def is_ours() -> bool:
    """Whether `declare` was called."""
    return _ours


def look_for_circles_less_often() -> None:
    """Let Python look for circles of references less often, if this process is ours.

    Pictures and rows leave none; to look for them as often as usual takes a tenth of an audit's time.
    """
    if _ours:
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS)
