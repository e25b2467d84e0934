"""The pieces of an audit: measurements against closed forms and outsiders, copies, risk, pictures read again, cache."""

import io
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deconv_core.audit import measure
from deconv_core.audit import pixels as looking
from deconv_core.audit.cache import Cache
from deconv_core.audit.checks import CHECKS
from deconv_core.audit.copies import MAX_DISTANCE, nearest_earlier
from deconv_core.audit.risk import contributions, extent, risk
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.audit.thumbnails import picture, thumbnails
from deconv_core.audit.trial import DAMAGES, trial
from deconv_core.audit.whole import robust_distance
from deconv_core.distortions import DISTORTIONS, distort
from deconv_core.errors import DeconvError
from deconv_core.images import read_image, to_uint8
from deconv_core.samples import photographs, sample
from tests.test_audit_export import file_bytes, write_audited


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)


def coffee() -> np.ndarray:
    return to_uint8(sample("coffee").pixels)


def grey(key: str = "coffee") -> np.ndarray:
    import cv2

    pixels = to_uint8(sample(key).pixels)
    return pixels[..., 0] if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def measured(number, modified):
    from deconv_core.places import Item

    (row,) = measure.measure_chunk([(number, modified, Item("a.png", origin=file_bytes(coffee()[:50, :60])))])
    return row


def tones_of(plane):
    return {name: values[0] for name, values in looking.tones(looking.count_levels(plane)[None]).items()}


def statistics_of(picture):
    return looking.conclude([looking.look(picture)])[0]


# Reading


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 85}),
        ("JPEG", "RGB", {"quality": 60, "subsampling": 2, "progressive": True}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {}),
        ("PNG", "L", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("BMP", "RGB", {}),
        ("GIF", "P", {}),
        ("TIFF", "RGB", {}),
    ],
)
def test_the_quick_reader_gives_the_values_of_the_careful_one(kind, mode, options):
    buffer = io.BytesIO()
    Image.fromarray(coffee()[:120, :150]).convert(mode).save(buffer, kind, **options)
    data = buffer.getvalue()
    expected = to_uint8(read_image(data).pixels)
    assert (measure.decode(data, "x").pixels.reshape(expected.shape) == expected).all()


def test_the_quick_reader_leaves_turning_to_its_caller():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = file_bytes(coffee()[:40, :60], "JPEG", exif=exif)
    found = measure.decode(data, "x")
    assert (found.pixels.shape, found.orientation, found.flag) == ((40, 60, 3), 6, 6)
    assert read_image(data).pixels.shape == (60, 40, 3)


def test_the_model_sees_the_picture_upright_and_reduced():
    from deconv_core.audit.model import working_picture
    from deconv_core.images import read_image

    exif = Image.Exif()
    exif[0x0112] = 6
    data = file_bytes(coffee()[:101, :150], "JPEG", exif=exif)
    seen = working_picture(measure.upright(measure.decode(data, "x")), 50)
    expected = read_image(data).pixels[:150, :99].reshape(50, 3, 33, 3, 3).mean(axis=(1, 3))
    assert seen.shape == (50, 33, 3)
    np.testing.assert_allclose(seen, expected, atol=0.6 / 255)  # averages are rounded to 8 bits
    whole = working_picture(measure.upright(measure.decode(data, "x")), 0)
    np.testing.assert_array_equal(whole, read_image(data).pixels)
    grey_seen = working_picture(measure.upright(measure.decode(file_bytes(grey()), "x")), 100)
    assert grey_seen.shape[2] == 1


# Measuring


def test_tones_of_a_picture_of_two_halves():
    plane = np.zeros((40, 40), np.uint8)
    plane[:, 20:] = 200
    found = tones_of(plane)
    assert found["low_information"] == pytest.approx(1)
    assert (found["dark"], found["light"], found["low_contrast"]) == (200, 0, 200)
    assert (found["clipped"], found["brightness"], found["contrast"]) == (50, 100, 100)


