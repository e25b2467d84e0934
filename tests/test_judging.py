"""Studies, trials and answers: blind and balanced plans, storage that survives crashes, results, and the way out."""

import io
import json
import threading
import zipfile
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from deconv_core import album, judging, judging_results
from deconv_core.bradley_terry import preference
from deconv_core.distortions import distort
from deconv_core.errors import DeconvError
from deconv_core.judging import Study

CONDITIONS = [("jpeg", 2.0), ("jpeg", 4.0), ("gaussian_blur", 2.0), ("gaussian_blur", 4.0), ("white_noise", 3.0)]
# What simulated judges feel, in log-odds.
FELT = {"jpeg 2": 2.0, "gaussian_blur 2": 1.0, "white_noise 3": 0.0, "jpeg 4": -1.0, "gaussian_blur 4": -2.0}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    return tmp_path


def picture(seed: int, height: int = 48, width: int = 64, channels: int = 3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / 16
    waves = 0.5 + 0.2 * np.sin(rows + seed) + 0.2 * np.cos(columns * (1 + seed / 5))
    return np.clip(waves[..., None] + generator.normal(0, 0.05, (height, width, channels)), 0, 1).astype(np.float32)


@pytest.fixture
def study(home) -> Study:
    contents = [("waves", picture(1)), ("more <b>waves</b>", picture(2)), ("third", picture(3))]
    return judging.create_study("My <b>study</b>", contents, CONDITIONS, num_trials=24, seed=5)


def judge_all(study: Study, name: str, generator: np.random.Generator, *, attentive: bool = True) -> None:
    """A judge who follows the model of Bradley and Terry, but for pairs with a known answer."""
    progress = judging.start_judge(study, name)
    for number, trial in enumerate(progress.trials[progress.done :], start=progress.done):
        if trial.kind == "catch":
            left = trial.left.endswith("_reference") == attentive
        else:
            felt = [FELT[study.stimuli[key].condition] for key in (trial.left, trial.right)]
            left = generator.random() < preference(felt[0] - felt[1])
        assert judging.record_answer(study, name, number, "left" if left else "right", 1.5)


# -------------------------------------------------------------------------------------------------------------- studies


def test_a_study_keeps_its_pictures_and_is_found_again(study):
    [again] = judging.list_studies()
    assert again == study
    assert again.name == "My <b>study</b>"
    assert again.contents == ("waves", "more <b>waves</b>", "third")
    assert len(again.judged) == 3 * len(CONDITIONS)
    assert again.conditions == [f"{kind} {severity:g}" for kind, severity in CONDITIONS]
    expected = distort(picture(2), "gaussian_blur", 4.0, seed=5 + 1)
    assert np.array_equal(judging.read_pixels(again, "01_gaussian_blur_4"), expected)
    assert np.array_equal(judging.read_pixels(again, again.reference(0)), distort(picture(1), "jpeg", 0))
    judging.delete_study(again)
    assert judging.list_studies() == []


def test_large_pictures_are_reduced_before_they_are_made_worse(home):
    study = judging.create_study("x", [("wide", picture(1, 200, 800))], CONDITIONS[:2])
    assert judging.read_pixels(study, study.reference(0)).shape == (80, judging.LARGEST_SIDE, 3)


def test_damage_that_leaves_a_grey_picture_as_it_is_is_left_out(home):
    contents = [("grey", picture(1, channels=1)), ("colour", picture(2))]
    study = judging.create_study("x", contents, [("jpeg", 3), ("saturation", 3), ("contrast", 3)])
    assert [row.key for row in study.judged if row.distortion == "saturation"] == ["01_saturation_3"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"contents": []}, "at least one reference"),
        ({"conditions": [("jpeg", 3)]}, "at least two"),
        ({"conditions": [("jpeg", 3), ("jpeg", 3.0)]}, "got 1 kinds"),
        ({"conditions": [("jpeg", 3), ("rain", 3)]}, "rain"),
        ({"conditions": [("jpeg", 3), ("jpeg", 0)]}, "severity in"),
        ({"question": "nicer"}, "closer, better"),
        ({"num_trials": 3}, "num_trials got 3"),
        ({"contents": [("a", picture(0))] * 201}, "at most 400"),
        (
            {
                "contents": [("a", picture(0)), ("ash", picture(1, channels=1))],
                "conditions": [("saturation", 2), ("saturation", 4), ("jpeg", 3)],
            },
            "'ash' is grey and only 1 of the 3",
        ),
    ],
)
def test_impossible_studies_are_refused_and_leave_nothing_behind(home, changes, match):
    request = {"contents": [("a", picture(0))], "conditions": CONDITIONS[:2], "num_trials": 20, "question": "closer"}
    request |= changes
    with pytest.raises(DeconvError, match=match):
        judging.create_study("x", request.pop("contents"), request.pop("conditions"), **request)
    assert judging.list_studies() == []
    assert not list(home.rglob("*.png"))


