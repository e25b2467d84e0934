"""Calibration: it finds what is there, finds nothing in shuffled scores, and is the same after saving."""

import io
import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from deconv_core import calibrated_metrics
from deconv_core.__main__ import main
from deconv_core.agree_command import compute, prepare
from deconv_core.calibration import Calibration, _choose, _few, calibrate, fit, spans
from deconv_core.distortions import distort
from deconv_core.errors import DeconvError
from deconv_core.images import encode_png
from deconv_core.metrics import METRICS, is_metric, metric
from deconv_core.published import contamination
from deconv_core.samples import photographs
from deconv_core.scoring import score_batch

NAMES = ("a:first", "a:second", "b")


def made_up(count: int = 240, contents: int = 30, noise: float = 0.05, seed: int = 1):
    """Scores that follow a curved surface of two of three features, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3)) * [1, 20, 0.001] + [0, 100, 5]
    z = (x - [0, 100, 5]) / [1, 20, 0.001]
    y = np.tanh(z[:, 0]) + 0.5 * z[:, 1] ** 2 / (1 + z[:, 1] ** 2) + noise * rng.normal(size=count)
    return x, y, np.repeat(np.arange(contents), count // contents)


@pytest.fixture(scope="module")
def found() -> Calibration:
    x, y, contents = made_up()
    return calibrate(x, y, contents, names=NAMES, resamples=100)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    return tmp_path


# --- fitting


def test_it_predicts_contents_it_has_not_seen(found):
    reached = found.card["cross_validated"]
    assert reached["srcc"] > 0.9
    assert reached["srcc_low"] < reached["srcc"] < reached["srcc_high"]
    fresh, scores, _ = made_up(seed=2)
    assert np.corrcoef(found.predict(fresh), scores)[0, 1] > 0.9


def test_it_beats_the_best_feature_alone_and_says_by_how_much(found):
    single = found.card["best_single"]
    assert single["name"] == "a:first"
    assert 0 < single["low"] < single["difference"] < single["high"]


def test_shuffled_scores_give_no_agreement(found):
    assert abs(found.card["shuffled"]) < 0.15
    x, y, contents = made_up()
    nothing = calibrate(x, np.random.default_rng(7).permutation(y), contents, names=NAMES, resamples=100)
    assert nothing.card["cross_validated"]["srcc"] < 0.15
    assert nothing.card["best_single"]["low"] < 0


def test_a_content_is_never_on_both_sides():
    """Features that only name the content: nothing can be learnt from them about contents left out."""
    rng = np.random.default_rng(4)
    contents = np.repeat(np.arange(40), 5)
    x = rng.normal(size=(40, 3))[contents]
    y = rng.normal(size=40)[contents]
    assert abs(calibrate(x, y, contents, names=NAMES, resamples=50).card["cross_validated"]["srcc"]) < 0.45
    split_by_row = calibrate(x, y, np.arange(200), names=NAMES, resamples=50)
    assert split_by_row.card["cross_validated"]["srcc"] > 0.8


def test_more_scores_teach_more(found):
    curve = found.card["learning_curve"]
    assert [row["count"] for row in curve] == [50, 100, 192]
    assert curve[-1]["srcc"] > curve[0]["srcc"]
    assert "50 scores give SRCC" in found.card["needs"]


def test_same_seed_same_calibration(found):
    x, y, contents = made_up()
    again = calibrate(x, y, contents, names=NAMES, resamples=100)
    assert again.card == found.card
    np.testing.assert_array_equal(again.weights, found.weights)


def test_kernel_ridge_by_hand():
    """Two pictures at z = -1 and 1: weights solve a 2 x 2 system, and far out the nearest one answers."""
    fitted = fit(np.array([[0.0], [2.0]]), np.array([1.0, 3.0]), names=("x",), width=0.5, ridge=0.1)
    between = np.exp(-0.5 * 4)
    weights = np.linalg.solve([[1.1, between], [between, 1.1]], [-1, 1])
    np.testing.assert_allclose(fitted.weights, weights, atol=1e-6)
    np.testing.assert_allclose(fitted.predict(np.array([[0.0]])), 2 + weights @ [1, between], atol=1e-6)
    assert fitted.predict(np.array([[1e6]])) == fitted.predict(np.array([[2.0]]))


def test_a_picture_scores_the_same_alone(found):
    x, _, _ = made_up()
    together = found.predict(x[:50])
    np.testing.assert_array_equal(together, np.concatenate([found.predict(row[None]) for row in x[:50]]))


def test_a_missing_feature_gives_no_number(found):
    assert np.isnan(found.predict(np.array([[0.0, np.nan, 5.0]]))).all()
    with pytest.raises(DeconvError, match=r"takes 3 features per picture; got an array of shape \(1, 2\)"):
        found.predict(np.zeros((1, 2)))


def test_the_interval_covers_as_often_as_it_says():
    x, y, contents = made_up(count=600, noise=0.3)
    fitted = calibrate(x, y, contents, names=NAMES, scale_range=(-5, 5), resamples=50)
    fresh, scores, _ = made_up(count=3000, noise=0.3, seed=5)
    low, high = fitted.interval(fitted.predict(fresh))
    assert 0.92 < np.mean((scores >= low) & (scores <= high)) < 0.99


def test_spans_follow_the_height_of_the_prediction():
    rng = np.random.default_rng(6)
    predicted = rng.random(4000)
    rows = spans(predicted, predicted + rng.normal(size=4000) * (0.01 + 0.1 * predicted))
    assert len(rows) == 10
    assert (np.diff(rows[:, 0]) > 0).all()
    assert rows[-1, 2] > 3 * rows[0, 2] > 0 > rows[0, 1]


def test_effects_name_the_group_that_moved_the_score(found):
    effects = found.effects(np.array([2.0, 100.0, 5.0]))
    assert list(effects) == ["a", "b"]
    assert effects["a"] > 0.3
    assert abs(effects["b"]) < 0.15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, c: (x[:20], y[:20], c[:20]), "at least 30 pictures.*got 20 of 3"),
        (lambda x, y, c: (x, y, np.zeros(len(y))), "at least 5 contents; got 240 of 1"),
        (lambda x, y, c: (x, np.ones(len(y)), c), "All 240 human scores are 1"),
        (lambda x, y, c: (x, y[:5], c), r"got \(240, 3\), \(5,\) and \(240,\)"),
        (lambda x, y, c: (np.ones_like(x), y, c), "Every feature is the same for all 240 pictures"),
    ],
    ids=["few rows", "few contents", "one score", "shapes", "constant features"],
)
def test_what_cannot_be_fitted_is_told(change, message):
    with pytest.raises(DeconvError, match=message):
        calibrate(*change(*made_up()), names=NAMES)


@pytest.mark.parametrize("largest", [3000, 1000], ids=["one large content", "three large contents"])
def test_settings_are_chosen_on_several_contents_however_large_one_is(largest):
    rng = np.random.default_rng(3)
    contents = np.repeat(np.arange(7), [largest] * (3000 // largest) + [2] * (7 - 3000 // largest))
    x = rng.normal(size=(len(contents), 3))
    few = _few(contents, np.random.default_rng(0))
    assert len(np.unique(few)) == len(few) <= 700
    assert len(np.unique(contents[few])) >= 3
    with np.errstate(all="raise"):
        width, ridge = _choose(x, x[:, 0] + 0.1 * rng.normal(size=len(x)), contents, seed=0)
    assert width > 0
    assert ridge > 0


def test_settings_are_chosen_on_whole_contents():
    contents = np.random.default_rng(4).permutation(np.repeat(np.arange(100), 20))
    few = _few(contents, np.random.default_rng(0))
    assert np.unique(contents[few], return_counts=True)[1].tolist() == [20] * 25


# --- files


def test_saved_and_loaded_gives_the_same_scores(found, tmp_path):
    card = calibrated_metrics.save_calibration(found, tmp_path, "mine")
    again = calibrated_metrics.load_calibration(tmp_path / "mine.json")
    x, _, _ = made_up(seed=8)
    np.testing.assert_array_equal(again.predict(x), found.predict(x))
    np.testing.assert_array_equal(again.interval(again.predict(x)), found.interval(found.predict(x)))
    assert card["digest"] == again.card["digest"]
    assert card["bytes"] == next(tmp_path.glob("mine-*.npz")).stat().st_size


def test_a_save_that_is_killed_leaves_the_old_metric(found, tmp_path, monkeypatch):
    calibrated_metrics.save_calibration(found, tmp_path, "mine")
    other = replace(found, weights=2 * found.weights)
    x, _, _ = made_up(seed=8)
    write_whole = calibrated_metrics.write_whole

    def killed(path, content):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write_whole(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(calibrated_metrics, "write_whole", killed)
        with pytest.raises(KeyboardInterrupt):
            calibrated_metrics.save_calibration(other, tmp_path, "mine")
    np.testing.assert_array_equal(
        calibrated_metrics.load_calibration(tmp_path / "mine.json").predict(x), found.predict(x)
    )
    calibrated_metrics.save_calibration(other, tmp_path, "mine")
    np.testing.assert_array_equal(
        calibrated_metrics.load_calibration(tmp_path / "mine.json").predict(x), other.predict(x)
    )
    assert len(list(tmp_path.iterdir())) == 2  # nothing of the old one is left


def _npz(path, arrays: dict) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            if isinstance(content, np.ndarray):
                part = io.BytesIO()
                np.lib.format.write_array(part, content, allow_pickle=True)
                content = part.getvalue()
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("harm", ["pickle", "object", "more", "bomb", "shape", "nan", "exchanged", "cut"])
def test_hostile_files_are_refused(found, tmp_path, harm):
    import hashlib

    calibrated_metrics.save_calibration(found, tmp_path, "mine")
    path = next(tmp_path.glob("mine-*.npz")).rename(tmp_path / "mine.npz")  # as a bundled one is called
    with np.load(path) as stored:
        arrays = {f"{name}.npy": stored[name] for name in stored.files}

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    if harm == "pickle":
        arrays["mean.npy"] = pickle.dumps(Evil())
    elif harm == "object":
        arrays["mean.npy"] = np.array([Evil()], dtype=object)
    elif harm == "more":
        arrays["extra.npy"] = np.zeros(3)
    elif harm == "bomb":
        arrays["landmarks.npy"] = np.zeros(80 * 2**20, np.uint8)
    elif harm == "shape":
        arrays["weights.npy"] = np.zeros(5)
    elif harm == "nan":
        arrays["mean.npy"] = np.full(3, np.nan)
    content = _npz(path, arrays)
    content = content[: len(content) // 2] if harm == "cut" else content
    path.write_bytes(content)
    card = json.loads((tmp_path / "mine.json").read_text())
    if harm != "exchanged":
        card["digest"] = hashlib.sha256(content).hexdigest()
        (tmp_path / "mine.json").write_text(json.dumps(card))
    else:
        path.write_bytes(content + b" ")
    with pytest.raises(DeconvError, match=r"mine\.npz.*calibrate again"):
        calibrated_metrics.load_calibration(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("broken", ["", "[]", '{"names": 3}', "{" * 100_000])
def test_damaged_cards_are_refused(found, tmp_path, broken):
    calibrated_metrics.save_calibration(found, tmp_path, "mine")
    (tmp_path / "mine.json").write_text(broken)
    with pytest.raises(DeconvError, match=r"card 'mine\.json'"):
        calibrated_metrics.load_calibration(tmp_path / "mine.npz")


# --- by name


def _table(folder, count: int = 8) -> None:
    """Photographs made worse, with the scores that a person with a good eye for blur would give."""
    rows = ["distorted,reference,mos"]
    for number, picture in enumerate(photographs(count, 96)):
        (folder / f"r{number}.png").write_bytes(encode_png(picture))
        for step in range(1, 6):
            name = f"d{number}_{step}.png"
            (folder / name).write_bytes(encode_png(distort(picture, "gaussian_blur", step)))
            rows.append(f"{name},r{number}.png,{5 - 0.8 * step + 0.02 * number}")
    (folder / "pairs.csv").write_text("\n".join(rows))


def test_a_table_becomes_a_metric_of_its_own(home):
    _table(home)
    arguments = ["agree", str(home / "pairs.csv"), "--metrics", "psnr,gmsd,ssim", "--resamples", "50"]
    result = CliRunner().invoke(main, [*arguments, "--calibrate", "my_score"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Calibrated metric 'my_score' on 40 scores of 8 contents" in result.output
    assert is_metric("my_score")
    assert "my_score" not in METRICS
    row = metric("my_score")
    assert row.needs_reference
    assert not row.needs_model
    assert row.card["cross_validated"]["srcc"] > 0.8
    reference = photographs(2, 96)
    light, heavy = (np.stack([distort(picture, "gaussian_blur", step) for picture in reference]) for step in (1, 5))
    assert (
        score_batch(reference, light, ["my_score"])["my_score"]
        > score_batch(reference, heavy, ["my_score"])["my_score"]
    ).all()

    out = home / "scores.csv"
    command = ["score", str(home / "d0_1.png"), "--reference", str(home / "r0.png"), "--metrics", "my_score,psnr"]
    result = CliRunner().invoke(main, [*command, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads((home / "scores.csv.json").read_text())["my_score"]["convention"].startswith("kernel ridge")

    # Judged by the scores it was made from, it says so.
    result = CliRunner().invoke(
        main, ["agree", str(home / "pairs.csv"), "--metrics", "my_score", "--resamples", "0"], catch_exceptions=False
    )
    assert "my_score was calibrated on human scores of" in result.output
    assert contamination("my_score", "", card=row.card, scores_digest=row.card["calibrated_on"]["digest"])


def test_what_a_model_cannot_rebuild_becomes_a_metric(home):
    _table(home)
    arguments = ["agree", str(home / "pairs.csv"), "--metrics", "psnr", "--resamples", "50", "--model", "photo_small"]
    arguments += ["--calibrate", "by_eye", "--calibrate-on", "residuals", "--out", str(home / "run")]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    card = json.loads((home / "run" / "results" / "calibration.json").read_text())
    assert card["cross_validated"]["srcc"] > 0.7
    assert card["model"] == "photo_small"
    row = metric("by_eye")
    assert not row.needs_reference
    assert row.own_model == "photo_small"
    sharp = photographs(3, 96)
    blurred = np.stack([distort(picture, "gaussian_blur", 4) for picture in sharp])
    assert (row.function(None, sharp) > row.function(None, blurred)).all()
    # Another model of that name is another ruler.
    path = home / "home" / "metrics" / "by_eye.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_digest": "0" * 64}))
    with pytest.raises(DeconvError, match="another version of the model 'photo_small'"):
        metric("by_eye").function(None, sharp)


def _change_card(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_metric_is_made_from_metrics_that_stand_by_themselves(home):
    _table(home)
    words = ["agree", str(home / "pairs.csv"), "--resamples", "20", "--calibrate"]

    def agree(name, metrics):
        return CliRunner().invoke(main, [*words, name, "--metrics", metrics], catch_exceptions=False)

    agree("my_score", "psnr,gmsd")
    again = agree("my_score", "my_score,psnr,gmsd")
    assert again.exit_code == 0, again.output
    assert "Left out, because they are calibrated themselves: my_score." in again.output
    assert metric("my_score").card["names"] == ["psnr", "gmsd"]
    assert "my_score are calibrated metrics or columns" in agree("other", "my_score").output
    card = home / "home" / "metrics" / "my_score.json"
    before = json.loads(card.read_text())
    _change_card(card, names=["psnr", "my_score"])
    with pytest.raises(DeconvError, match="is made from my_score, which is no metric of this version"):
        metric("my_score")
    # The same version with another recipe is another metric.
    recipes = before["recipes"]
    recipes["gmsd"] |= {"hash": "0" * 16}
    _change_card(card, names=before["names"], recipes=recipes)
    with pytest.raises(DeconvError, match="calibrated on gmsd as it was made then"):
        metric("my_score")


def test_versions_of_one_reference_stay_together_where_a_folder_pairs_them(home):
    _table(home)
    for side, names in (("true", "r*.png"), ("out", "d*.png")):
        (home / side).mkdir()
        for path in list(home.glob(names)):
            # The pairing goes by names: d3_2.png belongs to d3.png.
            path.rename(home / side / path.name.replace("r", "d"))
    table = home / "scores.csv"
    rows = [line.split(",") for line in (home / "pairs.csv").read_text().splitlines()]
    table.write_text("\n".join(f"{row[0]},{row[2]}" for row in rows))
    plan = prepare(table, metrics=["psnr", "gmsd"], images=home / "out", references=home / "true")
    outcome = compute(plan, resamples=20)
    assert outcome.found.table["contents"].tolist() == [8, 8]
    assert calibrated_metrics.calibrate_outcome(outcome, "mine", resamples=10)["contents"] == 8
    # Also where all metrics are columns already.
    outcome.rows[["distorted", "mos", "psnr"]].to_csv(table, index=False)
    plan = prepare(table, images=home / "out", references=home / "true")
    assert compute(plan, resamples=20).found.table["contents"].tolist() == [8]


@pytest.mark.parametrize("name", ["psnr", "My score", "../up", "", "x" * 50])
def test_a_name_that_cannot_be_a_metric_is_refused(home, name):
    with pytest.raises(DeconvError, match="--calibrate got"):
        calibrated_metrics.check_name(name)


def test_an_unknown_metric_names_the_calibrated_ones_too(home, found):
    calibrated_metrics.save_calibration(found, calibrated_metrics.workspace_folder("metrics"), "mine")
    with pytest.raises(DeconvError, match=r"expected one of deconv.*, mine\."):
        metric("other")
    with pytest.raises(DeconvError, match="names the features 'None'"):
        metric("mine")
    assert [card["name"] for card in calibrated_metrics.list_saved()] == ["mine"]
