"""What judges said, and what metrics make of it: scores, agreement, consistency, and where the two part.

Only first showings count for scores and agreement. Catch trials and repetitions tell how far a judge can be relied on.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from deconv_core import bradley_terry
from deconv_core.agreement import wilson
from deconv_core.errors import DeconvError
from deconv_core.files import write_json
from deconv_core.judging import Stimulus, Study, read_pixels
from deconv_core.metrics import METRICS, recipe

if TYPE_CHECKING:
    import pandas as pd

USUAL_METRICS = (
    *("deconv", "deconv_control", "gradient_information", "psnr", "ssim", "ms_ssim", "gmsd", "vif", "haarpsi"),
    *("recon_pair_psnr", "recon_pair_ssim"),
)
# Fewer conditions give a rank correlation that says nothing.
FEWEST_RANKED = 4
_NORMAL_95 = 1.959963984540054
_SCORES_FILE = "scores.json"
# Visitors of one server are threads; what another process adds at the same moment is computed again.
_WRITING = threading.Lock()


# --------------------------------------------------------------------------------------------------------------- scores


def counted(answers: pd.DataFrame, left_out: Collection[str] = ()) -> pd.DataFrame:
    """The answers that count for scores: first showings, without the judges in `left_out`."""
    return answers[(answers["kind"] == "main") & ~answers["judge"].isin(list(left_out))]


def condition_scores(study: Study, answers: pd.DataFrame) -> pd.DataFrame:
    """Bradley-Terry score of every condition, over all contents, with bias reduction (see `bradley_terry.fit`).

    Args:
        study: The study.
        answers: As `judging.answers_table` gives them.

    Returns:
        `condition`, `distortion`, `severity`, `score` (log-odds, centred, higher is preferred), `low`, `high` (95 %),
        `answers`, `preferred` (how often), best first. A condition that no answer links to the others has no score.
    """
    import pandas as pd

    names = study.conditions
    places = {name: place for place, name in enumerate(names)}
    rows = counted(answers)
    wins = _wins(rows, {key: places[row.condition] for key, row in _judged(study).items()}, len(names))
    strengths = bradley_terry.fit(wins)
    first = {row.condition: row for row in reversed(study.judged)}
    frame = pd.DataFrame(
        {
            "condition": names,
            "distortion": [first[name].distortion for name in names],
            "severity": [first[name].severity for name in names],
            "score": strengths.scores,
            "low": strengths.low,
            "high": strengths.high,
            "answers": (wins.sum(axis=0) + wins.sum(axis=1)).astype(int),
            "preferred": wins.sum(axis=1).astype(int),
        }
    )
    return frame.sort_values("score", ascending=False, kind="stable", na_position="last", ignore_index=True)


def picture_scores(study: Study, answers: pd.DataFrame) -> pd.DataFrame:
    """Bradley-Terry score of every picture that was judged, on one scale across contents.

    Pictures of two contents are never compared, so their scale rests on the assumption of
    `bradley_terry.fit_within_groups`: pictures of one condition differ little.

    Returns:
        `key`, `content`, `distortion`, `severity`, `score` (log-odds), `low`, `high` (95 %), `answers`, `preferred`;
        best first. Empty without answers.
    """
    import pandas as pd

    rows = counted(answers)
    shown = set(rows["preferred"]) | set(rows["other"])
    stimuli = [row for key, row in _judged(study).items() if key in shown]
    columns = ["key", "content", "distortion", "severity", "score", "low", "high", "answers", "preferred"]
    if len(stimuli) < bradley_terry.FEWEST_ITEMS:
        return pd.DataFrame(columns=columns)
    places = {row.key: place for place, row in enumerate(stimuli)}
    wins = _wins(rows, places, len(stimuli))
    groups = [study.conditions.index(row.condition) for row in stimuli]
    strengths = bradley_terry.fit_within_groups(wins, groups)
    frame = pd.DataFrame(
        {
            "key": [row.key for row in stimuli],
            "content": [study.contents[row.content] for row in stimuli],
            "distortion": [row.distortion for row in stimuli],
            "severity": [row.severity for row in stimuli],
            "score": strengths.scores,
            "low": strengths.low,
            "high": strengths.high,
            "answers": (wins.sum(axis=0) + wins.sum(axis=1)).astype(int),
            "preferred": wins.sum(axis=1).astype(int),
        },
        columns=columns,
    )
    return frame.sort_values("score", ascending=False, kind="stable", ignore_index=True)


# --------------------------------------------------------------------------------------------------------------- judges


def judge_consistency(study: Study, answers: pd.DataFrame) -> pd.DataFrame:
    """How far each judge can be relied on.

    Returns:
        One row per judge: `judge`, `answers` (all), `catch_right`, `catch`, `repeats_same`, `repeats`, `circular`,
        `triads` (three pictures of one content, each compared with the others), `left_share`, `with_the_others` (share
        of first showings answered as the score of all other judges together says; missing with one judge), `seconds`
        (median).
    """
    import pandas as pd

    judges = list(dict.fromkeys(answers["judge"]))
    table = []
    for judge in judges:
        rows = answers[answers["judge"] == judge]
        catch = rows[rows["kind"] == "catch"]
        main = rows[rows["kind"] == "main"]
        first = dict(zip(main["trial"].astype(float), main["preferred"], strict=True))
        repeats = rows[(rows["kind"] == "repeat") & rows["repeats"].isin(list(first))]
        same = sum(first[number] == key for number, key in zip(repeats["repeats"], repeats["preferred"], strict=True))
        circular, triads = bradley_terry.circular_triads(list(zip(main["preferred"], main["other"], strict=True)))
        table.append(
            {
                "judge": judge,
                "answers": len(rows),
                "catch_right": int(catch["preferred"].str.endswith("_reference").sum()) if len(catch) else 0,
                "catch": len(catch),
                "repeats_same": int(same),
                "repeats": len(repeats),
                "circular": circular,
                "triads": triads,
                "left_share": float((rows["choice"] == "left").mean()),
                "with_the_others": _with_the_others(study, answers, judge) if len(judges) > 1 else np.nan,
                "seconds": float(rows["seconds"].median()),
            }
        )
    columns = ["judge", "answers", "catch_right", "catch", "repeats_same", "repeats", "circular", "triads"]
    return pd.DataFrame(table, columns=[*columns, "left_share", "with_the_others", "seconds"])


def inattentive(consistency: pd.DataFrame) -> list[str]:
    """Judges who answered a catch trial wrongly."""
    return consistency.loc[consistency["catch_right"] < consistency["catch"], "judge"].tolist()


def between_judges(answers: pd.DataFrame) -> tuple[int, int]:
    """(pairs of answers that agree, all pairs of answers) by two judges about the same two pictures.

    Where judges differ about a pair, no metric can agree with all of them.
    """
    agreeing = total = 0
    for _, rows in _by_pair(counted(answers)):
        counts = rows["preferred"].value_counts().to_numpy()
        agreeing += int((counts * (counts - 1) // 2).sum())
        total += len(rows) * (len(rows) - 1) // 2
    return agreeing, total


def _with_the_others(study: Study, answers: pd.DataFrame, judge: str) -> float:
    others = condition_scores(study, answers[answers["judge"] != judge])
    score = dict(zip(others["condition"], others["score"], strict=True))
    stimuli = study.stimuli
    mine = counted(answers[answers["judge"] == judge])
    gaps = np.array(
        [
            score[stimuli[good].condition] - score[stimuli[bad].condition]
            for good, bad in zip(mine["preferred"], mine["other"], strict=True)
        ]
    )
    gaps = gaps[np.isfinite(gaps)]
    return float((gaps > 0).mean()) if gaps.size else np.nan


# -------------------------------------------------------------------------------------------------------------- metrics


def metric_scores(
    study: Study,
    pictures: Collection[str],
    keys: Sequence[str],
    *,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Metrics of judged pictures against their references; what was computed before is read back from the study.

    A number is kept with the hash of its recipe and is not used under another. The recon_* scores are those of the
    bundled default model.

    Args:
        study: The study.
        pictures: Keys of the stimuli wanted, such as those that were judged.
        keys: Metrics.
        report: Called with the number of contents done, and of all.

    Returns:
        One row per picture: `key`, then one column per metric; NaN where a picture is too small for it.
    """
    import pandas as pd

    from deconv_core.scoring import default_model, score_batch

    hashes = _recipe_hashes(keys)
    known = _read_scores(study)
    wanted = [row for row in study.judged if row.key in set(pictures)]
    contents = sorted({row.content for row in wanted})
    for done, content in enumerate(contents):
        rows = [row for row in wanted if row.content == content]
        lacking = [key for key in keys if any(f"{row.key}/{hashes[key]}" not in known for row in rows)]
        if lacking:
            candidates = np.stack([read_pixels(study, row.key) for row in rows])
            reference = read_pixels(study, study.reference(content))
            scores = score_batch(
                np.broadcast_to(reference, candidates.shape), candidates, lacking, model=default_model(lacking)
            )
            for key, values in scores.items():
                known |= {f"{row.key}/{hashes[key]}": float(value) for row, value in zip(rows, values, strict=True)}
            _write_scores(study, known)
        report(done + 1, len(contents))
    columns = {key: [known[f"{row.key}/{hashes[key]}"] for row in wanted] for key in keys}
    return pd.DataFrame({"key": [row.key for row in wanted]} | columns)


