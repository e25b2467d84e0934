"""A finished comparison with human scores, read back from its job folder, and the tables that people read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.agreement import ALL, BASELINES, Fit
from deconv_core.direction import plain_name
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AgreeResult:
    """What `agree_command.write` left in a job folder.

    Attributes:
        folder: The job folder.
        settings: `settings.json`: what was understood of the table, the direction of its scores, the advice.
        table, significance: As in `agreement.Agreement`.
        held_out: One row per metric and fold; empty where there is none.
        published: Numbers of others for these metrics on this data set; empty where it is not known.
        problems: Rows and files that took no part, with the reason.
        rows: The table of human scores with every metric, one row per picture.
        fits: (metric, group) -> the curve from metric to human score.
        pictures: `candidate` and `reference` of each row as paths, "" where there is none; None where no pictures were
            looked for.
    """

    folder: Path
    settings: Mapping[str, Any]
    table: pd.DataFrame
    significance: pd.DataFrame
    held_out: pd.DataFrame
    published: pd.DataFrame
    problems: pd.DataFrame
    rows: pd.DataFrame
    fits: Mapping[tuple[str, str], Fit]
    pictures: pd.DataFrame | None

    @property
    def scores(self) -> str:
        """Column of human scores in `rows`."""
        return str(self.settings["scores"])

    @property
    def advice(self) -> str:
        """One sentence: which metric to trust for pictures like these."""
        return str(self.settings.get("advice", ""))

    @property
    def metrics(self) -> list[str]:
        """The metrics, the one that agrees best first."""
        return self.overall()["metric"].tolist()

    @property
    def groups(self) -> list[str]:
        """Names of the groups, in their order; empty without a split."""
        return [name for name in self.table["group"].unique() if name != ALL]

    def overall(self) -> pd.DataFrame:
        """The rows of `table` over all pictures, the highest SRCC first."""
        return self.table[self.table["group"] == ALL].sort_values("srcc", ascending=False, kind="stable")

    def direction_words(self) -> str:
        """Which way the human scores count and how that is known, in a sentence or two."""
        from deconv_core.direction import direction_words

        found = self.settings.get("direction") or {}
        told = [direction_words(found.get("higher_is_better")), found.get("why", ""), found.get("contradiction", "")]
        return f"Human scores: {told[0]}. {' '.join(filter(None, told[1:]))}"

    def names(self) -> list[str]:
        """What each row of `rows` is called: its picture, or its number."""
        told = (self.settings.get("columns") or {}).get("candidate")
        if told and told["column"] in self.rows:
            return [str(cell) for cell in self.rows[told["column"]]]
        return [f"row {number}" for number in range(1, len(self.rows) + 1)]

    def picture(self, row: int) -> tuple[Path | None, Path | None]:
        """Reference and candidate of a row of `rows`; None where there is none (any more)."""
        if self.pictures is None or not 0 <= row < len(self.pictures):
            return None, None
        found = [Path(self.pictures[name].iloc[row] or ".") for name in ("reference", "candidate")]
        reference, candidate = (path if path.is_file() else None for path in found)
        return reference, candidate


def read_result(folder: str | Path) -> AgreeResult | None:
    """Read the result of an `agree` job; None while there is none.

    Raises:
        DeconvError: Its files are damaged.
    """
    import pandas as pd

    folder = Path(folder)
    results = folder / "results"
    # The curves are written after all tables.
    if not (results / "curves.json").is_file():
        return None

    def table(name: str) -> pd.DataFrame:
        file = results / f"{name}.parquet"
        return pd.read_parquet(file) if file.is_file() else pd.DataFrame()

    try:
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        curves = json.loads((results / "curves.json").read_text(encoding="utf-8"))
        fits = {(row.pop("metric"), row.pop("group")): _fit(row) for row in curves}
        pictures = table("pictures")
        return AgreeResult(
            folder,
            settings,
            table("agreement"),
            table("significance"),
            table("held_out"),
            table("published"),
            table("problems"),
            table("rows"),
            fits,
            pictures if len(pictures) else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeconvError(f"'{folder.name}' holds no readable result ({error}); run it again.") from error


def metric_label(key: str) -> str:
    """The name of a metric on screen; a column that is no metric of ours keeps its own."""
    from deconv_core.metrics import is_metric, metric

    try:
        return metric(key).label if is_metric(key) else key
    except DeconvError:  # a calibrated metric whose file is damaged
        return key


# Tables for people: column names are headings, numbers stay numbers


def metrics_table(found: AgreeResult) -> pd.DataFrame:
    """One row per metric over all pictures: every measure of agreement, intervals in words."""
    import pandas as pd

    rows = found.overall()
    return pd.DataFrame(
        {
            "Metric": [metric_label(key) for key in rows["metric"]],
            "SRCC": rows["srcc"].tolist(),
            "SRCC, 95 % interval": _spans(rows, "srcc"),
            "KRCC": rows["krcc"].tolist(),
            "PLCC raw": rows["plcc_raw"].tolist(),
            "PLCC logistic 4": rows["plcc_logistic4"].tolist(),
            "PLCC logistic 5": rows["plcc_logistic5"].tolist(),
            "RMSE": rows["rmse_logistic"].tolist(),
            "Outlier ratio": rows["outlier_ratio"].tolist(),
            "Pictures": rows["count"].tolist(),
            "Milliseconds per picture": [_milliseconds(found, key) for key in rows["metric"]],
            "KRCC, 95 % interval": _spans(rows, "krcc"),
            "PLCC raw, 95 % interval": _spans(rows, "plcc_raw"),
            "Of the metric": rows["metric_direction"].tolist(),
            "Note": rows["note"].tolist(),
        }
    )


def rivals_table(found: AgreeResult) -> pd.DataFrame:
    """One row per metric and rival (PSNR, SSIM, and the best of all): the difference of SRCC and what it is worth."""
    import pandas as pd

    rows = found.significance
    if rows.empty:
        return pd.DataFrame()
    rows = rows[rows["group"] == ALL]
    best = found.metrics[0] if found.metrics else ""
    rank = {key: place for place, key in enumerate(found.metrics)}
    rows = rows.sort_values("metric", key=lambda column: column.map(rank), kind="stable")
    # With every metric against PSNR and SSIM, each against the best tells nothing new where that is one of the two.
    wanted = [key for key in rows["against"].unique() if plain_name(key) in BASELINES or key == best]
    rows = rows[rows["against"].isin(wanted)]
    pairs = [frozenset(pair) for pair in zip(rows["metric"], rows["against"], strict=True)]
    rows = rows[[pair not in pairs[:place] for place, pair in enumerate(pairs)]]  # the other way round is the same

    def verdict(row: Mapping[str, Any]) -> str:
        if not row["significant"]:
            return "cannot be told apart"
        return "agrees better" if row["difference"] > 0 else "agrees less"

    return pd.DataFrame(
        {
            "Metric": [metric_label(key) for key in rows["metric"]],
            "Against": [metric_label(key) for key in rows["against"]],
            "Difference of SRCC": rows["difference"].tolist(),
            "95 % interval": [
                _span(low, high, "+") for low, high in zip(rows["low"].tolist(), rows["high"].tolist(), strict=True)
            ],
            "p": rows["p_value"].tolist(),
            "Verdict": [verdict(row) for row in rows.to_dict("records")],
            "Pictures": rows["count"].tolist(),
        }
    )


def groups_table(found: AgreeResult) -> pd.DataFrame:
    """One row per group (such as the kind of distortion): pictures, the best metric, and the SRCC of each."""
    import pandas as pd

    rows = []
    for group in found.groups:
        inside = found.table[found.table["group"] == group].set_index("metric")
        known = inside["srcc"].dropna()
        row: dict[str, Any] = {"Group": group, "Pictures": int(inside["count"].max())}
        row["Best"] = metric_label(str(known.idxmax())) if len(known) else ""
        rows.append(row | {metric_label(key): float(inside["srcc"].get(key, np.nan)) for key in found.metrics})
    return pd.DataFrame(rows)


def held_out_table(found: AgreeResult) -> pd.DataFrame:
    """One row per metric: how well its curve predicts pictures of contents that it has not seen."""
    import pandas as pd

    rows = found.overall()
    rows = rows[rows["plcc_held_out"].notna()]
    folds = found.held_out.groupby("metric")["fold"].nunique() if len(found.held_out) else {}
    return pd.DataFrame(
        {
            "Metric": [metric_label(key) for key in rows["metric"]],
            "PLCC, all contents": rows["plcc_logistic"].tolist(),
            "PLCC, contents not seen": rows["plcc_held_out"].tolist(),
            "RMSE, all contents": rows["rmse_logistic"].tolist(),
            "RMSE, contents not seen": rows["rmse_held_out"].tolist(),
            "Contents": rows["contents"].tolist(),
            "Folds": [int(folds.get(key, 0)) for key in rows["metric"]],
        }
    )


def furthest(found: AgreeResult, metric: str, count: int = 12) -> pd.DataFrame:
    """The rows whose human score lies furthest from what a metric's curve expects: where metric and people disagree.

    Returns:
        Columns `row` (position in `rows`), `name`, `score`, `expected` and `difference` (score less expected), the
        furthest first; empty without a curve.
    """
    import pandas as pd

    from deconv_core.agreement import finite

    columns = ["row", "name", "score", "expected", "difference"]
    fit = found.fits.get((metric, ALL))
    if fit is None:
        return pd.DataFrame(columns=columns)
    score = found.rows[found.scores].to_numpy(np.float64)
    values = finite(found.rows[metric].to_numpy(np.float64), metric)[0]
    known = np.flatnonzero(np.isfinite(values) & np.isfinite(score))
    expected = fit.predict(values[known])
    distance = score[known] - expected
    order = np.argsort(-np.abs(distance), kind="stable")[:count]
    names = found.names()
    rows = [(int(known[k]), names[known[k]], score[known[k]], expected[k], distance[k]) for k in order]
    return pd.DataFrame(rows, columns=columns)


def published_table(found: AgreeResult) -> pd.DataFrame:
    """One row per published number of these metrics on this data set, ours beside it."""
    import pandas as pd

    if found.published.empty:
        return pd.DataFrame()
    ours = {plain_name(row["metric"]): row["srcc"] for row in found.overall().to_dict("records")}
    rows = found.published.to_dict("records")
    return pd.DataFrame(
        {
            "Metric": [row["label"] for row in rows],
            "SRCC published": [row["srcc"] for row in rows],
            "up to": [row["srcc_to"] for row in rows],
            "SRCC here": [ours.get(plain_name(row["metric"]), np.nan) for row in rows],
            "Trained on human scores": [row["trained_on"] if row["trained_on_scores"] else "no" for row in rows],
            "Source": [row["source"] for row in rows],
        }
    ).dropna(axis="columns", how="all")


def _milliseconds(found: AgreeResult, key: str) -> float:
    value = (found.settings.get("milliseconds_per_image") or {}).get(key)
    return float("nan") if value is None else float(value)


def _spans(rows: pd.DataFrame, column: str) -> list[str]:
    ends = zip(rows[f"{column}_low"].tolist(), rows[f"{column}_high"].tolist(), strict=True)
    return [_span(low, high) for low, high in ends]


def _span(low: float, high: float, sign: str = "") -> str:
    return "" if math.isnan(low) or math.isnan(high) else f"{low:{sign}.3f} to {high:{sign}.3f}"


def _fit(row: Mapping[str, Any]) -> Fit:
    numbers = {name: float("nan") if row[name] is None else row[name] for name in ("plcc", "rmse", "low", "high")}
    return Fit(**{**row, **numbers, "parameters": _numbers(row["parameters"])})


def _numbers(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(float("nan") if value is None else float(value) for value in values)
