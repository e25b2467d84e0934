"""Uploads: what is kept under which name, what is refused, the limits, and that nothing stays after an error."""

import io
import os
import resource
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deconv_core import uploads
from deconv_core.archives import Limits
from deconv_core.errors import DeconvError
from deconv_core.sources import iterate
from deconv_core.survey import survey
from deconv_core.uploads import UploadLimits, forget_upload, keep_uploads, safe_name

SMALL = UploadLimits(
    file_bytes=200_000, upload_bytes=300_000, quota_bytes=400_000, archive=Limits(files=100, total_bytes=300_000)
)


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "data"


def png(seed=0) -> bytes:
    from deconv_core.images import encode_png

    return encode_png(np.random.default_rng(seed).random((6, 6, 3)).astype(np.float32))


def packed(files, kind="zip") -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, content in files:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def kept(upload) -> list[str]:
    return sorted(path.relative_to(upload.folder).as_posix() for path in upload.folder.rglob("*") if path.is_file())


def assert_nothing_stays(data):
    assert not data.exists() or list(data.iterdir()) == []


def test_pictures_and_archives_become_one_source(data):
    upload = keep_uploads(
        [
            ("a.png", png(1)),
            ("b.png", io.BytesIO(png(2))),
            ("set.zip", packed([("x/a.png", png(3)), ("x/note.txt", b"n"), ("a.png", png(4))])),
            ("set.tar.gz", io.BytesIO(packed([("y/c.png", png(5))], "tar.gz"))),
        ]
    )
    assert upload.folder.parent == data
    assert kept(upload) == ["a (2).png", "a.png", "b.png", "x/a.png", "y/c.png"]
    assert (upload.num_files, upload.refused) == (5, ())
    assert upload.num_bytes == sum(path.stat().st_size for path in upload.folder.rglob("*.png"))
    assert survey(upload.folder).count == 5
    assert [path.name for path in data.iterdir()] == [upload.folder.name]


def test_the_same_upload_is_kept_once_and_can_be_forgotten(data):
    one = keep_uploads([("a.png", png(1)), ("b.png", png(2))])
    two = keep_uploads([("b.png", png(2)), ("a.png", png(1))])
    other = keep_uploads([("a.png", png(2)), ("b.png", png(1))])
    assert one.folder == two.folder != other.folder
    forget_upload(one.folder)
    assert list(data.iterdir()) == [other.folder]


@pytest.mark.parametrize("name", ["set.npz", "set.parquet"])
def test_a_table_comes_alone_and_is_a_source(name):
    if name == "set.npz":
        buffer = io.BytesIO()
        np.savez(buffer, x_train=np.zeros((3, 4, 4), np.uint8))
        content = buffer.getvalue()
    else:
        import pyarrow as pa
        from pyarrow import parquet

        buffer = io.BytesIO()
        parquet.write_table(pa.table({"image": [png(1), png(2), png(3)]}), buffer)
        content = buffer.getvalue()
    assert len(list(iterate(keep_uploads([(name, content)]).folder))) == 3
    with pytest.raises(DeconvError, match=f"Got {name} together with other files"):
        keep_uploads([(name, content), ("a.png", png())])


def test_names_on_disk_are_safe_and_stay_inside(data):
    names = [
        "../../escape.png",
        "/etc/absolute.png",
        "C:\\folder\\windows.png",
        "new\nline.png",
        "<script>.png",
        "-rf.png",
        ".hidden.png",
        "图 é.png",
        "nul\0byte.png",
        "x" * 300 + ".png",
        "é" * 150 + ".png",
        "A.png",
        "a.PNG",
    ]
    upload = keep_uploads([(name, png(number)) for number, name in enumerate(names)])
    found = kept(upload)
    assert len(found) == upload.num_files == len(names)
    assert {"escape.png", "absolute.png", "windows.png", "new_line.png", "_script_.png", "rf.png", "hidden.png"} < set(
        found
    )
    assert {"图 é.png", "A.png", "a (2).PNG"} < set(found)
    assert max(len(name.encode()) for name in found) < 200
    assert list(data.iterdir()) == [upload.folder]
    assert all(path.suffix.lower() == ".png" for path in upload.folder.iterdir())


def test_members_with_dangerous_names_are_told_and_left_out(data):
    files = [("../escape.png", png(1)), ("/abs.png", png(2)), ("inner.zip", packed([])), ("good.png", png(3))]
    upload = keep_uploads([("my set.zip", packed(files)), ("note.txt", b"text"), ("good.png", png(4))])
    assert kept(upload) == ["good (2).png", "good.png"]
    refused = dict(upload.refused)
    assert list(refused) == ["my set.zip/../escape.png", "my set.zip/abs.png", "my set.zip/inner.zip", "note.txt"]
    assert "leads out of its folder" in refused["my set.zip/../escape.png"]
    assert "is of no known kind" in refused["note.txt"]


def test_a_file_that_is_also_a_folder_is_told(data):
    upload = keep_uploads([("set.zip", packed([("a.png", png(1)), ("a.png/b.png", png(2)), ("c.png/d.png", png(3))]))])
    assert kept(upload) == ["a.png", "c.png/d.png"]
    assert "also a file" in upload.refused[0][1]
    upload = keep_uploads([("set.zip", packed([("c.png/d.png", png(3)), ("c.png", png(1))]))])
    assert kept(upload) == ["c (2).png", "c.png/d.png"]


