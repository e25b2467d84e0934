"""Which folders of the server may be opened: for requests through a page, and for links out of a source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from deconv_core.archives import shown
from deconv_core.errors import DeconvError


def allowed_roots() -> tuple[Path, ...]:
    """The folders whose content may be opened through a page: `DECONV_DATA_ROOTS`, or the workspace and the home.

    The variable holds folders separated by `:` (`;` on Windows); set but empty it allows none.
    """
    from deconv_core.workspace import workspace

    stated = os.environ.get("DECONV_DATA_ROOTS")
    if stated is None:
        return (workspace().resolve(), Path.home().resolve())
    return tuple(Path(part).expanduser().resolve() for part in stated.split(os.pathsep) if part.strip())


def check_inside_roots(path: str | Path, roots: Sequence[Path] | None = None) -> Path:
    """The path with its links resolved, if it lies in one of `roots` (by default `allowed_roots()`).

    Raises:
        DeconvError: It does not; whether it exists is not told.
    """
    roots = allowed_roots() if roots is None else roots
    try:
        resolved = Path(path).expanduser().resolve()
        inside = any(resolved.is_relative_to(Path(root).resolve()) for root in roots)
    except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte, an unknown user
        inside = False
    if not inside:
        raise DeconvError(
            f"'{shown(str(path))}' lies outside the folders that may be opened here "
            f"({', '.join(map(str, roots)) or 'none'}); choose one of these, or have DECONV_DATA_ROOTS set otherwise."
        )
    return resolved


def page_roots(source: str | Path) -> tuple[Path, ...]:
    """The folders that a job started by a page may open for its source: `allowed_roots()`, and the upload it works on.

    Uploads, and what was fetched from an address, lie in the workspace, which need not be among the allowed roots.
    """
    from deconv_core.workspace import workspace

    kept = (workspace() / "data").resolve()
    if "://" in str(source):
        return (*allowed_roots(), kept)
    try:
        own = Path(source).expanduser().resolve().relative_to(kept).parts
    except (OSError, ValueError, RuntimeError):
        own = ()
    return (*allowed_roots(), kept / own[0]) if own else allowed_roots()


class Roots:
    """Where the files of one source may lie."""

    def __init__(self, roots: Sequence[Path] | None):
        self.limited = roots is not None
        if roots is None:
            # The shell is not limited, but a link out of a folder may have come with somebody else's data.
            roots = allowed_roots() if os.environ.get("DECONV_DATA_ROOTS") is not None else ()
        self._roots = [Path(root).resolve() for root in roots]

    def may_open(self, path: Path, beside: Path) -> bool:
        """Whether what the path leads to lies in `beside` or in a root."""
        try:
            target = path.resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        return any(target.is_relative_to(root) for root in ([*self._roots] if self.limited else [*self._roots, beside]))
