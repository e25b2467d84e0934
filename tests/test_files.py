"""Files that appear complete or not at all."""

import json
import threading

import pytest

from deconv_core.errors import DeconvError
from deconv_core.files import write_json, write_whole


def test_text_and_bytes_come_back(tmp_path):
    write_whole(tmp_path / "a.txt", "grün")
    write_whole(tmp_path / "a.bin", b"\x00\xff")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "grün"
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.txt"]


def test_a_name_that_is_no_text_survives_in_json(tmp_path):
    write_json(tmp_path / "a.json", {"name": "\udcff.png"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"name": "\udcff.png"}


def test_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "a.txt"
    contents = [letter * 200_000 for letter in "abcdefgh"]
    writers = [threading.Thread(target=write_whole, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in contents
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DeconvError, match=r"a\.txt could not be written \(No such file or directory\)"):
        write_whole(tmp_path / "none" / "a.txt", "x")
