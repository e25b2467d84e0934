"""Percentiles of audited pictures within the bundled reference set."""

import json

import numpy as np
import pytest
from scipy.stats import ks_2samp

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.recipes import model_facts, recipes, recipes_of
from deconv_core.audit.reference import COMMAND, QUANTILES_FILE, make_quantiles, percentile, reference_set
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.distortions import DISTORTIONS, distort
from deconv_core.images import encode_png
from deconv_core.samples import SAMPLES, photographs, sample
from deconv_core.scoring import DEFAULT_MODEL


@pytest.fixture(scope="module")
def present() -> dict:
    """How checks are made today by the settings that a page proposes."""
    settings = AuditSettings("samples", model=DEFAULT_MODEL, quality="deconv_quality")
    return recipes(settings.chosen_checks(), settings, model_facts(settings))


def test_the_bundled_quantiles_are_those_of_today_and_run_from_worst_to_best(present):
    stored = json.loads(QUANTILES_FILE.read_text())
    assert stored["command"] == COMMAND
    expected = {key for key, row in CHECKS.items() if row.flags_when != "set" and not row.of_set}
    assert set(stored["checks"]) == expected
    for key, entry in stored["checks"].items():
        steps = np.diff(entry["quantiles"]) * (-1 if CHECKS[key].flags_when == "above" else 1)
        assert len(steps) == 100
        assert (steps >= 0).all()
        # A check that is measured anew needs the set measured anew: run the command in the module's docstring.
        assert percentile(key, entry["quantiles"][-1], present[key]) == 100, key


@pytest.fixture(scope="module")
def some(tmp_path_factory) -> AuditTable:
    """Some pictures of the reference set, measured now without the model."""
    box = tmp_path_factory.mktemp("some")
    (box / "data").mkdir()
    for number, name in enumerate(SAMPLES):
        pixels = sample(name).pixels
        (box / "data" / f"{name}.png").write_bytes(encode_png(pixels))
        for kind in list(DISTORTIONS)[number % 4 :: 4]:
            if pixels.shape[2] == 3 or kind not in ("colour_noise", "saturation"):
                (box / "data" / f"{name} {kind}.png").write_bytes(encode_png(distort(pixels, kind, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECONV_HOME", str(box / "home"))
        run_audit(AuditSettings(str(box / "data")), box / "job")
    return AuditTable(box / "job")


def test_pictures_of_the_set_measured_anew_lie_within_its_quantiles(some):
    """What recipes do not tell: whether the set was measured as they say."""
    stored = json.loads(QUANTILES_FILE.read_text())["checks"]
    for key in set(stored) & set(some.checks):
        quantiles = np.array(stored[key]["quantiles"])
        values = some.numbers[key].dropna().to_numpy(np.float64)
        assert len(values) > 10, key
        rounded = np.array([float(f"{value:.6g}") for value in values])
        assert rounded.min() >= quantiles.min(), key
        assert rounded.max() <= quantiles.max(), key
        # Some of every photograph and distortion differ little from all of them; another unit differs more.
        assert ks_2samp(values, quantiles, method="asymp").statistic < 0.2, key


def test_a_value_of_the_table_has_the_percentile_of_the_quantile_it_became(some):
    content = make_quantiles(some.folder)
    recipe = recipes_of(some)["blurry"]
    values = np.sort(some.numbers["blurry"].dropna().to_numpy())[::-1]
    assert any(float(value) != float(f"{value:.6g}") for value in values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deconv_core.audit.reference._stored", lambda: content)
        found = np.array([percentile("blurry", value, recipe) for value in values])
    # The same by counting in the values themselves, which nothing has rounded.
    places = np.round(np.linspace(0, len(values) - 1, 101)).astype(int)
    expected = [100 * float((values[places] >= value).mean()) for value in values]
    assert found == pytest.approx(expected)


def test_the_percentile_falls_with_blur(present, tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    (tmp_path / "data").mkdir()
    [pixels] = photographs(1, 256)
    for severity in range(5):
        data = encode_png(distort(pixels, "gaussian_blur", severity))
        (tmp_path / "data" / f"{severity}.png").write_bytes(data)
    run_audit(AuditSettings(str(tmp_path / "data"), checks=("blurry",)), tmp_path / "job")
    values = AuditTable(tmp_path / "job").numbers["blurry"]
    found = [percentile("blurry", value, present["blurry"]) for value in values]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] + 30


def test_what_was_measured_otherwise_has_no_percentile(present):
    assert np.isnan(percentile("blurry", 1.0, present["blurry"] | {"version": 99}))
    assert np.isnan(percentile("reconstruction", 30.0, present["reconstruction"] | {"model_digest": "another"}))
    assert np.isnan(percentile("blurry", float("nan"), present["blurry"]))
    assert np.isnan(percentile("exact_duplicate", 1.0, present["exact_duplicate"]))
    assert reference_set()["images"] >= 700


def test_quantiles_are_values_of_the_audit(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    run_audit(AuditSettings("samples", checks=("dark", "odd_size")), tmp_path / "job")
    content = make_quantiles(tmp_path / "job")
    values = AuditTable(tmp_path / "job").numbers["dark"].to_numpy()
    assert set(content["checks"]) == {"dark"}
    assert content["checks"]["dark"]["quantiles"][0] == pytest.approx(values.min())
    assert content["checks"]["dark"]["quantiles"][-1] == pytest.approx(values.max())
