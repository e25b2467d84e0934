"""All metrics, all bundled models and all controls against human scores: one table, losses included.

    python benchmarks/agreement.py --pairs PAIRS.csv [--published TID2013] [--out FOLDER]

PAIRS.csv has a row per picture with `distorted`, `reference`, `mos` and, where it is known, `type`; every table that
`agree` understands will do. Printed as Markdown: SRCC with its 95 % interval (references are drawn, never single rows),
KRCC, PLCC raw and after the fitted curve, published SRCC beside ours, then SRCC for each kind of distortion. Positive
means agreement, whichever way a metric counts. The scores of `recon_*` stand there once for each model.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from peers import machine

from deconv_core import agree_command
from deconv_core.agreement import ALL
from deconv_core.human_scores import read_scores
from deconv_core.metrics import METRICS
from deconv_core.models.saving import list_models
from deconv_core.published import published
from deconv_core.scoring import DEFAULT_MODEL, choose_metrics


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True, help="table with human scores and pictures")
    parser.add_argument("--scores", help="column of human scores; guessed by its name without it")
    parser.add_argument("--metrics", help="keys, separated by commas; all without it")
    parser.add_argument("--models", help="names, separated by commas; all bundled colour models without it")
    parser.add_argument("--published", default="", help="data set whose published numbers stand beside ours")
    parser.add_argument("--resamples", type=int, default=1000, help="draws for the intervals")
    parser.add_argument("--seed", type=int, default=0, help="decides the draws")
    parser.add_argument("--out", type=Path, help="folder for the same as CSV, with every score")
    options = parser.parse_args()

    began = time.monotonic()
    table = read_scores(options.pairs, columns={"mos": options.scores})
    keys = choose_metrics(
        options.metrics.split(",") if options.metrics else None,
        with_reference=table.column("reference") is not None,
    )
    group = "distortion" if table.column("distortion") else None
    rebuilt = [key for key in keys if METRICS[key].needs_model and key != "deconv"]
    models = options.models.split(",") if options.models else colour_models()
    parts, scores = [], []
    for number, name in enumerate(models if rebuilt else [""]):
        wanted = keys if number == 0 else rebuilt
        plan = agree_command.prepare(options.pairs, scores=options.scores, metrics=wanted, group=group)
        outcome = agree_command.compute(
            plan, model_name=name or None, resamples=options.resamples, folds=0, seed=options.seed
        )
        found = outcome.found.table.assign(model="")
        found.loc[found["metric"].isin(rebuilt), "model"] = name
        parts.append(found)
        scores.append(outcome.rows.rename(columns={key: f"{key} {name}" for key in rebuilt}))
    found = pd.concat(parts, ignore_index=True)
    overall = found[found["group"] == ALL]
    print(
        f"`{options.pairs.name}`, {len(table.frame)} pictures, {overall['contents'].max()} references, human scores: "
        f"{outcome.found.direction.words}. {datetime.now(UTC):%Y-%m-%d}, {machine()}.\n"
    )
    print(markdown(overall_table(overall, options.published)))
    if group:
        print("\nSRCC for each kind of distortion:\n")
        print(markdown(table_by_kind(found)))
    print(f"\n{time.monotonic() - began:.0f} s.")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        found.to_csv(options.out / "agreement.csv", index=False)
        for name, frame in zip(models, scores, strict=False):
            frame.to_csv(options.out / f"scores_{name or 'all'}.csv", index=False)
    return 0


def colour_models() -> list[str]:
    """The bundled models that rebuild photographs, the default one first; those that belong to one metric left out."""
    own = {row.own_model for row in METRICS.values()}
    names = [
        card["name"]
        for card in list_models()
        if card["origin"] == "bundled" and card.get("channels") == 3 and card["name"] not in own
    ]
    return sorted(names, key=lambda name: name != DEFAULT_MODEL)


def overall_table(found: pd.DataFrame, data_set: str) -> pd.DataFrame:
    """One row per metric and model, best first; what others published for `data_set` in the last column."""
    rows = []
    for row in found.sort_values("srcc", ascending=False, kind="stable").to_dict("records"):
        others = sorted({f"{one.srcc:.3f}" for one in published(row["metric"], data_set)}) if data_set else []
        metric = METRICS[row["metric"]]
        rows.append(
            {
                "metric": f"`{row['metric']}`" + ("" if metric.needs_reference else " (no reference)"),
                "model": row["model"] or metric.own_model or ("its own" if row["metric"] == "deconv" else "none"),
                "control": f"`{metric.control}`" if metric.control else "",
                "SRCC [95 %]": f"{row['srcc']:.3f} [{row['srcc_low']:.3f}, {row['srcc_high']:.3f}]",
                "KRCC": f"{row['krcc']:.3f} [{row['krcc_low']:.3f}, {row['krcc_high']:.3f}]",
                "PLCC raw": f"{row['plcc_raw']:.3f}",
                "PLCC fitted": f"{row['plcc_logistic']:.3f}",
                f"published SRCC{f', {data_set}' if data_set else ''}": ", ".join(others) or "-",
            }
        )
    return pd.DataFrame(rows)


def table_by_kind(found: pd.DataFrame) -> pd.DataFrame:
    """SRCC of every metric (a column) for every kind of distortion (a row); metrics in the order of the whole."""
    named = found.assign(
        name=[" ".join(filter(None, pair)) for pair in zip(found["metric"], found["model"], strict=True)]
    )
    order = named[named["group"] == ALL].sort_values("srcc", ascending=False, kind="stable")["name"]
    wide = named.pivot(index="name", columns="group", values="srcc").loc[order]
    kinds = [kind for kind in dict.fromkeys(found["group"]) if kind != ALL]
    wide = wide[[ALL, *kinds]].map(lambda value: "-" if np.isnan(value) else f"{value:.2f}")
    return wide.reset_index().rename(columns={"name": "metric"})


def markdown(table: pd.DataFrame) -> str:
    """The table in Markdown."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
