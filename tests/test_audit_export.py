"""What people choose for an audit and what leaves it: words, review, drift, lists, tables, report."""

import csv
import io
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from deconv_core.audit import export
from deconv_core.audit.checks import CHECKS
from deconv_core.audit.drift import compare_audits, median_interval
from deconv_core.audit.earlier import taken_over
from deconv_core.audit.export import bad, csv_file, list_bytes, parquet_file, split
from deconv_core.audit.measure import RECIPE
from deconv_core.audit.recipes import difference, model_facts, recipes
from deconv_core.audit.report import at_the_end, miss_sentence, report_file
from deconv_core.audit.review import (
    Choice,
    Review,
    Threshold,
    draw_surprise,
    miss_rate,
    outdated,
    read_surprise,
    read_thresholds,
    read_weights,
    save_thresholds,
    save_weights,
    saved_choice,
    threshold_values,
)
from deconv_core.audit.risk import risk as measured_risk
from deconv_core.audit.risk import set_risk
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.audit.words import evidence, paragraph
from deconv_core.errors import DeconvError
from deconv_core.images import to_uint8
from deconv_core.samples import photographs


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)


def file_bytes(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_audited(box: Path) -> Path:
    """Ten photographs, a copy, a near copy, a dark, a flat and a broken one, with a name that a shell would run."""
    data = box / "data"
    (data / "sub").mkdir(parents=True)
    for number, pixels in enumerate(photographs(10, 160)):
        (data / f"photo {number}.png").write_bytes(file_bytes(to_uint8(pixels)))
    first = to_uint8(photographs(1, 160)[0])
    (data / "sub" / "z copy.png").write_bytes((data / "photo 0.png").read_bytes())
    (data / "sub" / "z near.jpg").write_bytes(file_bytes(first, "JPEG", quality=80))
    (data / "$(touch owned) 'dark'.png").write_bytes(file_bytes(first // 12))
    (data / "=1+1.png").write_bytes(file_bytes(np.full((50, 50, 3), 99, np.uint8)))
    (data / "<b>broken.png").write_bytes(b"nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECONV_HOME", str(box / "home"))
        run_audit(AuditSettings(str(data)), box / "job", command="python -m deconv_core audit data --out job")
    return box / "job"


def broken_set() -> dict[str, bytes]:
    """Three files: a good one, one cut short, one that is no picture."""
    good = file_bytes(to_uint8(photographs(1, 64)[0]))
    return {"good.png": good, "cut.png": good[:500], "text.png": b"no picture"}


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> Path:
    return write_audited(tmp_path_factory.mktemp("audited"))


# Words


def test_copies_name_their_original(audited):
    table = AuditTable(audited)
    assert table.row("sub/z copy.png")["exact_duplicate_of"] == "photo 0.png"
    near = table.row("sub/z near.jpg")
    assert near["near_duplicate_of"] == "photo 0.png"
    assert near["near_duplicate"] < CHECKS["near_duplicate"].threshold
    told = evidence(near)
    assert told["near_duplicate"].startswith("Like photo 0.png")


def test_what_was_found_is_told_in_a_paragraph(audited):
    told = paragraph(AuditTable(audited))
    assert told.startswith("15 pictures; ")
    assert "have at least one issue" in told


def test_an_issue_of_most_of_the_set_is_told_first(audited):
    told = paragraph(AuditTable(audited), {"dark": 255})
    assert "Most of the set is affected by “Dark”" in told


# Review


def test_decisions_are_kept_and_taken_back_one_by_one(tmp_path):
    (tmp_path / "results").mkdir()
    review = Review(tmp_path)
    for image, decision in (("a", "keep"), ("b", "drop"), ("a", "unsure")):
        review.decide(image, decision)
    assert Review(tmp_path).decisions == {"b": "drop", "a": "unsure"}
    assert review.undo() == "a"
    assert Review(tmp_path).decisions == {"a": "keep", "b": "drop"}
    assert [review.undo(), review.undo(), review.undo()] == ["b", "a", None]
    assert Review(tmp_path).decisions == {}
    with pytest.raises(DeconvError, match="cannot be 'maybe'"):
        review.decide("a", "maybe")


def test_of_two_people_each_takes_back_the_own_decision(tmp_path):
    (tmp_path / "results").mkdir()
    first = Review(tmp_path)
    first.decide("a", "keep")
    first.decide("b", "keep")
    second = Review(tmp_path)
    second.decide("c", "drop")
    second.decide("b", "drop")
    assert first.undo() == "b"
    assert Review(tmp_path).decisions == {"a": "keep", "c": "drop", "b": "drop"}
    later = Review(tmp_path)
    assert later.undo("a") == "a"
    assert later.undo("never") is None
    assert later.decisions == Review(tmp_path).decisions == {"c": "drop", "b": "drop"}


def test_decisions_written_before_undo_told_a_name_are_read(tmp_path):
    (tmp_path / "results").mkdir()
    lines = [{"image": "a", "decision": "keep"}, {"image": "a", "decision": "drop"}, {"undo": True}]
    (tmp_path / "results" / "review.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert Review(tmp_path).decisions == {"a": "keep"}


def test_a_decision_cut_short_by_a_kill_spoils_nothing(tmp_path):
    (tmp_path / "results").mkdir()
    review = Review(tmp_path)
    review.decide("line\nbreak", "drop")
    with (tmp_path / "results" / "review.jsonl").open("ab") as file:
        file.write(b'{"image": "b", "deci')
    again = Review(tmp_path)
    again.decide("c", "keep")
    assert Review(tmp_path).decisions == {"line\nbreak": "drop", "c": "keep"}
    assert again.counts() == {"keep": 1, "drop": 1, "unsure": 0}


def test_thresholds_are_saved_with_the_set_and_reset(tmp_path):
    (tmp_path / "results").mkdir()
    save_thresholds(tmp_path, {"dark": Threshold(50.0), "blurry": Threshold(1.2, 5.0)})
    assert read_thresholds(tmp_path) == {"dark": Threshold(50.0), "blurry": Threshold(1.2, 5.0)}
    assert threshold_values(tmp_path) == {"dark": 50.0, "blurry": 1.2}
    save_thresholds(tmp_path, {})
    assert read_thresholds(tmp_path) == {}
    with pytest.raises(DeconvError, match="expected a check with a scale"):
        save_thresholds(tmp_path, {"exact_duplicate": Threshold(1.0)})
    (tmp_path / "results" / "thresholds.json").write_text('{"dark": 3}')
    assert read_thresholds(tmp_path) == {}


def test_a_surprise_is_drawn_from_what_passed_the_same_every_time(audited):
    table = AuditTable(audited)
    names = draw_surprise(audited, table, 6, seed=3)
    assert draw_surprise(audited, table, 6, seed=3) == names
    assert len(set(names)) == len(names)
    assert all(not table.row(name)["issues"] for name in names)
    assert read_surprise(audited)["images"] == names


@pytest.mark.parametrize("passes", [9, 10, 11, 15])
def test_a_surprise_of_more_than_passed_is_all_that_passed(audited, monkeypatch, passes):
    table = AuditTable(audited)
    monkeypatch.setattr(AuditTable, "select", lambda *_: np.arange(passes))
    assert sorted(draw_surprise(audited, table, 40)) == sorted(table.names[:passes].to_pylist())
    (audited / "results" / "surprise.json").unlink()


def test_the_interval_of_the_miss_rate_is_that_of_clopper_and_pearson():
    from scipy.stats import binomtest

    sample_drawn = {"images": [str(number) for number in range(30)], "passes": 1000}
    decisions = {str(number): "drop" if number < 4 else "keep" for number in range(25)} | {"28": "unsure"}
    found = miss_rate(sample_drawn, decisions)
    expected = binomtest(4, 25).proportion_ci(method="exact")
    assert (found.judged, found.missed, found.rate) == (25, 4, 0.16)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert np.isnan(miss_rate(sample_drawn, {}).rate)


# Drift


def write_audit(tmp_path: Path, name: str, count: int, darker: float, seed: int) -> AuditTable:
    generator = np.random.default_rng(seed)
    (tmp_path / name).mkdir()
    for number in range(count):
        pixels = generator.integers(0, 256, (24, 24, 3)) * (1 - darker)
        (tmp_path / name / f"{number}.png").write_bytes(file_bytes(pixels.astype(np.uint8)))
    run_audit(AuditSettings(str(tmp_path / name)), tmp_path / f"{name} job")
    return AuditTable(tmp_path / f"{name} job")


def test_drift_names_what_changed_and_is_silent_about_the_rest(tmp_path):
    first = write_audit(tmp_path, "first", 40, 0, 1)
    same = write_audit(tmp_path, "same", 40, 0, 2)
    darker = write_audit(tmp_path, "darker", 40, 0.5, 3)
    calm = compare_audits(first, same)
    assert "look alike" in calm.paragraph
    found = compare_audits(first, darker)
    row = found.columns.set_index("column").loc["brightness"]
    assert (row["ks"], row["larger"], row["size"]) == (1, 0, "large")
    assert "lower" in row["sentence"]
    assert found.matched == 40


def test_the_statistics_of_drift_are_those_of_scipy(tmp_path):
    from scipy.stats import ks_2samp, mannwhitneyu

    first, second = (write_audit(tmp_path, name, 30, 0.1 * seed, seed) for name, seed in (("a", 1), ("b", 2)))
    row = compare_audits(first, second).columns.set_index("column").loc["contrast"]
    one, other = first.numbers["contrast"], second.numbers["contrast"]
    assert row["ks"] == pytest.approx(ks_2samp(one, other).statistic)
    assert row["larger"] == pytest.approx(mannwhitneyu(other, one).statistic / (len(one) * len(other)))


# What leaves


def test_decisions_count_more_than_checks(audited):
    table = AuditTable(audited)
    clean, bad = split(table)
    assert sorted([*clean, *bad]) == sorted(table.names.to_pylist())
    assert {"<b>broken.png", "sub/z copy.png"} <= set(bad)
    choice = Choice(decisions={"sub/z copy.png": "keep", "photo 1.png": "drop", "gone": "drop"})
    clean, bad = split(table, choice)
    assert "sub/z copy.png" in clean
    assert "photo 1.png" in bad
    assert set(split(table, Choice(checks=("exact_duplicate",)))[1]) == {"<b>broken.png", "sub/z copy.png"}


def test_a_list_has_one_name_per_line_whatever_the_name():
    assert list_bytes(["a\nb", "c\\d", "é"]).decode().splitlines() == ["a\\nb", "c\\\\d", "é"]


def test_csv_cells_that_a_spreadsheet_would_run_are_defused(audited):
    rows = list(csv.DictReader(io.StringIO(csv_file(AuditTable(audited)).decode())))
    names = [row["image"] for row in rows]
    assert "'=1+1.png" in names
    assert "=1+1.png" not in names
    assert "place" not in rows[0]
    found = next(row for row in rows if row["image"] == "sub/z copy.png")
    assert "exact_duplicate" in found["issues"].split()


def test_parquet_holds_the_rules(audited):
    from deconv_core.tables import read_recipes

    path = audited / "export.parquet"
    path.write_bytes(parquet_file(AuditTable(audited), Choice(thresholds={"dark": 20})))
    assert read_recipes(path)["dark"]["threshold"] == 20
    assert len(pd.read_parquet(path)) == 15


def test_the_report_stands_alone_and_escapes_names(audited, tmp_path):
    path = report_file(audited, tmp_path / "report.html")
    text = path.read_text()
    assert "<b>broken" not in text
    assert "&lt;b&gt;broken.png" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert text.count("data:image/jpeg") >= 4
    assert path.stat().st_size < 1_000_000
    assert json.loads((audited / "results" / "summary.json").read_text())["command"] in text


# What a run leaves


def frame(table: AuditTable, choice: Choice | None = None) -> pd.DataFrame:
    """The whole table as it leaves, read from its Parquet file."""
    return pd.read_parquet(io.BytesIO(parquet_file(table, choice)))


def test_a_finished_run_leaves_what_the_page_offers(audited):
    from deconv_core.tables import read_recipes

    results = audited / "results"
    clean, bad_names = split(AuditTable(audited))
    assert (results / "clean.txt").read_bytes() == list_bytes(clean)
    assert (results / "bad.txt").read_bytes() == list_bytes(bad_names)
    assert (results / "move.sh").read_text().count("\nmove ") == len(bad_names)
    assert len(pd.read_csv(results / "images.csv")) == 15
    assert "<h1>Audit of data</h1>" in (results / "report.html").read_text()
    made = read_recipes(results / "images.csv")
    assert made["dark"]["threshold"] == CHECKS["dark"].threshold
    assert set(made["audit"]["versions"]) >= {"deconv_core", "python", "numpy"}
    assert made["audit"]["command"] == "python -m deconv_core audit data --out job"


def test_the_csv_holds_what_pandas_would_write_there(audited):
    from deconv_core.tables import csv_bytes

    table = AuditTable(audited)
    content = frame(table)
    content["issues"] = [" ".join(keys) for keys in content["issues"]]
    expected = pd.read_csv(io.BytesIO(csv_bytes(content)))
    found = pd.read_csv(io.BytesIO(csv_file(table)))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)


def test_tables_in_pieces_are_those_of_one_piece(audited, monkeypatch):
    table = AuditTable(audited)
    whole, parquet = csv_file(table), frame(table)
    monkeypatch.setattr(export, "_PIECE", 4)
    assert csv_file(table) == whole
    pd.testing.assert_frame_equal(frame(table), parquet)


def test_where_a_score_stands_within_the_set_is_told(audited):
    content = frame(AuditTable(audited))
    best = content["quality_risk"].idxmin()
    assert content.loc[best, "quality_risk_percentile"] == 100
    assert content["quality_risk_percentile"].corr(content["quality_risk"], method="spearman") == pytest.approx(-1)


def test_decisions_are_looked_up_once_and_not_one_by_one(audited, monkeypatch):
    table = AuditTable(audited)
    monkeypatch.setattr(AuditTable, "place", lambda *_: pytest.fail("looked up one by one"))
    monkeypatch.setattr(AuditTable, "row", lambda *_: pytest.fail("looked up one by one"))
    decisions = dict.fromkeys((f"gone {number}" for number in range(200_000)), "drop") | {"photo 1.png": "drop"}
    began = time.process_time()
    is_bad = bad(table, Choice(checks=(), decisions=decisions))
    assert time.process_time() - began < 2  # a scan of all names for each would take minutes
    assert table.names.filter(pa.array(is_bad)).to_pylist() == ["<b>broken.png", "photo 1.png"]


def test_a_report_at_the_end_of_a_run_shows_fewer_pictures(audited, tmp_path):
    few, all_of_them = (
        report_file(audited, tmp_path / f"{name}.html", num_pictures=number).read_text().count("data:image/jpeg")
        for name, number in (("few", 8), ("all", None))
    )
    assert 0 < few < all_of_them
    assert [at_the_end(count) for count in (5, 2000, 10**6)] == [24, 30, 300]


def test_a_report_that_fails_does_not_fail_a_finished_audit(tmp_path, monkeypatch):
    def failing(*_, **__):
        raise ZeroDivisionError("integer division")

    monkeypatch.setattr("deconv_core.audit.report.report_file", failing)
    write_audit(tmp_path, "a", 3, 0, 1)
    status = json.loads((tmp_path / "a job" / "status.json").read_text())
    assert status["state"] == "finished"
    assert "report are lacking (integer division)" in (tmp_path / "a job" / "log.txt").read_text()


# Recipes


def test_table_and_summary_hold_rule_version_and_threshold(audited):
    from deconv_core.tables import read_recipes

    made = read_recipes(audited / "results" / "images.parquet")
    summary = json.loads((audited / "results" / "summary.json").read_text())
    assert made == summary["recipes"]
    row = CHECKS["blurry"]
    assert made["blurry"]["threshold"] == row.threshold
    assert (made["blurry"]["version"], made["blurry"]["rule"]) == (row.version, row.rule)
    assert made["quality_risk"]["points"]["blurry"] == row.weight
    assert summary["versions"]["deconv_core"]


def test_the_models_recipe_holds_its_digest_and_the_working_size():
    from deconv_core.models.saving import read_card

    settings = AuditSettings("samples", model="photo_small", max_side=128)
    made = recipes(("dark", "reconstruction"), settings, model_facts(settings))
    assert made["reconstruction"]["model_digest"] == read_card("photo_small")["digest"]
    assert (made["reconstruction"]["model"], made["reconstruction"]["max_side"]) == ("photo_small", 128)
    assert "model" not in made["dark"]


@pytest.mark.parametrize("kind", ["folder", "zip", "csv", "npz", "samples"])
def test_the_fingerprint_is_that_of_the_source(tmp_path, kind):
    from deconv_core.survey import fingerprint
    from tests.test_sources import write_zip

    files = broken_set()
    source = tmp_path / "set"
    if kind in ("folder", "csv"):
        source.mkdir()
        for name, data in files.items():
            (source / name).write_bytes(data)
    if kind == "csv":
        (source / "list.csv").write_text("image\ngood.png\ngone.png\ngood.png\n\ncut.png\n")
        source = source / "list.csv"
    elif kind == "zip":
        source = write_zip(tmp_path / "set.zip", files)
    elif kind == "npz":
        source = tmp_path / "set.npz"
        np.savez_compressed(source, x_train=np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), np.uint8))
    elif kind == "samples":
        source = "samples"
    summary = run_audit(AuditSettings(str(source)), tmp_path / "job")
    assert summary["fingerprint"] == fingerprint(source)


# One risk, and choices that belong to the set


def test_the_points_of_a_set_are_saved_with_it(tmp_path):
    (tmp_path / "results").mkdir()
    save_weights(tmp_path, {"dark": 90, "blurry": 0})
    assert read_weights(tmp_path) == saved_choice(tmp_path).weights == {"dark": 90.0, "blurry": 0.0}
    with pytest.raises(DeconvError, match="The weight of 'dark' is -1"):
        save_weights(tmp_path, {"dark": -1})
    save_weights(tmp_path, {})
    assert read_weights(tmp_path) == {}
    (tmp_path / "results" / "weights.json").write_text('{"dark": "much"}')
    assert read_weights(tmp_path) == {}


def test_table_sample_and_report_use_the_sets_own_risk(audited, tmp_path):
    table = AuditTable(audited)
    usual = set_risk(table, Choice())
    np.testing.assert_allclose(usual, table.numbers["quality_risk"].to_numpy(), atol=1e-4)
    own = Choice(weights={key: 100.0 * (key == "light") for key in table.checks}, thresholds={"light": 200})
    risk = set_risk(table, own)
    assert not np.allclose(risk, usual)
    content = frame(table, own)
    np.testing.assert_allclose(content["quality_risk"], risk)
    first = content.loc[content["quality_risk"].idxmax(), "image"]
    text = report_file(audited, tmp_path / "own.html", choice=own).read_text()
    listed = text[text.index("Highest quality risk</h2>") :]
    assert listed.index(first) < listed.index("</tr>", listed.index("<tbody>"))


def test_the_sample_is_drawn_from_levels_of_the_sets_own_risk(audited):
    table = AuditTable(audited)
    drawn = [draw_surprise(audited, table, 2, seed=5), draw_surprise(audited, table, 2, seed=5, weights={"light": 100})]
    assert drawn[0] != drawn[1]
    (audited / "results" / "surprise.json").unlink()


def test_a_sample_says_when_other_thresholds_count(audited):
    table = AuditTable(audited)
    draw_surprise(audited, table, 4, thresholds={"dark": 70.0})
    sample = read_surprise(audited)
    assert outdated(sample, table, {"dark": 70.0}) == ""
    assert outdated(sample, table, {"dark": 70.0, "blurry": CHECKS["blurry"].threshold}) == ""
    told = outdated(sample, table, {"blurry": 1.0})
    assert "“Blurry” and of 1 more" in told
    assert "from 1.45 px to 1.00 px" in told
    assert "was other" in outdated({**sample, "fingerprint": "another"}, table, {"dark": 70.0})
    assert outdated({"images": [], "thresholds": {}}, table) == ""
    decisions = dict.fromkeys(sample["images"], "keep")
    assert "95 % interval" in miss_sentence(audited, table, Choice(thresholds={"dark": 70.0}, decisions=decisions))
    assert "no longer tells" in miss_sentence(audited, table, Choice(decisions=decisions))
    (audited / "results" / "surprise.json").unlink()


@pytest.mark.parametrize("content", ["[]", '{"images": 3}', '{"images": ["a"], "passes": "x"}', "{"])
def test_a_damaged_sample_is_none(tmp_path, content):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "surprise.json").write_text(content)
    assert read_surprise(tmp_path) == {}


