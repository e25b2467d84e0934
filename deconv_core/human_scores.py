"""Tables with human scores as they come: untidy CSV, TSV, Excel and Parquet, read and understood, nothing assumed.

Every guess (which column is what, which way the scores count, what was left out) is told with its reason and can be
overruled. Folders of well-known data sets are recognised by `score_layouts`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.direction import Direction, plain_name
from deconv_core.errors import DeconvError
from deconv_core.scoring import Problem

if TYPE_CHECKING:
    import pandas as pd

TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")
ROLES = ("candidate", "reference", "mos", "std", "distortion", "level", "content", "low", "high")
NO_COLUMN = "-"
_LARGEST_BYTES = 200 * 2**20
_LARGEST_UNPACKED_BYTES = 2**30
_MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "?", "."}
# Column names by role, in letters and digits alone; the first that is there is taken.
_NAMES: dict[str, tuple[str, ...]] = {
    "candidate": (
        *("candidate", "dis", "dist", "distorted", "distimg", "distname", "distortedimage", "distortedname", "test"),
        *(
            "testimage",
            "image",
            "imagename",
            "img",
            "imgname",
            "imagefile",
            "imagepath",
            "file",
            "filename",
            "filepath",
        ),
        *("path", "name", "picture", "photo", "stimulus"),
    ),
    "reference": (
        *("reference", "ref", "refimg", "refimage", "refname", "referenceimage", "referencename", "original", "orig"),
        *("pristine", "src", "source"),
    ),
    "mos": (
        *("mos", "dmos", "meanopinionscore", "differentialmeanopinionscore", "mosscore", "dmosnew", "humanscore"),
        *("subjectivescore", "humanrating", "opinionscore", "rating", "score", "quality", "moszscore"),
    ),
    "std": ("mosstd", "dmosstd", "stdmos", "std", "sd", "mossd", "stdev", "stddev", "standarddeviation", "sigmamos"),
    "distortion": (
        *("distortion", "distortiontype", "disttype", "dsttype", "distype", "typeofdistortion", "degradation", "type"),
    ),
    "level": ("level", "distlevel", "dstlev", "distortionlevel", "severity", "strength"),
    "content": ("content", "scene", "contentid", "sceneid"),
}
_VARIANCES = ("var", "variance", "mosvar", "dmosvar", "varmos")
_LOW_ENDINGS, _HIGH_ENDINGS = ("lo", "low", "lower", "min"), ("hi", "high", "upper", "max")
_PICTURE = re.compile(r"\.(png|jpe?g|bmp|tiff?|webp|gif)$", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?inf(inity)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_PLAIN = r"[-+]?\d+(?:[.,]\d+)?"
_BOUNDS = re.compile(rf"[<>≤≥~]=?\s*{_PLAIN}|[\[(]?\s*{_PLAIN}\s*(?:-|–|\.\.+|to|;|,\s)\s*{_PLAIN}\s*[\])]?")
# i01_08_3.bmp: content, kind of distortion and level, as TID2008, TID2013 and KADID-10k name their files.
_THREE_PARTS = re.compile(
    r"(?P<content>.*\D.*?|\w+?)_(?P<distortion>\d{1,2})_(?P<level>\d{1,2})(\.\w+)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Role:
    """What a column is taken for, and why."""

    column: str
    why: str


@dataclass(frozen=True)
class HumanScores:
    """A table of human scores with what was understood of it.

    Attributes:
        frame: One row per picture, all columns of the table, cleaned: numbers are numbers, missing cells are missing.
        roles: Role (one of `ROLES`) -> column and reason; only those that were found. `mos` is the human score as
            given, whichever way it counts; `low` and `high` are bounds given beside or instead of it.
        data_set: Name of a known data set, or "".
        direction: What the data set documents about its direction; None where that has to be found out.
        notes: Sentences on what was repaired, left out or guessed.
        problems: Rows and files that do not fit together, known from reading alone.
        folder: Where the pictures are looked for.
        digest: SHA-256 of the file(s) that hold the scores.
    """

    frame: pd.DataFrame
    roles: dict[str, Role]
    data_set: str = ""
    direction: Direction | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    folder: Path | None = None
    digest: str = ""

    def column(self, role: str) -> str | None:
        """Name of the column that plays a role, or None."""
        return self.roles[role].column if role in self.roles else None

    def guesses(self) -> list[str]:
        """What each column was taken for and why, one sentence each."""
        return [f"{role}: column '{found.column}' ({found.why})." for role, found in self.roles.items()]


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a table are, before anything is computed.

    Attributes:
        candidates, references: One per row of the table; None where there is none.
        problems: Rows whose picture is missing or ambiguous, with the reason.
        unused: Picture files in the folder that no row names.
    """

    candidates: tuple[Path | None, ...]
    references: tuple[Path | None, ...]
    problems: tuple[Problem, ...]
    unused: tuple[Path, ...]

    @property
    def summary(self) -> str:
        """One sentence to show before anything runs."""
        kinds = Counter(problem.status for problem in self.problems)
        told = "".join(f", {count} {status}" for status, count in sorted(kinds.items()))
        found = sum(path is not None for path in self.candidates)
        pairs = sum(None not in pair for pair in zip(self.candidates, self.references, strict=True))
        return (
            f"{found} of {len(self.candidates)} pictures found, {pairs} of them with a reference{told}; "
            f"{len(self.unused)} files are named by no row."
        )


