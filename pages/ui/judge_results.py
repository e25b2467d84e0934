"""What the judges of a study said, what metrics make of it, and how to take it away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from deconv_core import judging, judging_results, tables
from deconv_core.distortions import DISTORTIONS
from deconv_core.figures import interval_dots, plot_config
from deconv_core.inspection import score_words
from deconv_core.judging import Study
from deconv_core.judging_results import FEWEST_RANKED, USUAL_METRICS
from deconv_core.metrics import METRICS
from pages.ui.inputs import plain
from pages.ui.judge_album import Kept, offer_case
from pages.ui.judge_study import NAME, delete_button
from pages.ui.viewer import Shot, viewer

if TYPE_CHECKING:
    import pandas as pd

_MOST_PAIRS = 12


def show_results(study: Study) -> None:
    """Ranking, judges, metrics, where people and metrics part, downloads; what needs no metric comes first."""
    answers = judging.answers_table(study)
    if not len(judging_results.counted(answers)):
        st.markdown("Nothing is judged yet: the ranking appears here with the first answers.")
        delete_button(study)
        return
    consistency = judging_results.judge_consistency(study, answers)
    left_out = _offer_leaving_out(consistency)
    used = answers[~answers["judge"].isin(left_out)]
    _show_ranking(study, used)
    _show_judges(consistency, answers)
    scores = _show_metrics(study, used)
    if scores is not None:
        _show_partings(study, used, scores)
    _show_downloads(study, used)
    delete_button(study)


def in_words(distortion: str, severity: float) -> str:
    """A condition for people: "JPEG, severity 3"."""
    return f"{DISTORTIONS[distortion].label}, severity {severity:g}" if distortion in DISTORTIONS else "Reference"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def _offer_leaving_out(consistency: pd.DataFrame) -> list[str]:
    """Judges that the scores shall do without."""
    doubtful = judging_results.inattentive(consistency)
    if not doubtful or len(doubtful) == len(consistency):
        return []
    leave = st.toggle(
        "Leave out judges who missed a pair with a known answer",
        key=f"{NAME}_leave_out",
        persist_state="session",
        help="In such a pair the untouched picture stands beside one that is blurred beyond doubt.",
    )
    return doubtful if leave else []


def _show_ranking(study: Study, answers: pd.DataFrame) -> None:
    found = judging_results.condition_scores(study, answers)
    st.subheader("The ranking", anchor=False)
    count = len(judging_results.counted(answers))
    judges = answers["judge"].nunique()
    st.markdown(
        f"Out of {count} answer{'' if count == 1 else 's'} of {judges} judge{'' if judges == 1 else 's'}: "
        f"**{plain(judging.QUESTIONS[study.question].lower())}** The best is on top."
    )
    names = [in_words(row.distortion, row.severity) for row in found.itertuples()]
    st.plotly_chart(
        interval_dots(
            found, names, ("score", "low", "high"), title="Bradley-Terry score in log-odds, higher is preferred", mark=0
        ),
        config=plot_config("ranking"),
        key=f"{NAME}_ranking",
    )
    unknown = int(found["score"].isna().sum())
    st.caption(
        "One unit above means preferred in 73 % of the answers, two units in 88 %; 0 is the mean of all. Lines are "
        "95 % intervals: where two overlap widely, more answers are needed. Maximum likelihood with Firth's bias "
        "reduction, intervals from the Fisher information, each answer taken as independent of the others. Repeated "
        "pairs and pairs with a known answer do not count."
        + (f" {unknown} conditions are not linked to the others by any answer yet." if unknown else "")
    )
    with st.expander("The ranking as a table"):
        st.dataframe(
            found.assign(condition=names)[["condition", "score", "low", "high", "answers", "preferred"]],
            hide_index=True,
            height="content",
            column_config={
                "condition": st.column_config.TextColumn("Condition"),
                "score": st.column_config.NumberColumn("Score (log-odds)", format="%.2f"),
                "low": st.column_config.NumberColumn("Low", format="%.2f", help="Lower end of the 95 % interval"),
                "high": st.column_config.NumberColumn("High", format="%.2f", help="Upper end of the 95 % interval"),
                "answers": st.column_config.NumberColumn("Answers"),
                "preferred": st.column_config.NumberColumn("Preferred", help="How often it was chosen"),
            },
        )


def _show_judges(consistency: pd.DataFrame, answers: pd.DataFrame) -> None:
    import pandas as pd

    st.subheader("The judges", anchor=False)

    def share(part: int, whole: int) -> str:
        return f"{part} of {whole}" if whole else "none yet"

    rows = consistency.to_dict("records")
    st.dataframe(
        pd.DataFrame(
            {
                "Judge": [row["judge"] for row in rows],
                "Answers": [row["answers"] for row in rows],
                "Known answers": [share(row["catch_right"], row["catch"]) for row in rows],
                "Same when repeated": [share(row["repeats_same"], row["repeats"]) for row in rows],
                "Circles": [share(row["circular"], row["triads"]) for row in rows],
                "As the others": [_percent(row["with_the_others"]) for row in rows],
                "Took A": [_percent(row["left_share"]) for row in rows],
                "Seconds": [row["seconds"] for row in rows],
            }
        ),
        hide_index=True,
        height="content",
        column_config={"Seconds": st.column_config.NumberColumn(format="%.1f", help="Median per answer")},
    )
    agreeing, total = judging_results.between_judges(answers)
    between = (
        f" Two judges who saw the same pair gave the same answer in {agreeing} of {total} cases: where people "
        "differ, no metric can agree with all of them."
        if total
        else ""
    )
    st.caption(
        "Known answers: the untouched picture beside a heavily blurred one. Same when repeated: the pair came again "
        "with sides changed; guessing gives one half. Circles: three pictures, A over B, B over C, C over A; guessing "
        "makes one in a quarter of them. As the others: share of answers that follow the scores of all other judges."
        + between
    )


def _show_metrics(study: Study, answers: pd.DataFrame) -> pd.DataFrame | None:
    """How each metric agrees; gives the metrics' scores, None where nothing was chosen."""
    st.subheader("Which metric agrees with the judges?", anchor=False)
    keys = st.multiselect(
        "Metrics",
        [key for key, row in METRICS.items() if row.needs_reference],
        default=list(USUAL_METRICS),
        key=f"{NAME}_metrics",
        format_func=lambda key: METRICS[key].label,
        persist_state="session",
    )
    if not keys:
        st.caption("Choose at least one metric.")
        return None
    counted = judging_results.counted(answers)
    bar = st.progress(0.0, text="Computing the metrics of the pictures that were judged")
    scores = judging_results.metric_scores(
        study,
        {*counted["preferred"], *counted["other"]},
        keys,
        report=lambda done, total: bar.progress(done / total, text=f"Metrics: {done} of {total} references"),
    )
    bar.empty()
    found = judging_results.metric_agreement(study, answers, scores)
    labels = [METRICS[key].label for key in found["metric"]]
    left, right = st.columns(2, gap="large")
    with left:
        st.plotly_chart(
            interval_dots(
                found,
                labels,
                ("rate", "rate_low", "rate_high"),
                title="2AFC rate: share of answers the metric shares<br>(higher is better, dotted: chance)",
                mark=0.5,
                span=(0, 1.02),
            ),
            config=plot_config("agreement_2afc"),
            key=f"{NAME}_rates",
        )
    with right:
        if found["srcc"].notna().any():
            ranked = found.sort_values("srcc", ascending=False, kind="stable", ignore_index=True)
            st.plotly_chart(
                interval_dots(
                    ranked,
                    [METRICS[key].label for key in ranked["metric"]],
                    ("srcc", "srcc_low", "srcc_high"),
                    title="SRCC with the ranking of the judges<br>(higher is better, dotted: none)",
                    mark=0,
                    span=(-1.02, 1.02),
                ),
                config=plot_config("agreement_srcc"),
                key=f"{NAME}_srcc",
            )
        else:
            st.caption(f"A rank correlation needs {FEWEST_RANKED} conditions with a score, and answers that link them.")
    best = found.iloc[0]
    st.caption(
        f"{plain(METRICS[best['metric']].label)} agrees most often: in {_percent(best['rate'])} of the answers (95 % "
        f"interval {_percent(best['rate_low'])} to {_percent(best['rate_high'])}). Intervals of the rate are Wilson's "
        f"over {int(best['pairs'])} different pairs; metrics whose intervals overlap cannot be told apart yet. SRCC "
        "compares the means over the pictures with the ranking above, one point for each condition; it is sign-aware, "
        "and its interval does not hold the judges' own uncertainty."
    )
    return scores