def test_a_flat_picture_has_no_information_and_no_edges():
    plane = np.full((64, 64), 128, np.uint8)
    found = tones_of(plane)
    assert (found["low_information"], found["low_contrast"], found["clipped"]) == (0, 0, 0)
    assert np.isnan(looking.edge_width(plane))
    assert looking.noise(plane) == 0
    assert looking.blockiness(plane) == 0


@pytest.mark.parametrize("height, width", [(300, 400), (512, 512), (1000, 700), (3000, 2000)])
def test_part_of_a_large_picture_stands_for_the_whole(height, width):
    plane = np.random.default_rng(3).integers(0, 256, (height, width), np.uint8)
    plane[: height // 4] //= 2
    few, all_levels = tones_of(plane), np.bincount(plane.ravel(), minlength=256)[None]
    for name, (expected,) in looking.tones(all_levels).items():
        assert few[name] == pytest.approx(expected, rel=0.02, abs=0.2), name


def test_the_width_of_a_single_edge_is_found():
    from scipy.special import ndtr

    def found(sigma: float) -> float:
        x = np.arange(256) - 127.5
        return looking.edge_width(np.tile(np.round(40 + 170 * ndtr(x / sigma)), (256, 1)).astype(np.uint8))

    widths = [found(sigma) for sigma in (0.5, 1, 1.5, 2, 3, 4, 6)]
    assert (np.diff(widths) > 0).all()
    # The slope counts over the whole width of the edge and not at its middle alone, which makes it a little narrower,
    # and the correction for crowded edges, not needed here, a little wider.
    assert widths == pytest.approx([0.5, 1, 1.5, 2, 3, 4, 6], rel=0.3)


def test_blur_is_told_from_noise_and_from_soft_backgrounds():
    sharp = grey()
    blurred = np.clip(DISTORTIONS["gaussian_blur"].apply(sharp[..., None] / np.float32(255), 3.0, None), 0, 1)
    blurred = to_uint8(blurred)[..., 0]
    generator = np.random.default_rng(2)
    noisy = np.clip(blurred + generator.normal(0, 6, blurred.shape), 0, 255).astype(np.uint8)
    grain = looking.noise(noisy)
    limit = CHECKS["blurry"].threshold
    assert looking.edge_width(sharp) < limit < looking.edge_width(blurred)
    assert looking.edge_width(noisy, noise=grain) > limit
    half_soft = blurred.copy()
    half_soft[:, :300] = sharp[:, :300]
    assert looking.edge_width(half_soft) < limit


def test_motion_in_one_direction_is_blur():
    sharp = grey()
    moved = cv2.blur(sharp, (25, 1))
    limit = CHECKS["blurry"].threshold
    assert looking.edge_width(sharp) < limit < looking.edge_width(moved)
    assert looking.edge_width(np.ascontiguousarray(moved.T)) > limit
    # Where all edges run one way, the other directions say nothing.
    stripes = np.tile((np.arange(256) // 16 % 2 * 120 + 60).astype(np.uint8), (256, 1))
    assert looking.edge_width(stripes) < 0.6


def test_light_that_falls_off_is_told_from_a_scene_of_many_lights():
    scene = np.random.default_rng(5).integers(60, 200, (32, 32)).astype(np.float64)
    ramp, corners = np.linspace(1, 0.05, 32), np.hypot(*np.mgrid[-1:1:32j, -1:1:32j])
    tiny = np.stack([scene, scene * ramp, scene * ramp[:, None], scene / (1 + corners**2) ** 2, np.full((32, 32), 90)])
    even, *uneven, flat = looking.unevenness(tiny.astype(np.uint8))
    assert even < 0.5 < CHECKS["uneven_light"].threshold < min(uneven[:2])
    brightest, last = 199 * ramp[0], 199 * ramp[28]  # of the first and of the last part
    assert uneven[:2] == pytest.approx([np.log2((brightest + 4) / (last + 4))] * 2, abs=0.2)
    assert flat == 0


@pytest.mark.parametrize("sigma", [3.0, 10.0, 25.0])
@pytest.mark.parametrize("side", [256, 700])
def test_noise_of_known_strength_is_found(sigma, side):
    generator = np.random.default_rng(0)
    plane = np.clip(np.round(128 + generator.normal(0, sigma, (side, side))), 0, 255).astype(np.uint8)
    # The smoothest fifth of the blocks lies a little below the mean of all.
    assert looking.noise(plane) == pytest.approx(sigma, rel=0.1)


def test_blocks_are_found_wherever_their_grid_lies():
    damaged = to_uint8(distort(grey()[..., None] / np.float32(255), "jpeg", 5))[..., 0]
    whole = looking.blockiness(damaged)
    assert whole > CHECKS["blocky"].threshold > looking.blockiness(grey())
    assert looking.blockiness(damaged[3:, 5:]) == pytest.approx(whole, rel=0.05)


def test_colourfulness_is_that_of_the_paper():
    pictures = np.stack([coffee()[:60, :60], coffee()[100:160, 200:260]])
    found = looking.colourfulness(np.moveaxis(pictures, 3, 1))
    for one, value in zip(pictures, found, strict=True):
        red, green, blue = one.astype(np.float64).reshape(-1, 3).T
        first, second = red - green, (red + green) / 2 - blue
        expected = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
        assert value == pytest.approx(expected, rel=1e-4)


def test_one_coloured_pixel_makes_a_grey_picture_coloured():
    picture = np.repeat(grey()[..., None], 3, axis=2)
    found = statistics_of(picture)
    assert found["grey_as_colour"] == 0
    assert np.isnan(found["dull"])
    picture[301, 203] = (10, 90, 10)
    assert statistics_of(picture)["grey_as_colour"] == 80
    assert "grey_as_colour" not in statistics_of(picture[..., 0])


def test_perceptual_hashes_are_those_of_the_library():
    import imagehash

    images = [Image.fromarray(to_uint8(one)).convert("L").resize((32, 32)) for one in photographs(10, 128)]
    found = looking.perceptual_hashes(np.stack([np.asarray(image) for image in images]))
    assert found.tolist() == [int(str(imagehash.phash(image)), 16) for image in images]


@pytest.mark.parametrize("height, width", [(1, 1), (1, 50), (2, 3), (15, 15), (16, 16), (33, 2000), (2500, 40)])
def test_every_size_can_be_measured(height, width):
    found = statistics_of(np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8))
    assert np.isfinite(found["brightness"])
    assert 0 <= found["hash"] < 2**64


def test_numbers_do_not_depend_on_the_pictures_beside():
    looks = [looking.look(one) for one in (coffee(), coffee()[:50, :70], grey(), np.zeros((9, 9, 3), np.uint8))]
    together = looking.conclude(looks)
    for seen, found in zip(looks, together, strict=True):
        (alone,) = looking.conclude([seen])
        assert list(alone) == list(found)
        np.testing.assert_array_equal(list(alone.values()), list(found.values()))


# Copies


def slow_nearest(hashes, grids):
    """Every pair, one by one."""
    distance = np.full(len(hashes), np.nan)
    for later in range(len(hashes)):
        for earlier in range(later):
            bits = bin(int(hashes[later]) ^ int(hashes[earlier])).count("1")
            alike = np.abs(grids[later].astype(int) - grids[earlier]).mean() <= 20
            if bits <= MAX_DISTANCE and alike and not bits >= distance[later]:
                distance[later] = bits
    return distance


def test_near_duplicates_are_those_of_all_pairs():
    generator = np.random.default_rng(4)
    base = generator.integers(0, 2**64, 40, np.uint64)
    hashes = []
    for value in base:
        for flips in (0, 0, 3, 7, 9):
            bits = generator.choice(64, flips, replace=False)
            hashes.append(
                value ^ np.bitwise_or.reduce(np.array([1 << int(bit) for bit in bits], np.uint64), initial=np.uint64(0))
            )
    order = generator.permutation(len(hashes))
    hashes = np.array(hashes, np.uint64)[order]
    grids = np.full((len(hashes), 48), 100, np.uint8)
    found, places = nearest_earlier(hashes, grids)
    np.testing.assert_array_equal(found, slow_nearest(hashes, grids))
    known = places >= 0
    assert (places[known] < np.flatnonzero(known)).all()
    bits = np.bitwise_count(hashes[known] ^ hashes[places[known]])
    np.testing.assert_array_equal(bits, found[known])


def test_alike_shapes_in_other_colours_are_no_duplicates_but_darker_ones_are():
    hashes = np.array([7, 7, 7], np.uint64)
    grids = np.zeros((3, 48), np.uint8)
    grids[0] = np.tile([200, 40, 40], 16)
    grids[1] = np.tile([40, 40, 200], 16)
    grids[2] = np.tile([120, 24, 24], 16)
    found, places = nearest_earlier(hashes, grids)
    assert np.isnan(found[:2]).all()
    assert (found[2], places[2]) == (0, 0)


def test_pictures_of_one_shape_find_the_one_of_their_own_colour():
    hashes = np.array([7, 7, 7, 7, 7, 15, 7], np.uint64)
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
    found, places = nearest_earlier(hashes, np.tile(colours[[0, 1, 2, 1, 2, 1, 0]], (1, 16)))
    np.testing.assert_array_equal(places, [-1, -1, -1, 1, 2, 1, 0])
    np.testing.assert_array_equal(found, [np.nan, np.nan, np.nan, 0, 0, 1, 0])
    # More colours than are told apart: still nothing but alike pictures.
    many = np.tile(np.arange(0, 250, 2, dtype=np.uint8)[:, None] * np.array([1, 0, 0], np.uint8), (2, 16))
    many[:, 1::3] = 250 - many[:, ::3]
    found, places = nearest_earlier(np.full(len(many), 9, np.uint64), many)
    known = places >= 0
    assert known[125:].all()
    assert (np.abs(many[known].astype(int) - many[places[known]]).mean(axis=1) <= 20).all()


def test_a_hundred_thousand_pictures_are_compared_in_seconds():
    import time

    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, 100_000, np.uint64)
    hashes[50_000:60_000] = hashes[0]  # ten thousand alike ones must not make a hundred million pairs
    began = time.process_time()
    found, places = nearest_earlier(hashes, np.zeros((len(hashes), 48), np.uint8))
    assert time.process_time() - began < 20
    assert (found[50_000:60_000] == 0).all()
    assert (places[50_000:60_000] == 0).all()


# Risk


def test_risk_is_the_plain_sum_of_the_points():
    frame = pd.DataFrame({"dark": [255.0, 80.0, np.nan], "exact_duplicate": [0.0, 1.0, 0.0]})
    points = contributions(frame, {"dark": 30, "exact_duplicate": 10})
    assert points.to_numpy().tolist() == [[0, 0], [10, 15], [0, 0]] or points["dark"].tolist() == [0, 15, 0]
    np.testing.assert_allclose(risk(frame, {"dark": 30, "exact_duplicate": 10}), [0, 25, 0])
    np.testing.assert_allclose(risk(frame, {"dark": 300, "exact_duplicate": 10}), [0, 100, 0])
    with pytest.raises(DeconvError, match="The weight of 'dark' is -1"):
        risk(frame, {"dark": -1})


@pytest.mark.parametrize("key", [key for key in CHECKS if CHECKS[key].flags_when != "set"])
def test_risk_grows_towards_the_bad_end_and_is_half_at_the_threshold(key):
    row = CHECKS[key]
    good, bad = (row.low, row.high) if row.flags_when == "above" else (row.high, row.low)
    found = extent(row, np.linspace(good, bad, 50))
    assert found[0] == 0
    assert (np.diff(found) >= 0).all()
    assert extent(row, np.array([row.threshold]))[0] == pytest.approx(0.5)


def test_robust_distance_is_that_of_the_definition():
    values = np.array([10, 11, 12, 13, 14, 15, 16, 40, np.nan])
    expected = np.abs(values - 13.5) / (1.4826 * 2)
    np.testing.assert_allclose(robust_distance(values), expected, rtol=1e-6)
    assert np.isnan(robust_distance(values[:5])).all()


# An audit to look at


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> Path:
    return write_audited(tmp_path_factory.mktemp("audited"))


def test_thumbnails_and_pictures_are_read_again(audited):
    found = thumbnails(audited, ["photo 3.png", "<b>broken.png"], side=64)
    assert found["<b>broken.png"] is None
    small = Image.open(io.BytesIO(found["photo 3.png"]))
    assert max(small.size) == 64
    again = thumbnails(audited, ["photo 3.png"], side=64)
    assert again["photo 3.png"] == found["photo 3.png"]
    assert picture(audited, "photo 3.png").pixels.shape == (160, 160, 3)
    with pytest.raises(DeconvError, match="holds no picture named"):
        picture(audited, "../job/settings.json")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "parquet"])