def test_a_second_audit_takes_over_what_was_chosen_in_the_first(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for number, pixels in enumerate(photographs(5, 64)):
        (data / f"{number}.png").write_bytes(file_bytes(to_uint8(pixels)))
    run_audit(AuditSettings(str(data)), tmp_path / "first")
    assert taken_over(tmp_path / "first") == ""
    save_thresholds(tmp_path / "first", {"dark": Threshold(33.0)})
    save_weights(tmp_path / "first", {"dark": 7})
    review = Review(tmp_path / "first")
    for image, decision in (("0.png", "drop"), ("1.png", "keep"), ("2.png", "drop"), ("3.png", "unsure")):
        review.decide(image, decision)
    (data / "1.png").rename(data / "renamed.png")
    (data / "2.png").write_bytes(file_bytes(to_uint8(photographs(8, 64)[7])))
    run_audit(AuditSettings(str(data)), tmp_path / "second")
    choice = saved_choice(tmp_path / "second")
    assert choice.thresholds == {"dark": 33.0}
    assert choice.weights == {"dark": 7.0}
    assert choice.decisions == {"0.png": "drop", "renamed.png": "keep", "3.png": "unsure"}
    told = taken_over(tmp_path / "second")
    assert "“first”: 1 threshold, the points of the quality risk and 3 decisions. 1 decided there have changed" in told
    assert "0.png" in (tmp_path / "second" / "results" / "bad.txt").read_text()
    assert "Taken over from the earlier audit" in (tmp_path / "second" / "results" / "report.html").read_text()
    # What is reset or decided here stays so, also when the run goes on.
    save_thresholds(tmp_path / "second", {})
    Review(tmp_path / "second").undo("0.png")
    run_audit(AuditSettings(str(data)), tmp_path / "second", resume=True)
    assert saved_choice(tmp_path / "second").thresholds == {}
    assert "0.png" not in saved_choice(tmp_path / "second").decisions
    other = tmp_path / "other"
    data.rename(other)
    run_audit(AuditSettings(str(other)), tmp_path / "third")
    assert saved_choice(tmp_path / "third") == Choice()


# Drift of what was measured alike


def with_recipes(folder: Path, **changes: dict) -> AuditTable:
    """The audit with other recipes in its summary."""
    path = folder / "results" / "summary.json"
    summary = json.loads(path.read_text())
    for key, change in changes.items():
        summary["recipes"][key] |= change
    path.write_text(json.dumps(summary))
    return AuditTable(folder)


def test_what_was_measured_in_another_way_is_not_compared(tmp_path):
    first, second = (write_audit(tmp_path, name, 20, 0.1 * seed, seed) for name, seed in (("a", 1), ("b", 2)))
    whole = compare_audits(first, second)
    assert {"dark", "brightness"} <= set(whole.columns["column"])
    assert whole.left_out == ()
    changed = with_recipes(tmp_path / "b job", dark={"version": 2}, brightness={"measured_by": "measured 99"})
    found = compare_audits(first, changed)
    assert not {"dark", "brightness"} & {*found.columns["column"], *found.shares["check"], *found.pairs["column"]}
    told = "\n".join(found.left_out)
    assert "“Dark” is left out" in told
    assert "version 1 in the first, 2 in the second" in told
    assert f"measurement {RECIPE} in the first, measured 99 in the second" in told
    assert f"over the {len(first.checks) - 1} checks" in told
    risk = found.columns.set_index("column").loc["quality_risk"]
    kept = [key for key in first.checks if key != "dark"]
    assert risk["median_first"] == pytest.approx(np.median(measured_risk(first.numbers[kept])))


def test_models_sizes_and_metrics_make_other_numbers():
    def made(**recipe) -> dict:
        return {"reconstruction": recipe}

    base = {"version": 1, "model": "small", "model_digest": "a" * 64, "max_side": 256}
    assert difference("reconstruction", made(**base), made(**base)) == ""
    assert difference("reconstruction", made(**base), made(**base | {"model": "its copy"})) == ""
    for change, told in (
        ({"model": "large", "model_digest": "b" * 64}, "model small in the first, large in the second"),
        ({"model_digest": "b" * 64}, "two models under one name"),
        ({"max_side": 0}, "working size 256 px in the first, whole pictures in the second"),
    ):
        assert told in difference("reconstruction", made(**base), made(**base | change))
    older = {"version": 1, "model": "small", "max_side": 256}
    assert difference("reconstruction", made(**base), made(**older)) == ""
    one, other = ({"low_quality": {"quality": {"key": "own", "version": number}}} for number in (1, 2))
    assert "two versions of the metric own" in difference("low_quality", one, other)
    assert difference("low_quality", one, {"low_quality": {"quality": {"key": "own"}}}) == ""
    other["low_quality"]["quality"]["key"] = "another"
    assert "metric own in the first, another in the second" in difference("low_quality", one, other)


def test_copies_are_not_compared_before_both_audits_have_ended(tmp_path):
    first, _ = (write_audit(tmp_path, name, 12, 0, seed) for name, seed in (("a", 1), ("b", 2)))
    (tmp_path / "b job" / "results" / "images.parquet").unlink()
    found = compare_audits(first, AuditTable(tmp_path / "b job"))
    assert "near_duplicate" not in set(found.shares["check"])
    assert any("“Near duplicate” is left out until" in told for told in found.left_out)


def test_matched_pictures_are_compared_one_by_one(tmp_path):
    import cv2

    generator = np.random.default_rng(7)
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    for number, pixels in enumerate(photographs(20, 96)):
        pixels = to_uint8(pixels)
        (tmp_path / "before" / f"{number}.png").write_bytes(file_bytes(pixels))
        changed = cv2.GaussianBlur(pixels, (0, 0), 2.5) if number < 15 else pixels
        (tmp_path / "after" / f"{number}.png").write_bytes(file_bytes(changed))
    (tmp_path / "after" / "new.png").write_bytes(file_bytes(generator.integers(0, 256, (40, 40, 3), np.uint8)))
    tables = []
    for name in ("before", "after"):
        run_audit(AuditSettings(str(tmp_path / name)), tmp_path / f"{name} job")
        tables.append(AuditTable(tmp_path / f"{name} job"))
    found = compare_audits(*tables)
    assert found.matched == 20
    row = found.pairs.set_index("column").loc["blurry"]
    assert (row["better"], row["worse"], row["same"]) == (0, 15, 5)
    flags = [
        CHECKS["blurry"].flags(table.rows(table.places([f"{n}.png" for n in range(20)]))["blurry"]) for table in tables
    ]
    assert (row["cleared"], row["raised"]) == ((flags[0] & ~flags[1]).sum(), (flags[1] & ~flags[0]).sum())
    change = np.subtract(
        *(table.rows(table.places([f"{n}.png" for n in range(20)]))["blurry"].to_numpy(float) for table in tables[::-1])
    )
    assert row["median_difference"] == pytest.approx(np.median(change), rel=1e-5)
    # 20 differences: the sixth smallest and largest, as every table of the sign test says.
    assert (row["low"], row["high"]) == pytest.approx((np.sort(change)[5], np.sort(change)[-6]), abs=1e-6)
    assert "Blurry: of 20 pictures 0 got better, 15 got worse, 5 stayed; the median change is +" in row["sentence"]
    assert found.pairs.set_index("column").loc["brightness"][["better", "worse"]].isna().all()
    assert "20 of 21 pictures have the same name in both, 5 of them the very same content" in found.paragraph


def test_names_that_differ_in_their_ending_alone_match(tmp_path):
    first = write_audit(tmp_path, "a", 9, 0, 1)
    (tmp_path / "b").mkdir()
    for path in (tmp_path / "a").iterdir():
        (tmp_path / "b" / f"{path.stem}.bmp").write_bytes(file_bytes(np.asarray(Image.open(path)), "BMP"))
    run_audit(AuditSettings(str(tmp_path / "b")), tmp_path / "b job")
    found = compare_audits(first, AuditTable(tmp_path / "b job"))
    assert found.matched == 9
    assert found.pairs.set_index("column").loc["brightness", "same"] == 9


@pytest.mark.parametrize("count", [6, 7, 20, 101])
def test_the_interval_of_the_median_covers_at_least_as_stated(count):
    from scipy.stats import binom

    middle, low, high = median_interval(np.arange(1.0, count + 1))
    assert middle == (count + 1) / 2
    outside = 2 * binom.cdf(low - 1, count, 0.5)
    assert outside <= 0.05 < 2 * binom.cdf(low, count, 0.5)
    assert high == count + 1 - low
    assert np.isnan(median_interval(np.arange(5.0))[1:]).all()


# The shell


def shell(*words) -> Result:
    from deconv_core.__main__ import main

    return CliRunner().invoke(main, ["audit", *map(str, words)], prog_name="deconv_core", catch_exceptions=False)


def test_two_audits_are_compared_in_the_shell(tmp_path):
    write_audit(tmp_path, "a", 20, 0, 1)
    write_audit(tmp_path, "b", 20, 0.5, 2)
    done = shell("--outputs-only", "--out", tmp_path / "b job", "--compare-with", tmp_path / "a job")
    assert done.exit_code == 0, done.output
    assert "The two sets differ in" in done.stdout
    assert "Mean brightness: of 20 pictures 0 went up, 20 went down" in done.stdout
    written = json.loads((tmp_path / "b job" / "results" / "drift.json").read_text())
    assert written["matched"] == 20
    assert {row["column"] for row in written["pairs"]} >= {"brightness", "quality_risk"}
    assert "compared</h1>" in (tmp_path / "b job" / "results" / "drift.html").read_text()


def test_what_people_choose_can_be_chosen_in_the_shell(tmp_path):
    table = write_audit(tmp_path, "a", 12, 0.2, 1)
    job = tmp_path / "a job"
    names = table.names.to_pylist()
    with (tmp_path / "decided.csv").open("w", newline="") as file:
        rows = [["image", "decision"], [names[0], "drop"], [names[1], "Keep"], ["gone", "drop"], [names[2], ""]]
        csv.writer(file).writerows(rows)
    words = ("--thresholds", "brightness_is_none=3")
    assert "expected a check with a scale" in shell("--outputs-only", "--out", job, *words).output
    done = shell(
        "--outputs-only", "--out", job, "--thresholds", "dark=20,low_contrast=25%", "--points", "dark=90",
        "--decisions", tmp_path / "decided.csv", "--surprise", 2,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    choice = saved_choice(job)
    assert choice.thresholds == {"dark": 20.0, "low_contrast": pytest.approx(table.threshold_at("low_contrast", 25))}
    assert choice.decisions == {names[0]: "drop", names[1]: "keep"}
    assert choice.weights == {"dark": 90.0}
    assert names[0] in (job / "results" / "bad.txt").read_text().splitlines()
    assert pd.read_csv(job / "results" / "images.csv").set_index("image").loc[names[0], "decision"] == "drop"
    assert len(read_surprise(job)["images"]) <= 2
    assert shell("--outputs-only", "--out", tmp_path / "none").exit_code == 2
    assert "Missing argument 'SOURCE'" in shell("--out", tmp_path / "none").output
