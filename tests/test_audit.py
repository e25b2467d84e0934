"""Audits: nasty files become rows, runs that are broken off end as unbroken ones, results are read page by page."""

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from deconv_core.audit.checks import CHECKS, check, choose_checks
from deconv_core.audit.cluster import Needs, connected, spread
from deconv_core.audit.parts import MEASURED, MODEL, PartWriter, list_parts, put_damaged_aside, read_parts
from deconv_core.audit.run import AuditSettings, run_audit, settings_from
from deconv_core.audit.table import AuditTable, Filter
from deconv_core.errors import DeconvError, JobError
from deconv_core.models.saving import read_card
from deconv_core.samples import SAMPLES, sample

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A workspace of its own for every test, so that no measurement is reused unasked."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DECONV_HOME", str(folder))
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    return folder


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def noise_png(seed: int, height: int = 20, width: int = 24) -> bytes:
    return encoded(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def write_set(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:04d}.png").write_bytes(noise_png(number))
    return folder


def table_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "results" / "images.parquet")


def giant_header() -> bytes:
    """A PNG of 30,000 x 30,000 pixels by its header, of nothing by its content."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def nasty_files() -> dict[str, bytes]:
    """Name -> content of everything that a folder from outside may hold."""
    photo = (sample("coffee").pixels * 255).astype(np.uint8)[:96, :128]
    good = encoded(photo, "JPEG", quality=90)
    turned = Image.Exif()
    turned[0x0112] = 6
    frames = [Image.fromarray(np.full((16, 16, 3), tone, np.uint8)) for tone in (10, 200)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    wide = (photo[..., 0].astype(np.uint16) << 8) + 7
    return {
        "good.jpg": good,
        "zero.png": b"",
        "truncated.jpg": good[: len(good) // 2],
        "truncated.png": encoded(photo)[:900],
        "no end.jpg": good[:-2],
        "text.png": b"this is no picture",
        "wrong extension.png": good,
        "cmyk.jpg": (lambda box: (Image.fromarray(photo).convert("CMYK").save(box, "JPEG"), box.getvalue())[1])(
            io.BytesIO()
        ),
        "sixteen.png": encoded(wide),
        "animated.gif": animated.getvalue(),
        "one pixel.png": encoded(np.zeros((1, 1, 3), np.uint8)),
        "line.png": encoded(np.zeros((1, 300, 3), np.uint8)),
        "transparent.png": encoded(np.dstack([photo, np.full(photo.shape[:2], 90, np.uint8)])),
        "palette.png": (lambda box: (Image.fromarray(photo).quantize(8).save(box, "PNG"), box.getvalue())[1])(
            io.BytesIO()
        ),
        "turned.jpg": encoded(photo, "JPEG", exif=turned),
        "giant.png": giant_header(),
        'it\'s "quoted".jpg': good,
        "line\nbreak.jpg": good,
        "<img src=x onerror=alert(1)>.jpg": good,
        "=HYPERLINK(1).jpg": good,
        "-rf.jpg": good,
        "$(touch x) `id`;&.jpg": good,
        "日本語 العربية ελληνικά.jpg": good,
    }


@pytest.fixture
def nasty(tmp_path) -> Path:
    folder = tmp_path / "nasty"
    folder.mkdir()
    for name, data in nasty_files().items():
        (folder / name).write_bytes(data)
    (folder / os.fsdecode(b"bytes \xff.jpg")).write_bytes(nasty_files()["good.jpg"])
    return folder


# Settings and checks


def test_every_check_says_what_it_does():
    for row in CHECKS.values():
        assert row.rule.endswith("."), row.key
        assert row.flags_when in ("above", "below", "set"), row.key
        assert row.low <= row.threshold <= row.high, row.key
        assert row.evidence, row.key
        if row.flags_when != "set":
            assert f"Flagged {row.flags_when} the threshold" in row.rule, row.key


@pytest.mark.parametrize("key", [key for key in CHECKS if CHECKS[key].flags_when != "set"])
def test_a_threshold_itself_is_not_flagged_and_no_value_never_is(key):
    row = CHECKS[key]
    step = 1 if row.flags_when == "above" else -1
    values = np.array([row.threshold - step, row.threshold, row.threshold + step, np.nan])
    assert row.flags(values).tolist() == [False, False, True, False]


def test_checks_are_chosen_by_name_and_the_unreadable_always_belong():
    expected = tuple(key for key in CHECKS if not CHECKS[key].needs_model)
    assert choose_checks(None, model=False, quality=False) == expected
    assert "reconstruction" not in expected
    assert choose_checks(["dark", "blurry"], model=False, quality=False) == ("unreadable", "blurry", "dark")
    with pytest.raises(DeconvError, match="There is no check 'blury'"):
        choose_checks(["blury"], model=False, quality=False)
    with pytest.raises(DeconvError, match="needs a model"):
        choose_checks(["reconstruction"], model=False, quality=True)
    with pytest.raises(DeconvError, match="calibrated metric"):
        choose_checks(["low_quality"], model=True, quality=False)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"max_side": 8}, "--max-side got 8"),
        ({"seed": -1}, "--seed got -1"),
        ({"quality": "psnr"}, "needs a reference"),
        ({"checks": ("sharp",)}, "There is no check 'sharp'"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_read(settings, match):
    with pytest.raises(DeconvError, match=match):
        AuditSettings(data="nowhere", **settings).check()


def test_settings_survive_their_file():
    settings = AuditSettings("samples", checks=("dark",), max_side=64)
    from dataclasses import asdict

    assert settings_from(json.loads(json.dumps(asdict(settings)))) == settings
    with pytest.raises(DeconvError, match="does not hold the settings of an audit"):
        settings_from({"epochs": 3})


# A folder of nasty files


@pytest.fixture
def nasty_audit(nasty, tmp_path) -> Path:
    run_audit(AuditSettings(str(nasty)), tmp_path / "job")
    return tmp_path / "job"


def test_every_nasty_file_becomes_one_row(nasty, nasty_audit):
    found = table_of(nasty_audit)
    assert len(found) == len(list(nasty.iterdir()))
    assert found["image"].is_unique
    rows = found.set_index("image")
    broken = {"zero.png", "truncated.jpg", "no end.jpg", "truncated.png", "text.png", "giant.png"}
    assert set(rows.index[rows["status"] != "ok"]) == broken
    assert (rows.loc[list(broken), "reason"].str.len() > 20).all()
    assert (rows.loc[list(broken), "unreadable"] == 1).all()
    assert "megapixels" in rows.loc["giant.png", "reason"]
    assert "bytes \\xff.jpg" in rows.index


def test_what_a_nasty_file_is_stands_in_its_row(nasty_audit):
    rows = table_of(nasty_audit).set_index("image")
    assert rows.loc["wrong extension.png", ["format", "wrong_extension"]].tolist() == ["JPEG", 1]
    assert rows.loc["good.jpg", "wrong_extension"] == 0
    assert rows.loc["turned.jpg", ["width", "height", "orientation", "orientation_flag"]].tolist() == [96, 128, 6, 1]
    assert rows.loc["sixteen.png", "bits"] == 16
    assert rows.loc["cmyk.jpg", "mode"] == "CMYK"
    assert rows.loc["line.png", "odd_aspect"] == 300
    assert np.isnan(rows.loc["one pixel.png", "blurry"])
    copies = rows["exact_duplicate_of"].dropna()
    # The same bytes under several names: the first in the order of the names stays, all others are copies of it.
    assert set(copies) == {"$(touch x) `id`;&.jpg"}
    assert {"good.jpg", "-rf.jpg", "wrong extension.png", "bytes \\xff.jpg"} <= set(copies.index)


def test_summary_counts_what_the_table_holds(nasty_audit):
    found = table_of(nasty_audit)
    summary = json.loads((nasty_audit / "results" / "summary.json").read_text())
    assert summary["images"] == len(found)
    assert summary["readable"] == (found["status"] == "ok").sum()
    assert summary["counts"] == {
        key: int(found["issues"].map(lambda keys, key=key: key in keys).sum()) for key in summary["checks"]
    }
    assert summary["flagged"] == (found["issues"].map(len) > 0).sum()


def test_an_archive_that_is_a_bomb_ends_with_one_sentence(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(64 * 2**20))
    with pytest.raises(DeconvError, match="made to fill memory"):
        run_audit(AuditSettings(str(tmp_path / "bomb.zip")), tmp_path / "job")


def test_a_member_that_is_a_bomb_is_a_row_among_good_ones(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("good.png", noise_png(1))
        archive.writestr("filler.bin", np.random.default_rng(0).bytes(600_000))
        archive.writestr("bomb.png", bytes(20 * 2**20), zipfile.ZIP_DEFLATED)
    run_audit(AuditSettings(str(tmp_path / "set.zip")), tmp_path / "job")
    rows = table_of(tmp_path / "job").set_index("image")
    assert rows["status"].to_dict() == {"good.png": "ok", "bomb.png": "unreadable"}
    assert "times" in rows.loc["bomb.png", "reason"]


def test_a_source_without_pictures_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeconvError, match="holds no picture"):
        run_audit(AuditSettings(str(tmp_path / "empty")), tmp_path / "job")


def test_a_damaged_shard_is_a_row_and_the_others_are_measured(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "1.parquet").write_bytes(b"PAR1 and no more")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.png", noise_png(1))
    with tarfile.open(data / "2.tar", "w") as archive:
        archive.add(tmp_path / "set.zip", "set.zip")
        info = tarfile.TarInfo("good.png")
        info.size = len(noise_png(1))
        archive.addfile(info, io.BytesIO(noise_png(1)))
    for resume in (False, True):
        run_audit(AuditSettings(str(data)), tmp_path / "job", resume=resume)
        rows = table_of(tmp_path / "job").set_index("image")
        assert rows["status"].to_dict() == {
            "1.parquet": "unreadable", "2.tar/set.zip": "unreadable", "2.tar/good.png": "ok"
        }  # fmt: skip
        assert "not a readable Parquet file" in rows.loc["1.parquet", "reason"]


def test_a_page_cannot_name_a_scheduler():
    with pytest.raises(DeconvError, match="a page cannot name one"):
        AuditSettings("samples", scheduler="tcp://127.0.0.1:9", within_roots=True).check()
    AuditSettings("samples", scheduler="here", within_roots=True).check()


def test_threads_here_are_used_although_there_is_a_scheduler(tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:9")
    assert run_audit(AuditSettings("samples", scheduler="here"), tmp_path / "job")["readable"] == len(SAMPLES)


def test_the_upload_of_a_page_is_read_and_nothing_it_names_outside(tmp_path, home, monkeypatch):
    monkeypatch.setenv("DECONV_DATA_ROOTS", "")
    upload = write_set(home / "data" / "1234", 2)
    (tmp_path / "secret.png").write_bytes(noise_png(9))
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = [{"bytes": None, "path": str(tmp_path / "secret.png")}, {"bytes": None, "path": "0000.png"}]
    pq.write_table(pa.table({"image": pa.array(rows, kind)}), upload / "set.parquet")
    run_audit(AuditSettings(str(upload), within_roots=True), tmp_path / "one")
    assert table_of(tmp_path / "one")["status"].tolist() == ["ok", "ok"]
    run_audit(AuditSettings(str(upload / "set.parquet"), within_roots=True), tmp_path / "two")
    rows = table_of(tmp_path / "two")
    assert rows["status"].tolist() == ["unreadable", "ok"]
    assert "lies outside the folders" in rows["reason"][0]


def test_the_source_is_stored_as_it_is_found_from_anywhere(tmp_path, monkeypatch):
    data = write_set(tmp_path / "data", 2)
    (tmp_path / "link").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("data", "./link", str(tmp_path / "link"), "data/../data")):
        run_audit(AuditSettings(name), tmp_path / f"job{number}")
        assert json.loads((tmp_path / f"job{number}" / "settings.json").read_text())["data"] == str(data)
        places = [json.loads(place) for place in table_of(tmp_path / f"job{number}")["place"]]
        assert places == [[str(data / "0000.png")], [str(data / "0001.png")]]
    monkeypatch.chdir("/")
    settings = settings_from(json.loads((tmp_path / "job1" / "settings.json").read_text()))
    assert run_audit(settings, tmp_path / "job1", resume=True)["images"] == 2
    run_audit(AuditSettings("samples"), tmp_path / "named")
    assert json.loads((tmp_path / "named" / "settings.json").read_text())["data"] == "samples"


def test_links_out_of_the_folder_and_lists_out_of_the_roots_are_refused(tmp_path, monkeypatch):
    data = write_set(tmp_path / "data", 2)
    (tmp_path / "secret.png").write_bytes(noise_png(9))
    (data / "link.png").symlink_to(tmp_path / "secret.png")
    (data / "list.csv").write_text("image\n0000.png\n../secret.png\n")
    monkeypatch.setenv("DECONV_DATA_ROOTS", str(data))
    run_audit(AuditSettings(str(data), within_roots=True), tmp_path / "one")
    rows = table_of(tmp_path / "one").set_index("image")
    assert rows.loc["link.png", "status"] == "unreadable"
    run_audit(AuditSettings(str(data / "list.csv"), within_roots=True), tmp_path / "other")
    assert table_of(tmp_path / "other")["status"].tolist() == ["ok", "unreadable"]
    with pytest.raises(DeconvError, match="outside the folders"):
        run_audit(AuditSettings(str(tmp_path), within_roots=True), tmp_path / "third")


# Broken off, and gone on with


def same(first: pd.DataFrame, second: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.fixture
def whole(tmp_path) -> tuple[Path, pd.DataFrame]:
    """A set, and the table of an unbroken audit of it."""
    data = write_set(tmp_path / "data", 60)
    shutil.copy(data / "0003.png", data / "0050b.png")
    (data / "0007.png").write_bytes(b"")
    run_audit(AuditSettings(str(data)), tmp_path / "unbroken")
    shutil.rmtree(tmp_path / "home")
    return data, table_of(tmp_path / "unbroken")


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_table(whole, tmp_path):
    data, expected = whole

    def stop(progress) -> None:
        (tmp_path / "job" / "stop").touch()
        time.sleep(0.3)  # the run looks for it five times a second

    with pytest.raises(KeyboardInterrupt):
        run_audit(AuditSettings(str(data)), tmp_path / "job", report=stop)
    assert not (tmp_path / "job" / "results" / "images.parquet").exists()
    done = len(read_parts(tmp_path / "job" / "results", MEASURED))
    assert 0 < done < len(expected)
    summary = run_audit(AuditSettings(str(data)), tmp_path / "job", resume=True)
    assert summary["images"] == len(expected)
    same(table_of(tmp_path / "job"), expected)


def test_damaged_and_half_written_parts_are_put_aside_and_measured_again(whole, tmp_path):
    data, expected = whole
    run_audit(AuditSettings(str(data)), tmp_path / "job")
    shutil.rmtree(tmp_path / "home")
    results = tmp_path / "job" / "results"
    part = list_parts(results, MEASURED)[0]
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    part.with_name(f".{part.name}.123").write_bytes(b"draft")
    run_audit(AuditSettings(str(data)), tmp_path / "job", resume=True)
    same(table_of(tmp_path / "job"), expected)
    assert not list(part.parent.glob(".*"))


def test_resume_sees_what_changed_in_the_source(whole, tmp_path):
    data, _ = whole
    run_audit(AuditSettings(str(data)), tmp_path / "job")
    (data / "0001.png").unlink()
    (data / "0000a.png").write_bytes(noise_png(1000))
    (data / "0002.png").write_bytes(noise_png(1001, 33, 44))
    run_audit(AuditSettings(str(data)), tmp_path / "job", resume=True)
    shutil.rmtree(tmp_path / "home")
    run_audit(AuditSettings(str(data)), tmp_path / "fresh")
    same(table_of(tmp_path / "job"), table_of(tmp_path / "fresh"))


def npz_set(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "set.npz", x_train=np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3), np.uint8))
    return folder / "set.npz"


def parquet_set(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": [noise_png(number) for number in range(5)]}), folder / "set.parquet")
    return folder / "set.parquet"


def refuse(entries, *_):
    raise AssertionError(f"measured again: {[item.name for *_, item in entries]}")


@pytest.mark.parametrize("source", [npz_set, parquet_set, lambda folder: "samples"])
def test_a_resumed_run_measures_nothing_again_also_where_only_reading_tells_a_size(source, tmp_path, monkeypatch):
    settings = AuditSettings(str(source(tmp_path / "data")))
    first = run_audit(settings, tmp_path / "job")
    expected = table_of(tmp_path / "job")
    shutil.rmtree(tmp_path / "home")
    monkeypatch.setattr("deconv_core.audit.run.measure_chunk", refuse)
    summary = run_audit(settings, tmp_path / "job", resume=True)
    same(table_of(tmp_path / "job"), expected)
    assert len(read_parts(tmp_path / "job" / "results", MEASURED)) == len(expected)
    # What was taken over took no time and makes no speed.
    assert (first["measured"], summary["measured"]) == (len(expected), 0)
    assert summary["images_per_second"] == 0 < first["images_per_second"]


def test_what_could_not_be_read_at_all_is_tried_again(tmp_path, monkeypatch):
    from deconv_core.errors import ImageError
    from deconv_core.places import Item

    data = write_set(tmp_path / "data", 12)
    (data / "0004.png").write_bytes(b"damaged")
    content = Item.content

    def fail(item):
        if item.name in ("0003.png", "0007.png"):
            raise ImageError("The network is away.")
        return content(item)

    with monkeypatch.context() as away:
        away.setattr(Item, "content", fail)
        run_audit(AuditSettings(str(data)), tmp_path / "job")
    rows = table_of(tmp_path / "job")
    assert rows["image"][rows["reason"] == "The network is away."].tolist() == ["0003.png", "0007.png"]
    summary = run_audit(AuditSettings(str(data)), tmp_path / "job", resume=True)
    assert (summary["measured"], summary["readable"]) == (2, 11)  # what is damaged stays so and is not read again
    shutil.rmtree(tmp_path / "home")
    run_audit(AuditSettings(str(data)), tmp_path / "fresh")
    same(table_of(tmp_path / "job"), table_of(tmp_path / "fresh"))


def test_a_picture_that_turned_back_is_measured_as_it_is_now(tmp_path):
    data = write_set(tmp_path / "data", 3)
    stamps = {}
    for number, seed in enumerate((0, 1, 0)):
        (data / "0000.png").write_bytes(noise_png(50 + seed))
        os.utime(data / "0000.png", (1_700_000_000 + seed, 1_700_000_000 + seed))
        run_audit(AuditSettings(str(data)), tmp_path / "job", resume=number > 0)
        stamps[number] = table_of(tmp_path / "job")["digest"][0]
    assert stamps[0] == stamps[2] != stamps[1]


def test_a_second_audit_of_an_unchanged_set_measures_nothing_again(whole, tmp_path, monkeypatch):
    data, expected = whole
    for path in data.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    run_audit(AuditSettings(str(data)), tmp_path / "first")

    monkeypatch.setattr("deconv_core.audit.run.measure_chunk", refuse)
    (data / "0007.png").unlink()  # what could not be read is always tried again
    summary = run_audit(AuditSettings(str(data)), tmp_path / "second")
    assert summary["reused"] == len(expected) - 1
    columns = [name for name in expected.columns if name != "number"]
    first = table_of(tmp_path / "first")
    same(table_of(tmp_path / "second")[columns], first[first["image"] != "0007.png"][columns].reset_index(drop=True))


def test_the_name_counts_where_the_content_was_measured_before(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    photo = encoded((sample("coffee").pixels * 255).astype(np.uint8)[:96, :128], "JPEG")
    for name in ("a.jpg", "b.png", "c.jpeg"):
        (data / name).write_bytes(photo)
        os.utime(data / name, (1_700_000_000, 1_700_000_000))
    run_audit(AuditSettings(str(data)), tmp_path / "first")
    monkeypatch.setattr("deconv_core.audit.measure.decode", None)  # nothing is decoded again
    assert run_audit(AuditSettings(str(data)), tmp_path / "again")["reused"] == 3
    for job in ("first", "again"):
        assert table_of(tmp_path / job)["wrong_extension"].tolist() == [0, 1, 0], job


def test_a_content_that_moved_is_read_but_not_measured_again(whole, tmp_path, monkeypatch):
    data, _ = whole
    (data / "0007.png").unlink()
    run_audit(AuditSettings(str(data)), tmp_path / "first")
    shutil.copytree(data, tmp_path / "elsewhere")
    shutil.move(tmp_path / "elsewhere" / "0001.png", tmp_path / "elsewhere" / "0001.jpg")
    with monkeypatch.context() as patch:
        patch.setattr("deconv_core.audit.measure.decode", None)
        summary = run_audit(AuditSettings(str(tmp_path / "elsewhere")), tmp_path / "second")
    assert summary["reused"] == summary["readable"] == summary["images"] == 60
    shutil.rmtree(tmp_path / "home")
    run_audit(AuditSettings(str(tmp_path / "elsewhere")), tmp_path / "fresh")
    found, expected = table_of(tmp_path / "second"), table_of(tmp_path / "fresh")
    assert expected.set_index("image").loc["0001.jpg", "wrong_extension"] == 1
    same(found, expected)


def test_parts_of_an_older_version_are_measured_again(whole, tmp_path, monkeypatch):
    data, expected = whole
    monkeypatch.setattr("deconv_core.audit.measure.RECIPE", "measured 0")
    with monkeypatch.context() as patch:
        patch.setattr("deconv_core.audit.pixels.tones", lambda counts: {"dark": np.full(len(counts), 1.0)})
        run_audit(AuditSettings(str(data)), tmp_path / "job")
    monkeypatch.setattr("deconv_core.audit.measure.RECIPE", "measured of another version")
    (data / "0009.png").unlink()
    run_audit(AuditSettings(str(data)), tmp_path / "job", resume=True)
    found = table_of(tmp_path / "job")
    np.testing.assert_array_equal(found["dark"], expected[expected["image"] != "0009.png"]["dark"])


def test_the_model_part_of_another_recipe_is_done_again(tmp_path, monkeypatch):
    def model_chunk(entries, model, quality, max_side):
        from deconv_core.audit.model import blank_model_row

        return [blank_model_row(item, *rest) | {"low_quality": 10.0 * len(recipe)} for *rest, item in entries]

    def num_rows() -> int:
        return len(read_parts(tmp_path / "job" / "results", MODEL))

    recipe = "a"
    monkeypatch.setattr("deconv_core.audit.model.model_chunk", model_chunk)
    monkeypatch.setattr("deconv_core.audit.run._Run._model_recipe", lambda run: f"model {recipe}")
    data = write_set(tmp_path / "data", 12)
    settings = AuditSettings(str(data), quality="deconv_quality")
    run_audit(settings, tmp_path / "job")
    assert table_of(tmp_path / "job")["low_quality"].tolist() == [10] * 12
    run_audit(settings, tmp_path / "job", resume=True)
    assert num_rows() == 12
    recipe = "anew"
    run_audit(settings, tmp_path / "job", resume=True)
    assert num_rows() == 24
    assert table_of(tmp_path / "job")["low_quality"].tolist() == [40] * 12


@pytest.fixture
def sizing_model(monkeypatch):
    """In place of the model: what it says is the number of bytes."""

    def model_chunk(entries, model, quality, max_side):
        from deconv_core.audit.model import blank_model_row

        return [
            blank_model_row(item, *rest) | {"low_quality": float(len(item.content()) % 1000)} for *rest, item in entries
        ]

    monkeypatch.setattr("deconv_core.audit.model.model_chunk", model_chunk)


def asked_of_model(folder: Path) -> list[str]:
    """The names that the model was asked for, in any run of this folder."""
    return sorted(read_parts(folder / "results", MODEL).column("image").to_pylist())


def test_the_model_s_values_belong_to_the_content_not_to_the_name(tmp_path, sizing_model):
    data = write_set(tmp_path / "data", 6)
    settings = AuditSettings(str(data), quality="deconv_quality")
    run_audit(settings, tmp_path / "job")
    assert asked_of_model(tmp_path / "job") == [f"{number:04d}.png" for number in range(6)]
    (data / "0001.png").write_bytes(b"damaged")
    (data / "0002.png").write_bytes(noise_png(77, 30, 31))
    run_audit(settings, tmp_path / "job", resume=True)
    assert asked_of_model(tmp_path / "job").count("0002.png") == 2
    assert len(asked_of_model(tmp_path / "job")) == 7
    rows = table_of(tmp_path / "job").set_index("image")
    assert np.isnan(rows.loc["0001.png", "low_quality"])
    assert rows.loc["0002.png", "low_quality"] == len(noise_png(77, 30, 31)) % 1000
    assert rows["low_quality"].notna().sum() == 5


def test_the_model_is_not_run_when_none_of_its_checks_is_chosen(tmp_path, sizing_model):
    settings = AuditSettings("samples", checks=("dark",), model="photo_small", quality="deconv_quality")
    summary = run_audit(settings, tmp_path / "job")
    assert (asked_of_model(tmp_path / "job"), summary["readable"]) == ([], len(SAMPLES))
    assert settings.needed() == replace(settings, model="", quality="")
    rebuilt = replace(settings, checks=("reconstruction",))
    assert rebuilt.needed() == replace(rebuilt, quality="")
    assert replace(settings, checks=("low_quality",)).needed().quality == "deconv_quality"
    assert replace(settings, checks=()).needed() == replace(settings, checks=())


def test_progress_is_told_for_each_stage_and_leaves_out_what_was_taken_over(tmp_path, sizing_model, monkeypatch):
    from deconv_core.jobs import JobFolder

    told: list[tuple[str, int, int, int]] = []
    status = JobFolder.status

    def note(job, message=None, done=None, total=None, **more):
        if done is not None:
            told.append((more["stage"], done, total, more["skipped"]))
        status(job, message, done, total, **more)

    monkeypatch.setattr(JobFolder, "status", note)
    data = write_set(tmp_path / "data", 20)
    (data / "0005.png").write_bytes(b"damaged")
    for path in data.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    settings = AuditSettings(str(data), quality="deconv_quality")
    for job, taken_over in (("first", 0), ("second", 19)):
        told.clear()
        summary = run_audit(settings, tmp_path / job)
        assert [entry[1:3] for entry in told if entry[0] == "checks"][-1] == (20, 20)
        assert [entry[1:3] for entry in told if entry[0] == "model"][-1] == (19, 19)
        assert sum(entry[3] for entry in told if entry[0] == "model") == taken_over
        assert summary["measured"] == (20 if job == "first" else 1)  # the damaged one is tried again
    assert json.loads((tmp_path / "first" / "status.json").read_text())["stage"] == "model"


def test_little_is_held_in_memory_and_the_first_pieces_are_small():
    from deconv_core.audit.portions import held, pieces, weight
    from deconv_core.places import Item
    from deconv_core.sources import iterate

    def sizes(items, weigh, first=4, most=64):
        return [len(piece) for piece in pieces(((0, item) for item in items), first, most, weigh)]

    files = [Item("a.png", 3 * 2**20, origin="a.png")] * 200
    assert sizes(files, held) == [4, 8, 16, 32, 64, 64, 12]
    assert sizes(files, weight)[:3] == [3, 3, 3]
    packed = [Item("a.png", 3 * 2**20, origin=bytes(3 * 2**20))] * 9
    assert sizes(packed, held) == [3, 3, 3]
    arrays = [item for _, item in zip(range(3), iterate("samples"), strict=False)]
    assert [held(item) for item in arrays] == [item.origin.nbytes for item in arrays] == list(map(weight, arrays))


def test_an_audit_is_not_finished_before_its_summary(tmp_path, monkeypatch):
    from deconv_core.files import write_json

    def full(path, content):
        if path.name == "summary.json":
            raise DeconvError("summary.json could not be written (No space left on device).")
        write_json(path, content)

    monkeypatch.setattr("deconv_core.audit.run.write_json", full)
    with pytest.raises(DeconvError, match="No space left"):
        run_audit(AuditSettings("samples"), tmp_path / "job")
    assert not AuditTable(tmp_path / "job").finished


def test_a_page_need_not_read_much_of_the_table_for_one_row(tmp_path, monkeypatch):
    from deconv_core.audit.parts import write_table

    sizes = []

    def note(table, path, **options):
        sizes.append(options.get("row_group_size", 2**20))
        write_table(table, path, **options)

    monkeypatch.setattr("deconv_core.audit.run.write_table", note)
    run_audit(AuditSettings("samples", checks=("dark",)), tmp_path / "job")
    assert len(sizes) == 1
    assert sizes[0] <= 2_048


def test_a_folder_with_another_run_is_refused(tmp_path):
    run_audit(AuditSettings("samples"), tmp_path / "job")
    with pytest.raises(DeconvError, match="already holds a run"):
        run_audit(AuditSettings("samples"), tmp_path / "job")
    with pytest.raises(DeconvError, match="Nothing to resume"):
        run_audit(AuditSettings("samples"), tmp_path / "nowhere", resume=True)


def test_the_cache_is_only_ever_a_help(tmp_path, home):
    (home / "data").mkdir(parents=True)
    (home / "data" / "audit-cache.sqlite").write_bytes(b"no data base at all" * 100)
    assert run_audit(AuditSettings("samples"), tmp_path / "job")["readable"] == len(SAMPLES)


@pytest.fixture
def connections(monkeypatch):
    """The connections to SQLite files opened by the cache, and those of them that were closed."""
    opened, closed = [], []

    class Watched(sqlite3.Connection):
        def __init__(self, *arguments, **options):
            opened.append(self)
            super().__init__(*arguments, **options)

        def close(self):
            closed.append(self)
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: connect(*given, **more, factory=Watched))
    return opened, closed


def test_a_file_that_is_no_cache_is_replaced_and_left_open_by_nobody(tmp_path, connections):
    from deconv_core.audit.cache import Cache

    (tmp_path / "cache.sqlite").write_bytes(b"no data base at all" * 100)
    cache = Cache(tmp_path / "cache.sqlite", "recipe", ())
    cache.keep([("a", 1, 1, "x")], {"x": {}})
    assert list(cache.find([("a", 1, 1)])) == [0]
    cache.close()
    opened, closed = connections
    assert len(opened) == 2
    assert set(opened) == set(closed)


def test_a_cache_that_is_busy_or_full_stays_as_it_is(tmp_path, monkeypatch, connections):
    from deconv_core.audit import cache as module

    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.05)
    cache = module.Cache(tmp_path / "cache.sqlite", "recipe", ())
    cache.keep([("a", 1, 1, "x")], {"x": {}})
    cache.close()
    other = sqlite3.connect(tmp_path / "cache.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    without = module.Cache(tmp_path / "cache.sqlite", "recipe", ())
    without.keep([("b", 1, 1, "y")], {"y": {}})
    assert without.find([("a", 1, 1)]) == {}
    without.close()
    other.execute("COMMIT")
    other.close()
    again = module.Cache(tmp_path / "cache.sqlite", "recipe", ())
    assert list(again.find([("a", 1, 1)])) == [0]
    again.close()
    opened, closed = connections
    assert set(opened) == set(closed)


def test_the_cache_stores_again_after_a_lock(tmp_path, monkeypatch):
    from deconv_core.audit import cache as module

    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.05)
    cache = module.Cache(tmp_path / "cache.sqlite", "recipe", ())
    other = sqlite3.connect(tmp_path / "cache.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    cache.keep([("a", 1, 1, "x")], {"x": {}})
    cache.flush()
    other.execute("COMMIT")
    assert cache.find([("a", 1, 1)]) == {}
    cache.keep([("b", 1, 1, "y")], {"y": {}})
    assert list(cache.find([("a", 1, 1), ("b", 1, 1)])) == [1]
    # Bytes that are no text end nothing, neither here nor afterwards.
    cache.keep([("\udcff", 1, 1, "z")], {"z": {}})
    assert cache.find([("\udcff", 1, 1)]) == {}
    cache.keep([("c", 1, 1, "y")], {})
    assert list(cache.find([("c", 1, 1), ("c", 2, 1), ("c", None, 1), ("c", None, 2)])) == [0, 2]
    cache.close()
    other.close()


def test_a_folder_whose_name_is_no_text_is_audited_and_remembered(tmp_path):
    data = write_set(tmp_path / os.fsdecode(b"bytes \xff"), 3)
    for path in data.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert run_audit(AuditSettings(str(data)), tmp_path / "first")["readable"] == 3
    assert run_audit(AuditSettings(str(data)), tmp_path / "second")["reused"] == 3


def test_parts_carry_on_counting_and_a_damaged_one_is_recognised(tmp_path):
    from deconv_core.audit.measure import blank_row
    from deconv_core.places import Item

    for number in range(3):
        writer = PartWriter(tmp_path, MEASURED)
        writer.add([blank_row(Item(f"{number}.png"), number, 0)])
        writer.flush()
    names = [path.name for path in list_parts(tmp_path, MEASURED)]
    assert names == [f"measured-{number:08d}.parquet" for number in range(3)]
    (tmp_path / "parts" / names[1]).write_bytes(b"PAR1")
    assert put_damaged_aside(tmp_path) == [names[1]]
    assert read_parts(tmp_path, MEASURED).column("image").to_pylist() == ["0.png", "2.png"]
    assert PartWriter(tmp_path, MEASURED)._next == 3


def test_rows_gathered_before_an_error_are_written(tmp_path):
    from deconv_core.audit.measure import blank_row
    from deconv_core.places import Item

    with pytest.raises(RuntimeError, match="the end"), PartWriter(tmp_path, MEASURED) as writer:
        for number in range(3):
            writer.add([blank_row(Item(f"{number}.png"), number, 0)])
        raise RuntimeError("the end")
    assert read_parts(tmp_path, MEASURED).column("image").to_pylist() == ["0.png", "1.png", "2.png"]


# In processes


def start(data: Path, out: Path, home: Path, *more: str) -> subprocess.Popen:
    words = [sys.executable, "-m", "deconv_core", "audit", str(data), "--out", str(out), *more]
    environment = {**os.environ, "DECONV_HOME": str(home)}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def await_parts(out: Path, process: subprocess.Popen, count: int) -> None:
    """Wait until there are so many parts, written by a process that is still at work."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None and num_parts(out) < count:
        time.sleep(0.01)
    assert num_parts(out) >= count
    assert process.poll() is None


