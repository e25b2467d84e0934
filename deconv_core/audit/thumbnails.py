"""The pictures of an audit once more, read from its source: whole for the large view, small for galleries and reports.

Files and members of zip and tar archives are found at once by the place that the audit wrote down. What lies in streams
(`.tar.gz`, Parquet, `.npz`, addresses) is looked for from the beginning, for all pictures of a page in one pass.
Small ones are kept as JPEG files in the job folder, so a page that was seen once is there at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from deconv_core.archives import Limits, Member
from deconv_core.audit.measure import decode
from deconv_core.audit.pixels import reduced
from deconv_core.audit.run import AuditSettings, items_of, settings_from
from deconv_core.audit.table import AuditTable
from deconv_core.errors import DeconvError, ImageError
from deconv_core.files import write_whole
from deconv_core.images import Picture, orient, read_image
from deconv_core.sources import NAMES, Item, allowed_roots, check_inside_roots

SIDE = 224  # pixels of the longer side
QUALITY = 80


def picture(folder: Path | str, image: str, table: AuditTable | None = None) -> Picture:
    """One picture of an audit as it lies in the source now.

    Args:
        folder: The job folder.
        image: Its name in the table.
        table: The audit's table, if it is read already.

    Raises:
        DeconvError: No such picture in the audit.
        ImageError: It is gone, or cannot be read.
    """
    item = locate(folder, [image], table).get(image)
    if item is None:
        raise ImageError(f"{image[:120]!r} is no longer in the source; audit it again.")
    return read_image(item.content(), name=PurePosixPath(item.name).name)


def content(folder: Path | str, image: str, table: AuditTable | None = None) -> bytes:
    """The bytes of one picture; arguments and errors as `picture`."""
    item = locate(folder, [image], table).get(image)
    if item is None:
        raise ImageError(f"{image[:120]!r} is no longer in the source; audit it again.")
    return item.content()


def thumbnail(folder: Path | str, image: str, table: AuditTable | None = None) -> bytes | None:
    """One small picture as JPEG, or None where it cannot be read; see `thumbnails`."""
    return thumbnails(folder, [image], table)[image]


def thumbnails(
    folder: Path | str, images: Sequence[str], table: AuditTable | None = None, *, side: int = SIDE
) -> dict[str, bytes | None]:
    """Small pictures of many at once, kept in the job folder.

    Args:
        folder: The job folder.
        images: Names in the table.
        table: The audit's table, if it is read already.
        side: Pixels of the longer side.

    Returns:
        Name -> JPEG bytes, None where the picture cannot be read.

    Raises:
        DeconvError: No such picture in the audit.
    """
    table = table or AuditTable(folder)
    kept = Path(folder) / "results" / "thumbnails"
    places = np.array([table.place(image) for image in images], np.int64)
    digests = table.rows(places, ["digest"])["digest"]
    files = {
        image: kept / f"{_file_name(image, digest, side)}.jpg" for image, digest in zip(images, digests, strict=True)
    }
    found: dict[str, bytes | None] = {}
    for image, file in files.items():
        try:
            found[image] = file.read_bytes()
        except OSError:
            continue
    missing = [image for image in files if image not in found]
    if missing:
        kept.mkdir(parents=True, exist_ok=True)
        items = locate(folder, missing, table)

        for image in missing:
            found[image] = _small(items[image], side) if image in items else None
            if found[image] is not None:
                with contextlib.suppress(DeconvError):  # a full disk: shown all the same
                    write_whole(files[image], found[image])
    return {image: found[image] for image in images}


def locate(folder: Path | str, images: Sequence[str], table: AuditTable | None = None) -> dict[str, Item]:
    """The items of the source behind these names; those that are gone are left out.

    Raises:
        DeconvError: No such picture in the audit, or its source lies outside the roots by now.
    """
    table = table or AuditTable(folder)
    settings = settings_from(table.settings)
    places = [table.place(image) for image in images]
    found: dict[str, Item] = {}
    for image, place in zip(images, table.rows(np.array(places), ["place"])["place"], strict=True):
        item = _item(image, place or "", settings)
        if item is not None:
            found[image] = item
    left = set(images) - set(found)
    if left:
        for item in _items(settings):
            if item.name in left:
                found[item.name] = item
                left.discard(item.name)
                if not left:
                    break
    return found


def _items(settings: AuditSettings) -> Iterator[Item]:
    try:
        yield from items_of(settings)
    except DeconvError:
        return  # the source is gone: so are its pictures


def _item(image: str, place: str, settings: AuditSettings) -> Item | None:
    try:
        where = json.loads(place) if place else None
    except ValueError:
        return None
    if not where:
        return None
    path = Path(where[0])
    if settings.within_roots and settings.data not in NAMES:
        check_inside_roots(path, allowed_roots())
    if len(where) == 1:
        return Item(image, None, origin=path, limit=Limits.file_bytes)
    size, offset, packed, method, crc = where[1:]
    return Item(image, size, origin=Member(image, size, "", path, offset, packed, method, crc))


def _small(item: Item, side: int) -> bytes | None:
    import cv2

    try:
        decoded = decode(item.content(), PurePosixPath(item.name).name)
    except ImageError:
        return None
    pixels = reduced(decoded.pixels, 2 * side)  # averages first: quick, and without patterns of its own
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    pixels = orient(pixels if pixels.ndim == 3 else pixels[..., None], decoded.orientation)
    done, encoded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return encoded.tobytes() if done else None


def _file_name(image: str, digest: str, side: int) -> str:
    # Names are data and never become paths. The digest, because a picture may change and keep its name.
    return hashlib.sha256(f"{side} {QUALITY} {digest} {image}".encode()).hexdigest()[:32]