@pytest.mark.parametrize("key", ["../../etc", "20200101-000000-gone-0000", "", "20200101-000000-a/../b"])
def test_addresses_of_no_study_are_refused(home, key):
    with pytest.raises(DeconvError, match="not there"):
        judging.open_study(key)


def test_a_damaged_study_is_told_and_does_not_hide_the_others(study):
    other = judging.create_study("x", [("a", picture(0))], CONDITIONS[:2])
    (other.folder / "study.json").write_text("{")
    with pytest.raises(DeconvError, match="cannot be read"):
        judging.open_study(other.key)
    assert judging.list_studies() == [study]


# --------------------------------------------------------------------------------------------------------------- trials


def test_every_plan_has_its_catch_trials_and_repetitions_and_links_all_conditions(study):
    for number in range(60):
        trials = judging.plan_trials(study, f"judge {number}")
        kinds = Counter(trial.kind for trial in trials)
        assert kinds == {"main": 20, "catch": 2, "repeat": 2}
        assert trials[0].kind != "catch"
        group = {name: {name} for name in study.conditions}
        for place, trial in enumerate(trials):
            left, right = study.stimuli[trial.left], study.stimuli[trial.right]
            assert left.content == right.content == trial.content
            if trial.kind == "repeat":
                first = trials[trial.repeats]
                assert (first.kind, first.left, first.right) == ("main", trial.right, trial.left)
                assert place > trial.repeats + 1
            elif trial.kind == "catch":
                assert {left.distortion, right.distortion} == {"", "catch"}
            else:
                joined = group[left.condition] | group[right.condition]
                group |= dict.fromkeys(joined, joined)
        assert len(group[study.conditions[0]]) == len(study.conditions)
        main = [frozenset((trial.left, trial.right)) for trial in trials if trial.kind == "main"]
        assert len(set(main)) == len(main)


def test_plans_follow_from_seed_and_name_and_differ_between_judges(study):
    assert judging.plan_trials(study, "Anna") == judging.plan_trials(study, " Anna ")
    assert judging.plan_trials(study, "Anna") != judging.plan_trials(study, "anna")


def test_sides_are_even(study):
    better_left = total = 0
    order = {row.key: FELT[row.condition] for row in study.judged}
    for number in range(100):
        for trial in judging.plan_trials(study, f"judge {number}"):
            if trial.kind == "main":
                better_left += order[trial.left] > order[trial.right]
                total += 1
    assert better_left / total == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(total))


def test_a_small_study_gives_fewer_trials(home):
    study = judging.create_study("x", [("a", picture(0))], CONDITIONS[:3], num_trials=100)
    kinds = Counter(trial.kind for trial in judging.plan_trials(study, "Anna"))
    assert kinds["main"] == 3
    assert kinds["repeat"] == 1  # of the first half


# -------------------------------------------------------------------------------------------------------------- answers