def num_parts(out: Path) -> int:
    return len(list_parts(out / "results", MEASURED))


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_same_table(tmp_path):
    data = write_set(tmp_path / "data", 2500)
    out, generator = tmp_path / "job", np.random.default_rng(5)
    for _ in range(2):
        before = num_parts(out)
        process = start(data, out, tmp_path / "home", *(["--resume"] if out.exists() else []))
        await_parts(out, process, before + 1)
        time.sleep(generator.uniform(0, 0.3))
        assert process.poll() is None, "it ended before the kill; the set is too small"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (out / "results" / "images.parquet").exists()
    finished = start(data, out, tmp_path / "home", "--resume")
    told = finished.communicate(timeout=120)[0].decode()
    assert finished.returncode == 0, told
    run_audit(AuditSettings(str(data)), tmp_path / "unbroken")
    same(table_of(out), table_of(tmp_path / "unbroken"))


@pytest.mark.slow
def test_a_cluster_of_two_processes_gives_the_same_table_also_when_a_worker_is_killed(tmp_path, monkeypatch):
    from distributed import LocalCluster

    data = write_set(tmp_path / "data", 1200)
    run_audit(AuditSettings(str(data)), tmp_path / "threads")
    shutil.rmtree(tmp_path / "home")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).process.process.pid
        killed = []

        def kill(progress) -> None:
            if not killed:
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

        settings = AuditSettings(str(data), scheduler=cluster.scheduler_address)
        run_audit(settings, tmp_path / "cluster", report=kill)
    assert killed
    same(table_of(tmp_path / "cluster"), table_of(tmp_path / "threads"))