# ------------------------------------------------------------------------------------------------------------- reading


def read_scores(
    source: str | Path, *, sheet: str | None = None, columns: Mapping[str, str | None] | None = None
) -> HumanScores:
    """Read a table with human scores, or the folder of a known data set.

    Args:
        source: CSV, TSV, text, Excel (.xlsx) or Parquet file; or a folder (see `score_layouts.LAYOUTS`).
        sheet: Sheet of an Excel file; the first that holds a table without it.
        columns: Role -> column, to overrule what would be guessed; spelling counts by letters and digits only. "-" says
            that no column plays the role.

    Raises:
        DeconvError: Nothing is there, it cannot be read, a role or column is unknown, or a folder has no known layout.
    """
    path = Path(source)
    wanted = {role: name for role, name in (columns or {}).items() if name}
    if unknown := sorted(set(wanted) - set(ROLES)):
        raise DeconvError(f"columns got the role {', '.join(unknown)}; choose among {', '.join(ROLES)}.")
    denied = [role for role in wanted if wanted[role] == NO_COLUMN]
    wanted = {role: name for role, name in wanted.items() if role not in denied}
    if path.is_dir():
        from deconv_core.score_layouts import read_layout

        found = read_layout(path)
        told = {role: Role(resolve_column(found.frame, name), "as told") for role, name in wanted.items()}
        return replace(found, roles=_without(found.roles | told, denied))
    from deconv_core.published import name_of_data_set

    frame, notes = read_table(path, sheet=sheet)
    frame, roles = _derive(frame, guess_roles(frame, wanted))
    roles = _without(roles, denied)
    notes = [*notes, *_bounds_instead(frame, roles)]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = name_of_data_set(path.stem) or name_of_data_set(path.parent.name)
    frame = _name_kinds(frame, roles, known)
    return HumanScores(frame, roles, known, None, tuple(notes), (), path.parent, digest)


def _without(roles: Mapping[str, Role], denied: Sequence[str]) -> dict[str, Role]:
    return {role: told for role, told in roles.items() if role not in denied}


def sheet_names(path: str | Path) -> list[str]:
    """The sheets of an Excel file in their order; none for a table of another kind, or one that cannot be read."""
    if Path(path).suffix.lower() != ".xlsx":
        return []
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True)
    except Exception:  # reading it tells why
        return []
    try:
        return list(book.sheetnames)
    finally:
        book.close()