def test_pictures_in_archives_are_read_again(tmp_path, kind):
    from tests.test_sources import write_parquet, write_tar, write_zip

    write = {"zip": write_zip, "tar": write_tar, "tar.gz": write_tar, "parquet": write_parquet}[kind]
    source = write(tmp_path / f"set.{kind}")
    run_audit(AuditSettings(str(source)), tmp_path / "job")
    names = AuditTable(tmp_path / "job").names.to_pylist()
    assert len(names) == 3
    assert all(thumbnails(tmp_path / "job", names).values())
    assert picture(tmp_path / "job", names[1]).pixels.shape == (20, 10, 3)


def test_a_picture_that_changed_gets_another_thumbnail(tmp_path):
    (tmp_path / "data").mkdir()
    for shade in (20, 220):
        (tmp_path / "data" / "a.png").write_bytes(file_bytes(np.full((30, 30, 3), shade, np.uint8)))
        run_audit(AuditSettings(str(tmp_path / "data")), tmp_path / "job", resume=(tmp_path / "job").exists())
        small = Image.open(io.BytesIO(thumbnails(tmp_path / "job", ["a.png"])["a.png"]))
        assert np.asarray(small).mean() == pytest.approx(shade, abs=2)


# The cache


def test_the_cache_gives_back_what_it_was_given(tmp_path):
    row = measured(3, 10)
    cache = Cache(tmp_path / "cache.sqlite", "recipe", measure.VALUES)
    cache.keep([("place", row["bytes"], 10, row["digest"])], {row["digest"]: row})
    found = cache.find([("other", 1, 1), ("place", row["bytes"], 10)])
    assert set(found) == {1}
    columns = cache.columns([found[1][1]])
    for name in ("width", "height", "hash", "grid", "status", "format", "mode", *measure.VALUES):
        assert (
            columns[name][0] == pytest.approx(row[name], nan_ok=True)
            if name in measure.VALUES
            else columns[name][0] == row[name]
        )
    assert cache.find([("place", row["bytes"], 11)]) == {}
    cache.close()
    another = Cache(tmp_path / "cache.sqlite", "another", measure.VALUES)
    assert another.find([("place", row["bytes"], 10)]) == {}
    another.close()