def test_a_scheduler_that_does_not_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("deconv_core.audit.cluster._CONNECT_SECONDS", 0.5)
    with pytest.raises(DeconvError, match="No Dask scheduler answers"):
        run_audit(AuditSettings("samples", scheduler="tcp://127.0.0.1:9"), tmp_path / "job")


def test_a_picture_whose_measuring_fails_is_left_out_alone():
    def work(portion):
        if 13 in portion:
            raise RuntimeError("boom")
        return [{"value": entry} for entry in portion]

    portions = iter([list(range(start, start + 8)) for start in range(0, 40, 8)])
    with connected("", threads=2) as client:
        rows = [
            row
            for some in spread(client, work, portions, failed=lambda entry, reason: {"value": entry, "reason": reason})
            for row in some
        ]
    assert sorted(row["value"] for row in rows) == list(range(40))
    assert [(row["value"], "boom" in row["reason"]) for row in rows if "reason" in row] == [(13, True)]


@pytest.mark.slow
def test_a_picture_that_kills_its_worker_is_left_out_alone():
    import dask
    from distributed import Client, LocalCluster

    def work(portion):
        if 13 in portion:
            os._exit(1)
        return [{"value": entry} for entry in portion]

    portions = iter([list(range(start, start + 8)) for start in range(0, 40, 8)])
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        found = spread(client, work, portions, failed=lambda entry, reason: {"value": entry, "reason": reason})
        rows = [row for some in found for row in some]
    assert sorted(row["value"] for row in rows) == list(range(40))
    left_out = [row for row in rows if "reason" in row]
    assert 13 in [row["value"] for row in left_out]
    assert all("ended the worker" in row["reason"] for row in left_out)
    assert len(left_out) <= 2  # at most the one that was on the same worker at that moment


