"""Where pictures come from: a SOURCE named in one word, path or address becomes a sequence of named pictures.

A SOURCE is a picture, a folder (with its subfolders), a zip or tar, a CSV with an image column, a Parquet file with
image bytes, a `.npz` with `x_train`, a name (`samples`, `digits`, and `mnist`, `fashion_mnist`, `cifar10`, which Keras
fetches), or an address (https, s3, gs, az, hf). A folder without pictures is read through the tar, Parquet and `.npz`
files in it. A name wins over a folder of that name; write `./samples` for the folder.

Pictures are read one by one and only when asked for, so memory does not grow with their number, and a broken one is an
`Item` whose reading fails, never the end of the rest.
"""

from __future__ import annotations

import csv
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from deconv_core.addresses import Remote, change_of_remote, first_line, open_address
from deconv_core.archives import Limits, Member, clean_name, count_zip, is_archive, list_members, shown, too_large
from deconv_core.errors import DeconvError
from deconv_core.headers import (
    DAMAGED_NPZ,
    PARQUET_BUFFER,
    PARQUET_ROWS,
    npy_shape,
    parquet_bytes,
    parquet_columns,
    parquet_path,
    parquet_text,
)
from deconv_core.named_sets import NAMES, NUM_PICTURES, named_pictures
from deconv_core.places import Entry, Item, Row
from deconv_core.roots import Roots, check_inside_roots

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")

_IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "path", "name")
_SHARDS = (".tar", ".tar.gz", ".tgz", ".parquet", ".npz")
_ROW_GROUP_BYTES = 4 * 2**30


def iterate(
    source: str | Path,
    *,
    include: str = "*",
    allowed_roots: Sequence[Path] | None = None,
    limits: Limits | None = None,
) -> Iterator[Item]:
    """The pictures of a SOURCE one after another, in an order that is the same every time.

    Args:
        source: See the module's docstring.
        include: File-name pattern such as `ss03_*.jpg`, held against the name with and without its folder.
        allowed_roots: Folders outside of which nothing is opened (see `allowed_roots()`), for requests that come
            through a page; None for the shell, where only links out of a folder are refused.
        limits: For archives and single files.

    Raises:
        DeconvError: At once: the source does not exist, lies outside the roots, or is of no known kind. On the way: an
            archive breaks a limit, or a table is damaged.
    """
    limits = limits or Limits()
    text = str(source)
    if text in NAMES:
        items = _named_items(text)
    elif "://" in text or "::" in text:
        items = _remote(text, limits)
    else:
        path = Path(source) if allowed_roots is None else check_inside_roots(source, allowed_roots)
        items = _local(path, Roots(allowed_roots), limits)
    if include == "*":
        return items
    # A shard that cannot be read must not be passed over because it is not called like the pictures in it.
    return (item for item in items if _matches(item.name, include) or (item.refused and isinstance(item.origin, str)))


def _matches(name: str, include: str) -> bool:
    return include == "*" or fnmatchcase(name, include) or fnmatchcase(name.rpartition("/")[2], include)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.rpartition("/")[2].startswith("._")


def _is_shard(name: str) -> bool:
    return name.lower().endswith(_SHARDS)


def _local(path: Path, roots: Roots, limits: Limits) -> Iterator[Item]:
    name = path.name.lower()
    if path.is_dir():
        return _folder_items(path, roots, limits)
    if not path.is_file():
        raise DeconvError(
            f"'{path}' is neither a folder, a file nor one of {', '.join(NAMES)}. Give a picture, a folder, a zip or "
            "tar, a CSV with an image column, a Parquet file with image bytes or a .npz with x_train."
        )
    if is_archive(name):
        return _archive_items(path, limits)
    if name.endswith(".csv"):
        return _csv_items(path, roots, limits)
    if name.endswith(".parquet"):
        return _parquet_items(path, roots, limits)
    if name.endswith(".npz"):
        return _npz_items(path, limits)
    if name.endswith(EXTENSIONS):
        return iter([_file_item(path, path.name, limits)])
    raise DeconvError(
        f"'{shown(path.name)}' is of no known kind; expected a picture ({', '.join(EXTENSIONS)}), .zip, .tar, .tar.gz, "
        ".csv, .parquet or .npz."
    )


