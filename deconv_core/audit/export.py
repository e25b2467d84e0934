"""What leaves an audit: lists and tables; with the script (`moving`) and the report (`report`) by `write_results`.

A decision of the review counts more than any check: `keep` makes a picture clean, `drop` makes it bad; `unsure` leaves
it to the checks. Nothing here deletes or moves a file.

The whole table as it leaves has `issues` and `quality_risk` by what counts for the set, where scores stand within it
(`..._percentile`, 100 is the best), `decision` and `bad`.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.audit.moving import move_script, moves
from deconv_core.audit.recipes import recipes_of
from deconv_core.audit.review import Choice, saved_choice
from deconv_core.audit.risk import set_risk
from deconv_core.audit.table import AuditTable
from deconv_core.errors import DeconvError
from deconv_core.files import write_whole

if TYPE_CHECKING:
    import pyarrow as pa

_INTERNAL = ("place", "hash", "grid")
_SCORES = ("quality_risk", "reconstruction", "low_quality")  # with a percentile beside them
_PIECE = 20_000  # rows in memory at once, as text


def split(table: AuditTable, choice: Choice | None = None) -> tuple[list[str], list[str]]:
    """(clean, bad) names, in the set's order; what cannot be read is always bad, unless a person said keep."""
    is_bad = bad(table, choice)
    return tuple(table.names.filter(_mask(mask)).to_pylist() for mask in (~is_bad, is_bad))


def bad(table: AuditTable, choice: Choice | None = None) -> np.ndarray:
    """Which pictures are bad, as a boolean array in the set's order; see `split`."""
    choice = choice or Choice()
    result = np.zeros(table.count, bool)
    for key in {"unreadable", *(table.checks if choice.checks is None else choice.checks)}:
        result |= table.flagged(key, choice.thresholds.get(key))
    decided = {image: decision for image, decision in choice.decisions.items() if decision in ("keep", "drop")}
    places = table.find(list(decided))
    known = places >= 0  # the others are gone from the set
    result[places[known]] = np.array([decision == "drop" for decision in decided.values()], bool)[known]
    return result


