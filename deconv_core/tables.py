"""Write tables of results: CSV for people, Parquet for us, JSON for programs, each with the recipes of its columns.

Recipes are a mapping from column to what made it (metric, version, settings, model digest). They lie in the metadata
of a Parquet file, beside the records in JSON, and in `FILE.json` beside a CSV file.

Numbers that JSON cannot hold are written as follows: a missing value or NaN as null, infinities as the texts
"Infinity" and "-Infinity" (PSNR of identical pictures), so that every JSON parser can read the file.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from deconv_core.errors import DeconvError
from deconv_core.files import write_whole

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

RECIPES_KEY = b"deconv_recipes"
# A spreadsheet takes a cell that begins like this for a formula, and may run it (OWASP, "CSV injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write_table(frame: pd.DataFrame, path: str | Path, recipes: Mapping[str, Any] | None = None) -> list[Path]:
    """Write a table in the format its name asks for; a file appears complete or not at all.

    Args:
        frame: One row per image or pair; the index is not written.
        path: Ends in .csv, .parquet or .json. The folder must exist.
        recipes: Mapping from column to recipe; plain values, lists and mappings only.

    Returns:
        The files written: the table, and for CSV also `FILE.json` (scores.csv gives scores.csv.json) with the recipes.

    Raises:
        DeconvError: Unknown ending, missing folder, or a file that cannot be written.
    """
    path = Path(path)
    form = check_extension(path)
    check_folder(path)
    if form == ".csv":
        beside = path.with_name(f"{path.name}.json")
        contents = {beside: _dump(_plain(dict(recipes or {}))), path: csv_bytes(frame)}
    else:
        encode = parquet_bytes if form == ".parquet" else json_bytes
        contents = {path: encode(frame, recipes)}
    for file, content in contents.items():
        write_whole(file, content)
    return sorted(contents, key=lambda file: file != path)


def csv_bytes(frame: pd.DataFrame, recipes: Mapping[str, Any] | None = None) -> bytes:
    """The table as CSV (UTF-8, comma, one header line), with text that a spreadsheet could run made harmless.

    A text cell or a column name that begins like a formula (= + - @ tab or line break) gets an apostrophe in front;
    numbers stay numbers. A CSV has no place for recipes: `write_table` puts them beside it.
    """
    import pandas as pd

    safe = frame.copy()
    safe.columns = [_defuse(column) for column in frame.columns]
    for position in range(safe.shape[1]):
        column = frame.iloc[:, position]
        # Everything but plain numbers may hold text: object, string and categorical columns alike.
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)):
            safe.isetitem(position, pd.Series([_defuse(cell) for cell in column], dtype=object, index=frame.index))
    # All text in quotes: not every version of Python quotes a cell for a carriage return, which would start a new row.
    text = safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text.encode("utf-8", errors="backslashreplace")


def csv_of_arrow(table: pa.Table, *, header: bool = True) -> bytes:
    """An Arrow table as `csv_bytes` writes a data frame, many times as fast; lists of texts separated by spaces.

    Args:
        table: Columns of numbers, truth values, texts and lists of texts.
        header: Whether to begin with the line of names, for a table that is written in pieces.
    """
    import pyarrow as pa
    import pyarrow.compute as compute
    from pyarrow import csv as arrow_csv

    columns = []
    for column in table.columns:
        if pa.types.is_list(column.type):
            column = compute.binary_join(column, " ")
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = compute.replace_substring_regex(column, rf"\A([{re.escape(''.join(_FORMULA_STARTS))}])", r"'\1")
        elif pa.types.is_floating(column.type):
            column = compute.if_else(compute.is_nan(column), pa.scalar(None, column.type), column)
        columns.append(column)
    sink = pa.BufferOutputStream()
    names = [_defuse(name) for name in table.column_names]
    arrow_csv.write_csv(pa.table(columns, names=names), sink, arrow_csv.WriteOptions(include_header=header))
    return sink.getvalue().to_pybytes()


def parquet_bytes(frame: pd.DataFrame, recipes: Mapping[str, Any] | None = None) -> bytes:
    """The table as Parquet, the recipes as JSON in the file's metadata under the key b"deconv_recipes"."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    safe = frame.copy(deep=False)
    for position in range(frame.shape[1]):
        if pd.api.types.is_object_dtype(frame.dtypes.iloc[position]):
            cells = [_storable(cell) for cell in frame.iloc[:, position]]
            safe.isetitem(position, pd.Series(cells, dtype=object, index=frame.index))
    try:
        table = pa.Table.from_pandas(safe, preserve_index=False)
    except (pa.ArrowException, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DeconvError(
            f"The table cannot be written as Parquet ({reason}); give every column values of one type."
        ) from error
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), RECIPES_KEY: _dump(_plain(dict(recipes or {})))}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def json_bytes(frame: pd.DataFrame, recipes: Mapping[str, Any] | None = None) -> bytes:
    """The table as a JSON object with `records` (one object per row) and `recipes`; always valid JSON."""
    names = [str(column) for column in frame.columns]
    columns = [[_plain(cell) for cell in frame.iloc[:, position]] for position in range(len(names))]
    rows = zip(*columns, strict=True) if columns else ()
    records = [dict(zip(names, row, strict=True)) for row in rows]
    return _dump({"records": records, "recipes": _plain(dict(recipes or {}))})