def read_table(path: str | Path, *, sheet: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Read an untidy table and repair what can be repaired without guessing at numbers.

    Empty rows and columns, lines above the header, byte-order marks, decimal commas, cells that hold a bound instead of
    a value, and rows of the wrong length are dealt with, and each is told in a note.

    Returns:
        The table (text and float64 columns; a column without any number stays text) and the notes.

    Raises:
        DeconvError: No such file, another format, too large, or nothing readable in it.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if not path.is_file():
        raise DeconvError(f"'{path}' is not there; give a table ({', '.join(TABLE_ENDINGS)}) or a data set's folder.")
    if ending not in TABLE_ENDINGS:
        raise DeconvError(f"'{path.name}' has no known table ending; save it as one of {', '.join(TABLE_ENDINGS)}.")
    if path.stat().st_size > _LARGEST_BYTES:
        raise DeconvError(f"'{path.name}' is larger than {_LARGEST_BYTES >> 20} MiB; give a table of scores only.")
    if ending == ".parquet":
        rows, notes = _parquet_rows(path), []
    elif ending == ".xlsx":
        rows, notes = _excel_rows(path, sheet)
    else:
        rows, notes = _text_rows(path)
    return _tidy(rows, path.name, notes)


def _parquet_rows(path: Path) -> list[list[object]]:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
        raise DeconvError(f"'{path.name}' is not a readable Parquet file ({error}); write it again.") from error
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    return [[str(name) for name in frame.columns], *frame.astype(object).to_numpy().tolist()]


def _excel_rows(path: Path, sheet: str | None) -> tuple[list[list[object]], list[str]]:
    import openpyxl

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_UNPACKED_BYTES:
                raise DeconvError(f"'{path.name}' unpacks to more than a gibibyte; give a table of scores only.")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except DeconvError:
        raise
    except Exception as error:  # a damaged workbook fails in many ways inside the reader
        raise DeconvError(f"'{path.name}' is not a readable .xlsx file ({error}); save it again.") from error
    try:
        names = book.sheetnames
        if sheet is not None and sheet not in names:
            raise DeconvError(f"'{path.name}' has no sheet '{sheet}'; choose one of {', '.join(names)}.")
        for name in [sheet] if sheet is not None else names:
            found = book[name]
            if not hasattr(found, "iter_rows"):  # a sheet that holds only a chart
                continue
            found.reset_dimensions()  # some programs write a wrong size
            rows = [list(row) for row in found.iter_rows(values_only=True)]
            if sum(_known_cells(row) > 1 for row in rows) > 1 or sheet is not None:
                others = [other for other in names if other != name]
                note = f"Read from sheet '{name}'" + (f"; not read: {', '.join(others)}." if others else ".")
                return rows, [note]
    finally:
        book.close()
    raise DeconvError(f"'{path.name}' holds no table in its sheets {', '.join(names)}; give one with a header line.")


def _text_rows(path: Path) -> tuple[list[list[object]], list[str]]:
    text, notes = _decode(path)
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise DeconvError(f"'{path.name}' is empty; expected a header line and rows of scores.")
    separator = _separator(lines[:60], path.suffix.lower())
    if separator is None:
        return [line.split() for line in lines], notes
    try:
        return [list(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator)], notes
    except csv.Error as error:
        raise DeconvError(f"'{path.name}' is not a readable table ({error}); check its quotes.") from error


def _decode(path: Path) -> tuple[str, list[str]]:
    data = path.read_bytes()
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            try:
                return data.decode(encoding), []
            except UnicodeDecodeError as error:
                raise DeconvError(f"'{path.name}' begins as {encoding} text but is none; save it as UTF-8.") from error
    if b"\0" in data:
        raise DeconvError(f"'{path.name}' holds no text; expected a table ({', '.join(TABLE_ENDINGS)}).")
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), ["The file is not UTF-8; it was read as Windows-1252."]


def _separator(lines: Sequence[str], ending: str) -> str | None:
    """The separator that gives most lines as many cells as their neighbours; None for runs of blanks."""
    best, quality = None, (0.0, 0.0)
    for separator in ("\t", ";", "|", ","):
        counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        usual, times = Counter(counts).most_common(1)[0]
        if usual < 2:
            continue
        # The header decides between the comma that separates and the one inside numbers.
        header = counts[0] > 1 or (ending == ".tsv" and separator == "\t")
        found = (times / len(counts) + header, -float(separator == ","))
        if found > quality:
            best, quality = separator, found
    if best is None and ending != ".txt" and all(len(line.split()) == 1 for line in lines):
        return ","
    return best


# -------------------------------------------------------------------------------------------------------------- tidying


