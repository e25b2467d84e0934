"""Pictures that are found again by their place, without looking through their source."""

import json
import pickle

import pytest

from deconv_core.errors import ImageError
from deconv_core.places import reopen
from deconv_core.sources import iterate
from tests.test_sources import SET, write_csv, write_folder, write_npz, write_parquet, write_tar, write_zip


@pytest.mark.parametrize("kind", ["folder", "set.zip", "set.tar", "set.tar.gz", "set.csv", "set.parquet", "set.npz"])
def test_every_picture_is_found_again_by_its_place(tmp_path, kind):
    write = {"folder": write_folder, "zip": write_zip, "tar": write_tar, "gz": write_tar, "csv": write_csv}
    write |= {"parquet": write_parquet, "npz": write_npz}
    source = write[kind.rpartition(".")[2]](tmp_path / kind)
    items = list(iterate(source))
    assert len(items) >= 3
    for item in reversed(items):
        again = pickle.loads(pickle.dumps(reopen(item.place(), item.name)))
        assert again.name == item.name
        assert again.content() == item.content()
        assert again.digest() == item.digest() == again.read().digest
        # One element for a file of its own, which a script may move, and for nothing else.
        assert (len(json.loads(item.place())) == 1) == (kind in ("folder", "set.csv"))


@pytest.mark.parametrize("name", ["samples", "digits"])
def test_pictures_of_a_named_set_are_found_again(name):
    item = [item for _, item in zip(range(3), iterate(name), strict=False)][-1]
    assert reopen(item.place(), item.name).content() == item.content()


def test_a_place_that_leads_nowhere_is_told_for_its_picture_alone(tmp_path):
    (item,) = iterate(write_parquet(tmp_path / "set.parquet", {"a.png": SET["a.png"]}))
    for place in ("", "[]", "{}", "7", '["a", "b"]', '["a", 1]', '["ftp://a", "address"]'):
        with pytest.raises(ImageError):
            reopen(place, "a.png").content()
    write_parquet(tmp_path / "set.parquet", {})
    with pytest.raises(ImageError, match=r"set\.parquet has changed since"):
        reopen(item.place(), item.name).content()
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a\.npz has changed since"):
        reopen(json.dumps([str(tmp_path / "a.npz"), "array", "x_train", 0]), "a").content()
    with pytest.raises(ImageError, match="lies outside the folders"):
        reopen(item.place(), item.name, roots=[tmp_path / "elsewhere"])


def test_what_was_refused_has_no_place(tmp_path):
    data = write_folder(tmp_path / "data")
    (data / "link.png").symlink_to(tmp_path)
    (tmp_path / "secret.png").write_bytes(b"")
    (data / "out.png").symlink_to(tmp_path / "secret.png")
    assert [item.place() for item in iterate(data) if item.refused] == ["", ""]
