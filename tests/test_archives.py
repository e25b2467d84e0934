"""Archives: what is read, what is refused and why, and the crafted ones that must not fill memory."""

import gzip
import io
import pickle
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from deconv_core.archives import Limits, clean_name, list_members
from deconv_core.errors import DeconvError, ImageError

NASTY_NAMES = [
    "new\nline.png",
    "quo'te\".png",
    "<b>bold</b>.png",
    "=1+1.png",
    "图.png",
    "naïve é.png",
    " .png",
]


def make_zip(path, entries, **options):
    with zipfile.ZipFile(path, "w", **{"compression": zipfile.ZIP_DEFLATED, **options}) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def make_tar(path, entries, mode="w", format=tarfile.PAX_FORMAT):
    with tarfile.open(path, mode, format=format) as archive:
        for entry, data in entries:
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry)
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return path


def read_all(path, **options):
    """name -> bytes, or the reason as text."""
    found = {}
    for member in list_members(path, **options):
        try:
            found[member.name] = member.read()
        except ImageError as error:
            found[member.name] = str(error)
    return found


def noise(size, seed=0):
    return np.random.default_rng(seed).bytes(size)


@pytest.fixture(params=["zip", "stored zip", "zip64", "tar", "old tar", "tar.gz"])
def pack(request, tmp_path):
    """Pack entries in one of the ways that packers know."""

    def make(entries):
        kind = request.param
        if kind == "zip64":
            path = tmp_path / "set.zip"
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in entries:
                    with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                        file.write(data)
            return path
        if "zip" in kind:
            method = zipfile.ZIP_STORED if "stored" in kind else zipfile.ZIP_DEFLATED
            return make_zip(tmp_path / "set.zip", entries, compression=method)
        if kind == "tar.gz":
            return make_tar(tmp_path / "set.tar.gz", entries, "w:gz")
        return make_tar(tmp_path / "set.tar", entries, format=tarfile.GNU_FORMAT if "old" in kind else 1)

    return make


def test_members_are_read_in_order_whatever_the_packing(pack):
    entries = [(f"folder/{number}.png", noise(10 + 7000 * number, number)) for number in (3, 1, 2, 0)]
    found = read_all(pack([*entries, ("empty.png", b"")]))
    assert list(found.items()) == [*entries, ("empty.png", b"")]


def test_names_are_data(pack):
    assert list(read_all(pack([(name, b"x") for name in NASTY_NAMES]))) == NASTY_NAMES


def test_long_names_are_read_up_to_a_limit(pack):
    long = "d/" * 400 + "é" * 200 + ".png"
    found = read_all(pack([(long, b"one"), ("x" * 1100 + ".png", b"two")]))
    assert found.pop(long) == b"one"
    (reason,) = found.values()
    assert "has a name of 1104 characters; at most 1024" in reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd.png", "absolute"),
        ("\\windows\\x.png", "absolute"),
        ("C:/x.png", "absolute"),
        ("C:\\x.png", "absolute"),
        ("../x.png", "leads out"),
        ("a/../../x.png", "leads out"),
        ("a/..\\..\\x.png", "leads out"),
        ("inner.zip", "archive inside an archive"),
        ("inner.tar.gz", "archive inside an archive"),
    ],
)
def test_dangerous_names_are_refused_one_by_one(pack, name, reason):
    found = read_all(pack([("good.png", b"good"), (name, b"bad"), ("last.png", b"last")]))
    assert (found.pop("good.png"), found.pop("last.png")) == (b"good", b"last")
    (told,) = found.values()
    assert reason in told


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile warns when such an archive is made
def test_of_two_members_with_one_name_the_first_is_read(pack):
    found = read_all(pack([("a/b.png", b"first"), ("a/./b.png", b"second"), ("a//b.png", b"third")]))
    assert found["a/b.png"] == b"first"
    assert "more than once" in found["a/b.png (2)"]
    assert "more than once" in found["a/b.png (3)"]


def test_unwanted_members_and_the_attributes_of_macos_are_passed_over(pack):
    path = pack([("a.png", b"a"), ("a.txt", b"label"), ("__MACOSX/._a.png", b"m"), ("b/._b.png", b"m")])
    assert list(read_all(path, wanted=lambda name: name.endswith(".png"))) == ["a.png"]