def test_answers_are_kept_undone_and_given_again(study):
    judging.start_judge(study, "Anna")
    assert judging.record_answer(study, "Anna", 0, "left", 2.25)
    assert not judging.record_answer(study, "Anna", 0, "right")  # arrived twice
    assert not judging.record_answer(study, "Anna", 5, "right")  # not its turn
    assert judging.record_answer(study, "Anna", 1, "right")
    assert judging.undo_answer(study, "Anna", 1)
    assert not judging.undo_answer(study, "Anna", 1)  # arrived twice
    assert judging.record_answer(study, "Anna", 1, "left")
    progress = judging.read_progress(study, "Anna")
    assert [answer["choice"] for answer in progress.answers] == ["left", "left"]
    assert progress.answers[0]["preferred"] == progress.trials[0].left
    assert progress.answers[0]["seconds"] == 2.25
    assert judging.undo_answer(study, "Anna")
    assert judging.undo_answer(study, "Anna")
    assert not judging.undo_answer(study, "Anna")
    assert judging.read_progress(study, "Anna").done == 0


def test_nothing_is_answered_after_the_end(study):
    judge_all(study, "Anna", np.random.default_rng(0))
    progress = judging.read_progress(study, "Anna")
    assert progress.is_finished
    assert not judging.record_answer(study, "Anna", progress.total, "left")


def test_judges_are_kept_apart_whatever_they_are_called(study):
    names = ["Anna", "anna", "Ånna / ..\\ <b>", "x" * 60]
    for number, name in enumerate(names):
        judging.start_judge(study, name)
        for trial in range(number):
            judging.record_answer(study, name, trial, "left")
    assert {progress.judge: progress.done for progress in judging.list_judges(study)} == dict(
        zip(names, range(4), strict=True)
    )
    assert judging.free_judge_name(study) == "Judge 1"
    judging.start_judge(study, "Judge 1")
    assert judging.free_judge_name(study) == "Judge 2"
    with pytest.raises(DeconvError, match="empty"):
        judging.start_judge(study, "  ")
    with pytest.raises(DeconvError, match="not begun"):
        judging.read_progress(study, "Nobody")


def test_starting_again_keeps_plan_and_answers(study):
    first = judging.start_judge(study, "Anna")
    judging.record_answer(study, "Anna", 0, "right")
    again = judging.start_judge(study, "Anna")
    assert again.trials == first.trials
    assert again.done == 1


