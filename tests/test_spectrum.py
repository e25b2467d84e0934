"""Spectra: Parseval, known waves, transfer of a known filter, and the split of an error into lost and added."""

import numpy as np
import pytest
from scipy import ndimage

from deconv_core import spectrum
from deconv_core.errors import ImageError


def _noise(seed, shape=(96, 80, 3)):
    return np.random.default_rng(seed).random(shape)


def _wave(height, width, period_rows, period_columns, amplitude=0.2):
    rows = 0 if period_rows is None else np.arange(height)[:, None] / period_rows
    columns = 0 if period_columns is None else np.arange(width)[None, :] / period_columns
    return 0.5 + amplitude * np.cos(2 * np.pi * (rows + columns)) * np.ones((height, width))


@pytest.mark.parametrize("shape", [(32, 32), (33, 48), (48, 33), (31, 29), (40, 32, 3)])
def test_power_spectrum_adds_up_to_the_variance(shape):
    image = _noise(1, shape)
    planes = image.reshape(*shape[:2], -1)
    assert spectrum.power_spectrum(image, window=False).sum() == pytest.approx(planes.var(axis=(0, 1)).mean(), rel=1e-9)
    assert spectrum.radial_spectrum(image, window=False)["energy"].sum() == pytest.approx(
        planes.var(axis=(0, 1)).mean(), rel=1e-9
    )


@pytest.mark.parametrize("shape", [(32, 32), (33, 48), (48, 33), (31, 29)])
def test_power_spectrum_is_that_of_the_full_transform(shape):
    image = _noise(2, shape)
    expected = np.abs(np.fft.fftshift(np.fft.fft2(image - image.mean()))) ** 2 / image.size**2
    np.testing.assert_allclose(spectrum.power_spectrum(image, window=False), expected, atol=1e-12)


def test_windowed_power_adds_up_to_the_weighted_mean_square():
    image = _noise(3, (40, 56))
    hann = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in image.shape]
    weights = np.outer(*hann)
    centred = image - (image * weights).sum() / weights.sum()
    expected = ((centred * weights) ** 2).sum() / (weights**2).sum()
    assert spectrum.power_spectrum(image).sum() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("period", "key"), [(3, "fine"), (5, "detail"), (12, "shapes"), (30, "forms")])
def test_a_wave_is_found_at_its_period_and_in_its_band(period, key):
    image = _wave(128, 160, None, period)
    radial = spectrum.radial_spectrum(image)
    peak = radial.loc[radial["energy"].idxmax()]
    assert peak["frequency"] == pytest.approx(1 / period, abs=0.01)
    assert peak["period"] == pytest.approx(1 / peak["frequency"])
    energies = spectrum.band_energies(image, image)
    assert energies["reference"].idxmax() == key
    assert energies.loc[key, "reference"] > 0.9 * energies["reference"].sum()


def test_white_noise_has_a_flat_radial_spectrum_at_its_variance():
    image = np.random.default_rng(4).normal(0.5, 0.1, (256, 256))
    radial = spectrum.radial_spectrum(image, num_bins=8)
    # A ring's mean scatters with the number of its frequencies; the window joins about four of them, mirrors are twins.
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    count, _ = np.histogram(radius, bins=8, range=(0, np.sqrt(0.5)))
    assert (np.abs(radial["power"] / 0.01 - 1) < 4 * np.sqrt(2 * 4 / count)).all()


def test_band_energies_add_up_to_the_variance_of_each_picture():
    reference, candidate = _noise(5), _noise(6)
    energies = spectrum.band_energies(reference, candidate)
    assert list(energies.index) == list(spectrum.BANDS)
    for column, picture in (("reference", reference), ("candidate", candidate), ("error", candidate - reference)):
        assert energies[column].sum() == pytest.approx(picture.var(axis=(0, 1)).mean(), rel=1e-4)
    np.testing.assert_allclose(energies[["lost", "boosted", "added"]].sum(axis=1), energies["error"], rtol=1e-5)


def test_bands_are_those_of_a_plain_cosine_transform():
    from scipy.fft import dctn

    image = _noise(7, (64, 72))
    coefficients = dctn(image, norm="ortho") ** 2 / image.size
    radius = np.hypot(np.arange(64)[:, None] / 128, np.arange(72)[None, :] / 144)
    coefficients[0, 0] = 0
    energies = spectrum.band_energies(image, image)
    for key, band in spectrum.BANDS.items():
        expected = coefficients[(radius >= band.low) & (radius < band.high)].sum()
        assert energies.loc[key, "reference"] == pytest.approx(expected, rel=1e-4)


