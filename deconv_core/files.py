"""The one way to write a file: beside its place, then renamed, so that no reader ever sees half of one."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deconv_core.errors import DeconvError


def write_whole(path: Path | str, content: bytes | str | Iterator[bytes]) -> None:
    """Write a file that appears complete or not at all; two writers at once leave one of the two, whole.

    Args:
        path: The file, replaced if it is there.
        content: Text is written as UTF-8; characters that are none are written out with a backslash. Pieces that are
            made one after another need no room together.

    Raises:
        DeconvError: It could not be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}")
    if isinstance(content, str):
        content = content.encode("utf-8", "backslashreplace")
    try:
        with beside.open("xb") as stream:
            stream.writelines(content if isinstance(content, Iterator) else [content])
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DeconvError(
            f"{path.name} could not be written ({error.strerror}); check the folder and its space."
        ) from error


def write_json(path: Path | str, content: Any) -> None:
    """`write_whole` of a value as indented JSON. Names with bytes that are no text survive as escapes.

    Raises:
        DeconvError: As `write_whole`.
    """
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=True) + "\n")
