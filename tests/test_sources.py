"""Sources: every kind gives the same named pictures; broken ones are told; links and roots are respected."""

import contextlib
import csv
import io
import os
import pickle
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from deconv_core import sources
from deconv_core.archives import Limits
from deconv_core.errors import DeconvError, ImageError
from deconv_core.picture_set import read_pictures
from deconv_core.places import reopen
from deconv_core.sources import count, iterate, list_files
from deconv_core.survey import survey


def png(seed=0, height=8, width=12, channels=3) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


SET = {"a.png": png(1), "b/c.png": png(2, 20, 10), "b/d.png": png(3, channels=1)}


def write_folder(path: Path, files=SET) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path: Path, files=SET) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files=SET) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_csv(path: Path, files=SET) -> Path:
    write_folder(path.parent, files)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("score", "Image"), *((number, name) for number, name in enumerate(files))])
    return path


def write_parquet(path: Path, files=SET) -> Path:
    rows = [{"bytes": data, "path": name} for name, data in files.items()]
    table = pa.table({"label": list(range(len(rows))), "image": rows})
    parquet.write_table(table, path, row_group_size=2)
    return path


def write_npz(path: Path) -> Path:
    pixels = np.random.default_rng(4).integers(0, 256, (6, 5, 4, 3), np.uint8)
    np.savez_compressed(path, x_train=pixels[:4], x_test=pixels[4:])
    return path


KINDS = {
    "folder": lambda path: write_folder(path / "set"),
    "zip": lambda path: write_zip(path / "set.zip"),
    "tar": lambda path: write_tar(path / "set.tar"),
    "tar.gz": lambda path: write_tar(path / "set.tar.gz"),
    "csv": lambda path: write_csv(path / "list.csv"),
    "parquet": lambda path: write_parquet(path / "set.parquet"),
    "folder of tars": lambda path: write_tar(write_folder(path / "set", {"README.md": b""}) / "shard.tar").parent,
}


@pytest.fixture(params=KINDS)
def source(request, tmp_path) -> Path:
    return KINDS[request.param](tmp_path)


def names(source, **options):
    return [item.name for item in iterate(source, **options)]


def reasons(source, **options):
    """name -> reason of all that cannot be read."""
    told = {}
    for item in iterate(source, **options):
        try:
            item.read()
        except ImageError as error:
            told[item.name] = str(error)
    return told


def test_every_kind_gives_the_same_pictures_with_their_names(source):
    items = list(iterate(source))
    assert [item.name.removeprefix("shard.tar/") for item in items] == list(SET)
    for item, data in zip(items, SET.values(), strict=True):
        assert item.content() == data
        assert item.size == len(data)
        assert not item.held_out
    picture = items[1].read(channels=1)
    assert picture.pixels.shape == (20, 10, 1)
    assert picture.name == "c.png"
    assert picture.digest == items[1].digest()


def test_items_can_be_sent_to_another_process(source):
    items = pickle.loads(pickle.dumps(list(iterate(source))))
    assert [item.content() for item in items] == list(SET.values())


def test_include_is_held_against_the_name_with_and_without_its_folder(tmp_path):
    folder = write_folder(tmp_path / "set")
    assert names(folder, include="?.png") == ["a.png", "b/c.png", "b/d.png"]
    assert names(folder, include="b/*") == ["b/c.png", "b/d.png"]
    assert names(folder, include="C*") == []


def test_a_single_picture_is_a_source(tmp_path):
    write_folder(tmp_path)
    assert names(tmp_path / "b" / "c.png") == ["c.png"]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "csv", "parquet"])
def test_a_broken_picture_is_told_and_the_others_are_read(tmp_path, kind):
    broken = {"a.png": png(1), "empty.png": b"", "half.png": png(2)[:60], "text.jpg": b"text", "z.png": png(3)}
    writers = {"folder": write_folder, "zip": write_zip, "csv": write_csv, "parquet": write_parquet}
    place = tmp_path / ("set" if kind == "folder" else f"set.{kind}")
    path = writers.get(kind, write_tar)(place, broken)
    told = reasons(path)
    assert set(told) == {"empty.png", "half.png", "text.jpg"}
    found = read_pictures(path, channels=3)
    assert found.names == ["a.png", "z.png"]
    assert [name for name, _ in found.rejected] == ["empty.png", "half.png", "text.jpg"]


