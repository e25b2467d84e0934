"""Pictures at an address, with a store in memory in place of the network."""

import sys
from datetime import UTC, datetime
from typing import ClassVar

import pytest

from deconv_core.archives import Limits
from deconv_core.errors import DeconvError, ImageError
from deconv_core.places import reopen
from deconv_core.sources import iterate
from tests.test_sources import SET, names, write_zip


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "http://example.org/a.png",
        "ftp://example.org/a.png",
        "zip://a.png::https://example.org/a.zip",
        "simplecache::s3://bucket/a.png",
        "local:///etc",
        "https://",
        "S3://bucket",
    ],
)
def test_other_addresses_are_refused_in_one_sentence(address):
    with pytest.raises(DeconvError, match="is not an address that can be read; expected https://, s3://"):
        iterate(address)


@pytest.mark.parametrize(("protocol", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")])
def test_a_missing_package_for_an_address_is_named(protocol, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DeconvError, match=f"{protocol}:// addresses need the Python package {package}"):
        iterate(f"{protocol}://bucket/folder")


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """A store in memory that answers to s3:// in place of the network."""
    from fsspec.implementations.memory import MemoryFileSystem

    class Bucket(MemoryFileSystem):
        protocol = "s3"
        store: ClassVar = {}
        pseudo_dirs: ClassVar = [""]

        @classmethod
        def _strip_protocol(cls, path):
            return MemoryFileSystem._strip_protocol(path.removeprefix("s3://"))

        def unstrip_protocol(self, name):
            return f"s3:/{self._strip_protocol(name)}"

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "s3", Bucket)
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    return Bucket()


def test_a_folder_at_an_address_is_read_file_by_file(bucket):
    for name, data in {**SET, "note.txt": b""}.items():
        bucket.pipe_file(f"/bucket/set/{name}", data)
    items = list(iterate("s3://bucket/set"))
    assert [item.name for item in items] == list(SET)
    assert [item.content() for item in items] == list(SET.values())
    bucket.rm("/bucket/set/a.png")
    with pytest.raises(ImageError, match=r"a\.png could not be fetched"):
        items[0].read()
    assert names("s3://bucket/set/b/c.png") == ["c.png"]
    with pytest.raises(ImageError, match="allowed for one file"):
        next(iterate("s3://bucket/set", limits=Limits(file_bytes=10))).content()
    with pytest.raises(DeconvError, match="holds nothing"):
        names("s3://bucket/none")
    with pytest.raises(DeconvError, match="is a CSV; fetch it"):
        iterate("s3://bucket/list.csv")


def test_a_listing_tells_size_and_time_where_it_can(bucket, monkeypatch):
    bucket.pipe_file("/bucket/set/a.png", SET["a.png"])
    (item,) = iterate("s3://bucket/set")
    assert (item.size, item.modified) == (len(SET["a.png"]), 0)
    find = type(bucket).find
    for told in (datetime(2024, 5, 1, tzinfo=UTC), "2024-05-01T00:00:00+00:00", 1714521600, 1714521600.0):

        def with_time(self, path, told=told, **options):
            return {name: about | {"LastModified": told} for name, about in find(self, path, **options).items()}

        monkeypatch.setattr(type(bucket), "find", with_time)
        (item,) = iterate("s3://bucket/set")
        assert item.modified == 1714521600 * 10**9
        assert item.content() == SET["a.png"]


def test_an_archive_at_an_address_is_fetched_into_the_workspace(bucket, tmp_path):
    bucket.pipe_file("/bucket/set.zip", write_zip(tmp_path / "set.zip").read_bytes())
    assert names("s3://bucket/set.zip") == list(SET)
    assert len(list((tmp_path / "home" / "data").glob("fetched-*/set.zip"))) == 1
    with pytest.raises(DeconvError, match="could not be fetched"):
        iterate("s3://bucket/none.zip")
    with pytest.raises(DeconvError, match="data folder is full"):
        iterate("s3://bucket/set.zip", limits=Limits(total_bytes=10))
    assert not list((tmp_path / "home" / "data").glob(".incoming*"))


def test_a_picture_at_an_address_is_found_again(bucket):
    bucket.pipe_file("/bucket/set/a.png", SET["a.png"])
    (item,) = iterate("s3://bucket/set")
    assert reopen(item.place(), item.name).content() == SET["a.png"]