def _mask(values: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(values)


def names_file(table: AuditTable, choice: Choice | None = None, *, are_bad: bool) -> bytes:
    """The list of the bad pictures, or of the clean ones; see `list_bytes`."""
    return list_bytes(split(table, choice)[int(are_bad)])


def list_bytes(names: Sequence[str]) -> bytes:
    """Names, one per line; a line break within a name is written as an escape, since a line is a name."""
    lines = (name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") for name in names)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


# Tables


def _pieces(table: AuditTable, choice: Choice) -> Iterator[pa.Table]:
    """The whole table in pieces, so that a million pictures never lie in memory as text."""
    import pandas as pd
    import pyarrow as pa

    from deconv_core.audit.whole import issues

    risk, is_bad = set_risk(table, choice), bad(table, choice)
    numbers = {
        "quality_risk": risk,
        **{key: table.numbers[key].to_numpy() for key in _SCORES[1:] if key in table.numbers},
    }
    ranks = {}
    for key, values in numbers.items():
        worth = pd.Series(-values if key == "quality_risk" else values)
        ranks[f"{key}_percentile"] = (100 * worth.rank(method="max", pct=True)).to_numpy(np.float32)
    names = [name for name in table.columns if name not in _INTERNAL]
    for start in range(0, max(1, table.count), _PIECE):
        places = np.arange(start, min(start + _PIECE, table.count))
        rows = table.rows(places, names).reset_index(drop=True)
        rows["quality_risk"] = risk[places]
        flagged = issues(rows, table.checks, choice.thresholds)
        found = pa.Table.from_pandas(rows.drop(columns="issues"), preserve_index=False).append_column("issues", flagged)
        for name, values in ranks.items():
            found = found.append_column(name, pa.array(values[places]))
        decided = [choice.decisions.get(name, "") for name in rows["image"]] if choice.decisions else [""] * len(rows)
        found = found.append_column("decision", pa.array(decided, pa.string()))
        yield found.append_column("bad", pa.array(is_bad[places])).replace_schema_metadata(None)


def csv_file(table: AuditTable, choice: Choice | None = None) -> bytes:
    """The whole table as CSV, cells that a spreadsheet would run made harmless; issues separated by spaces."""
    return b"".join(_csv(table, choice or Choice()))


def _csv(table: AuditTable, choice: Choice) -> Iterator[bytes]:
    from deconv_core.tables import csv_of_arrow

    return (csv_of_arrow(piece, header=not number) for number, piece in enumerate(_pieces(table, choice)))


def parquet_file(table: AuditTable, choice: Choice | None = None) -> bytes:
    """The whole table as Parquet, with the recipes of its columns in its metadata."""
    from pyarrow import parquet

    from deconv_core.tables import RECIPES_KEY

    choice = choice or Choice()
    sink, writer = io.BytesIO(), None
    for piece in _pieces(table, choice):
        if writer is None:
            made = json.dumps(column_recipes(table, choice)).encode()
            writer = parquet.ParquetWriter(sink, piece.schema.with_metadata({RECIPES_KEY: made}), compression="zstd")
        writer.write_table(piece)
    writer.close()
    return sink.getvalue()


def recipes_file(table: AuditTable, choice: Choice | None = None) -> bytes:
    """What belongs beside the CSV, as JSON: column -> recipe, as `tables.read_recipes` reads it."""
    return (json.dumps(column_recipes(table, choice or Choice()), indent=1) + "\n").encode()


def column_recipes(table: AuditTable, choice: Choice) -> dict[str, Any]:
    """Recipes of the whole table's columns, by what counts for the set now."""
    found = {key: dict(entry) for key, entry in recipes_of(table).items()}
    for key, value in choice.thresholds.items():
        if key in found:
            found[key]["threshold"] = value
    points = {key: value for key, value in choice.weights.items() if key in table.checks}
    risk = found.setdefault("quality_risk", {})
    risk["points"] = {**risk.get("points", {}), **points}
    risk["thresholds"] = {key: entry["threshold"] for key, entry in found.items() if "threshold" in entry}
    rule = "Percent of the set's pictures with a value that are no better, 100 is the best."
    found |= {f"{key}_percentile": {"rule": rule} for key in _SCORES if key in found}
    found["bad"] = {
        "rule": "Flagged by one of the checks or unreadable, unless decided keep; or decided drop.",
        "checks": list(table.checks if choice.checks is None else choice.checks),
    }
    made = {name: table.summary.get(name) for name in ("command", "seed", "versions", "fingerprint")}
    return {**found, "audit": made}


# Everything at once


def write_results(
    folder: Path | str,
    table: AuditTable | None = None,
    choice: Choice | None = None,
    *,
    num_pictures: int | None = None,
) -> list[str]:
    """Write into `results/` what the page offers: `clean.txt`, `bad.txt`, `images.csv` with its recipes in
    `images.csv.json`, `move.sh` where files can be moved, `report.html`.

    Args:
        folder: The job folder of a finished audit.
        table, choice: Its table and what counts, if they are known already; by default what is saved in the folder.
        num_pictures: About how many pictures it shows; see `report_file`.

    Returns:
        Sentences about what could not be written as asked for, such as pictures that the script cannot move.

    Raises:
        DeconvError: The folder holds no audit, or cannot be written.
    """
    from deconv_core.audit.report import report_file  # which is made of what stands here

    folder = Path(folder)
    table, choice = table or AuditTable(folder), choice or saved_choice(folder)
    results, told = folder / "results", []
    clean, bad_ones = split(table, choice)
    contents = {"clean.txt": list_bytes(clean), "bad.txt": list_bytes(bad_ones)}
    contents |= {"images.csv.json": recipes_file(table, choice), "images.csv": _csv(table, choice)}
    found = moves(table, bad_ones)
    if found.left_out:
        told.append(found.sentence)
    try:
        contents["move.sh"] = move_script(table, bad_ones, found=found)
    except DeconvError:
        with contextlib.suppress(OSError):
            (results / "move.sh").unlink()  # of another time
    for name, content in contents.items():
        write_whole(results / name, content)
    report_file(folder, table=table, choice=choice, num_pictures=num_pictures)
    return told
