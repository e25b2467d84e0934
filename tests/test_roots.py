"""Which folders may be opened, and that nothing else is."""

import os

import pyarrow as pa
import pytest
from pyarrow import parquet

from deconv_core.errors import DeconvError
from deconv_core.roots import allowed_roots, check_inside_roots, page_roots
from deconv_core.sources import iterate
from tests.test_sources import png, write_folder


def test_the_upload_of_a_job_counts_as_an_allowed_root(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    monkeypatch.setenv("DECONV_DATA_ROOTS", "")
    upload = write_folder(tmp_path / "data" / "1234")
    (tmp_path / "data" / "other").mkdir()
    assert page_roots(upload) == page_roots(upload / "b") == (upload,)
    assert page_roots(tmp_path / "data") == page_roots(tmp_path) == page_roots("samples") == ()
    assert page_roots("s3://bucket/set.zip") == (tmp_path / "data",)
    assert page_roots(upload / ".." / "other") == (tmp_path / "data" / "other",)


def test_an_uploaded_table_opens_nothing_beside_its_upload(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    monkeypatch.setenv("DECONV_DATA_ROOTS", "")
    upload = tmp_path / "data" / "1234"
    upload.mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(png())
    (upload / "own.png").write_bytes(png())
    rows = [{"bytes": None, "path": str(tmp_path / "secret.png")}, {"bytes": None, "path": "own.png"}]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    parquet.write_table(pa.table({"image": pa.array(rows, kind)}), upload / "set.parquet")
    table = upload / "set.parquet"
    refused, own = iterate(table, allowed_roots=page_roots(table))
    assert "lies outside the folders" in refused.refused
    assert own.content() == png()


def test_roots_are_the_workspace_and_the_home_unless_stated(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "work"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DECONV_DATA_ROOTS", raising=False)
    assert allowed_roots() == (tmp_path / "work", tmp_path / "home")
    monkeypatch.setenv("DECONV_DATA_ROOTS", f"{tmp_path}/a{os.pathsep}~/b{os.pathsep}")
    assert allowed_roots() == (tmp_path / "a", tmp_path / "home" / "b")
    monkeypatch.setenv("DECONV_DATA_ROOTS", "")
    assert allowed_roots() == ()
    with pytest.raises(DeconvError, match=r"may be opened here \(none\)"):
        check_inside_roots(tmp_path)


def test_a_path_is_checked_with_its_links_resolved(tmp_path):
    inside, outside = tmp_path / "data", tmp_path / "data-of-others"
    for folder in (inside / "deep", outside):
        folder.mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    (inside / "circle").symlink_to(inside / "circle")
    assert check_inside_roots(inside, [inside]) == inside
    assert check_inside_roots(inside / "deep" / "..", [inside]) == inside
    for path in (
        outside,
        inside / "link",
        inside / "..",
        "/",
        "/etc",
        f"{inside}/../data-of-others",
        "a\0b",
        "~nobody-x",
    ):
        with pytest.raises(DeconvError, match="outside the folders that may be opened"):
            check_inside_roots(path, [inside])
    with pytest.raises(DeconvError, match="outside the folders"):
        iterate(outside, allowed_roots=[inside])