@pytest.mark.parametrize("name", ["nowhere", "set.xyz", "a\0b"])
def test_what_is_no_source_is_refused_at_once(tmp_path, name):
    (tmp_path / "set.xyz").write_bytes(b"")
    with pytest.raises((DeconvError, ValueError), match=r"is neither a folder|is of no known kind|null"):
        iterate(f"{tmp_path}/{name}")


# Folders


def test_a_folder_is_walked_in_the_order_of_its_names(tmp_path):
    files = dict.fromkeys(("b.png", "a/z.png", "a/b/x.png", "B.PNG", "a.png", "c/1.jpeg", "10.png", "9.png"), b"")
    folder = write_folder(tmp_path, files)
    assert names(folder) == ["10.png", "9.png", "B.PNG", "a/b/x.png", "a/z.png", "a.png", "b.png", "c/1.jpeg"]


def test_odd_files_in_a_folder_are_told_and_never_waited_for(tmp_path):
    write_folder(tmp_path, {"good.png": png(), "._good.png": b"attributes", "note.txt": b""})
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none.png")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    assert set(reasons(tmp_path)) == {"pipe.png", "dangling.png", "circle.png"}
    assert survey(tmp_path).count == 1


def test_links_out_of_a_folder_are_refused_and_links_within_are_followed(tmp_path, monkeypatch):
    monkeypatch.delenv("DECONV_DATA_ROOTS", raising=False)
    outside = write_folder(tmp_path / "outside", {"secret.png": png(9)})
    folder = write_folder(tmp_path / "set")
    (folder / "file.png").symlink_to(outside / "secret.png")
    (folder / "link").symlink_to(outside)
    (folder / "same.png").symlink_to("a.png")
    (folder / "round").symlink_to("b")
    assert names(folder) == ["a.png", "b/c.png", "b/d.png", "file.png", "link", "same.png"]
    told = reasons(folder)
    assert set(told) == {"file.png", "link"}
    assert all("leads out of the folder" in reason for reason in told.values())
    assert set(reasons(folder, allowed_roots=[folder])) == {"file.png", "link"}
    # Where the place it leads to may be opened too, the file is read; folders are reached by their own name alone.
    assert reasons(folder, allowed_roots=[tmp_path]) == {}
    monkeypatch.setenv("DECONV_DATA_ROOTS", str(outside))
    assert reasons(folder) == {}


def test_names_of_files_are_data(tmp_path):
    odd = ["new\nline.png", "quo'te\".png", "<b>.png", "=1+1.png", "图.png", " .png", "-rf.png"]
    write_folder(tmp_path, {name: png() for name in odd})
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(png())
    assert sorted(names(tmp_path)) == sorted([*odd, "\\xff.png"])
    assert survey(tmp_path).count == len(odd) + 1
    for name in names(tmp_path):
        name.encode()


def test_a_deep_folder_does_not_end_in_a_recursion_error(tmp_path):
    place = tmp_path
    while len(str(place)) < 3900:
        place = place / "d"
        place.mkdir()
    (place / "x.png").write_bytes(png())
    try:
        assert len(names(tmp_path)) == 1
    finally:  # from the inside out: what clears temporary folders goes down recursively and would fail here
        (place / "x.png").unlink()
        while place != tmp_path:
            place.rmdir()
            place = place.parent


def test_a_file_beyond_the_limit_is_told(tmp_path):
    write_folder(tmp_path)
    told = reasons(tmp_path, limits=Limits(file_bytes=len(SET["b/d.png"])))
    assert set(told) == {"a.png", "b/c.png"}
    assert "allowed for one file" in told["a.png"]


# CSV


def test_a_csv_tells_rows_without_a_picture_and_doubled_ones(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "list.csv").write_text("\ufefffile_name,x\na.png,1\n,2\nb/c.png,3\na.png,4\nnone.png,5\n")
    told = reasons(tmp_path / "list.csv")
    assert list(told) == ["list.csv, line 3", "a.png (2)", "none.png"]
    assert names(tmp_path / "list.csv")[0] == "a.png"