def _file_item(path: str | Path, name: str, limits: Limits) -> Item:
    # Of many files paths are handed on as text: objects take longer to make than the files to find.
    cleaned = name if name.isascii() else _as_text(name)
    try:
        status = os.stat(path)  # noqa: PTH116 - a hundred thousand times
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        return Item(cleaned, refused=f"{shown(cleaned)} cannot be read ({reason}); check the path.")
    if not stat.S_ISREG(status.st_mode):
        return Item(
            cleaned, refused=f"{shown(cleaned)} is a device, or a folder that cannot be opened; it is not read."
        )
    if status.st_size > limits.file_bytes:
        return Item(cleaned, status.st_size, refused=too_large(cleaned, status.st_size, limits.file_bytes))
    return Item(cleaned, status.st_size, False, "", path, limits.file_bytes, status.st_mtime_ns)


def _as_text(name: str) -> str:
    # Bytes that are no UTF-8 arrive as lone surrogates, which no table, page or file could hold.
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _folder_items(folder: Path, roots: Roots, limits: Limits) -> Iterator[Item]:
    inside = folder.resolve()
    has_pictures = False
    for path, name, linked in _walk(folder, _is_picture):
        has_pictures = has_pictures or _is_picture(name)
        if linked and not roots.may_open(Path(path), inside):
            yield Item(name, refused=f"{shown(name)} is a link that leads out of the folder; it is not followed.")
        elif linked and Path(path).is_dir():
            continue  # what it leads to lies inside and is met there
        else:
            yield _file_item(path, name, limits)
    if has_pictures:
        return
    for place, name, linked in _walk(folder, _is_shard):
        path = Path(place)
        if path.is_file() and (not linked or roots.may_open(path, inside)):
            try:
                for item in _local(path, roots, limits):
                    yield replace(item, name=f"{_as_text(name)}/{item.name}")
            except DeconvError as error:  # one damaged file never stops the others
                yield Item(_as_text(name), refused=str(error), origin=place)


def _walk(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str, bool]]:
    """(path, name within the folder, is a link) of the wanted files, of links to folders and of closed folders.

    Sorted by name; links are not followed.
    """
    stack = [("", iter(_listing(folder)))]
    while stack:
        prefix, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        name, linked = prefix + entry.name, entry.is_symlink()
        if entry.is_dir(follow_symlinks=False):
            try:
                stack.append((f"{name}/", iter(_listing(Path(entry.path)))))
            except DeconvError:
                yield entry.path, name, False
        elif wanted(entry.name) or (linked and entry.is_dir()):
            yield entry.path, name, linked