def test_limits_for_a_file_an_upload_and_the_whole_folder(data):
    rng = np.random.default_rng(0)
    with pytest.raises(DeconvError, match=r"large\.png has more than the 195 KiB allowed for one uploaded file"):
        keep_uploads([("a.png", png()), ("large.png", rng.bytes(200_001))], limits=SMALL)
    assert_nothing_stays(data)
    with pytest.raises(DeconvError, match="The upload has more than the 293 KiB allowed at once"):
        keep_uploads([("a.png", rng.bytes(200_000)), ("b.png", rng.bytes(100_001))], limits=SMALL)
    assert_nothing_stays(data)
    first = keep_uploads([("a.png", rng.bytes(200_000)), ("b.png", rng.bytes(100_000))], limits=SMALL)
    with pytest.raises(DeconvError, match=r"data folder is full \(at most 391 KiB"):
        keep_uploads([("c.png", rng.bytes(150_000))], limits=SMALL)
    assert list(data.iterdir()) == [first.folder]
    forget_upload(first.folder)
    keep_uploads([("c.png", rng.bytes(150_000))], limits=SMALL)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs_leave_nothing_behind(data, kind):
    for files, match in (
        ([("zeros.png", bytes(50 * 2**20))], "unpacks to|allowed for one file"),
        ([(f"{number}.png", b"") for number in range(101)], "holds more than 100 files"),
        ([(f"{number}.png", bytes(10_000)) for number in range(31)], "unpacks to more than"),
    ):
        with pytest.raises(DeconvError, match=match) as caught:
            keep_uploads([("good.png", png()), (f"bomb.{kind}", packed(files, kind))], limits=SMALL)
        assert f"'bomb.{kind}'" in str(caught.value)
        assert_nothing_stays(data)


def test_what_is_no_archive_or_no_picture_is_refused(data):
    with pytest.raises(DeconvError, match=r"'fake\.zip' is not a readable \.zip file"):
        keep_uploads([("fake.zip", b"text"), ("a.png", png())])
    with pytest.raises(DeconvError, match=r"holds no picture: note\.txt is of no known kind"):
        keep_uploads([("note.txt", b"text")])
    with pytest.raises(DeconvError, match="holds no picture: no file came"):
        keep_uploads([])
    assert_nothing_stays(data)


def test_a_disk_that_takes_no_more_is_told_in_one_sentence(data):
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
    try:
        with pytest.raises(DeconvError, match=r"could not be written \(File too large\); make room on the disk"):
            keep_uploads([("a.png", bytes(100_000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert_nothing_stays(data)


def test_only_kept_data_is_forgotten(data, tmp_path):
    upload = keep_uploads([("x/a.png", png())])
    (data / "link").symlink_to(tmp_path)
    for path in (tmp_path, data, upload.folder / "..", data / "none", data / "link", upload.folder / "a.png"):
        with pytest.raises(DeconvError, match="no folder of kept data"):
            forget_upload(path)
    assert kept(upload) == ["a.png"]


def test_what_a_killed_process_left_is_cleared_away(data):
    stale, fresh = data / ".incoming-old", data / ".incoming-new"
    for folder in (stale, fresh):
        folder.mkdir(parents=True)
    os.utime(stale, (time.time() - 7 * 3600,) * 2)
    keep_uploads([("a.png", png())])
    assert not stale.exists()
    assert fresh.exists()


def test_a_whole_upload_is_never_held_in_memory(monkeypatch):
    pieces = []

    class Stream(io.BytesIO):
        def read(self, size=-1):
            pieces.append(size)
            return super().read(size)

    keep_uploads([("a.png", Stream(bytes(5 * 2**20)))])
    assert set(pieces) == {uploads._CHUNK}


def test_safe_names_of_different_long_names_differ():
    assert safe_name("x" * 300 + "1.png") != safe_name("x" * 300 + "2.png")
    assert safe_name("x" * 300 + ".png").endswith(".png")
    assert safe_name("") == safe_name("...") == "file"


def test_tables_are_kept_beside_pictures_where_they_are_asked_for(data):
    table = b"image,mos\na.png,1\n"
    archive = packed([("out/a.png", png(1)), ("out/notes.csv", table)])
    upload = keep_uploads([("scores.csv", table), ("all.zip", archive)], also=(".csv", ".parquet"))
    assert kept(upload) == ["out/a.png", "out/notes.csv", "scores.csv"]
    assert (upload.folder / "scores.csv").read_bytes() == table
    plain = keep_uploads([("scores.csv", table), ("all.zip", archive)])
    assert kept(plain) == ["out/a.png"]
    assert plain.refused[0][0] == "scores.csv"
    together = keep_uploads([("t.parquet", b"PAR1"), ("a.png", png(1))], also=(".parquet",))
    assert kept(together) == ["a.png", "t.parquet"]
    with pytest.raises(DeconvError, match="alone"):
        keep_uploads([("t.parquet", b"PAR1"), ("a.png", png(1))])