def test_a_file_changed_a_moment_ago_is_not_trusted_by_its_time(tmp_path):
    import time

    row = measured(0, 0)
    cache = Cache(tmp_path / "cache.sqlite", "recipe", measure.VALUES)
    now = time.time_ns()
    cache.keep([("place", row["bytes"], now, row["digest"])], {row["digest"]: row})
    assert cache.find([("place", row["bytes"], now)]) == {}
    assert set(cache.find_contents([row["digest"]])) == {row["digest"]}
    cache.close()


# How far the checks can be trusted


@pytest.mark.slow
def test_blur_and_damage_that_is_certain_are_found_in_the_samples(tmp_path):
    files = []
    for number, pixels in enumerate(photographs(20, 256)):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(file_bytes(to_uint8(pixels), "JPEG", quality=92))
    wanted = ("blurry", "unreadable", "wrong_extension", "orientation_flag", "odd_aspect", "exact_duplicate", "noisy")
    found = trial(files, damages=[row for row in DAMAGES if row.check in wanted])
    certain = found[found["check"].isin(["unreadable", "wrong_extension", "orientation_flag", "exact_duplicate"])]
    assert (certain["recall"] == 1).all()
    assert (certain["false_alarms"] == 0).all()
    blur = found[found["made by"].str.startswith("Gaussian blur")]
    assert (blur["recall"] >= 0.9).all(), blur