def _listing(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise DeconvError(f"'{folder}' cannot be opened ({error.strerror}); check its permissions.") from error


def _archive_items(path: Path, limits: Limits) -> Iterator[Item]:
    modified = _changed(path)
    for member in list_members(path, wanted=_is_picture, limits=limits):
        yield Item(member.name, member.size, refused=member.refused, origin=member, modified=modified)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _csv_items(path: Path, roots: Roots, limits: Limits) -> Iterator[Item]:
    seen: Counter[str] = Counter()
    for number, name in _csv_names(path):
        if not name:
            yield Item(f"{path.name}, line {number}", refused=f"Line {number} of {path.name} names no picture.")
            continue
        seen[name] += 1
        if seen[name] > 1:
            reason = f"{shown(name)} is listed more than once in {shown(path.name)}; the first line of it is used."
            yield Item(f"{name} ({seen[name]})", refused=reason)
        else:
            yield _listed_item(path, name, roots, limits)


def _listed_item(table: Path, name: str, roots: Roots, limits: Limits) -> Item:
    """A picture that a table names by its path, relative to the table's folder."""
    target = table.parent / name
    if roots.limited and not roots.may_open(target, table.parent.resolve()):
        reason = f"{shown(name)} lies outside the folders that may be opened; put it beside {shown(table.name)}."
        return Item(_as_text(name), refused=reason)
    return _file_item(target, name, limits)


def _csv_names(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text of the image column) of every row."""
    told = f"'{shown(path.name)}' is not a readable CSV ({{}}); save it as comma-separated UTF-8 text."
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            fields = {name.strip().lower(): name for name in rows.fieldnames or ()}
            column = next((fields[name] for name in _IMAGE_COLUMNS if name in fields), None)
            if column is None:
                raise DeconvError(
                    f"'{shown(path.name)}' has the columns {shown(', '.join(fields)) or '(none)'}; "
                    f"expected one named {', '.join(_IMAGE_COLUMNS)}."
                )
            for row in rows:
                yield rows.line_num, (row[column] or "").strip()
    except UnicodeDecodeError as error:
        raise DeconvError(told.format("it is not UTF-8")) from error
    except csv.Error as error:
        raise DeconvError(told.format(error)) from error


def _parquet_items(path: Path, roots: Roots, limits: Limits) -> Iterator[Item]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, buffer_size=PARQUET_BUFFER) as file:
            column, name_column = parquet_columns(path, file.schema_arrow)
            for number in range(file.num_row_groups):
                if file.metadata.row_group(number).total_byte_size > _ROW_GROUP_BYTES:
                    raise DeconvError(
                        f"'{shown(path.name)}' has a row group of more than {_ROW_GROUP_BYTES / 2**30:g} GiB; "
                        "write it with smaller row groups."
                    )
            columns = [column] if name_column is None else [column, name_column]
            before, seen, modified = 0, set(), _changed(path)
            for group in range(file.num_row_groups):
                row = 0
                for batch in file.iter_batches(PARQUET_ROWS, row_groups=[group], columns=columns):
                    names = batch.column(name_column) if name_column else [None] * len(batch)
                    for value, name in zip(batch.column(column), names, strict=True):
                        item = _parquet_item(path, value, name, before + row, seen, column, roots, limits)
                        if isinstance(item.origin, bytes):
                            item = replace(item, modified=modified, inside=Row(path, group, row))
                        yield item
                        row += 1
                before += row
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DeconvError):
            raise
        reason = (str(error).splitlines() or [""])[0][:150]
        raise DeconvError(f"'{shown(path.name)}' is not a readable Parquet file ({reason}); write it again.") from error


def _parquet_item(path: Path, value, name, row: int, seen: set[int], column: str, roots, limits) -> Item:
    data, inside = parquet_bytes(value), parquet_path(value)
    if data is None and inside:
        return _listed_item(path, inside, roots, limits)
    given = parquet_text(name) or inside
    label = clean_name(given)[0] if given else f"{column}[{row}]"
    if hash(label) in seen:  # many writers leave the same name in every row
        label = f"{label} [{row}]"
    seen.add(hash(label))
    if data is None:
        return Item(label, refused=f"Row {row} of {shown(path.name)} holds no picture.")
    if len(data) > limits.file_bytes:
        return Item(label, len(data), refused=too_large(label, len(data), limits.file_bytes))
    return Item(label, len(data), origin=data)


def _npz_items(path: Path, limits: Limits) -> Iterator[Item]:
    """x_train and then x_test, read picture by picture out of the packed file."""
    members = {member.name: member for member in list_members(path, limits=limits)}
    if "x_train.npy" not in members:
        names = ", ".join(name.removesuffix(".npy") for name in members)
        raise DeconvError(f"'{shown(path.name)}' holds {shown(names) or 'nothing'}; expected an array named x_train.")
    return _npz_pictures(path, members, limits)


def _npz_pictures(path: Path, members: Mapping[str, Member], limits: Limits) -> Iterator[Item]:
    try:
        with zipfile.ZipFile(path) as archive:
            for key in ("x_train", "x_test"):
                if f"{key}.npy" not in members:
                    continue
                with archive.open(f"{key}.npy") as file:
                    yield from _npy_pictures(path, key, file, members[f"{key}.npy"].size)
    except DAMAGED_NPZ as error:
        if isinstance(error, DeconvError):
            raise
        raise DeconvError(
            f"'{shown(path.name)}' is not a readable .npz file ({error}); save it with numpy.savez."
        ) from error


def _npy_pictures(path: Path, key: str, file, size: int) -> Iterator[Item]:
    shape = npy_shape(path, key, file, size)
    length, modified = int(np.prod(shape[1:])), _changed(path)
    for number in range(shape[0]):
        data = file.read(length)
        if len(data) < length:
            raise DeconvError(f"'{shown(path.name)}' ends within {key}[{number}]; save it again.")
        pixels = np.frombuffer(data, np.uint8).reshape(shape[1:])
        yield Item(
            f"{key}[{number}]", None, key == "x_test",
            origin=pixels, modified=modified, inside=Entry(path, key, number),
        )  # fmt: skip


def _named_items(name: str) -> Iterator[Item]:
    for number, (label, pixels, held_out) in enumerate(named_pictures(name)):
        yield Item(label, None, held_out, origin=pixels, inside=Entry(name, "", number))


def _remote(address: str, limits: Limits) -> Iterator[Item]:
    system, path = open_address(address)
    name = path.rstrip("/").rpartition("/")[2] or path
    lower = name.lower().partition("?")[0]
    if lower.endswith(".csv"):
        raise DeconvError(f"'{shown(address)}' is a CSV; fetch it, and give the folder or archive with its pictures.")
    if lower.endswith(EXTENSIONS):
        return iter([Item(name, origin=Remote(address, name, limits.file_bytes))])
    if is_archive(lower) or lower.endswith((".parquet", ".npz")):
        from deconv_core.uploads import fetch

        kept = fetch(address, system, path, limits)
        return _local(kept, Roots([kept.parent]), limits)
    return _remote_folder(address, system, path, limits)


def _remote_folder(address: str, system, root: str, limits: Limits) -> Iterator[Item]:
    try:
        found = system.find(root, detail=True)
    except Exception as error:
        raise DeconvError(f"'{shown(address)}' could not be listed ({first_line(error)}); check it.") from error
    if not found:
        raise DeconvError(f"'{shown(address)}' holds nothing; check the address.")
    if len(found) > limits.files:
        raise DeconvError(f"'{shown(address)}' holds more than {limits.files} files; give one of its folders.")
    prefix = root.rstrip("/") + "/"
    for path in sorted(found):
        if _is_picture(path):
            name = clean_name(path.removeprefix(prefix))[0]
            size = found[path].get("size")
            yield Item(
                name, size if isinstance(size, int) else None, modified=change_of_remote(found[path]),
                origin=Remote(system.unstrip_protocol(path), name, limits.file_bytes),
            )  # fmt: skip


def count(source: str | Path, *, include: str = "*", allowed_roots: Sequence[Path] | None = None) -> int | None:
    """About how many pictures `iterate` will give, from names and headers alone; None where they do not tell.

    What will be refused may be counted or not. Nothing is raised: whoever iterates meets what is wrong.
    """
    try:
        if str(source) in NAMES:
            return NUM_PICTURES[str(source)] if include == "*" else None
        if "://" in str(source) or "::" in str(source):
            return None
        path = Path(source) if allowed_roots is None else check_inside_roots(source, allowed_roots)
        if not path.is_dir():
            return _count_file(path, include)
        pictures = matching = 0
        for _, name, _ in _walk(path, _is_picture):
            pictures += 1
            matching += _matches(name, include)
        if pictures:
            return matching
        shards = ((Path(shard), name) for shard, name, _ in _walk(path, _is_shard))
        counts = [_count_file(shard, include, f"{name}/") for shard, name in shards if shard.is_file()]
    except Exception:  # what damaged files and their readers raise cannot be told in advance
        return None
    return None if None in counts else sum(counts)


def _count_file(path: Path, include: str, prefix: str = "") -> int | None:
    name = path.name.lower()
    if name.endswith(".zip"):
        return count_zip(path, wanted=lambda name: _is_picture(name) and _matches(prefix + name, include))
    if name.endswith(".tar"):
        return sum(_matches(prefix + member.name, include) for member in list_members(path, wanted=_is_picture))
    if name.endswith(".csv"):
        return sum(_matches(entry, include) for _, entry in _csv_names(path))
    if name.endswith(".parquet") and include == "*":
        from pyarrow import parquet

        return parquet.read_metadata(path).num_rows
    if name.endswith(".npz") and include == "*":
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            total = 0
            for key in ("x_train", "x_test"):
                if f"{key}.npy" in sizes:
                    with archive.open(f"{key}.npy") as file:
                        total += npy_shape(path, key, file, sizes[f"{key}.npy"])[0]
            return total
    return 1 if name.endswith(EXTENSIONS) else None


def list_files(source: str | Path, include: str = "*") -> list[Path]:
    """The picture files of a folder (searched with its subfolders) or of a CSV's image column, sorted by name.

    Raises:
        DeconvError: Nothing is there, or the CSV has no image column.
    """
    path = Path(source)
    if path.is_dir():
        files = [Path(found) for found, _, _ in _walk(path, _is_picture) if Path(found).is_file()]
    elif path.suffix.lower() == ".csv" and path.is_file():
        files = [path.parent / name for _, name in _csv_names(path) if name]
    elif path.is_file():
        files = [path]
    else:
        raise DeconvError(
            f"'{source}' is neither a folder nor a file. Give a picture, a folder of pictures or a CSV with an image "
            "column."
        )
    files = [found for found in files if _matches(found.name, include)]
    if not files:
        raise no_pictures(source, include)
    return files


def no_pictures(source: str | Path, include: str) -> DeconvError:
    """The error of a source without one picture of that name."""
    return DeconvError(f"'{source}' holds no picture named like '{include}'; expected {', '.join(EXTENSIONS)} files.")