def test_a_csv_from_a_page_opens_nothing_outside_the_roots(tmp_path):
    outside = write_folder(tmp_path / "outside", {"secret.png": png()})
    folder = write_folder(tmp_path / "set")
    (folder / "link.png").symlink_to(outside / "secret.png")
    rows = ["image", "a.png", "../outside/secret.png", str(outside / "secret.png"), "link.png", "/etc/passwd"]
    (folder / "list.csv").write_text("\n".join(rows))
    told = reasons(folder / "list.csv", allowed_roots=[folder])
    assert list(told) == rows[2:]
    assert all("outside the folders that may be opened" in reason for reason in told.values())
    assert set(reasons(folder / "list.csv")) == {"/etc/passwd"}  # the shell may


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"a,b\n1,2\n", "has the columns a, b; expected one named image"),
        (b"", r"has the columns \(none\)"),
        (b"image\n\xff\xfe\n", "it is not UTF-8"),
        (b'image\n"' + b"x" * 200_000, "not a readable CSV"),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, content, match):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DeconvError, match=match):
        names(tmp_path / "list.csv")


# Parquet


def test_parquet_with_a_binary_column_and_names_beside(tmp_path):
    table = pa.table({"key": ["x.png", "x.png", None], "img": [png(1), png(2), None]})
    parquet.write_table(table, tmp_path / "set.parquet")
    items = list(iterate(tmp_path / "set.parquet"))
    assert [item.name for item in items] == ["x.png", "x.png [1]", "img[2]"]
    assert items[1].content() == png(2)
    assert "holds no picture" in reasons(tmp_path / "set.parquet")["img[2]"]


def test_parquet_that_names_files_opens_those_beside_it_alone(tmp_path):
    write_folder(tmp_path / "set")
    write_folder(tmp_path, {"secret.png": png()})
    rows = [{"bytes": None, "path": name} for name in ("a.png", "../secret.png")]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    parquet.write_table(pa.table({"image": pa.array(rows, kind)}), tmp_path / "set" / "set.parquet")
    told = reasons(tmp_path / "set" / "set.parquet", allowed_roots=[tmp_path / "set"])
    assert list(told) == ["../secret.png"]


def test_parquet_is_read_in_pieces(tmp_path):
    data = np.random.default_rng(0).bytes(100_000)
    with parquet.ParquetWriter(tmp_path / "set.parquet", pa.schema([("image", pa.binary())])) as writer:
        for _ in range(20):
            writer.write_table(pa.table({"image": [data] * 20}), row_group_size=20)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    most = 0
    for item in iterate(tmp_path / "set.parquet"):
        item.digest()
        most = max(most, pa.total_allocated_bytes() - before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "set.parquet").stat().st_size > 1_000_000
    assert peak + most < 12_000_000  # of 40 MB unpacked


def test_parquet_that_cannot_be_used_is_refused_in_one_sentence(tmp_path):
    parquet.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "set.parquet")
    with pytest.raises(DeconvError, match="has the columns a, b; expected one with image bytes"):
        names(tmp_path / "set.parquet")
    data = write_parquet(tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(DeconvError, match="is not a readable Parquet file"):
        names(tmp_path / "cut.parquet")


# NumPy


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("shape", [(5, 8, 6), (5, 8, 6, 1), (5, 8, 6, 3)])
def test_npz_gives_train_and_then_test_pictures(tmp_path, save, shape):
    arrays = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    save(tmp_path / "set.npz", x_train=arrays[0], x_test=arrays[1], y_train=np.arange(5))
    items = list(iterate(tmp_path / "set.npz"))
    assert [item.name for item in items] == [f"x_{key}[{n}]" for key in ("train", "test") for n in range(5)]
    assert [item.held_out for item in items] == [False] * 5 + [True] * 5
    channels = 3 if shape[-1] == 3 else 1
    found = read_pictures(tmp_path / "set.npz", channels=channels)
    np.testing.assert_array_equal(found.pictures, arrays[0].reshape(5, 8, 6, channels))
    np.testing.assert_array_equal(found.held_out, arrays[1].reshape(5, 8, 6, channels))
    np.testing.assert_array_equal(items[0].read().pixels, arrays[0, 0].reshape(8, 6, channels) / np.float32(255))
    other = 4 - channels
    assert {picture.shape for picture in read_pictures(tmp_path / "set.npz", channels=other).pictures} == {
        (8, 6, other)
    }


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"images": np.zeros((2, 4, 4), np.uint8)}, "holds images; expected an array named x_train"),
        ({"x_train": np.zeros((2, 4, 4))}, "holds float64 arrays"),
        ({"x_train": np.zeros((2, 4, 4, 2), np.uint8)}, "of shape"),
        ({"x_train": np.asfortranarray(np.zeros((2, 4, 4), np.uint8))}, "in Fortran order"),
        ({"x_train": np.array([{}], object)}, "holds object arrays"),
        ({"x_train": np.zeros((2, 0, 4), np.uint8)}, "more than it holds"),
    ],
)
def test_npz_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, arrays, match):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DeconvError, match=match):
        names(tmp_path / "set.npz")


