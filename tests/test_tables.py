"""Tables: what is written can be read back, recipes included, and no cell turns into a formula."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from deconv_core.errors import DeconvError
from deconv_core.tables import csv_bytes, json_bytes, parquet_bytes, read_recipes, write_table

RECIPES = {"psnr": {"version": 1, "data_range": 1.0, "cap": float("inf")}, "deconv": {"model": "ab12"}}


@pytest.fixture
def frame():
    return pd.DataFrame(
        {"candidate": ["a.png", 'ü, "b".png'], "psnr": [31.25, np.inf], "ssim": [np.nan, -0.5], "count": [1, 2]}
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json", ".CSV"])
def test_recipes_come_back_from_every_format(tmp_path, frame, ending):
    path = tmp_path / f"scores{ending}"
    written = write_table(frame, path, RECIPES)
    assert written[0] == path
    assert sorted(written) == sorted(tmp_path.iterdir()), "a temporary file was left, or one was not told"
    assert read_recipes(path) == {**RECIPES, "psnr": {"version": 1, "data_range": 1.0, "cap": "Infinity"}}


def test_csv_and_parquet_return_the_same_table(tmp_path, frame):
    write_table(frame, tmp_path / "t.csv", RECIPES)
    write_table(frame, tmp_path / "t.parquet", RECIPES)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), frame)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame)
    assert json.loads(pq.read_schema(tmp_path / "t.parquet").metadata[b"deconv_recipes"])["deconv"] == {"model": "ab12"}


def test_json_is_valid_without_nan(frame):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads(json_bytes(frame, RECIPES), parse_constant=refuse)
    assert content["records"][0] == {"candidate": "a.png", "psnr": 31.25, "ssim": None, "count": 1}
    assert content["records"][1]["psnr"] == "Infinity"


def test_json_holds_what_frames_hold():
    frame = pd.DataFrame(
        {
            "when": pd.to_datetime(["2024-01-02", None]),
            "issues": [["dark", "blurred"], []],
            "flag": [True, False],
            "low": np.array([-np.inf, 1], np.float32),
        }
    )
    records = json.loads(json_bytes(frame))["records"]
    assert records[0] == {
        "when": "2024-01-02T00:00:00",
        "issues": ["dark", "blurred"],
        "flag": True,
        "low": "-Infinity",
    }
    assert records[1]["when"] is None


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
@pytest.mark.parametrize("kind", [object, "str", "category"])
def test_csv_defuses_text_that_begins_like_a_formula(start, kind):
    text = f"{start}HYPERLINK(1)"
    frame = pd.DataFrame({text: pd.Series([text, "plain", None], dtype=kind), "number": [-1.5, 2.0, -3.0]})
    rows = list(csv.reader(io.StringIO(csv_bytes(frame).decode(), newline="")))
    assert rows[0] == [f"'{text}", "number"]
    assert rows[1] == [f"'{text}", "-1.5"], "text is defused, a negative number is not"
    assert rows[2][0] == "plain"
    assert rows[3][0] == ""


@pytest.mark.parametrize("hidden", ["x\r=1+1", "x\n=1+1", "x,=1+1", 'x",=1+1'])
def test_csv_keeps_separators_inside_their_cell(hidden):
    content = csv_bytes(pd.DataFrame({"a": [hidden], "b": [1]})).decode()
    assert list(csv.reader(io.StringIO(content, newline="")))[1:] == [[hidden, "1"]]
    assert '"' in content.splitlines()[1][:2], "spreadsheets break an unquoted cell at a carriage return"


def test_csv_does_not_change_the_frame_given(frame):
    frame = pd.DataFrame({"=a": ["=1"]})
    csv_bytes(frame)
    assert frame.columns.tolist() == ["=a"]
    assert frame.iloc[0, 0] == "=1"


def test_file_names_that_are_no_text_survive_as_escapes():
    frame = pd.DataFrame({"candidate": pd.Series(["bad\udcff.png"], dtype=object)})
    assert rb"bad\udcff.png" in csv_bytes(frame)
    assert pd.read_parquet(io.BytesIO(parquet_bytes(frame)))["candidate"][0] == r"bad\udcff.png"
    assert json.loads(json_bytes(frame))["records"][0]["candidate"] == "bad\udcff.png"


@pytest.mark.parametrize("write", [csv_bytes, parquet_bytes, json_bytes])
def test_empty_tables_can_be_written(write):
    assert write(pd.DataFrame({"candidate": [], "psnr": []}))
    assert write(pd.DataFrame())


def test_unknown_endings_list_the_choices(tmp_path, frame):
    with pytest.raises(DeconvError, match=r"scores\.xlsx has no known table ending; choose \.csv, \.parquet or \.json"):
        write_table(frame, tmp_path / "scores.xlsx")
    with pytest.raises(DeconvError, match="no known table ending"):
        read_recipes(tmp_path / "scores")


def test_missing_folder_is_told_before_writing(tmp_path, frame):
    with pytest.raises(DeconvError, match="does not exist"):
        write_table(frame, tmp_path / "none" / "scores.csv")


def test_failed_writing_leaves_the_old_file_and_nothing_beside(tmp_path, frame):
    (tmp_path / "scores.parquet").write_bytes(b"old")
    mixed = pd.DataFrame({"a": [1, "text", [2]]})
    with pytest.raises(DeconvError, match="one type"):
        write_table(mixed, tmp_path / "scores.parquet")
    assert (tmp_path / "scores.parquet").read_bytes() == b"old"
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(DeconvError, match=r"taken\.json could not be written"):
        write_table(frame, tmp_path / "taken.json")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scores.parquet", "taken.json"]


def test_unreadable_recipes_are_one_sentence(tmp_path, frame):
    with pytest.raises(DeconvError, match=r"a\.csv\.json was not found"):
        read_recipes(tmp_path / "a.csv")
    for name in ("b.json", "b.parquet"):
        (tmp_path / name).write_bytes(b"neither")
        with pytest.raises(DeconvError, match="no readable recipes"):
            read_recipes(tmp_path / name)