def test_workers_that_lack_files_or_model_end_the_run_with_one_sentence(tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("deconv_core.audit.run._Run._needs", lambda run: Needs("/not on this machine"))
    data = write_set(tmp_path / "data", 30)
    with LocalCluster(
        n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0", silence_logs=50
    ) as cluster:
        settings = AuditSettings(str(data), scheduler=cluster.scheduler_address)
        with pytest.raises(JobError, match=r"^The Dask worker at tcp://.* does not see '/not on this machine'"):
            run_audit(settings, tmp_path / "job")
    assert not list_parts(tmp_path / "job" / "results", MEASURED)
    with pytest.raises(JobError, match="lacks the model 'nobody'"):
        Needs("", "nobody", "00").check()
    Needs(str(data), "photo_small", read_card("photo_small")["digest"]).check()
    with pytest.raises(JobError, match="has another one of that name"):
        Needs("", "photo_small", "00").check()


def test_a_model_that_was_lacking_may_come_later(tmp_path, home):
    from deconv_core.models.saving import read_card

    card = read_card("photo_small")
    needs = Needs("", "copied", card["digest"])
    with pytest.raises(JobError, match="lacks the model 'copied'"):
        needs.check()
    (home / "models").mkdir(parents=True)
    (home / "models" / "copied.keras").write_bytes(b"")
    (home / "models" / "copied.json").write_text(json.dumps({**card, "name": "copied"}))
    needs.check()


@pytest.mark.parametrize("kind", ["folder", "csv", "tar"])
def test_a_worker_that_cannot_open_files_which_are_here_ends_the_run(tmp_path, monkeypatch, kind):
    from deconv_core.audit import cluster
    from deconv_core.errors import ImageError
    from deconv_core.places import Item
    from tests.test_sources import write_csv, write_tar

    data = write_set(tmp_path / "data", 6)
    files = {path.name: path.read_bytes() for path in data.iterdir()}
    if kind != "folder":
        (tmp_path / "list").mkdir()
    source = {"folder": lambda: data, "csv": lambda: write_csv(tmp_path / "list" / "list.csv", files),
              "tar": lambda: write_tar(tmp_path / "list" / "set.tar", files)}[kind]()  # fmt: skip
    lacking = source if kind == "tar" else (data if kind == "folder" else source.parent) / "0004.png"
    content = Item.content

    def content_there(item):
        if item.file() == str(lacking):
            raise ImageError(f"{item.name} cannot be read (No such file or directory); check the path.")
        return content(item)

    def can_open(file):  # the workers are the other threads
        return file != str(lacking) or threading.current_thread() is threading.main_thread()

    monkeypatch.setattr(Item, "content", content_there)
    monkeypatch.setattr(cluster, "_can_open", can_open)
    monkeypatch.setattr("deconv_core.audit.run.is_local", lambda address: False)
    with pytest.raises(JobError, match=rf"^The Dask worker at .* does not see '.*{lacking.name}'; every worker"):
        run_audit(AuditSettings(str(source), checks=("dark",)), tmp_path / "job")
    assert not any("cannot be read" in reason for reason in _reasons(tmp_path / "job"))
    if kind != "tar":  # what is gone here too is a row like any other
        monkeypatch.setattr(cluster, "_can_open", lambda file: file != str(lacking))
        summary = run_audit(AuditSettings(str(source), checks=("dark",)), tmp_path / "job", resume=True)
        assert (summary["images"], summary["readable"]) == (6, 5)


def _reasons(folder: Path) -> list[str]:
    return read_parts(folder / "results", MEASURED, ["reason"]).column("reason").to_pylist()


def test_work_that_no_worker_can_do_ends_the_run():
    def work(portion):
        raise ModuleNotFoundError("No module named 'deconv_core'")

    with connected("", threads=1) as client, pytest.raises(JobError, match="install the same version"):
        list(spread(client, work, iter([[1, 2]]), failed=lambda entry, reason: {}))


# The command line


def test_the_command_prints_what_it_found_and_resumes(tmp_path, nasty):
    first = start(nasty, tmp_path / "job", tmp_path / "home", "--checks", "exact_duplicate,dark")
    told = first.communicate(timeout=120)[0].decode()
    assert first.returncode == 0, told
    assert "Exact duplicate" in told
    assert "Unreadable or cut short" in told
    names = pq.read_schema(tmp_path / "job" / "results" / "images.parquet").names
    assert "dark" in names
    assert "light" not in names


def test_a_wrong_request_is_told_in_one_line(tmp_path):
    process = start(tmp_path / "nowhere", tmp_path / "job", tmp_path / "home")
    told = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 2
    assert len(told.strip().splitlines()) == 1
    assert "neither a folder" in told


# Reading the results


@pytest.fixture
def audited(tmp_path) -> Path:
    data = write_set(tmp_path / "data", 30)
    for number in range(5):
        shade = np.full((40, 40, 3), 10 + number, np.uint8)
        (data / f"dark {number}.png").write_bytes(encoded(shade))
    run_audit(AuditSettings(str(data)), tmp_path / "job")
    return tmp_path / "job"


def page(table: AuditTable, sort="number", descending=False, filter=None, columns=None) -> pd.DataFrame:
    return table.rows(table.order(table.select(filter), sort, descending), columns)


def test_pages_of_rows_are_sorted_and_filtered(audited):
    table = AuditTable(audited)
    assert (table.count, table.finished, table.count_status()) == (35, True, {"ok": 35})
    dark = page(table, "dark", filter=Filter(flagged=("dark",)), columns=["image", "dark"])
    assert dark["image"].tolist() == [f"dark {n}.png" for n in range(5)]
    assert list(dark) == ["image", "dark"]
    assert page(table, "image", descending=True)["image"].iloc[0] == "dark 4.png"
    assert page(table, filter=Filter(text="DARK"))["image"].tolist() == [f"dark {n}.png" for n in range(5)]
    assert table.row("dark 2.png")["issues"][0] in CHECKS
    assert len(page(table, filter=Filter(images=frozenset({"0001.png"})))) == 1
    with pytest.raises(DeconvError, match="holds no picture named 'nobody'"):
        table.row("nobody")
    with pytest.raises(DeconvError, match="cannot be sorted by 'reason'"):
        page(table, "reason")


def test_rows_without_a_value_come_last_whatever_the_direction(audited):
    table = AuditTable(audited)
    for descending in (False, True):
        values = page(table, "noisy", descending)["noisy"].to_numpy()
        known = values[~np.isnan(values)]
        assert np.isnan(values[len(known) :]).all()
        assert (np.sort(known)[:: -1 if descending else 1] == known).all()


def test_thresholds_are_applied_without_measuring_again(audited):
    table = AuditTable(audited)
    assert table.counts()["dark"] == 5
    assert table.counts({"dark": 12})["dark"] == 2
    limit = table.threshold_at("dark", 10)
    assert table.share_flagged("dark", limit) == pytest.approx(10, abs=3)
    counts, edges = table.histogram("dark", bins=8)
    assert (counts.sum(), len(edges)) == (35, 9)
    passes = table.select(Filter(passed=True))
    flagged = table.select(Filter(passed=False))
    assert sorted([*passes, *flagged]) == list(range(35))


def test_parts_of_an_audit_at_work_can_be_read(audited):
    (audited / "results" / "images.parquet").rename(audited / "results" / "elsewhere")
    table = AuditTable(audited)
    assert not table.finished
    assert table.counts()["dark"] == 5
    assert table.row("dark 2.png")["status"] == "ok"
    assert AuditTable.stamp(audited) == (len(list_parts(audited / "results", MEASURED)), 0)


def test_a_folder_without_an_audit_is_told(tmp_path):
    with pytest.raises(DeconvError, match="holds no audit"):
        AuditTable(tmp_path)


def test_the_table_of_checks_finds_its_row():
    assert check("dark").label == "Dark"
    with pytest.raises(DeconvError, match="There is no check 'darkness'"):
        check("darkness")