def read_recipes(path: str | Path) -> dict[str, Any]:
    """Read the recipes back from a table that `write_table` wrote; for CSV from the file beside it.

    Returns:
        Mapping from column to recipe; empty for a Parquet or JSON file without recipes.

    Raises:
        DeconvError: Unknown ending, or no readable file.
    """
    path = Path(path)
    form = check_extension(path)
    source = path.with_name(f"{path.name}.json") if form == ".csv" else path
    try:
        if form == ".parquet":
            import pyarrow.parquet as pq

            content = json.loads((pq.read_schema(path).metadata or {}).get(RECIPES_KEY, b"{}"))
        else:
            content = json.loads(source.read_bytes())
            if form == ".json":
                content = content.get("recipes", {}) if isinstance(content, dict) else {}
    except FileNotFoundError as error:
        raise DeconvError(f"{source.name} was not found; the recipes of {path.name} were expected in it.") from error
    except (OSError, ValueError) as error:  # ValueError: neither JSON nor Parquet
        raise DeconvError(f"{source.name} holds no readable recipes; write the table again.") from error
    if not isinstance(content, dict):
        raise DeconvError(f"{source.name} holds no mapping of recipes; write the table again.")
    return content


def check_extension(path: str | Path) -> str:
    """The ending of a table's file in lower case (".csv", ".parquet" or ".json"); to be called before work starts.

    Raises:
        DeconvError: Another ending, or none.
    """
    form = Path(path).suffix.lower()
    if form not in (".csv", ".parquet", ".json"):
        raise DeconvError(f"{Path(path).name} has no known table ending; choose .csv, .parquet or .json.")
    return form


def check_folder(path: str | Path) -> None:
    """Make sure, before work starts, that the folder of a file to be written is there.

    Raises:
        DeconvError: It is not.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise DeconvError(f"The folder of {path.name} does not exist ({path.parent}); create it first.")


def _defuse(cell: object) -> object:
    if isinstance(cell, PurePath):
        cell = str(cell)
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return cell


def _storable(cell: object) -> object:
    """Paths as text, and names whose bytes are no text with these bytes written out, as Parquet holds UTF-8 only."""
    if isinstance(cell, PurePath):
        cell = str(cell)
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


def _plain(value: object) -> Any:
    """Bring a value to what JSON can hold, by the rule of this module."""
    import numpy as np
    import pandas as pd

    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, bool | int | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _dump(value: object) -> bytes:
    # Names of files may hold bytes that are no text; escaped, they survive the way through JSON.
    return (json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()