def test_npz_that_states_more_than_it_holds_does_not_fill_memory(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**10, 2**10)}
    )
    write_zip(tmp_path / "lie.npz", {"x_train.npy": buffer.getvalue() + bytes(1000)})
    with pytest.raises(DeconvError, match="which is more than it holds"):
        names(tmp_path / "lie.npz")
    for content in (b"", b"no zip", b"\x93NUMPY"):
        (tmp_path / "no.npz").write_bytes(content)
        with pytest.raises(DeconvError, match=r"not a readable \.npz"):
            names(tmp_path / "no.npz")
        write_zip(tmp_path / "odd.npz", {"x_train.npy": content})
        with pytest.raises(DeconvError, match=r"not a readable \.npz"):
            names(tmp_path / "odd.npz")


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    def peak(count):
        path = write_zip(tmp_path / f"{count}.zip", {f"{number}.png": png(number, 4, 4) for number in range(count)})
        list(iterate(path))
        tracemalloc.start()
        for item in iterate(path):
            item.read()
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    small, large = peak(300), peak(1500)
    assert large - small < 1200 * 1500  # an entry of the list of contents for each, but no picture


# Counting


@pytest.mark.parametrize("kind", [*KINDS, "folder of parquets", "npz"])
def test_pictures_are_counted_without_reading_them(tmp_path, monkeypatch, kind):
    if kind == "npz":
        source = write_npz(tmp_path / "set.npz")
    elif kind == "folder of parquets":
        source = tmp_path / "set"
        source.mkdir()
        for number in range(2):
            write_parquet(source / f"{number}.parquet")
    else:
        source = KINDS[kind](tmp_path)
    expected = len(list(iterate(source)))
    matching = len(list(iterate(source, include="*d*.png")))

    def refuse(*_, **__):
        raise AssertionError("it was read")

    for place, name in ((sources, "_file_item"), (sources, "_parquet_items"), (sources, "_npy_pictures")):
        monkeypatch.setattr(place, name, refuse)
    monkeypatch.setattr(zipfile.ZipFile, "infolist", refuse if kind == "zip" else zipfile.ZipFile.infolist)
    packed = kind == "tar.gz"  # nothing tells what is in it but unpacking
    assert count(source) == (None if packed else expected)
    unnamed = packed or "parquet" in kind or kind == "npz"
    assert count(source, include="*d*.png") == (None if unnamed else matching)


def test_what_cannot_be_counted_is_not_counted(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no zip")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    (tmp_path / "a.csv").write_bytes(b"a,b\n")
    for source in ("a.zip", "a.parquet", "a.csv", "nothing", "."):
        assert count(tmp_path / source) is None, source
    assert count("s3://bucket") is None
    assert count(tmp_path, allowed_roots=[]) is None
    assert count("samples") == len(list(iterate("samples")))


# Damaged shards


@pytest.mark.parametrize("include", ["*", "*.png"])
def test_a_damaged_shard_is_one_refused_item_among_those_of_the_others(tmp_path, include):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "1.parquet").write_bytes(b"PAR1 and no more")
    (folder / "2.npz").write_bytes(b"")
    (folder / "3.tar").write_bytes(b"x" * 2000)
    write_tar(folder / "4.tar.gz")
    (folder / "4.tar.gz").write_bytes((folder / "4.tar.gz").read_bytes()[:40])
    write_parquet(folder / "5.parquet")
    items = list(iterate(folder, include=include))
    refused = {item.name: item.refused for item in items if item.refused}
    assert set(refused) == {"1.parquet", "2.npz", "3.tar", "4.tar.gz"}
    assert "is not a readable Parquet file" in refused["1.parquet"]
    assert [item.name for item in items if not item.refused] == [f"5.parquet/{name}" for name in SET]
    assert [item.place() for item in items if item.refused] == [""] * 4
    found = read_pictures(folder, channels=3)
    assert (len(found.pictures), len(found.rejected)) == (3, 4)


