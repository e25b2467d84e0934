"""Outsiders on the rivals: stored answers of piq in double precision, slow plain loops, closed forms."""

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from deconv_core.distortions import distort
from deconv_core.metrics import METRICS
from deconv_core.metrics._planes import luma
from deconv_core.samples import photographs
from tests.expected.make_rivals import SIZES, picture_pair

PIQ = json.loads((Path(__file__).parent / "expected" / "rivals.json").read_text())["values"]
KEYS = ["gmsd", "mdsi", "haarpsi", "vsi", "fsim", "fsimc", "vif", "nlpd"]


def score(key: str, reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    return METRICS[key].function(reference, candidate)


def module(key: str):
    # The package's own names are the functions.
    return importlib.import_module(f"deconv_core.metrics.{key}")


def stored_pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    size, damage, *grey = name.split(", ")
    channels = 1 if grey else 3
    return tuple(image[None, ..., :channels] for image in picture_pair(*SIZES[size], damage))


def damaged_photographs() -> tuple[np.ndarray, np.ndarray]:
    reference = photographs(4, 192)
    steps = [("gaussian_blur", 1), ("white_noise", 3), ("jpeg", 5), ("contrast", 4)]
    candidate = [distort(x, key, level, seed=1) for x, (key, level) in zip(reference, steps, strict=True)]
    return reference, np.stack(candidate)


# --- piq


@pytest.mark.parametrize("name", list(PIQ))
def test_rivals_equal_piq(name):
    x, y = stored_pair(name)
    # piq computed in float64; of float32 here, 1e-6 is left. An inverted picture has a VIF of 1e-13, which holds too.
    assert {key: score(key, x, y).item() for key in PIQ[name]} == pytest.approx(PIQ[name], rel=5e-6)


def test_the_stored_answers_cover_all_rivals_but_nlpd_which_piq_lacks():
    assert {key for values in PIQ.values() for key in values} == set(KEYS) - {"nlpd"}


def test_opposite_colours_reach_the_complex_root_of_mdsi():
    # Otherwise the comparison with piq would not cover it.
    x, y = (batch[0].astype(np.float32) / 255 for batch in stored_pair("small, opposite"))
    assert (module("mdsi")._error(x, y) > 1).any()


# --- NLPD, from the paper and the listing of NLP_dist.m

NLPD_SIGMAS = [0.0248, 0.0185, 0.0179, 0.0191, 0.0220, 0.2782]
# Middle three rows and all five columns of each 5 x 5 filter, as printed.
NLPD_FILTERS = [
    [[0, 0, 0.1011, 0, 0], [0, 0.1493, 0, 0.1460, 0.0072], [0, 0, 0.1015, 0, 0]],
    [[0, 0, 0.0757, 0, 0], [0, 0.1986, 0, 0.1846, 0], [0, 0, 0.0837, 0, 0]],
    [[0, 0, 0.0477, 0, 0], [0, 0.2138, 0, 0.2243, 0], [0, 0, 0.0467, 0, 0]],
    [[0, 0, 0, 0, 0], [0, 0.2503, 0, 0.2616, 0], [0, 0, 0, 0, 0]],
    [[0, 0, 0, 0, 0], [0, 0.2598, 0, 0.2552, 0], [0, 0, 0, 0, 0]],
    [[0, 0, 0, 0, 0], [0, 0.2215, 0, 0.0717, 0], [0, 0, 0, 0, 0]],
]
BURT = [0.05, 0.25, 0.4, 0.25, 0.05]


def slow_nlpd(x: np.ndarray, y: np.ndarray) -> float:
    """NLPD of two planes by loops over pixels and taps, float64."""

    def mirrored(place: int, length: int) -> int:
        while not 0 <= place < length:
            place = -1 - place if place < 0 else 2 * length - 1 - place
        return place

    def shrunk(plane: np.ndarray) -> np.ndarray:
        height, width = plane.shape
        out = np.zeros(((height + 1) // 2, (width + 1) // 2))
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                for a in range(5):
                    for b in range(5):
                        value = plane[mirrored(2 * i + a - 2, height), mirrored(2 * j + b - 2, width)]
                        out[i, j] += BURT[a] * BURT[b] * value
        return out

    def grown(plane: np.ndarray, height: int, width: int) -> np.ndarray:
        out = np.zeros((height, width))
        for i in range(height):
            for j in range(width):
                for a in range(5):
                    for b in range(5):
                        row, column = i + a - 2, j + b - 2
                        if row % 2 == 0 and column % 2 == 0:
                            near = (
                                min(max(row // 2, 0), plane.shape[0] - 1),
                                min(max(column // 2, 0), plane.shape[1] - 1),
                            )
                            out[i, j] += 4 * BURT[a] * BURT[b] * plane[near]
        return out

    def normalised(plane: np.ndarray) -> list[np.ndarray]:
        levels = []
        for level in range(6):
            z = plane
            if level < 5:
                plane = shrunk(z)
                z = z - grown(plane, *z.shape)
            out = np.zeros(z.shape)
            for i in range(z.shape[0]):
                for j in range(z.shape[1]):
                    amplitude = NLPD_SIGMAS[level]
                    for a in range(3):
                        for b in range(5):
                            # conv2 turns the filter round.
                            row, column = i - (a - 1), j - (b - 2)
                            if 0 <= row < z.shape[0] and 0 <= column < z.shape[1]:
                                amplitude += NLPD_FILTERS[level][a][b] * abs(z[row, column])
                    out[i, j] = z[i, j] / amplitude
            levels.append(out)
        return levels

    pairs = zip(normalised(x), normalised(y), strict=True)
    return sum(math.sqrt(np.mean((a - b) ** 2)) for a, b in pairs) / 6


@pytest.mark.parametrize("size", [(40, 33), (17, 38)])
@pytest.mark.parametrize("index", range(4))
def test_nlpd_equals_a_slow_loop(index, size):
    x, y = (batch[[index], 20 : 20 + size[0], 30 : 30 + size[1]] for batch in damaged_photographs())
    greys = [batch[0].astype(np.float64) @ [0.299, 0.587, 0.114] for batch in (x, y)]
    assert score("nlpd", x, y).item() == pytest.approx(slow_nlpd(*greys), rel=1e-5)


def test_nlpd_of_two_flat_pictures_is_what_is_left_at_the_last_level():
    # Whatever lies within a band is 0 for a flat picture; the last level is z / (sigma + 0.2932 z) away from the edge,
    # and a picture of two pixels there is all edge: the left one lacks the weight 0.2215 or 0.0717 of a neighbour.
    reference, candidate = (np.full((1, 32, 64, 1), value, np.float32) for value in (0.2, 0.6))
    # 32 x 64 leaves 1 x 2 pixels.
    left, right = ([z / (0.2782 + weight * z) for z in (0.2, 0.6)] for weight in (0.2215, 0.0717))
    expected = math.sqrt(((left[0] - left[1]) ** 2 + (right[0] - right[1]) ** 2) / 2) / 6
    assert score("nlpd", reference, candidate).item() == pytest.approx(expected, rel=1e-4)


# --- closed forms and what the docstrings say


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_vif_of_a_checkerboard_in_another_contrast(gain):
    # Variance a^2 at the finest scale, hardly any at the others: log(1 + g^2 a^2 / n) / log(1 + a^2 / n).
    rows, columns = np.mgrid[:96, :96]
    board = np.where((rows + columns) % 2, 1.0, -1.0)
    reference, candidate = (np.float32(0.5 + contrast * board)[None, ..., None] for contrast in (0.1, 0.1 * gain))
    n = 2 / 255**2
    expected = math.log(1 + (0.1 * gain) ** 2 / n) / math.log(1 + 0.01 / n)
    assert score("vif", reference, candidate).item() == pytest.approx(expected, rel=2e-3)


def test_vif_is_not_symmetric_and_a_flat_reference_gives_one():
    reference, candidate = damaged_photographs()
    assert (np.abs(score("vif", reference, candidate) - score("vif", candidate, reference)) > 0.001).all()
    flat = np.full_like(reference, 0.3)
    assert score("vif", flat, candidate) == pytest.approx(np.ones(4), abs=1e-12)
    # Only the 1e-8 that keeps the ratio defined is left.
    assert score("vif", candidate, flat) == pytest.approx(np.zeros(4), abs=1e-9)


def test_phase_congruency_does_not_depend_on_contrast_and_is_one_where_nothing_is():
    pc = module("fsim").phase_congruency
    plane = luma(photographs(1, 160)[0])
    assert pc(0.25 * plane + np.float32(0.4)) == pytest.approx(pc(plane), abs=2e-4)
    assert (pc(np.full((40, 50), 0.3, np.float32)) == 1).all()


def test_phase_congruency_is_high_at_a_line_and_low_beside():
    plane = np.zeros((96, 96), np.float32)
    plane[:, 48] = 1
    found = module("fsim").phase_congruency(plane)
    assert found[:, 48].min() > 0.95
    # Half way around the torus phases agree again, by symmetry.
    assert found[:, 50:72].max() < 0.2
    assert found[:, 25:47].max() < 0.2


def test_fsimc_of_grey_pictures_is_fsim():
    reference, candidate = (batch[..., :1] for batch in damaged_photographs())
    assert score("fsimc", reference, candidate).tolist() == score("fsim", reference, candidate).tolist()


@pytest.mark.parametrize("key", ["mdsi", "vsi"])
def test_grey_counts_as_three_equal_channels(key):
    reference, candidate = (batch[..., :1] for batch in damaged_photographs())
    colour = [np.repeat(batch, 3, axis=-1) for batch in (reference, candidate)]
    assert score(key, reference, candidate).tolist() == score(key, *colour).tolist()


@pytest.mark.parametrize("key", ["gmsd", "vif", "nlpd", "fsim"])
def test_colour_is_not_seen(key):
    reference, candidate = damaged_photographs()
    greys = [np.stack([luma(image)[..., None] for image in batch]) for batch in (reference, candidate)]
    assert score(key, reference, candidate) == pytest.approx(score(key, *greys), rel=1e-5)


@pytest.mark.parametrize("key", ["mdsi", "haarpsi", "vsi", "fsimc"])
def test_colour_is_seen(key):
    reference = photographs(4, 192)
    grey = np.stack([np.repeat(luma(image)[..., None], 3, axis=-1) for image in reference])
    assert (score(key, reference, grey) != METRICS[key].identity).all()


@pytest.mark.parametrize("key", ["haarpsi", "vsi", "fsim", "fsimc"])
def test_a_weighted_map_sums_up_to_the_score(key):
    reference, candidate = damaged_photographs()
    error = METRICS[key].map_function(reference, candidate).mean(axis=(1, 2), dtype=np.float64)
    found = score(key, reference, candidate)
    if key == "haarpsi":
        # Its pooling is logistic: the order stays, the number does not.
        assert np.argsort(error).tolist() == np.argsort(-found).tolist()
    else:
        assert 1 - error == pytest.approx(found, abs=1e-6)


def test_two_flat_pictures_draw_the_eye_nowhere():
    dark, light = (np.full((1, 64, 64, 3), value, np.float32) for value in (0.2, 0.7))
    assert score("vsi", dark, light).tolist() == [1.0]


def test_mdsi_of_nearly_identical_pictures_keeps_its_digits():
    reference = photographs(1, 96)
    candidate = reference.copy()
    candidate[0, 40, 50] += np.where(candidate[0, 40, 50] < 0.5, 1, -1) * np.float32(1 / 255)

    def gradients(plane: np.ndarray) -> np.ndarray:
        padded, slope = np.pad(plane, 1), np.array([-1.0, 0.0, 1.0])
        out = np.zeros(plane.shape)
        for kernel in (np.tile(slope, (3, 1)) / 3, np.tile(slope[:, None], (1, 3)) / 3):
            parts = [kernel[i, j] * padded[i : i + 96, j : j + 96] for i in range(3) for j in range(3)]
            out += np.sum(parts, axis=0) ** 2
        return np.sqrt(out)

    def alike(a: np.ndarray, b: np.ndarray, c: float) -> np.ndarray:
        return (2 * a * b + c) / (a * a + b * b + c)

    weights = np.array([[0.2989, 0.5870, 0.1140], [0.30, 0.04, -0.35], [0.34, -0.60, 0.17]])
    x, y = (np.moveaxis(255 * batch[0].astype(np.float64) @ weights.T, -1, 0) for batch in (reference, candidate))
    g_x, g_y, g_f = gradients(x[0]), gradients(y[0]), gradients((x[0] + y[0]) / 2)
    gs = alike(g_x, g_y, 140) + alike(g_y, g_f, 55) - alike(g_x, g_f, 55)
    products = x[1] * y[1] + x[2] * y[2]
    cs = (2 * products + 550) / (x[1] ** 2 + y[1] ** 2 + x[2] ** 2 + y[2] ** 2 + 550)
    root = (0.6 * gs + 0.4 * cs) ** 0.25
    expected = np.abs(root - root.mean()).mean() ** 0.25
    assert expected < 0.1
    assert score("mdsi", reference, candidate).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("key", KEYS)
def test_equal_pictures_are_equal_wherever_they_lie_in_memory(key, channels):
    # cv2.magnitude rounds differently at addresses that are no multiple of eight.
    reference = photographs(2, 150)[..., :channels].copy()
    for offset in (4, 8, 12):
        memory = np.empty(reference.nbytes + offset, np.uint8)
        candidate = memory[offset:].view(np.float32).reshape(reference.shape)
        candidate[:] = reference
        assert score(key, reference, candidate).tolist() == [METRICS[key].identity] * 2


def test_filters_are_kept_for_few_shapes_and_cannot_be_changed():
    filters = module("fsim")._filters
    assert filters.cache_info().maxsize == 4
    assert not any(table.flags.writeable for table, _ in filters(32, 40))