def test_members_can_be_sent_to_another_process(pack):
    members = list(list_members(pack([("a.png", b"content")])))
    assert [member.read() for member in pickle.loads(pickle.dumps(members))] == [b"content"]


def test_too_many_files_are_refused(pack):
    path = pack([(f"{number}.png", b"") for number in range(21)])
    assert len(read_all(path, limits=Limits(files=21))) == 21
    with pytest.raises(DeconvError, match="holds more than 20 files"):
        read_all(path, limits=Limits(files=20))


def test_a_file_that_is_too_large_is_refused_and_the_others_are_read(pack):
    found = read_all(pack([("a.png", noise(1000)), ("b.png", noise(10))]), limits=Limits(file_bytes=999))
    assert "a.png has 1000 bytes, more than the 999 bytes allowed for one file" in found["a.png"]
    assert found["b.png"] == noise(10)


def test_too_many_bytes_in_all_are_refused(pack):
    path = pack([(f"{number}.png", noise(1000, number)) for number in range(10)])
    with pytest.raises(DeconvError, match="unpacks to more than"):
        read_all(path, limits=Limits(total_bytes=9_999))


def test_flat_pictures_that_shrink_a_thousandfold_are_fine(pack):
    assert read_all(pack([("flat.bmp", bytes(2**20))])) == {"flat.bmp": bytes(2**20)}


# Zip


def test_a_zip_that_unpacks_to_far_more_than_it_holds_is_refused(tmp_path):
    path = make_zip(tmp_path / "bomb.zip", [("bomb.png", bytes(40 * 2**20))])
    assert path.stat().st_size < 50_000
    with pytest.raises(DeconvError, match="made to fill memory"):
        read_all(path)


def test_one_member_that_unpacks_to_far_more_is_refused_among_good_ones(tmp_path):
    path = make_zip(tmp_path / "mixed.zip", [("bomb.png", bytes(40 * 2**20)), ("good.png", noise(500_000))])
    found = read_all(path)
    assert found["good.png"] == noise(500_000)
    assert "times its packed size" in found["bomb.png"]


def overlapping_zip(path, count=1000):
    """Many entries in the list of contents that all mean the same packed bytes."""
    content = bytes(100_000)
    data = zlib.compress(content, 9, -15)
    about = (20, 0, 8, 0, 33, zlib.crc32(content), len(data), len(content))
    body = struct.pack("<4s5H3L2H", b"PK\3\4", *about, 1, 0) + b"a" + data
    entries = []
    for number in range(count):
        name = f"{number}.png".encode()
        entries += struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, *about, len(name), *[0] * 6), name
    directory = b"".join(entries)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
    return path


def test_members_that_share_bytes_are_refused(tmp_path):
    assert read_all(overlapping_zip(tmp_path / "one.zip", 1)) == {"0.png": bytes(100_000)}
    with pytest.raises(DeconvError, match="share the same bytes"):
        read_all(overlapping_zip(tmp_path / "many.zip"))


def test_a_list_of_contents_is_counted_before_it_is_held(tmp_path):
    path = overlapping_zip(tmp_path / "long.zip", 60_000)
    tracemalloc.start()
    with pytest.raises(DeconvError, match="holds more than 1000 files"):
        read_all(path, limits=Limits(files=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * path.stat().st_size  # an object for each of them would take ten times this


def patched(path, name, offset, value):
    """Change a 4-byte field, given by its place in a local header and in the list of contents."""
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\3\4", offset), (b"PK\1\2", offset + 2)):
        start = data.index(signature)
        data[start + place : start + place + 4] = struct.pack("<L", value)
    other = path.with_name(name)
    other.write_bytes(data)
    return other


CRC, PACKED, UNPACKED = 14, 18, 22


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (UNPACKED, 10, "stated size is wrong"),
        (UNPACKED, 5_000, "stated size is wrong"),
        (CRC, 1, "checksum is wrong"),
        (PACKED, 20, "stated size is wrong"),
    ],
)
def test_headers_that_lie_are_found_out(tmp_path, field, value, reason):
    path = make_zip(tmp_path / "true.zip", [("a.png", b"0123456789" * 400), ("b.png", b"good")])
    found = read_all(patched(path, "lie.zip", field, value))
    assert reason in found["a.png"]
    assert found["b.png"] == b"good"


