"""What an `agree` run leaves in its folder: read back, put into tables for people, and written as a report."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from deconv_core import agree_command, agree_result
from deconv_core.agree_command import run
from deconv_core.agree_report import write_agree_report
from deconv_core.agree_result import furthest, read_result
from deconv_core.agreement import best_curve
from deconv_core.errors import DeconvError

WICKED = "<script>alert(1)</script>"


@pytest.fixture
def result(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    quality = rng.uniform(size=80)
    frame = pd.DataFrame(
        {
            "image": [f"{WICKED} {row}.png" for row in range(80)],
            "scene": [f"s{row % 8}" for row in range(80)],
            "kind": ["blur", "noise"] * 40,
            "mos": 1 + 4 * quality + 0.3 * rng.normal(size=80),
            "psnr": 20 + 20 * quality + rng.normal(size=80),
            "ssim": quality + 0.5 * rng.normal(size=80),
            "mine": 3 - quality,
        }
    )
    frame.loc[7, "mos"] = 9.0  # far from any curve
    frame.loc[4, "mos"] = np.nan
    frame.to_csv(tmp_path / "tid2013.csv", index=False)
    columns = {"content": "scene"}
    metrics = ["psnr", "ssim", "mine"]
    run(
        tmp_path / "tid2013.csv", tmp_path / "job", scores="mos", metrics=metrics, group="kind", columns=columns,
        resamples=60, command="python -m deconv_core agree tid2013.csv",
    )  # fmt: skip
    return read_result(tmp_path / "job")


def test_what_was_written_is_read_back(result):
    assert result.metrics == ["mine", "psnr", "ssim"]  # the best first
    assert result.groups == ["blur", "noise"]
    assert result.scores == "mos"
    assert len(result.rows) == 80
    assert result.pictures is None
    assert result.picture(0) == (None, None)
    assert result.advice.startswith("For pictures like these trust mine")
    assert result.direction_words().startswith("Human scores: higher is better. The name 'mos' and the numbers agree")
    known = result.rows[result.rows["mos"].notna()]
    fit = best_curve(known["psnr"].to_numpy(), known["mos"].to_numpy())[0]
    assert result.fits["psnr", "all"] == fit
    assert set(result.fits) == {(key, group) for key in result.metrics for group in ("all", "blur", "noise")}


def test_tables_for_people_hold_the_numbers_of_the_run(result):
    table = agree_result.metrics_table(result)
    stored = result.table[result.table["group"] == "all"].set_index("metric")
    assert table["Metric"].tolist() == ["mine", "PSNR", "SSIM"]
    assert table["SRCC"].tolist() == stored.loc[result.metrics, "srcc"].tolist()
    low, high = map(float, table["SRCC, 95 % interval"][1].split(" to "))
    assert (low, high) == pytest.approx(tuple(stored.loc["psnr", ["srcc_low", "srcc_high"]]), abs=5e-4)
    assert table["Of the metric"].tolist() == [
        "lower is better, guessed from the scores", "higher is better", "higher is better",
    ]  # fmt: skip
    rivals = agree_result.rivals_table(result)
    pairs = [frozenset(pair) for pair in zip(rivals["Metric"], rivals["Against"], strict=True)]
    assert len(set(pairs)) == len(pairs) == 3  # no difference is told twice
    told = dict(zip(pairs, rivals["Verdict"], strict=True))
    assert told[frozenset(("PSNR", "SSIM"))] == "agrees better"
    groups = agree_result.groups_table(result)
    assert groups["Group"].tolist() == ["blur", "noise"]
    assert groups["Pictures"].sum() == 79
    held = agree_result.held_out_table(result)
    assert held["Contents"].tolist() == [8, 8, 8]
    assert held["Folds"].tolist() == [8, 8, 8]
    published = agree_result.published_table(result)
    assert published["Metric"].tolist() == ["PSNR", "SSIM", "SSIM", "SSIM"]
    assert published["SRCC here"].iloc[0] == stored.loc["psnr", "srcc"]


def test_the_furthest_rows_are_those_far_from_the_curve(result):
    rows = furthest(result, "psnr", 5)
    assert rows["row"].iloc[0] == 7
    assert rows["difference"].abs().is_monotonic_decreasing
    fit = result.fits["psnr", "all"]
    place = int(rows["row"].iloc[1])
    expected = fit.predict(result.rows["psnr"].to_numpy()[[place]])[0]
    assert rows["expected"].iloc[1] == pytest.approx(expected)
    assert rows["difference"].iloc[1] == pytest.approx(result.rows["mos"].iloc[place] - expected)
    assert 4 not in furthest(result, "psnr", 80)["row"].tolist()  # nobody rated it


def test_a_folder_without_a_result_gives_none_and_a_damaged_one_is_told(result, tmp_path):
    assert read_result(tmp_path) is None
    (result.folder / "results" / "curves.json").write_text("[{}]")
    with pytest.raises(DeconvError, match="holds no readable result"):
        read_result(result.folder)


def test_a_run_that_begins_again_is_no_result_until_it_ends(result, tmp_path, monkeypatch):
    """The mark goes before anything is replaced and comes back last; what was understood so far names the scores."""
    mark = result.folder / "results" / "curves.json"
    seen = []
    write_json = agree_command.write_json

    def watched(path, content):
        seen.append((path.name, mark.exists(), "scores" in content))
        write_json(path, content)

    monkeypatch.setattr(agree_command, "write_json", watched)
    run(tmp_path / "tid2013.csv", result.folder, scores="mos", metrics=["psnr"], resamples=0, resume=True)
    assert [name for name, _, _ in seen] == ["settings.json", "settings.json", "curves.json"]
    assert not any(there for _, there, _ in seen)
    assert all(named for name, _, named in seen if name == "settings.json")
    assert read_result(result.folder).scores == "mos"
    # A run that ends in the middle leaves no result that is half of one and half of another.
    monkeypatch.setattr(agree_command, "compute", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "tid2013.csv", result.folder, scores="mos", metrics=["psnr"], resamples=0, resume=True)
    assert read_result(result.folder) is None


def test_the_report_holds_the_numbers_and_nothing_from_elsewhere(result):
    text = write_agree_report(result).read_text(encoding="utf-8")
    assert "For pictures like these trust mine" in text
    assert "python -m deconv_core agree tid2013.csv" in text
    assert f"{result.table['srcc'].max():.4g}"[1:] in text
    assert WICKED not in text
    for heading in ("Which metric agrees with people", "Within each kind", "New contents", "Published for TID2013"):
        assert heading in text
    outside_of_plotly = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", outside_of_plotly)
    assert "<script src" not in text


def test_settings_tell_all_that_is_needed_to_do_it_again(result):
    settings = json.loads((result.folder / "settings.json").read_text(encoding="utf-8"))
    assert settings["columns"]["content"] == {"column": "scene", "why": "as told"}
    assert (settings["group"], settings["read"]["mine"], settings["computed"]) == ("kind", "mine", [])
