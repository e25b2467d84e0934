"""A whole source in memory, for training."""

import io

import numpy as np
import pytest
from PIL import Image

from deconv_core.errors import DeconvError
from deconv_core.picture_set import read_pictures
from tests.test_sources import png, write_folder, write_zip


def test_large_pictures_are_cropped_to_their_centre(tmp_path):
    write_folder(tmp_path, {"a.png": png(1, 40, 100)})
    (pixels,) = read_pictures(tmp_path, channels=3, largest_side=30).pictures
    whole = np.asarray(Image.open(io.BytesIO(png(1, 40, 100))))
    np.testing.assert_array_equal(pixels, whole[5:35, 35:65])


def test_of_a_set_too_large_for_memory_a_seeded_part_is_kept(tmp_path):
    files = {f"{number:02d}.png": png(number, 10, 10) for number in range(40)}
    write_folder(tmp_path, {**files, "broken.png": b"broken"})
    whole = read_pictures(tmp_path, channels=3)
    assert (len(whole.pictures), whole.left_out) == (40, 0)
    part = read_pictures(tmp_path, channels=3, max_bytes=3000 + 299)
    assert len(part.pictures) == 10
    assert part.left_out + len(part.rejected) == 31  # the broken file may be one of those that are not tried
    assert part.names == sorted(part.names)
    assert part.digest == whole.digest
    assert part.names == read_pictures(tmp_path, channels=3, max_bytes=3000).names
    other = read_pictures(tmp_path, channels=3, max_bytes=3000, seed=1)
    assert len(set(part.names) & set(other.names)) < 10
    for name, pixels in zip(part.names, part.pictures, strict=True):
        np.testing.assert_array_equal(pixels, whole.pictures[whole.names.index(name)])
    # What is kept does not depend on how the set is packed.
    packed = write_zip(tmp_path / "set.zip", dict(reversed(files.items())))
    assert sorted(read_pictures(packed, channels=3, max_bytes=3000).names) == part.names


def test_a_source_without_a_readable_picture_is_refused(tmp_path):
    with pytest.raises(DeconvError, match=r"holds no picture named like '\*'"):
        read_pictures(tmp_path, channels=3)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DeconvError, match=r"None of the pictures of .* could be read: a\.png is empty"):
        read_pictures(tmp_path, channels=3)
