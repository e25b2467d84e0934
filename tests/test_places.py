"""Pictures that are found again by their place, without looking through their source."""

import json
import pickle

import pytest

from deconv_core.errors import ImageError
from deconv_core.places import in_one_pass, reopen
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


@pytest.mark.parametrize("kind", ["set.tar.gz", "set.parquet", "set.npz", "set.zip"])
def test_many_are_read_in_one_pass_whatever_their_order(tmp_path, kind):
    write = {"gz": write_tar, "parquet": write_parquet, "npz": write_npz, "zip": write_zip}[kind.rpartition(".")[2]]
    expected = {item.name: item.digest() for item in iterate(write(tmp_path / kind))}
    places = [(item.place(), item.name) for item in iterate(tmp_path / kind)]
    found = list(in_one_pass(reopen(*place) for place in [*places[::-2], *places[-2::-2]]))
    assert {item.name: item.digest() for item in found} == expected
    if kind != "set.zip":  # whose members are all found at once
        train = [[name for name in names if "test" not in name] for names in ((item.name for item in found), expected)]
        assert train[0] == train[1]


@pytest.mark.parametrize("kind", ["set.tar.gz", "set.parquet", "set.npz"])
def test_one_that_is_gone_does_not_take_the_others_of_its_pass_along(tmp_path, kind):
    write = {"gz": write_tar, "parquet": write_parquet, "npz": write_npz}[kind.rpartition(".")[2]]
    places = [(item.place(), item.name) for item in iterate(write(tmp_path / kind))]
    gone = json.loads(places[0][0])
    gone[2 if kind == "set.tar.gz" else 3] = 10**7  # further than the file goes
    items = in_one_pass(reopen(*place) for place in [*places, (json.dumps(gone), "gone")])
    found = {item.name: item for item in items}
    assert "set." in found["gone"].refused
    with pytest.raises(ImageError):
        found.pop("gone").content()
    assert {name: item.refused for name, item in found.items()} == {name: "" for _, name in places}
    (tmp_path / kind).unlink()
    assert all(item.refused for item in in_one_pass(reopen(*place) for place in places))


def test_what_was_refused_has_no_place(tmp_path):
    data = write_folder(tmp_path / "data")
    (data / "link.png").symlink_to(tmp_path)
    (tmp_path / "secret.png").write_bytes(b"")
    (data / "out.png").symlink_to(tmp_path / "secret.png")
    assert [item.place() for item in iterate(data) if item.refused] == ["", ""]


def test_the_file_that_has_to_be_opened_is_named(tmp_path):
    for write, name in ((write_zip, "a.zip"), (write_tar, "a.tar"), (write_csv, "list.csv"), (write_folder, "set")):
        source = write(tmp_path / name)
        own = {"a.zip": [source] * 3, "a.tar": [source] * 3, "list.csv": [tmp_path / key for key in SET]}
        expected = own.get(name, [source / key for key in SET])
        assert [item.file() for item in iterate(source)] == list(map(str, expected)), name
    # What was read on the way travels with the item; found again, its file is opened.
    for source in (write_parquet(tmp_path / "a.parquet"), write_npz(tmp_path / "a.npz")):
        (item, *_) = iterate(source)
        assert (item.file(), reopen(item.place(), item.name).file()) == ("", str(source))
    assert next(iterate("samples")).file() == ""