def test_a_stated_size_bounds_what_unpacking_costs(tmp_path):
    path = make_zip(tmp_path / "true.zip", [("a.png", bytes(15 * 2**20)), ("b.png", noise(2**18))])
    (member, _) = list_members(patched(path, "lie.zip", UNPACKED, 100))
    tracemalloc.start()
    with pytest.raises(ImageError, match="stated size is wrong"):
        member.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_links_devices_passwords_and_rare_methods_are_refused_in_a_zip(tmp_path):
    link, device = zipfile.ZipInfo("link.png"), zipfile.ZipInfo("device.png")
    link.external_attr, device.external_attr = 0o120777 << 16, 0o060666 << 16
    path = make_zip(tmp_path / "set.zip", [(link, b"/etc/passwd"), (device, b""), ("good.png", b"good")])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("rare.png", b"rare")
    found = read_all(path)
    assert "is a link, not a file" in found["link.png"]
    assert "is a device, not a file" in found["device.png"]
    assert "packed by method 14" in found["rare.png"]
    assert found["good.png"] == b"good"
    data = bytearray(make_zip(tmp_path / "secret.zip", [("a.png", b"a")]).read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(data)
    assert "is encrypted" in read_all(tmp_path / "secret.zip")["a.png"]


@pytest.mark.parametrize("length", [0, 1, 21, 22, 100, 3000])
def test_a_zip_cut_short_is_refused_in_one_sentence(tmp_path, length):
    data = make_zip(tmp_path / "whole.zip", [("a.png", noise(4000))]).read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[:length])
    with pytest.raises(DeconvError, match=r"'cut.zip' is not a readable .zip file \(.*\); pack it again"):
        read_all(tmp_path / "cut.zip")


def test_a_zip_damaged_at_random_places_never_ends_in_another_error(tmp_path):
    rng = np.random.default_rng(0)
    data = make_zip(tmp_path / "whole.zip", [(f"{n}.png", noise(60, n)) for n in range(4)]).read_bytes()
    refused = 0
    for _ in range(600):
        damaged = bytearray(data)
        for place in rng.integers(len(data), size=3):
            damaged[place] = rng.integers(256)
        path = tmp_path / "damaged.zip"
        path.write_bytes(damaged)
        try:
            read_all(path)
        except DeconvError:
            refused += 1
    assert 0 < refused < 600


def test_a_program_before_the_zip_does_no_harm(tmp_path):
    data = make_zip(tmp_path / "plain.zip", [("a.png", b"content")]).read_bytes()
    (tmp_path / "program.zip").write_bytes(b"#!/bin/sh\n" * 50 + data)
    assert read_all(tmp_path / "program.zip") == {"a.png": b"content"}


