"""Files at an address: which protocols are read, and how one file is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deconv_core.archives import shown, too_large
from deconv_core.errors import DeconvError, ImageError

# Protocol of an address -> the package that fsspec needs for it.
PROTOCOLS = {"https": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "hf": "huggingface_hub"}


@dataclass(frozen=True)
class Remote:
    """A file at an address; opened anew for every reading, so that it can be sent to another process."""

    address: str
    name: str
    limit: int

    def read(self) -> bytes:
        import fsspec

        try:
            with fsspec.open(self.address, "rb") as file:
                data = file.read(self.limit + 1)
        except Exception as error:  # every file system has its own errors
            raise ImageError(f"{shown(self.name)} could not be fetched ({first_line(error)}); try again.") from error
        if len(data) > self.limit:
            raise ImageError(too_large(self.name, len(data), self.limit))
        return data


def open_address(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path within it.

    Raises:
        DeconvError: Another protocol than https, s3, gs, az and hf, a chained address, or a package is missing.
    """
    protocol, separator, rest = address.partition("://")
    if "::" in address or not separator or protocol not in PROTOCOLS or not rest:
        raise DeconvError(
            f"'{shown(address)}' is not an address that can be read; expected "
            f"{', '.join(f'{name}://' for name in PROTOCOLS)} and no chain with '::'."
        )
    try:
        import fsspec

        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = PROTOCOLS[protocol]
        raise DeconvError(
            f"{protocol}:// addresses need the Python package {package}, which is not installed; "
            f"install it with: pip install {package}."
        ) from error
    except Exception as error:
        raise DeconvError(f"'{shown(address)}' could not be opened ({first_line(error)}); check it.") from error


def change_of_remote(about: Mapping[str, Any]) -> int:
    """When a file at an address was changed, as its listing says; nanoseconds since 1970, 0 where it does not."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modified"):
        value = about.get(key)
        try:
            value = datetime.fromisoformat(value) if isinstance(value, str) else value
            if isinstance(value, datetime):
                return int(value.timestamp() * 1e9)
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                return int(value * 1e9)
        except (ValueError, OverflowError, OSError):
            continue
    return 0


def first_line(error: Exception) -> str:
    """What an error says, in at most 150 characters of one line."""
    return (str(error).splitlines() or [""])[0].rstrip(". ")[:150] or type(error).__name__