def _tidy(rows: list[list[object]], name: str, notes: list[str]) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd

    rows = [[_cell(cell) for cell in row] for row in rows]
    header, start = _find_header(rows)
    above = sum(map(_known_cells, rows[: max(0, start - (header is not None))]))
    if above:
        notes.append(f"{above} cell{'' if above == 1 else 's'} above the table left out.")
    body = [row for row in rows[start:] if _known_cells(row)]
    if empty := len(rows) - start - len(body):
        # A line end at the end of the file makes no row, so these are real.
        notes.append(f"{empty} empty row{'' if empty == 1 else 's'} left out.")
    if not body:
        raise DeconvError(f"'{name}' holds no rows below its header; expected one row per picture.")
    width = max(len(header or ()), *(_length(row) for row in body))
    names = [str(cell).strip() if cell is not None else "" for cell in header or []]
    if header is None:
        notes.append("The table has no header; its columns are called column_1, column_2 and so on.")
    elif longer := sum(_length(row) > len(names) for row in body):
        notes.append(f"{longer} rows are longer than the header; the cells beyond it are columns without a name.")
    names += [""] * (width - len(names))
    body = [[*row[:width], *[None] * (width - len(row))] for row in body]
    columns, kept = {}, []
    empty_columns = 0
    for place, title in enumerate(names):
        cells = [row[place] for row in body]
        if not title and all(cell is None for cell in cells):
            empty_columns += 1
            continue
        kept.append(_free(title or f"column_{place + 1}", columns))
        columns[kept[-1]], told = _typed(cells, kept[-1])
        notes.extend(told)
    if empty_columns:
        notes.append(f"{empty_columns} empty column{'' if empty_columns == 1 else 's'} without a name left out.")
    renamed = [title for title in names if title and names.count(title) > 1]
    if renamed:
        notes.append(f"The column name {', '.join(sorted(set(renamed)))} is there more than once; numbers were added.")
    return pd.DataFrame(columns), notes


def _cell(cell: object) -> object:
    """A cell as text or number; None where there is nothing."""
    if cell is None or cell != cell:
        return None
    if isinstance(cell, bool | np.bool_):
        return str(cell)
    if isinstance(cell, int | float | np.number):
        return float(cell)
    if isinstance(cell, bytes):
        return None  # image bytes in a Parquet column are no text
    text = str(cell).replace("\ufeff", "").replace("\u00a0", " ").strip()
    return text or None