def _show_partings(study: Study, answers: pd.DataFrame, scores: pd.DataFrame) -> None:
    st.subheader("Where people and metrics part", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        keys = [key for key in scores.columns if key != "key"]
        metric = st.selectbox(
            "Metric", keys, key=f"{NAME}_parting_metric", format_func=lambda key: METRICS[key].label,
            persist_state="session",
        )  # fmt: skip
        found = judging_results.disagreements(study, answers, scores, metric, count=_MOST_PAIRS)
        if found.empty:
            st.markdown("This metric contradicts no answer.")
            return

        def words(place: int) -> str:
            row = found.iloc[place]
            good, other = (study.stimuli[row[side]] for side in ("preferred", "other"))
            return (
                f"{place + 1}. {row['content']}: {in_words(good.distortion, good.severity)} over "
                f"{in_words(other.distortion, other.severity)}"
            )

        place = st.selectbox(
            "Pair, the widest apart first", range(len(found)), format_func=words, key=f"{NAME}_parting_{metric}"
        )
    row = found.iloc[place]
    good, other = (study.stimuli[row[side]] for side in ("preferred", "other"))
    reference = study.reference(good.content)
    labels = {
        "reference": "Reference",
        "preferred": f"People: {in_words(good.distortion, good.severity)}",
        "other": f"Metric: {in_words(other.distortion, other.severity)}",
    }
    pictures = {"preferred": good.key, "other": other.key, "reference": reference}
    viewer(
        [Shot(role, labels[role], study.picture(key).read_bytes()) for role, key in pictures.items()],
        key=f"{NAME}_viewer",
        height=420,
    )
    said = [score_words(METRICS[metric], row[f"{side}_score"]) for side in ("preferred", "other")]
    st.markdown(
        f"People preferred *{plain(in_words(good.distortion, good.severity))}* ({_percent(row['share'])} of "
        f"{int(row['answers'])} answer{'' if row['answers'] == 1 else 's'}), {plain(METRICS[metric].label)} the other: "
        f"{plain(said[0])} against {plain(said[1])}, {row['gap']:.1f} standard deviations apart."
    )
    by_key = scores.set_index("key")
    offer_case(
        f"{NAME}_case",
        Kept(
            pictures={role: judging.read_pixels(study, key) for role, key in pictures.items()},
            metric=metric,
            labels=labels,
            scores={"preferred": by_key.loc[good.key].to_dict(), "other": by_key.loc[other.key].to_dict()},
        ),
    )


def _show_downloads(study: Study, answers: pd.DataFrame) -> None:
    st.subheader("Take it away", anchor=False)
    table = judging_results.export_table(study, answers)
    with st.container(horizontal=True):
        st.download_button(
            "Pictures and tables (zip)", lambda: judging_results.export_zip(study, answers), f"{study.key}.zip",
            "application/zip", key=f"{NAME}_save_zip", on_click="ignore", icon=":material/download:",
        )  # fmt: skip
        for label, data, ending, mime in (
            ("Table as CSV", tables.csv_bytes(table), "csv", "text/csv"),
            ("Table as Parquet", tables.parquet_bytes(table), "parquet", "application/vnd.apache.parquet"),
            ("Every answer (CSV)", tables.csv_bytes(answers), "answers.csv", "text/csv"),
        ):
            st.download_button(
                label, data, f"{study.key}.{ending}", mime, key=f"{NAME}_save_{ending}", on_click="ignore",
                icon=":material/download:",
            )  # fmt: skip
    st.caption(
        "The table has one row per picture: image, reference, mos (its score in log-odds, higher is better) with its "
        "95 % interval. Pictures of different contents were never compared; their scores share a scale because "
        "pictures of one condition are taken to differ little (normal, standard deviation 0.5). With the zip unpacked:"
    )
    st.code("python -m deconv_core agree judgements.csv --scores mos", language="bash")
