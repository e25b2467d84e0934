"""Memory of this process."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys

# glibc's mallopt: sizes from which a block is a mapping of its own, and at which free memory at the end is given back.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _KEPT = 16 * 2**20, 32 * 2**20


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep up to 32 MiB of freed memory per thread instead of giving each large block back at once.

    Pictures are arrays of a megabyte that come and go. Fetching the same pages from the system again for each takes as
    long as the work on them. Does nothing where the C library is another one.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def peak_memory() -> int:
    """The most memory that this process has held so far, bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