def _find_header(rows: list[list[object]]) -> tuple[list[object] | None, int]:
    """The header and the number of the first row below it: the first row of names as wide as half the table."""
    width = max((_known_cells(row) for row in rows[:60]), default=0)
    for number, row in enumerate(rows[:20]):
        cells = [cell for cell in row if cell is not None]
        if not cells or len(cells) < min(width, max(2, (width + 1) // 2)):
            continue
        if any(_number(cell) is not None for cell in cells):
            return None, number
        return row, number + 1
    return None, 0


def _known_cells(row: Iterable[object]) -> int:
    return sum(cell is not None and str(cell).strip() != "" for cell in row)


def _length(row: Sequence[object]) -> int:
    return max((place + 1 for place, cell in enumerate(row) if cell is not None), default=0)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, found = 2, name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found


def _number(cell: object) -> float | None:
    """A number, or None where the cell is none."""
    if isinstance(cell, float):
        return cell
    text = str(cell).replace("\u2212", "-").strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _typed(cells: list[object], name: str) -> tuple[Any, list[str]]:
    """A column as float64 where its cells are numbers, else as text; and what to say about it."""
    import pandas as pd

    cells = [None if isinstance(cell, str) and cell.casefold() in _MISSING else cell for cell in cells]
    known = [cell for cell in cells if cell is not None]
    numbers = [_number(cell) for cell in known]
    odd = [str(cell) for cell, number in zip(known, numbers, strict=True) if number is None]
    notes = []
    if odd and all(_DECIMAL_COMMA.fullmatch(text) for text in odd):
        cells = [cell.replace(",", ".") if isinstance(cell, str) else cell for cell in cells]
        notes.append(f"Column '{name}' has decimal commas (such as {odd[0]}), read as {odd[0].replace(',', '.')}.")
        odd = []
    if not known or len(odd) > 0.5 * len(known) or (odd and not _few_odd(odd, known)):
        return pd.Series([_text(cell) for cell in cells], dtype=object), notes
    if odd:
        bounds = [text for text in odd if _BOUNDS.fullmatch(text)]
        others = [text for text in odd if not _BOUNDS.fullmatch(text)]
        if bounds:
            count = f"{len(bounds)} cell{'' if len(bounds) == 1 else 's'}"
            notes.append(f"Column '{name}': {count} give bounds instead of a value (such as {bounds[0]}), left out.")
        if others:
            count = f"{len(others)} cell{'' if len(others) == 1 else 's'}"
            notes.append(f"Column '{name}': {count} hold no number (such as '{others[0][:40]}'), left out.")
    values = [None if cell is None else _number(cell) for cell in cells]
    return pd.Series([np.nan if value is None else value for value in values], dtype=np.float64), notes


def _few_odd(odd: Sequence[str], known: Sequence[object]) -> bool:
    """Whether a column is one of numbers with some odd cells, rather than one of names of which some are numbers."""
    bounds = sum(bool(_BOUNDS.fullmatch(text)) for text in odd)
    return len(odd) - bounds <= 0.2 * len(known)


def _text(cell: object) -> str | None:
    if cell is None:
        return None
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


# ---------------------------------------------------------------------------------------------------------------- roles


def resolve_column(frame: pd.DataFrame, name: str) -> str:
    """The column a person means: the exact name, or the one with the same letters and digits.

    Raises:
        DeconvError: There is none, or more than one.
    """
    if name in frame.columns:
        return name
    alike = [str(column) for column in frame.columns if plain_name(str(column)) == plain_name(name)]
    if len(alike) == 1:
        return alike[0]
    what = "is not in the table" if not alike else f"fits {', '.join(alike)}"
    raise DeconvError(f"Column '{name}' {what}; choose one of {', '.join(map(str, frame.columns))}.")


def guess_roles(frame: pd.DataFrame, wanted: Mapping[str, str] | None = None) -> dict[str, Role]:
    """Say which column is what, and why; what the user names (role -> column) stands."""
    import pandas as pd

    wanted = dict(wanted or {})
    roles = {role: Role(resolve_column(frame, name), "as told") for role, name in wanted.items()}
    by_name: dict[str, str] = {}
    for column in frame.columns:
        by_name.setdefault(plain_name(str(column)), column)

    def numeric(column: str) -> bool:
        return pd.api.types.is_numeric_dtype(frame[column])

    def taken() -> set[str]:
        return {role.column for role in roles.values()}

    for role, names in _NAMES.items():
        if role in roles:
            continue
        fitting = [by_name[name] for name in names if name in by_name and by_name[name] not in taken()]
        if role == "mos":
            fitting += [
                column
                for column in frame.columns
                if column not in fitting and re.search(r"(?<![a-z])d?mos(?![a-z])", str(column).casefold())
            ]
        if role in ("mos", "std"):
            fitting = [column for column in fitting if numeric(column) and not _is_bound(column)]
        if role in ("candidate", "reference"):
            # A name such as "test" or "source" alone says little where the cells are plain numbers.
            fitting = [column for column in fitting if not numeric(column) or plain_name(column).startswith("im")]
        if fitting:
            also = f"; also there: {', '.join(fitting[1:])}" if role == "mos" and len(fitting) > 1 else ""
            roles[role] = Role(fitting[0], f"by its name{also}")
    pictures = [column for column in frame.columns if column not in taken() and _names_pictures(frame[column])]
    pictures.sort(key=lambda column: -frame[column].nunique())
    if "candidate" not in roles and pictures:
        roles["candidate"] = Role(pictures.pop(0), "its cells are names of pictures")
    # Many pictures share a reference: a column of names that repeat less than the candidates' is none.
    if "reference" not in roles and pictures and frame[pictures[-1]].nunique() < len(frame):
        roles["reference"] = Role(pictures[-1], "its cells are names of pictures that repeat")
    if "mos" in roles:
        stem = plain_name(roles["mos"].column)
        for role, endings in (("low", _LOW_ENDINGS), ("high", _HIGH_ENDINGS)):
            column = next((by_name[stem + ending] for ending in endings if stem + ending in by_name), None)
            if role not in roles and column is not None and numeric(column):
                roles[role] = Role(column, f"by its name, a bound of {roles['mos'].column}")
    if "content" not in roles and "reference" in roles:
        roles["content"] = Role(roles["reference"].column, "rows of one reference show one content")
    return {role: roles[role] for role in ROLES if role in roles}


def _is_bound(column: object) -> bool:
    words = re.findall(r"[a-z0-9]+", str(column).casefold())
    return len(words) > 1 and words[-1] in (*_LOW_ENDINGS, *_HIGH_ENDINGS)


def _names_pictures(column: pd.Series) -> bool:
    cells = [cell for cell in column.dropna().tolist()[:200] if isinstance(cell, str)]
    return bool(cells) and sum(bool(_PICTURE.search(cell)) for cell in cells) > 0.5 * len(cells)


def _derive(frame: pd.DataFrame, roles: dict[str, Role]) -> tuple[pd.DataFrame, dict[str, Role]]:
    """Columns that follow from others: deviation from variance; content, distortion and level from file names."""
    import pandas as pd

    roles = dict(roles)
    by_name = {plain_name(str(column)): column for column in frame.columns}
    variance = next((by_name[name] for name in _VARIANCES if name in by_name), None)
    if "std" not in roles and variance is not None and pd.api.types.is_numeric_dtype(frame[variance]):
        name = _free("std", dict.fromkeys(frame.columns))
        frame = frame.assign(**{name: np.sqrt(frame[variance].clip(lower=0))})
        roles["std"] = Role(name, f"the square root of column '{variance}'")
    candidate = roles["candidate"].column if "candidate" in roles else None
    if candidate is None or ("distortion" in roles and "content" in roles):
        return frame, roles
    parts = [three_parts(str(cell)) if isinstance(cell, str) else None for cell in frame[candidate]]
    known = [part for part in parts if part is not None]
    contents = {part[0] for part in known}
    # Several rows of each content, and several contents: otherwise the pattern is chance.
    if len(known) < 0.95 * len(parts) or not 2 <= len(contents) <= len(known) / 3:
        return frame, roles
    for place, role in enumerate(("content", "distortion", "level")):
        if role in roles:
            continue
        name = _free(role, dict.fromkeys(frame.columns))
        values = [None if part is None else part[place] for part in parts]
        frame = frame.assign(**{name: pd.Series(values, index=frame.index, dtype=object if place < 2 else None)})
        roles[role] = Role(name, f"from the names in '{candidate}', which read content_distortion_level")
    ordered = {role: roles[role] for role in ROLES if role in roles}
    return frame, ordered


def three_parts(name: str) -> tuple[str, str, float] | None:
    """Content (lower case), distortion and level of a file named `content_distortion_level`, or None.

    Example:
        >>> three_parts("distorted_images/I01_08_3.bmp")
        ('i01', '08', 3.0)
    """
    found = _THREE_PARTS.fullmatch(PureWindowsPath(name).name)
    if not found:
        return None
    return found["content"].casefold(), found["distortion"].zfill(2), float(found["level"])


def _name_kinds(frame: pd.DataFrame, roles: Mapping[str, Role], data_set: str) -> pd.DataFrame:
    """The kinds of distortion in words, where file names gave their numbers and the data set is known."""
    from deconv_core.score_layouts import KINDS_IN_NAMES

    kinds = KINDS_IN_NAMES.get(data_set)
    if kinds is None or "distortion" not in roles or not roles["distortion"].why.startswith("from the names"):
        return frame
    words = {f"{number:02d}": name for number, name in enumerate(kinds, 1)}
    column = roles["distortion"].column
    return frame.assign(**{column: [words.get(cell, cell) for cell in frame[column]]})


def _bounds_instead(frame: pd.DataFrame, roles: Mapping[str, Role]) -> list[str]:
    if "mos" not in roles:
        return []
    name = roles["mos"].column
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(frame[name]):
        return []
    missing = frame[name].isna()
    if not missing.any():
        return []
    bounds = [roles[role].column for role in ("low", "high") if role in roles]
    bounded = missing & frame[bounds].notna().any(axis=1) if bounds else missing & False
    told = f"{int(missing.sum())} of {len(frame)} rows have no score in '{name}' and take no part"
    if bounded.any():
        told += f"; {int(bounded.sum())} of them give only bounds ({', '.join(bounds)})"
    return [f"{told}."]


# ------------------------------------------------------------------------------------------------------------- pictures


@dataclass
class _Folder:
    """The picture files of a folder, found by any spelling of their name; nothing outside it is ever found."""

    root: Path
    files: list[Path]
    by_name: dict[str, list[Path]] = field(default_factory=dict)
    by_stem: dict[str, list[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for file in self.files:
            self.by_name.setdefault(file.name.casefold(), []).append(file)
            self.by_stem.setdefault(file.stem.casefold(), []).append(file)

    def find(self, name: str) -> list[Path]:
        """The files whose path ends most like the name; several where they end equally alike."""
        parts = [part.casefold() for part in re.split(r"[\\/]+", name.strip()) if part not in ("", ".", "..")]
        if not parts:
            return []
        found = self.by_name.get(parts[-1])
        if not found:
            found = [] if _PICTURE.search(parts[-1]) else self.by_stem.get(parts[-1], [])
        if len(found) < 2:
            return found
        alike = [_same_ending([part.casefold() for part in file.parts[:-1]], parts[:-1]) for file in found]
        return [file for file, length in zip(found, alike, strict=True) if length == max(alike)]


def find_pictures(
    scores: HumanScores, images: str | Path | None = None, *, references: str | Path | None = None
) -> Pictures:
    """Find the picture files that a table names, without regard to upper and lower case; nothing is opened.

    Args:
        scores: The table; its own folder (with subfolders) is searched unless `images` says otherwise.
        images: Folder to search instead.
        references: Folder of references; where the table names none, they are paired by name (see `pairing`).

    Returns:
        One path or None per row, and every row and file that was left over.

    Raises:
        DeconvError: The table names no pictures, or a folder holds none.
    """
    from deconv_core.pairing import pair_files
    from deconv_core.sources import list_files

    column = scores.column("candidate")
    if column is None:
        names = ", ".join(map(str, scores.frame.columns))
        raise DeconvError(f"No column names the pictures; the table has {names}. Say which one does.")
    root = Path(images) if images is not None else scores.folder
    if root is None or not root.is_dir():
        raise DeconvError(f"'{root}' is no folder of pictures; give the folder that holds them.")
    folder = _Folder(root, list_files(root))
    other = folder if references is None else _Folder(Path(references), list_files(references))
    problems: list[Problem] = []
    candidates = [_look_up(folder, cell, "", problems) for cell in _cells(scores.frame[column])]
    partner: list[Path | None] = [None] * len(candidates)
    named = scores.column("reference")
    if named is not None:
        cells = _cells(scores.frame[named])
        own = _cells(scores.frame[column])
        partner = [_look_up(other, cell, name, problems) for cell, name in zip(cells, own, strict=True)]
    elif references is not None:
        pairing = pair_files([path for path in candidates if path is not None], other.files)
        found = dict(pairing.pairs)
        partner = [None if path is None else found.get(path) for path in candidates]
        for path in pairing.unmatched_candidates:
            problems.append(Problem(path.name, "", "unpaired", "No reference has a matching name."))
        for path, choices in pairing.ambiguous:
            told = ", ".join(choice.name for choice in choices)
            problems.append(Problem(path.name, "", "ambiguous", f"Several references match: {told}."))
    used = {path for path in [*candidates, *partner] if path is not None}
    unused = tuple(file for file in folder.files if file not in used)
    return Pictures(tuple(candidates), tuple(partner), (*scores.problems, *problems), unused)


def plain(scores: HumanScores, pictures: Pictures | None = None) -> pd.DataFrame:
    """The same table for every source: `reference`, `candidate`, `mos`, `std`, `distortion`, `level`, `direction`.

    `mos` is the score as given, whichever way it counts; `direction` says which, as far as the data set documents it.
    Paths where `pictures` are given, else names; missing columns are empty.
    """
    import pandas as pd

    size = len(scores.frame)
    columns: dict[str, Any] = {}
    for role in ("reference", "candidate", "mos", "std", "distortion", "level"):
        name = scores.column(role)
        columns[role] = [None] * size if name is None else scores.frame[name].tolist()
    if pictures is not None:
        columns["reference"] = [None if path is None else str(path) for path in pictures.references]
        columns["candidate"] = [None if path is None else str(path) for path in pictures.candidates]
    columns["direction"] = [scores.direction.words if scores.direction else "direction unknown"] * size
    return pd.DataFrame(columns)


def _cells(column: pd.Series) -> list[str]:
    return ["" if cell is None or cell != cell else _text(cell) or "" for cell in column]


def _look_up(folder: _Folder, name: str, candidate: str, problems: list[Problem]) -> Path | None:
    """The file a cell names; a problem is written down for `candidate`, or for the name itself."""
    found = folder.find(name)
    if len(found) == 1:
        return found[0]
    what, row = ("reference", (candidate, name)) if candidate else ("picture", (name, ""))
    if not name:
        reason = f"The row names no {what}."
    elif not found:
        reason = f"No file in {folder.root.name} is called so." if not candidate else "No such reference file."
    else:
        told = ", ".join(str(file.relative_to(folder.root)) for file in found[:4])
        reason = f"Several files are called so: {told}{', ...' if len(found) > 4 else ''}."
    problems.append(Problem(*row, "ambiguous" if found else "missing", reason))
    return None


def _same_ending(first: Sequence[str], second: Sequence[str]) -> int:
    count = 0
    for mine, theirs in zip(reversed(first), reversed(second), strict=False):
        if mine != theirs:
            break
        count += 1
    return count
