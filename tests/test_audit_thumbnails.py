"""Pictures of an audit, read again: at once from every kind of source, honest about what is gone or has changed."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from deconv_core.audit import thumbnails as module
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.audit.thumbnails import CHANGED, picture, small_pictures
from deconv_core.errors import ImageError
from tests.test_sources import write_parquet, write_tar, write_zip


def file_bytes(shade: int, kind: str = "PNG", size=(60, 40), **options) -> bytes:
    pixels = np.random.default_rng(shade).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels // 2 + shade // 4).save(file, kind, **options)
    return file.getvalue()


def audit_of(data: Path, job: Path, **settings) -> Path:
    run_audit(AuditSettings(str(data), checks=("dark",), **settings), job)
    return job


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An audit of two pictures and of a file that is none."""
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DECONV_DATA_ROOTS", str(tmp_path))
    (tmp_path / "data").mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        (tmp_path / "data" / name).write_bytes(file_bytes(40 + number))
    (tmp_path / "data" / "none.png").write_bytes(b"nothing")
    return audit_of(tmp_path / "data", tmp_path / "job", within_roots=True)


def write_npz(path: Path) -> Path:
    np.savez(path, x_train=np.random.default_rng(1).integers(0, 256, (4, 20, 30, 3)).astype(np.uint8))
    return path


@pytest.mark.parametrize(
    ("write", "name"),
    [(write_zip, "a.zip"), (write_tar, "a.tar"), (write_tar, "a.tar.gz"), (write_parquet, "a.parquet"),
     (write_npz, "a.npz")],
)  # fmt: skip
def test_no_source_is_read_from_its_start_again(tmp_path, monkeypatch, write, name):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    job = audit_of(write(tmp_path / name), tmp_path / "job")

    def walked(*_, **__):
        raise AssertionError("the source was gone through")

    for place in ("deconv_core.sources.iterate", "deconv_core.audit.run.iterate"):
        monkeypatch.setattr(place, walked)
    names = AuditTable(job).names.to_pylist()
    found = small_pictures(job, names)
    assert [found[name].told for name in names] == [""] * len(names)
    assert all(found[name].jpeg for name in names)
    assert CHANGED not in picture(job, names[-1]).notes


@pytest.mark.parametrize(
    ("write", "name", "opens"),
    [(write_tar, "a.tar.gz", gzip.GzipFile), (write_parquet, "a.parquet", parquet.ParquetFile),
     (write_npz, "a.npz", zipfile.ZipFile)],
)  # fmt: skip
def test_pictures_of_one_packed_file_are_read_in_one_pass(tmp_path, monkeypatch, write, name, opens):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    (tmp_path / "data").mkdir()
    sources = [write(tmp_path / "data" / f"{number} {name}") for number in range(2)]
    job = audit_of(tmp_path / "data", tmp_path / "job")
    opened = []
    usual = opens.__init__

    def opening(*arguments, **options):
        opened.append(1)
        usual(*arguments, **options)

    table = AuditTable(job)
    monkeypatch.setattr(opens, "__init__", opening)
    monkeypatch.setattr(gzip.GzipFile, "rewind", lambda _: pytest.fail("read again from its start"))
    names = table.names.to_pylist()
    assert len(names) >= 4
    found = small_pictures(job, [*names[::2], *names[1::2]], table)
    assert all(found[name].jpeg and not found[name].told for name in names)
    assert len(opened) == len(sources)


def test_what_was_made_or_found_to_be_no_picture_is_not_tried_again(folder, monkeypatch):
    names = AuditTable(folder).names.to_pylist()
    first = small_pictures(folder, names)
    assert first["none.png"].jpeg is None
    assert "none.png" in first["none.png"].told

    def tried(*_, **__):
        raise AssertionError("the source was opened again")

    monkeypatch.setattr(module, "reopen", tried)
    assert small_pictures(folder, names) == first


def test_a_changed_picture_is_shown_as_it_is_and_told_so(folder, tmp_path):
    before = small_pictures(folder, ["a.png"])["a.png"]
    (tmp_path / "data" / "b.png").write_bytes(file_bytes(200))
    changed = small_pictures(folder, ["a.png", "b.png"])
    assert changed["a.png"] == before
    assert changed["b.png"].jpeg
    assert changed["b.png"].told == CHANGED
    assert CHANGED in picture(folder, "b.png").notes
    (tmp_path / "data" / "b.png").write_bytes(file_bytes(41))  # as the audit saw it
    again = small_pictures(folder, ["b.png"])["b.png"]
    assert again.told == ""  # the changed one was not kept under its name
    assert again.jpeg != changed["b.png"].jpeg


def test_one_picture_that_may_not_be_opened_does_not_take_the_others_along(folder, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").write_bytes(file_bytes(40))
    (tmp_path / "data" / "a.png").unlink()
    (tmp_path / "data" / "a.png").symlink_to(tmp_path / "other" / "a.png")
    monkeypatch.setenv("DECONV_DATA_ROOTS", str(tmp_path / "data"))
    found = small_pictures(folder, ["a.png", "b.png"])
    assert found["a.png"].jpeg is None
    assert "outside" in found["a.png"].told
    assert found["b.png"].jpeg
    with pytest.raises(ImageError, match="outside"):
        picture(folder, "a.png")


def test_a_set_that_is_gone_is_told_and_may_come_back(folder, tmp_path):
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    gone = small_pictures(folder, ["a.png"])["a.png"]
    assert gone.jpeg is None
    assert "cannot be read" in gone.told
    (tmp_path / "elsewhere").rename(tmp_path / "data")
    assert small_pictures(folder, ["a.png"])["a.png"].jpeg


def test_a_large_jpeg_is_decoded_small_and_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    data = file_bytes(90, "JPEG", (1600, 1000), exif=exif.tobytes())
    pixels, flag = module._decoded(data, "a.jpg", 224)
    assert pixels.shape == (250, 400, 3)
    assert flag == 6
    small = Image.open(io.BytesIO(module._small(data, "a.jpg", 224)))
    assert small.size == (140, 224)


def test_a_jpeg_that_was_cut_short_has_no_thumbnail():
    with pytest.raises(ImageError, match="cut short"):
        module._small(file_bytes(90, "JPEG", (1600, 1000))[:90_000], "a.jpg", 224)


@pytest.mark.parametrize("size", [(1000, 3), (2, 900)])
def test_a_strip_of_a_jpeg_is_made_small(size):
    small = Image.open(io.BytesIO(module._small(file_bytes(90, "JPEG", size), "a.jpg", 224)))
    assert max(small.size) == 224
    assert min(small.size) == 1


def test_a_picture_that_no_one_foresaw_does_not_take_the_others_along(folder, monkeypatch):
    def failing(data, name, side):
        if name == "a.png":
            raise ZeroDivisionError("integer division")
        return b"small"

    monkeypatch.setattr(module, "_small", failing)
    found = small_pictures(folder, ["a.png", "b.png"])
    assert found["a.png"].jpeg is None
    assert "a.png could not be made small (ZeroDivisionError)" in found["a.png"].told
    assert found["b.png"].jpeg == b"small"
