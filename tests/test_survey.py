"""What is told of a source, and the identity of a set."""

import pytest

from deconv_core.picture_set import read_pictures
from deconv_core.survey import fingerprint, survey
from tests.test_sources import KINDS, SET, png, write_folder, write_zip


def test_a_survey_tells_what_is_there(tmp_path):
    folder = write_folder(tmp_path, {**SET, "broken.png": b"broken"})
    seen = []
    found = survey(folder, report=seen.append)
    assert (found.count, found.num_unreadable, found.held_out) == (3, 1, 0)
    assert found.unreadable[0][0] == "broken.png"
    assert found.sizes == {(12, 8): 2, (10, 20): 1}
    assert found.formats == {"PNG": 3}
    assert found.channels == {3: 2, 1: 1}
    assert found.bytes == sum(map(len, SET.values())) + 6
    assert seen == [1, 2, 3, 4]
    assert [name for name, _ in found.thumbnails] == list(SET)
    assert survey(write_folder(tmp_path / "nothing", {"x.txt": b""})).count == 0


def test_thumbnails_are_few_small_and_the_same_every_time(tmp_path):
    write_folder(tmp_path, {f"{number:02d}.png": png(number, 50, 200) for number in range(40)})
    one, two = survey(tmp_path), survey(tmp_path)
    assert len(one.thumbnails) == 12
    assert [name for name, _ in one.thumbnails] == [name for name, _ in two.thumbnails]
    assert {pixels.shape for _, pixels in one.thumbnails} == {(24, 96, 3)}


def test_the_same_set_has_the_same_digest_however_it_is_packed(tmp_path):
    digests = {}
    for kind, make in KINDS.items():
        if kind != "folder of tars":  # where names carry the shard
            place = tmp_path / kind
            place.mkdir()
            digests[kind] = survey(make(place)).digest
    backwards = write_zip(tmp_path / "backwards.zip", dict(reversed(SET.items())))
    assert set(digests.values()) == {fingerprint(backwards)}
    assert read_pictures(backwards, channels=3).digest == fingerprint(backwards)


@pytest.mark.parametrize(
    "change",
    [
        {"a.png": png(7)},
        {"e.png": png(8)},
        {"broken.png": b"broken"},
        {"a.png": SET["b/c.png"], "b/c.png": SET["a.png"]},
    ],
)
def test_another_set_has_another_digest(tmp_path, change):
    before = write_zip(tmp_path / "before.zip")
    after = write_zip(tmp_path / "after.zip", {**SET, **change})
    assert survey(before).digest != survey(after).digest
    assert survey(after).digest == fingerprint(after)
