"""The pictures of an audit once more, read from its source: whole for the large view, small for galleries and reports.

Every picture is found at once by the place that the audit wrote down, and many of one packed file in one pass through
it. Small ones are kept in the job folder, those that cannot be read with the reason, so what was seen once is there at
once. What has another content than the audit found is shown as what it is now, told so, and not kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from deconv_core.archives import shown
from deconv_core.audit.measure import decode, digest_of
from deconv_core.audit.pixels import reduced
from deconv_core.audit.run import AuditSettings, roots_of, settings_from
from deconv_core.audit.table import AuditTable
from deconv_core.errors import ImageError
from deconv_core.images import Picture, open_header, orient
from deconv_core.places import Item, in_one_pass, reopen

SIDE = 224  # pixels of the longer side
QUALITY = 80
CHANGED = "It has changed since the audit; what was found belongs to what it was then."
UNKNOWN = "Where it lies was not written down; audit the set again."
_THREADS = 4  # reading waits for the disk, and decoding leaves Python alone
_HELD = 3 * _THREADS  # pictures in memory at once
_NO_PICTURE = b"none\n"  # before the reason, in the place of a small picture that cannot be made


@dataclass(frozen=True)
class Small:
    """A small picture.

    Attributes:
        jpeg: A JPEG file, or None where there is none.
        told: Why there is none, or that the picture has changed since the audit; else "".
    """

    jpeg: bytes | None
    told: str = ""


def picture(folder: Path | str, image: str, table: AuditTable | None = None) -> Picture:
    """One picture of an audit as it lies in the source now; where it has changed since, its notes say so.

    Args:
        folder: The job folder.
        image: Its name in the table.
        table: The audit's table, if it is read already.

    Raises:
        DeconvError: No such picture in the audit.
        ImageError: It is gone, may not be opened any more, or cannot be read.
    """
    table = table or AuditTable(folder)
    [row] = table.rows(table.places([image]), ["place", "digest"]).to_dict("records")
    item = _items([image], [row["place"]], settings_from(table.settings))[image]
    if isinstance(item, str):
        raise ImageError(item)
    found = item.read()
    is_same = not row["digest"] or found.digest == row["digest"]
    return found if is_same else replace(found, notes=(*found.notes, CHANGED))


def thumbnails(
    folder: Path | str, images: Sequence[str], table: AuditTable | None = None, *, side: int = SIDE
) -> dict[str, bytes | None]:
    """As `small_pictures`, without what there is to tell: name -> JPEG bytes, or None where there is no picture."""
    return {name: small.jpeg for name, small in small_pictures(folder, images, table, side=side).items()}


def small_pictures(
    folder: Path | str, images: Sequence[str], table: AuditTable | None = None, *, side: int = SIDE
) -> dict[str, Small]:
    """Small pictures of many at once, kept in the job folder.

    Args:
        folder: The job folder.
        images: Names in the table.
        table: The audit's table, if it is read already.
        side: Pixels of the longer side.

    Raises:
        DeconvError: No such picture in the audit.
    """
    table = table or AuditTable(folder)
    images = list(dict.fromkeys(images))
    rows = table.rows(table.places(images), ["digest", "place"])
    digests = dict(zip(images, rows["digest"], strict=True))
    kept = Path(folder) / "results" / "thumbnails"
    files = {image: kept / f"{_file_name(image, digests[image], side)}.jpg" for image in images}
    found: dict[str, Small] = {}
    missing = []
    for image, place in zip(images, rows["place"], strict=True):
        small = _kept(files[image])
        if small is not None:
            found[image] = small
        else:
            missing.append((image, place))
    if missing:
        with suppress(OSError):  # a disk that is full or only to be read: shown all the same
            kept.mkdir(parents=True, exist_ok=True)
        items = _items(*zip(*missing, strict=True), settings_from(table.settings))
        found |= {image: Small(None, item) for image, item in items.items() if isinstance(item, str)}
        waiting: deque[tuple[str, Future[Small]]] = deque()
        with ThreadPoolExecutor(min(_THREADS, len(items)), thread_name_prefix="thumbnail") as pool:
            for item in in_one_pass(item for item in items.values() if isinstance(item, Item)):
                waiting.append((item.name, pool.submit(_make, item, digests[item.name], side, files[item.name])))
                if len(waiting) == _HELD:
                    image, made = waiting.popleft()
                    found[image] = made.result()
            found |= {image: made.result() for image, made in waiting}
    return {image: found[image] for image in images}


def _kept(file: Path) -> Small | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if content.startswith(_NO_PICTURE):
        return Small(None, content.removeprefix(_NO_PICTURE).decode("utf-8", "replace"))
    return Small(content) if content else None  # empty after a power failure


def _make(item: Item, digest: str, side: int, file: Path) -> Small:
    """A small picture; kept where it is what the audit saw."""
    try:
        data = item.content()
    except ImageError as error:
        return Small(None, str(error))  # the disk or the network may be back in a moment
    is_same = not digest or digest_of(item, data) == digest
    try:
        small = Small(_small(data, PurePosixPath(item.name).name, side), "" if is_same else CHANGED)
    except ImageError as error:
        small = Small(None, str(error) if is_same else CHANGED)
    except Exception as error:  # one picture that no one foresaw must not take a page, a report or a run along
        return Small(None, f"{shown(item.name)} could not be made small ({type(error).__name__}); look at the file.")
    if is_same:
        _keep(file, small.jpeg if small.jpeg is not None else _NO_PICTURE + small.told.encode())
    return small


def _keep(file: Path, content: bytes) -> None:
    """Written beside and renamed, but not waited for: what is lost is made again."""
    beside = file.with_name(f".{secrets.token_hex(8)}")
    try:
        beside.write_bytes(content)
        beside.replace(file)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _items(images: Sequence[str], places: Sequence[str], settings: AuditSettings) -> Mapping[str, Item | str]:
    """The items of the source behind these names, or a sentence for each that cannot be had."""
    roots = roots_of(settings)
    found: dict[str, Item | str] = {}
    for image, place in zip(images, places, strict=True):
        if place:
            try:
                found[image] = reopen(place, image, roots=roots)
            except ImageError as error:
                found[image] = str(error)
        else:
            found[image] = UNKNOWN
    return found


def _small(data: bytes, name: str, side: int) -> bytes:
    import cv2

    pixels, flag = _decoded(data, name, side)
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    pixels = orient(pixels if pixels.ndim == 3 else pixels[..., None], flag)
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return encoded.tobytes()


def _decoded(data: bytes, name: str, side: int) -> tuple[np.ndarray, int]:
    """8-bit pixels with at least `side` pixels along the longer side where there are so many, and the EXIF flag that
    is still to be applied.

    A JPEG can be decoded to an eighth of its size in a fraction of the time.
    """
    header = open_header(data, name=name)
    plain = header.bits == 8 and header.mode in ("L", "RGB") and not header.has_transparency
    if plain and header.format == "JPEG":
        share = min(1.0, side / max(header.width, header.height))
        header.image.draft(header.mode, (max(1, int(header.width * share)), max(1, int(header.height * share))))
        return header.load(), header.orientation
    decoded = decode(data, name)
    return reduced(decoded.pixels, 2 * side), decoded.orientation  # averages first: quick, and without patterns


def _file_name(image: str, digest: str, side: int) -> str:
    # Names are data and never become paths. The digest, because a picture may change and keep its name.
    return hashlib.sha256(f"{side} {QUALITY} {digest} {image}".encode()).hexdigest()[:32]