def damaged(data: bytes, place: float) -> bytes:
    """The same number of bytes, a stretch of them changed."""
    start = int(len(data) * place)
    return data[:start] + bytes(255 - value for value in data[start : start + 40]) + data[start + 40 :]


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
@pytest.mark.parametrize("kind", ["set.npz", "set.parquet", "set.zip", "set.tar", "set.tar.gz"])
def test_damage_anywhere_in_a_shard_is_told_and_ends_nothing_else(tmp_path, kind, place):
    folder = tmp_path / "shards"
    folder.mkdir()
    write = {"npz": write_npz, "parquet": write_parquet, "zip": write_zip, "tar": write_tar, "gz": write_tar}
    shard = write[kind.rpartition(".")[2]](folder / kind)
    write_parquet(folder / "z.parquet")
    shard.write_bytes(damaged(shard.read_bytes(), place))
    items = list(iterate(folder))
    assert [item.name for item in items if item.name.startswith("z")] == [f"z.parquet/{name}" for name in SET]
    for item in items:
        with contextlib.suppress(ImageError):
            item.read()
    with contextlib.suppress(DeconvError):
        list(iterate(shard))
    assert isinstance(count(shard), int | None)
    assert isinstance(count(folder), int | None)


def test_a_packed_array_whose_stream_is_damaged_is_told(tmp_path):
    source = write_npz(tmp_path / "set.npz")
    items = list(iterate(source))
    source.write_bytes(damaged(source.read_bytes(), 0.2))
    with pytest.raises(DeconvError, match=r"set\.npz' is not a readable \.npz file"):
        list(iterate(source))
    with pytest.raises(ImageError, match=r"set\.npz has changed since"):
        reopen(items[3].place(), "x").content()


@pytest.mark.parametrize("kind", ["beside", "inside"])
def test_names_in_parquet_that_are_no_text_are_written_out(tmp_path, kind):
    bad = pa.StringArray.from_buffers(2, pa.array([0, 5, 10], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff.jpb.png"))
    pictures = pa.array([png(1), png(2)], pa.binary())
    if kind == "beside":
        table = pa.table({"image": pictures, "name": bad})
    else:
        table = pa.table({"image": pa.StructArray.from_arrays([pictures, bad], ["bytes", "path"])})
    parquet.write_table(table, tmp_path / "set.parquet")
    items = list(iterate(tmp_path / "set.parquet"))
    assert [item.name for item in items] == ["a\\xff.jp", "b.png"]
    assert [reopen(item.place(), item.name).content() for item in items] == [png(1), png(2)]


def test_counting_raises_nothing_whatever_a_reader_meets(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise zlib.error("Error -3 while decompressing data")

    source = write_npz(tmp_path / "set.npz")
    monkeypatch.setattr(sources, "npy_shape", fail)
    assert count(source) is None


# Files on disk


def test_list_files_gives_paths_of_folders_lists_and_single_files(tmp_path):
    folder = write_folder(tmp_path / "set")
    assert list_files(folder) == [folder / name for name in SET]
    assert list_files(folder, include="a*") == [folder / "a.png"]
    assert list_files(write_csv(tmp_path / "list.csv")) == [tmp_path / name for name in SET]
    assert list_files(folder / "a.png") == [folder / "a.png"]
    with pytest.raises(DeconvError, match="holds no picture named like 'x'"):
        list_files(folder, include="x")
    with pytest.raises(DeconvError, match="is neither a folder nor a file"):
        list_files(tmp_path / "none")


def test_fsspec_is_imported_only_for_addresses(tmp_path):
    import subprocess

    write_folder(tmp_path)
    code = (
        "import sys\nfrom deconv_core.survey import survey\nprint(survey(sys.argv[1]).count)\n"
        "print([name for name in ('fsspec', 'pyarrow', 'tensorflow', 'keras', 'streamlit') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(sources.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split("\n")[:2] == ["3", "[]"]