def test_transfer_of_a_gaussian_blur_is_its_known_curve_also_under_noise():
    generator = np.random.default_rng(8)
    reference = generator.normal(0.5, 0.1, (256, 256))
    blurred = ndimage.gaussian_filter(reference, 1.0, mode="wrap", truncate=6)
    noisy = blurred + generator.normal(0, 0.05, reference.shape)
    # Half the reference's strength in noise scatters a ring of 2000 frequencies by 0.022: four times that.
    for candidate, tolerance in ((blurred, 0.03), (noisy, 0.09)):
        table = spectrum.transfer_ratio(reference, candidate, num_bins=24)
        expected = np.exp(-2 * np.pi**2 * table["frequency"] ** 2)
        well_known = table["frequency"].between(0.05, 0.6)  # the first and last rings hold few frequencies
        assert np.abs(table["transfer"] - expected)[well_known].max() < tolerance
    assert spectrum.transfer_ratio(reference, blurred)["coherence"].mean() > table["coherence"].mean() + 0.2
    quotient = np.sqrt(
        spectrum.radial_spectrum(noisy, num_bins=24)["energy"]
        / spectrum.radial_spectrum(reference, num_bins=24)["energy"]
    )
    assert quotient.iloc[-4] > 0.45  # what a quotient of powers would claim where nothing is left
    assert table["transfer"].iloc[-4] < 0.1


def test_transfer_of_identical_pictures_is_one_and_unknown_where_there_is_nothing():
    image = _noise(9, (64, 64, 3))
    np.testing.assert_allclose(spectrum.transfer_ratio(image, image)["transfer"], 1.0, rtol=1e-9)
    assert spectrum.transfer_ratio(np.full((32, 32), 0.5), np.full((32, 32), 0.4))["transfer"].isna().all()


def test_blur_is_lost_noise_is_added_and_sharpening_is_boosted():
    reference = ndimage.gaussian_filter(_noise(10, (192, 192)), 0.6)
    blurred = ndimage.gaussian_filter(reference, 1.5)
    lost = spectrum.band_energies(reference, blurred).loc["fine"]
    assert lost["lost"] > 0.95 * lost["error"] > 0
    noisy = reference + np.random.default_rng(11).normal(0, 0.05, reference.shape)
    noise = spectrum.band_energies(reference, noisy)
    assert noise["added"].sum() > 0.95 * noise["error"].sum()
    assert noise["added"].sum() == pytest.approx(0.05**2, rel=0.08)
    sharp = spectrum.band_energies(reference, reference + 0.5 * (reference - blurred)).loc["fine"]
    assert sharp["boosted"] > 0.9 * sharp["error"] > 0


def test_long_table_and_log_spectrum_have_stated_units():
    image = _noise(12, (48, 48))
    table = spectrum.radial_spectra({"reference": image, "error": np.zeros((48, 48))}, num_bins=6)
    assert list(table.columns) == ["picture", "frequency", "period", "power_db"]
    assert table["picture"].tolist() == ["reference"] * 6 + ["error"] * 6
    assert np.isfinite(table["power_db"]).all()
    np.testing.assert_allclose(
        spectrum.log_power_spectrum(image),
        10 * np.log10(np.maximum(spectrum.power_spectrum(image), 1e-20)),
        rtol=1e-6,
    )


def test_band_labels_say_sizes_in_pixels():
    assert [band.label for band in spectrum.BANDS.values()] == [
        "fine texture, 2-4 px",
        "detail, 4-8 px",
        "shapes, 8-16 px",
        "large forms, over 16 px",
    ]


def test_wrong_pictures_are_refused_in_words():
    with pytest.raises(ImageError, match=r"one shape; got \(16, 16\) and \(16, 20\)"):
        spectrum.transfer_ratio(np.zeros((16, 16)), np.zeros((16, 20)))
    with pytest.raises(ImageError, match="at least 8 pixels each way; got 4 x 16"):
        spectrum.power_spectrum(np.zeros((4, 16)))
    with pytest.raises(ImageError, match=r"got the shape \(1, 16, 16, 3\)"):
        spectrum.power_spectrum(np.zeros((1, 16, 16, 3)))
    with pytest.raises(ImageError, match="finite"):
        spectrum.power_spectrum(np.full((16, 16), np.nan))
    with pytest.raises(ImageError, match="num_bins=0"):
        spectrum.radial_spectrum(np.zeros((16, 16)), num_bins=0)