def test_a_torn_last_line_costs_that_answer_alone(study):
    judging.start_judge(study, "Anna")
    for trial in range(5):
        judging.record_answer(study, "Anna", trial, "left")
    [file] = (study.folder / "answers").iterdir()
    whole = file.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    # Wherever a crash cut the last line: four answers stand, and the fifth is asked for again.
    for cut in (last + 1, (last + len(whole)) // 2, len(whole) - 2):
        file.write_bytes(whole[:cut])
        assert judging.read_progress(study, "Anna").done == 4
        assert judging.record_answer(study, "Anna", 4, "right")
        progress = judging.read_progress(study, "Anna")
        assert [answer["choice"] for answer in progress.answers] == ["left"] * 4 + ["right"]
    file.write_bytes(whole[:-1])  # only the line end is missing: the answer was whole
    assert judging.read_progress(study, "Anna").done == 5
    assert judging.record_answer(study, "Anna", 5, "right")
    assert judging.read_progress(study, "Anna").done == 6


def test_a_torn_plan_is_written_again(study):
    trials = judging.start_judge(study, "Anna").trials
    [file] = (study.folder / "answers").iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert judging.list_judges(study) == []
    assert judging.start_judge(study, "Anna").trials == trials


def test_every_answer_is_forced_to_the_disk(study, monkeypatch):
    judging.start_judge(study, "Anna")
    forced = []
    monkeypatch.setattr(judging.os, "fsync", lambda handle: forced.append(handle))
    judging.record_answer(study, "Anna", 0, "left")
    judging.undo_answer(study, "Anna")
    assert len(forced) == 2


def test_a_wrong_choice_is_refused(study):
    judging.start_judge(study, "Anna")
    with pytest.raises(DeconvError, match="left, right"):
        judging.record_answer(study, "Anna", 0, "both")


# -------------------------------------------------------------------------------------------------------------- results


def test_simulated_judges_give_back_their_ranking(study):
    generator = np.random.default_rng(4)
    for number in range(12):
        judge_all(study, f"Judge {number}", generator)
    answers = judging.answers_table(study)
    assert len(answers) == 12 * 24
    found = judging_results.condition_scores(study, answers).set_index("condition")
    felt = pd.Series(FELT)
    assert found.index.tolist() == felt.sort_values(ascending=False).index.tolist()
    assert ((found["low"] <= felt[found.index]) & (felt[found.index] <= found["high"])).all()
    assert found["answers"].sum() == 2 * 12 * 20  # repetitions and catch trials do not count
    pictures = judging_results.picture_scores(study, answers).set_index("key")
    assert len(pictures) == 15
    expected = [FELT[study.stimuli[key].condition] for key in pictures.index]
    assert np.corrcoef(pictures["score"], expected)[0, 1] > 0.95


def test_judges_who_do_not_look_are_found(study):
    generator = np.random.default_rng(6)
    judge_all(study, "Careful", generator)
    judge_all(study, "Careless", generator, attentive=False)
    judging.start_judge(study, "Left")
    for number in range(24):
        judging.record_answer(study, "Left", number, "left", number)
    judging.start_judge(study, "Absent")
    found = judging_results.judge_consistency(study, judging.answers_table(study)).set_index("judge")
    assert found.loc["Careful", ["answers", "catch_right", "catch"]].tolist() == [24, 2, 2]
    assert found.loc["Careless", "catch_right"] == 0
    assert "Absent" not in found.index
    # Whoever always takes the left one contradicts every repetition, whose sides are changed.
    assert found.loc["Left", ["repeats_same", "repeats", "left_share", "seconds"]].tolist() == [0, 2, 1.0, 11.5]
    assert (found["triads"] > 0).all()
    assert {"Careless"} <= set(judging_results.inattentive(found.reset_index())) <= {"Careless", "Left"}
    counted = judging_results.counted(judging.answers_table(study), ["Careless"])
    assert set(counted["judge"]) == {"Careful", "Left"}


def answered(study: Study, *choices: tuple[str, str], judge: str = "Anna") -> pd.DataFrame:
    """Answers as the table has them: (preferred, other)."""
    rows = [
        {
            "judge": judge,
            "trial": number + 1,
            "kind": "main",
            "content": study.contents[study.stimuli[good].content],
            "left": good,
            "right": bad,
            "choice": "left",
            "preferred": good,
            "other": bad,
            "seconds": 1.0,
            "repeats": np.nan,
        }
        for number, (good, bad) in enumerate(choices)
    ]
    return pd.DataFrame(rows)


def test_agreement_counts_by_hand(study):
    answers = answered(
        study,
        ("00_jpeg_2", "00_jpeg_4"),
        ("00_gaussian_blur_4", "00_white_noise_3"),
        ("01_jpeg_2", "01_gaussian_blur_2"),
        ("01_jpeg_2", "01_gaussian_blur_2"),
    )
    scores = pd.DataFrame(
        {
            "key": [
                "00_jpeg_2",
                "00_jpeg_4",
                "00_gaussian_blur_4",
                "00_white_noise_3",
                "01_jpeg_2",
                "01_gaussian_blur_2",
            ],
            "psnr": [40.0, 30.0, 20.0, 25.0, np.inf, np.inf],
            "gmsd": [0.1, 0.2, 0.3, 0.1, 0.0, 0.5],  # lower is better
        }
    )
    found = judging_results.metric_agreement(study, answers, scores).set_index("metric")
    assert found.loc["gmsd", "rate"] == pytest.approx(3 / 4)
    assert found.loc["psnr", "rate"] == pytest.approx(2 / 4)  # right, wrong, and two ties that count half
    assert found.loc["psnr", ["answers", "pairs"]].tolist() == [4, 3]
    # Wilson's interval of 1/2 out of 3, by his formula.
    z2 = 1.959964**2
    half = np.sqrt(z2 * (0.25 / 3 + z2 / 36)) / (1 + z2 / 3)
    assert found.loc["psnr", ["rate_low", "rate_high"]].tolist() == pytest.approx([0.5 - half, 0.5 + half], abs=1e-6)
    apart = judging_results.disagreements(study, answers, scores, "gmsd")
    assert apart[["preferred", "other", "share"]].to_numpy().tolist() == [
        ["00_gaussian_blur_4", "00_white_noise_3", 1.0]
    ]
    assert apart.loc[0, "gap"] == pytest.approx(0.2 / scores["gmsd"].std(ddof=0))


def test_a_metric_that_ranks_as_people_do_has_a_rank_correlation_of_one(study):
    order = sorted(FELT, key=FELT.get, reverse=True)
    keys = [f"00_{name.replace(' ', '_')}" for name in order]
    answers = answered(study, *[(keys[i], keys[j]) for i in range(5) for j in range(i + 1, 5)])
    scores = pd.DataFrame({"key": keys, "psnr": [50.0, 40, 30, 20, 10], "ssim": [0.9, 0.8, 0.7, 0.5, 0.6]})
    scores["gmsd"] = -scores["psnr"]
    found = judging_results.metric_agreement(study, answers, scores).set_index("metric")
    assert found.loc[["psnr", "gmsd"], "srcc"].tolist() == [1.0, 1.0]
    assert np.isnan(found.loc["psnr", "srcc_low"])
    assert found.loc["ssim", "srcc"] == pytest.approx(0.9)
    # Bonett and Wright: tanh(artanh 0.9 -+ 1.96 sqrt((1 + 0.81 / 2) / 2)).
    half = 1.959964 * np.sqrt(1.405 / 2)
    expected = np.tanh(np.arctanh(0.9) + np.array([-half, half]))
    assert found.loc["ssim", ["srcc_low", "srcc_high"]].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_two_judges_are_compared_on_the_pairs_they_share(study):
    first = answered(study, ("00_jpeg_2", "00_jpeg_4"), ("01_jpeg_2", "01_jpeg_4"))
    second = answered(study, ("00_jpeg_2", "00_jpeg_4"), ("01_jpeg_4", "01_jpeg_2"), judge="Bea")
    assert judging_results.between_judges(pd.concat([first, second], ignore_index=True)) == (1, 2)
    assert judging_results.between_judges(first) == (0, 0)


def test_metrics_are_those_of_the_pictures_and_computed_once(study, monkeypatch):
    from deconv_core import scoring
    from deconv_core.metrics import METRICS

    pictures = ["00_jpeg_2", "02_white_noise_3"]
    found = judging_results.metric_scores(study, pictures, ["psnr", "gmsd", "ms_ssim"]).set_index("key")
    reference, judged = (judging.read_pixels(study, key)[None] for key in ("02_reference", "02_white_noise_3"))
    assert found.loc["02_white_noise_3", "psnr"] == METRICS["psnr"].function(reference, judged)[0]
    assert found["ms_ssim"].isna().all()  # smaller than its window
    done = []

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(scoring, "score_batch", refuse)
    again = judging_results.metric_scores(
        study, pictures, ["psnr", "ms_ssim"], report=lambda *step: done.append(step)
    ).set_index("key")
    assert again["psnr"].tolist() == found["psnr"].tolist()
    assert done == [(1, 2), (2, 2)]
    monkeypatch.setattr(judging_results, "_recipe_hashes", lambda keys: dict.fromkeys(keys, "another recipe"))
    with pytest.raises(AssertionError, match="computed again"):
        judging_results.metric_scores(study, pictures, ["psnr"])


def test_two_visitors_keep_each_others_scores(study, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    pictures = [row.key for row in study.judged]
    read, beginning = judging_results._read_scores, threading.Barrier(4, timeout=60)
    first = threading.local()

    def read_together(study):
        if not getattr(first, "passed", False):  # all have read the empty file before anybody writes
            first.passed = True
            beginning.wait()
        return read(study)

    monkeypatch.setattr(judging_results, "_read_scores", read_together)
    keys = ["psnr", "gmsd", "ssim", "mdsi"]
    with ThreadPoolExecutor(4) as visitors:
        list(visitors.map(lambda key: judging_results.metric_scores(study, pictures, [key]), keys))
    assert len(read(study)) == len(keys) * len(pictures)
    assert [path.name for path in study.folder.glob("*scores*")] == ["scores.json"]


def test_without_answers_there_is_nothing_to_export(study):
    answers = judging.answers_table(study)
    assert answers.empty
    assert judging_results.picture_scores(study, answers).empty
    with pytest.raises(DeconvError, match="judge a few pairs"):
        judging_results.export_table(study, answers)


def test_the_export_is_read_by_agree(study, tmp_path):
    from deconv_core.human_scores import find_pictures, read_scores

    generator = np.random.default_rng(9)
    for number in range(4):
        judge_all(study, f"Judge {number}", generator)
    answers = judging.answers_table(study)
    folder = tmp_path / "export"
    with zipfile.ZipFile(io.BytesIO(judging_results.export_zip(study, answers))) as archive:
        archive.extractall(folder)
    read = read_scores(folder / "judgements.csv")
    expected = {"candidate": "image", "reference": "reference", "mos": "mos", "distortion": "distortion"}
    expected |= {"level": "severity", "content": "content", "low": "mos_low", "high": "mos_high"}
    assert {role: read.column(role) for role in read.roles} == expected
    assert read.frame["mos"].to_numpy() == pytest.approx(judging_results.export_table(study, answers)["mos"].to_numpy())
    pictures = find_pictures(read)
    assert None not in pictures.candidates
    assert None not in pictures.references
    assert pictures.problems == ()
    assert len(pd.read_csv(folder / "answers.csv")) == 4 * 24


# ---------------------------------------------------------------------------------------------------------------- album


def test_a_case_is_kept_listed_exported_and_deleted(home):
    pixels = {"preferred": picture(1), "other": picture(2), "reference": picture(3)}
    scores = {"preferred": {"psnr": 20.0, "ssim": float("nan")}, "other": {"psnr": float("inf")}}
    note = "=1+1 the face is <b>gone</b>\nsecond line"
    kept = album.keep_case(pixels, metric="psnr", note=note, labels={"other": "JPEG, severity 4"}, scores=scores)
    later = album.keep_case({"reference": picture(1), "candidate": picture(2)})
    assert [case.key for case in album.list_cases()] == [later.key, kept.key]
    assert kept.note == note
    assert kept.scores["other"]["psnr"] == np.inf
    assert np.isnan(kept.scores["preferred"]["ssim"])
    json.loads((kept.pictures["other"].parent / "case.json").read_text(), parse_constant=pytest.fail)
    with zipfile.ZipFile(io.BytesIO(album.album_zip([kept, later]))) as archive:
        names = set(archive.namelist())
        table = pd.read_csv(archive.open("album.csv"))
    assert names == {"album.csv", *(f"{kept.key}/{role}.png" for role in pixels)} | {
        f"{later.key}/{role}.png" for role in ("reference", "candidate")
    }
    assert table.loc[0, "note"].startswith("'=1+1")  # no spreadsheet runs it
    assert table.loc[0, "other_is"] == "JPEG, severity 4"
    assert table.loc[0, "preferred_psnr"] == 20.0
    album.delete_case(kept.key)
    assert album.list_cases() == [later]
    with pytest.raises(DeconvError, match="not in the album"):
        album.delete_case(kept.key)


@pytest.mark.parametrize("key", ["..", "../judgements", "20200101-000000-abcdef"])
def test_cases_are_found_by_their_own_names_only(home, key):
    with pytest.raises(DeconvError, match="not in the album"):
        album.read_case(key)


def test_a_case_needs_pictures_of_known_roles(home):
    with pytest.raises(DeconvError, match="reference, preferred"):
        album.keep_case({})
    with pytest.raises(DeconvError, match="reference, preferred"):
        album.keep_case({"../x": picture(1)})
    assert album.list_cases() == []