# Tar


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_devices_and_pipes_are_refused_in_a_tar(tmp_path, mode):
    entries = [
        (special("soft.png", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (special("hard.png", tarfile.LNKTYPE, "good.png"), b""),
        (special("disk.png", tarfile.BLKTYPE), b""),
        (special("zero.png", tarfile.CHRTYPE), b""),
        (special("pipe.png", tarfile.FIFOTYPE), b""),
        (special("folder", tarfile.DIRTYPE), b""),
        ("good.png", b"good"),
    ]
    found = read_all(make_tar(tmp_path / "set.tar", entries, mode))
    assert found.pop("good.png") == b"good"
    assert all("not a plain file" in reason for reason in found.values())
    assert list(found) == ["soft.png", "hard.png", "disk.png", "zero.png", "pipe.png"]


def test_a_sparse_file_that_states_a_terabyte_is_refused(tmp_path):
    entry = tarfile.TarInfo("sparse.png")
    entry.pax_headers = {"GNU.sparse.size": str(2**40), "GNU.sparse.numblocks": "0", "GNU.sparse.map": "0,0"}
    found = read_all(make_tar(tmp_path / "set.tar", [(entry, b""), ("good.png", b"good")]))
    assert found.pop("good.png") == b"good"
    assert len(found) == 1
    assert all("not a plain file" in reason for reason in found.values())


def test_a_packed_tar_of_zeros_is_refused_before_it_is_unpacked(tmp_path):
    entry = tarfile.TarInfo("zeros.txt")
    entry.size = 2**30
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as file:
        file.write(entry.tobuf())
        for _ in range(100):
            file.write(bytes(2**20))
    began = time.perf_counter()
    with pytest.raises(DeconvError, match="made to fill memory"):
        read_all(tmp_path / "bomb.tar.gz", wanted=lambda name: name.endswith(".png"))
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_that_claims_a_gigabyte_of_name_is_not_read(tmp_path, kind):
    head = special("long", kind)
    head.size = 2**30
    with gzip.open(tmp_path / "name.tar.gz", "wb") as file:
        file.write(head.tobuf())
        file.write(b"a" * 2**24)
    tracemalloc.start()
    with pytest.raises(DeconvError, match="impossible length"):
        read_all(tmp_path / "name.tar.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_headers_within_headers_without_end_are_refused(tmp_path):
    head = special("long", tarfile.GNUTYPE_LONGNAME)
    head.size = 10
    (tmp_path / "deep.tar").write_bytes((head.tobuf() + b"x".ljust(512, b"\0")) * 5000)
    with pytest.raises(DeconvError, match="headers within headers"):
        read_all(tmp_path / "deep.tar")


@pytest.mark.parametrize("before", [0, 3])
def test_a_header_with_a_negative_size_does_not_run_in_circles(tmp_path, before):
    entry = tarfile.TarInfo("negative.png")
    data = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    data[124:136] = b"\xff" * 10 + (2**16 - 1024).to_bytes(2)  # -1024 in base 256
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    good = make_tar(tmp_path / "good.tar", [(f"{n}.png", b"good") for n in range(before)]).read_bytes()
    (tmp_path / "bad.tar").write_bytes(good[: before * 1024] + bytes(data) * 8)
    try:
        found = read_all(tmp_path / "bad.tar", limits=Limits(files=100))
    except DeconvError as error:
        assert "backwards" in str(error) and not before
    else:
        assert [name for name, content in found.items() if content == b"good"] == [f"{n}.png" for n in range(before)]


@pytest.mark.parametrize("name", ["cut.tar", "cut.tar.gz"])
def test_what_came_before_the_damage_is_kept_and_the_damage_is_told(tmp_path, name):
    entries = [(f"{number}.png", noise(3000, number)) for number in range(5)]
    path = make_tar(tmp_path / name, entries, "w:gz" if name.endswith("gz") else "w")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * (0.5 if name.endswith("gz") else 0.45))])
    found = read_all(path)
    good = [key for key, content in found.items() if isinstance(content, bytes)]
    assert good == [f"{number}.png" for number in range(len(good))]
    assert 1 <= len(good) < 5
    assert any("cut short" in content for content in found.values() if isinstance(content, str))


def test_a_damaged_header_in_the_middle_is_told(tmp_path):
    path = make_tar(tmp_path / "set.tar", [(f"{number}.png", b"good") for number in range(3)])
    data = bytearray(path.read_bytes())
    data[1024:1034] = b"?" * 10
    path.write_bytes(data)
    found = read_all(path)
    assert found["0.png"] == b"good"
    assert "a header is damaged" in found["set.tar"]


@pytest.mark.parametrize("content", [b"", b"x", b"no archive at all" * 100, gzip.compress(b"text" * 500)])
def test_what_is_no_tar_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "no.tar"
    path.write_bytes(content)
    with pytest.raises(DeconvError, match=r"'no.tar' is not a readable tar archive .*expected .tar or .tar.gz"):
        read_all(path)


def test_a_missing_archive_is_told(tmp_path):
    with pytest.raises(DeconvError, match=r"'none\.zip' cannot be read"):
        read_all(tmp_path / "none.zip")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_memory_does_not_grow_with_the_number_of_members(tmp_path, suffix):
    def peak(count):
        path = tmp_path / f"{count}{suffix}"
        make_tar(path, ((f"{n}.png", b"x" * 100) for n in range(count)), "w:gz" if suffix == ".tar.gz" else "w")
        tracemalloc.start()
        for member in list_members(path):
            member.read()
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    small, large = peak(500), peak(5000)
    assert large - small < 4500 * 250  # a number in a growing set for each name; a kept header alone takes 2,000 bytes


def test_bytes_that_are_no_text_are_shown_in_a_name():
    assert clean_name("\udcff.png") == ("\\xff.png", "")