def metric_agreement(study: Study, answers: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """How often each metric agrees with the judges, and how alike both rank the conditions.

    The 2AFC rate is the share of answers in which the metric, too, finds the preferred picture better; equal values
    count half. 0.5 is chance. Its interval is Wilson's, with all answers about one pair counted as one, since they are
    not independent. SRCC compares the metric's mean over the contents with the Bradley-Terry scores of the conditions;
    its interval is that of Bonett and Wright and takes both for known, so it does not hold the judges' own uncertainty.

    Args:
        study: The study.
        answers: As `judging.answers_table` gives them.
        scores: As `metric_scores` gives them, for all judged pictures.

    Returns:
        One row per metric, the best rate first: `metric`, `answers`, `pairs`, `rate`, `rate_low`, `rate_high`,
        `conditions`, `srcc`, `srcc_low`, `srcc_high` (positive where the metric ranks as people do).

    References:
        E. B. Wilson (1927), doi:10.1080/01621459.1927.10502953.
        D. G. Bonett, T. A. Wright (2000), Sample size requirements for estimating Pearson, Kendall and Spearman
        correlations, doi:10.1007/BF02294183.
    """
    import pandas as pd

    from deconv_core.agreement import srcc

    rows = counted(answers)
    ranked = condition_scores(study, answers).set_index("condition")["score"]
    values = scores.set_index("key")
    condition = pd.Series({key: study.stimuli[key].condition for key in values.index})
    table = []
    for key in values.columns:
        sign = 1 if METRICS[key].higher_is_better else -1
        better = sign * values[key]
        good, bad = (better.loc[rows[side]].to_numpy(float) for side in ("preferred", "other"))
        usable = ~(np.isnan(good) | np.isnan(bad))
        agreeing = float((good > bad)[usable].sum() + 0.5 * (good == bad)[usable].sum())
        pairs = _num_pairs(rows[usable])
        low, high = wilson(agreeing / usable.sum(), pairs) if pairs else (np.nan, np.nan)
        means = better.replace([np.inf, -np.inf], np.nan).groupby(condition).mean()
        both = pd.concat([means, ranked], axis=1, join="inner", keys=["metric", "people"]).dropna()
        r = srcc(both["metric"].to_numpy(), both["people"].to_numpy()) if len(both) >= FEWEST_RANKED else np.nan
        r_low, r_high = _spearman_interval(r, len(both))
        table.append(
            {
                "metric": key,
                "answers": int(usable.sum()),
                "pairs": pairs,
                "rate": agreeing / usable.sum() if pairs else np.nan,
                "rate_low": low,
                "rate_high": high,
                "conditions": len(both),
                "srcc": r,
                "srcc_low": r_low,
                "srcc_high": r_high,
            }
        )
    columns = ["metric", "answers", "pairs", "rate", "rate_low", "rate_high"]
    frame = pd.DataFrame(table, columns=[*columns, "conditions", "srcc", "srcc_low", "srcc_high"])
    return frame.sort_values("rate", ascending=False, kind="stable", ignore_index=True)


def disagreements(
    study: Study, answers: pd.DataFrame, scores: pd.DataFrame, metric: str, *, count: int = 10
) -> pd.DataFrame:
    """The pairs in which people chose one picture and the metric is surest of the other.

    Args:
        study: The study.
        answers: As `judging.answers_table` gives them.
        scores: As `metric_scores` gives them.
        metric: A column of `scores`.
        count: At most so many rows.

    Returns:
        `preferred`, `other` (keys), `content`, `answers`, `share` (of answers for the preferred one, above one half),
        `preferred_score`, `other_score`, `gap` (how much better the metric finds the other, in standard deviations of
        the metric over the judged pictures), the widest gap first.
    """
    import pandas as pd

    values = scores.set_index("key")[metric].astype(float)
    finite = values[np.isfinite(values)]
    spread = float(finite.std(ddof=0)) if len(finite) else 0.0
    sign = 1 if METRICS[metric].higher_is_better else -1
    # Infinite PSNR, of a picture that damage left as it is, counts as the best value seen.
    better = sign * values.clip(finite.min(), finite.max()) if len(finite) else values
    table = []
    for pair, rows in _by_pair(counted(answers)):
        votes = rows["preferred"].value_counts()
        preferred = votes.index[0]
        other = next(key for key in pair if key != preferred)
        gap = (better[other] - better[preferred]) / spread if spread > 0 else 0.0
        if votes.iloc[0] / len(rows) > 0.5 and gap > 0:
            table.append(
                {
                    "preferred": preferred,
                    "other": other,
                    "content": study.contents[study.stimuli[preferred].content],
                    "answers": len(rows),
                    "share": float(votes.iloc[0] / len(rows)),
                    "preferred_score": float(values[preferred]),
                    "other_score": float(values[other]),
                    "gap": float(gap),
                }
            )
    columns = ["preferred", "other", "content", "answers", "share", "preferred_score", "other_score", "gap"]
    frame = pd.DataFrame(table, columns=columns)
    return frame.sort_values("gap", ascending=False, kind="stable", ignore_index=True).head(count)


# --------------------------------------------------------------------------------------------------------------- export


def export_table(study: Study, answers: pd.DataFrame) -> pd.DataFrame:
    """One row per judged picture, as `human_scores.read_scores`, and so `agree`, takes it in.

    Returns:
        `image`, `reference` (paths inside the zip of `export_zip`), `mos` (Bradley-Terry score in log-odds, higher is
        better), `mos_low`, `mos_high` (95 %), `distortion`, `severity`, `content`, `answers`.
    """
    import pandas as pd

    found = picture_scores(study, answers)
    if found.empty:
        raise DeconvError("Nothing was judged yet, so there is no table to take away; judge a few pairs first.")
    stimuli = study.stimuli
    return pd.DataFrame(
        {
            "image": [f"pictures/{key}.png" for key in found["key"]],
            "reference": [f"pictures/{study.reference(stimuli[key].content)}.png" for key in found["key"]],
            "mos": found["score"],
            "mos_low": found["low"],
            "mos_high": found["high"],
            "distortion": found["distortion"],
            "severity": found["severity"],
            "content": found["content"],
            "answers": found["answers"],
        }
    )


def export_zip(study: Study, answers: pd.DataFrame) -> bytes:
    """The table as `judgements.csv`, every single answer as `answers.csv`, and the pictures that the table names."""
    from deconv_core.tables import csv_bytes

    table = export_table(study, answers)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:  # PNG is packed already
        archive.writestr("judgements.csv", csv_bytes(table))
        archive.writestr("answers.csv", csv_bytes(answers))
        for name in sorted({*table["image"], *table["reference"]}):
            archive.write(study.folder / name, name)
    return packed.getvalue()


# ------------------------------------------------------------------------------------------------------------ the small


def _judged(study: Study) -> dict[str, Stimulus]:
    return {row.key: row for row in study.judged}


def _wins(rows: pd.DataFrame, places: Mapping[str, int], size: int) -> np.ndarray:
    pairs = [(places[good], places[bad]) for good, bad in zip(rows["preferred"], rows["other"], strict=True)]
    return bradley_terry.count_wins(pairs, size)


def _by_pair(rows: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    pairs = [tuple(sorted(pair)) for pair in zip(rows["preferred"], rows["other"], strict=True)]
    places: dict[tuple[str, ...], list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(pair, []).append(place)
    return [(pair, rows.iloc[where]) for pair, where in places.items()]


def _num_pairs(rows: pd.DataFrame) -> int:
    return len({frozenset(pair) for pair in zip(rows["preferred"], rows["other"], strict=True)})


def _spearman_interval(r: float, count: int) -> tuple[float, float]:
    """95 % interval of Spearman's correlation by Fisher's z; none where r is 1 or -1, whose z is infinite."""
    if np.isnan(r) or abs(r) >= 1 or count < FEWEST_RANKED:
        return np.nan, np.nan
    half = _NORMAL_95 * np.sqrt((1 + r**2 / 2) / (count - 3))
    return float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half))


def _recipe_hashes(keys: Sequence[str]) -> dict[str, str]:
    """What a number depends on, from the models' cards: no model is loaded for it."""
    from types import SimpleNamespace

    from deconv_core.models.saving import list_models
    from deconv_core.scoring import DECONV_MODEL, DEFAULT_MODEL

    models = {card["name"]: SimpleNamespace(card=card, digest=card.get("digest")) for card in list_models()}
    names = {key: DECONV_MODEL if key == "deconv" else DEFAULT_MODEL for key in keys}
    return {key: str(recipe(key, models.get(names[key]))["hash"]) for key in keys}


def _read_scores(study: Study) -> dict[str, float]:
    try:
        return {str(key): float(value) for key, value in json.loads((study.folder / _SCORES_FILE).read_bytes()).items()}
    except (OSError, ValueError, AttributeError):  # not there yet, or torn: computed again
        return {}


def _write_scores(study: Study, known: Mapping[str, float]) -> None:
    """Add scores to those in the file, which another visitor may have added to meanwhile."""
    with _WRITING:
        # Python's NaN and Infinity are read back by Python alone.
        write_json(study.folder / _SCORES_FILE, _read_scores(study) | dict(known))
