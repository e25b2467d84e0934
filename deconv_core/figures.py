"""Tables to plotly figures, for pages and reports: curves, scatter plots, spectra, drawings; colours of error maps.

Figures carry no background and no font colour, so a page's light or dark theme shows through. Data colours are those of
Okabe and Ito (2008), told apart by colour-blind readers; lines differ in dashes and points in shapes as well.
"""

from __future__ import annotations

import html
import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError
from deconv_core.spectrum import BANDS

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

# Okabe and Ito's palette without black (lost on a dark page) and with yellow last (weak on a light one).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "star", "pentagon", "hexagon")

# Ten colours of matplotlib's perceptually uniform maps (van der Walt and Smith 2015), dark to light; colours between
# them are mixed.
PALETTES: dict[str, tuple[str, ...]] = {
    "inferno": (
        *("#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60"),
        *("#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4"),
    ),
    "viridis": (
        *("#440154", "#482878", "#3e4989", "#31688e", "#26828e"),
        *("#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"),
    ),
}
_NO_VALUE = (128, 128, 128)  # grey: a colour that neither palette holds
_GRID = "rgba(128, 128, 128, 0.3)"
_NEUTRAL = "#888888"
# Decibels: half the error of the best pair that is not identical.
_INFINITE_STEP = 6.0
# A rise of a normalised score smaller than this cannot be seen in the plot and is not marked.
_BROKEN = 1e-3
IMAGE_FORMATS = ("svg", "png")


# Curves and scatter plots


def severity_curves(frame: pd.DataFrame, *, metrics: Mapping[str, Any] | None = None) -> go.Figure:
    """Every metric against the severity of one distortion, on one scale: 1 is identical, 0 the worst of the ladder.

    Where a metric finds a stronger distortion better than the milder one before it, the point gets a cross.

    Args:
        frame: One row per metric and severity: columns `metric` (key), `severity`, `value`. Rows without a value are
            left out.
        metrics: Key -> object with `label`, `unit`, `higher_is_better`, `identity`; by default `METRICS`. How
            identities that are None or infinite count: `normalise`.

    Returns:
        The figure. Hovering shows the measured value with its unit.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    _check_columns(frame, ("metric", "severity", "value"), "Severity curves")
    table = _metrics(metrics)
    figure = go.Figure()
    crosses_x: list[float] = []
    crosses_y: list[float] = []
    crosses_text: list[str] = []
    for number, (key, rows) in enumerate(frame.dropna(subset=["value"]).groupby("metric", sort=False)):
        rows = rows.sort_values("severity")
        label, unit, higher, identity = _facts(str(key), table)
        values = rows["value"].to_numpy(float)
        normalised = normalise(values, identity=identity, higher_is_better=higher)
        severity = rows["severity"].to_numpy(float)
        figure.add_trace(
            go.Scatter(
                x=severity,
                y=normalised,
                name=label,
                mode="lines+markers",
                line={"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number // len(COLOURS) % len(DASHES)]},
                marker={"size": 6, "symbol": SYMBOLS[number % len(SYMBOLS)]},
                text=[f"{value:.4g} {unit}".strip() if math.isfinite(value) else "identical" for value in values],
                hovertemplate=f"{label}: %{{text}}<extra></extra>",
            )
        )
        for place in broken_order(normalised):
            crosses_x.append(severity[place])
            crosses_y.append(normalised[place])
            crosses_text.append(f"{label}: better than at severity {severity[place - 1]:g}")
    if crosses_x:
        figure.add_trace(
            go.Scatter(
                x=crosses_x,
                y=crosses_y,
                name="order broken: better than at a milder severity",
                mode="markers",
                marker={"symbol": "x-thin", "size": 13, "color": _NEUTRAL, "line": {"width": 3, "color": _NEUTRAL}},
                text=crosses_text,
                hovertemplate="%{text}<extra></extra>",
            )
        )
    figure.update_xaxes(title="severity (0 is unchanged)")
    figure.update_yaxes(title="score, 1 identical, 0 worst here<br>(higher is better)")
    # A phone has a legend of one column: its lines must not eat the curves.
    return _finish(figure, height=360 + 14 * len(figure.data))


def normalise(values: np.ndarray, *, identity: float | None, higher_is_better: bool) -> np.ndarray:
    """Scores of one ladder on a scale where the identity is 1 and the worst value 0.

    Args:
        values: Scores along the ladder, mildest first, shape (K,).
        identity: Score of identical pictures; where it is None, the first value. An infinite one, as PSNR has, counts
            as 6 dB (half the error) better than the best finite value.
        higher_is_better: Direction of the score.

    Returns:
        float64 array (K,); ones when nothing changes. Values above 1 beat the identity. A score that rises by more than
        it falls is measured by its rise, so it ends at 2 and the worst stays above 0.

    Example:
        >>> normalise(np.array([40.0, 30.0, 20.0]), identity=60.0, higher_is_better=True)
        array([0.5 , 0.25, 0.  ])
    """
    values = np.asarray(values, float)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.ones_like(values)
    if identity is None:
        best = finite[0]
    elif math.isfinite(identity):
        best = float(identity)
    else:
        best = finite.max() + _INFINITE_STEP if higher_is_better else finite.min() - _INFINITE_STEP
    losses = np.where(np.isfinite(values), best - values, 0.0) * (1 if higher_is_better else -1)
    span = max(losses.max(), -losses.min())
    return 1 - losses / span if span > 0 else np.ones_like(values)


def broken_order(normalised: np.ndarray) -> list[int]:
    """Places where a normalised score is better than at the step before."""
    return [int(place) + 1 for place in np.flatnonzero(np.diff(normalised) > _BROKEN)]


def score_scatter(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    colour: str = "distortion",
    labels: Mapping[str, str] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> go.Figure:
    """One score against another, one point per row.

    Args:
        frame: Columns `x`, `y` and `colour`; with a column `severity`, stronger distortions get larger points.
        x: Metric key of the horizontal axis.
        y: Metric key of the vertical axis.
        colour: Column whose values are told apart by colour and shape.
        labels: Words for those values, such as key -> label of a distortion.
        metrics: As in `severity_curves`.

    Returns:
        The figure; axis titles carry unit and direction.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    _check_columns(frame, (x, y, colour), "A scatter of scores")
    table = _metrics(metrics)
    (label_x, unit_x, _, _), (label_y, unit_y, _, _) = _facts(x, table), _facts(y, table)
    figure = go.Figure()
    for number, (group, rows) in enumerate(frame.dropna(subset=[x, y]).groupby(colour, sort=False)):
        name = (labels or {}).get(group, str(group).replace("_", " "))
        hover = [name, f"{label_x}: %{{x:.4g}} {unit_x}".strip(), f"{label_y}: %{{y:.4g}} {unit_y}".strip()]
        size: float | np.ndarray = 8
        severity = None
        if "severity" in rows:
            severity = rows["severity"].to_numpy(float)
            size = 6 + 1.6 * np.clip(severity, 0, 5)
            hover.append("severity %{customdata:g}")
        figure.add_trace(
            go.Scatter(
                x=rows[x].to_numpy(float),
                y=rows[y].to_numpy(float),
                name=name,
                mode="markers",
                marker={
                    "color": COLOURS[number % len(COLOURS)],
                    "symbol": SYMBOLS[(number + number // len(COLOURS)) % len(SYMBOLS)],
                    "size": size,
                    "opacity": 0.85,
                },
                customdata=severity,
                hovertemplate="<br>".join(hover) + "<extra></extra>",
            )
        )
    figure.update_xaxes(title=axis_title(x, metrics=table))
    figure.update_yaxes(title=axis_title(y, metrics=table))
    figure.update_layout(hovermode="closest")
    return _finish(figure, height=480)


# More points than this are drawn by the graphics card: an SVG holds an element for each.
_WEBGL_POINTS = 2_000


def linked_scatter(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    labels: Mapping[str, str] | None = None,
    chosen: Sequence[int] = (),
    metrics: Mapping[str, Any] | None = None,
) -> go.Figure:
    """One metric against another over a whole comparison, made for choosing points; 10,000 of them stay smooth.

    Args:
        frame: Columns `x`, `y`, `distortion`, `severity` and `image`, one row per candidate. Rows where a number is
            missing or infinite have no place and are left out.
        x: Metric key of the horizontal axis.
        y: Metric key of the vertical axis.
        labels: Distortion key -> words.
        chosen: Row numbers (positions in `frame`) drawn as chosen; none draws all alike.
        metrics: As in `severity_curves`.

    Returns:
        The figure; the first value in the `customdata` of a point is its row number.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    _check_columns(frame, (x, y, "distortion", "severity", "image"), "A scatter of a comparison")
    table = _metrics(metrics)
    (label_x, unit_x, _, _), (label_y, unit_y, _, _) = _facts(x, table), _facts(y, table)
    values = frame[[x, y]].to_numpy(float)
    placed = np.flatnonzero(np.isfinite(values).all(axis=1))
    kinds = frame["distortion"].astype(str).to_numpy()
    severities = frame["severity"].to_numpy(float)
    images = np.array([_escaped(image) for image in frame["image"]], object)
    many = len(placed) > _WEBGL_POINTS
    figure = go.Figure()
    order = [key for key in labels or {} if key in kinds] or list(dict.fromkeys(kinds))
    for number, kind in enumerate(order):
        rows = placed[kinds[placed] == kind]
        if not rows.size:
            continue
        name = (labels or {}).get(kind, kind.replace("_", " "))
        marked = np.flatnonzero(np.isin(rows, list(chosen)))
        figure.add_trace(
            (go.Scattergl if many else go.Scatter)(
                x=values[rows, 0],
                y=values[rows, 1],
                name=name,
                mode="markers",
                marker={
                    "color": COLOURS[number % len(COLOURS)],
                    "symbol": SYMBOLS[(number + number // len(COLOURS)) % len(SYMBOLS)],
                    "size": (3 if many else 5) + np.clip(severities[rows], 0, 5),
                    "opacity": 0.6 if many else 0.8,
                },
                selectedpoints=marked if len(chosen) else None,
                unselected={"marker": {"opacity": 0.12}},
                customdata=np.stack([rows.astype(object), severities[rows].astype(object), images[rows]], axis=1),
                hovertemplate=(
                    f"%{{customdata[2]}}<br>{name}, severity %{{customdata[1]:g}}<br>{label_x}: %{{x:.4g}} {unit_x}"
                    f"<br>{label_y}: %{{y:.4g}} {unit_y}<extra></extra>"
                ),
            )
        )
    figure.update_xaxes(title=axis_title(x, metrics=table))
    figure.update_yaxes(title=axis_title(y, metrics=table))
    _finish(figure, height=520)
    figure.update_layout(hovermode="closest", dragmode="lasso", uirevision=f"{x} {y}")
    figure.update_layout(legend={"y": -0.16, "font": {"size": 12}, "itemwidth": 30, "itemsizing": "constant"})
    return figure


def relation_dots(table: pd.DataFrame, coefficient: str, names: Sequence[str]) -> go.Figure:
    """A correlation coefficient with its 95 % interval, one line for each row, the strongest on top.

    Args:
        table: Columns `coefficient`, `..._low`, `..._high`, one row per relation.
        coefficient: "srcc", "krcc" or "plcc".
        names: Words for each row.

    Raises:
        DeconvError: A column is missing.
    """
    columns = (coefficient, f"{coefficient}_low", f"{coefficient}_high")
    _check_columns(table, columns, "A figure of correlations")
    order = np.argsort(-table[coefficient].to_numpy(float), kind="stable")
    return interval_dots(
        table.iloc[order], [names[place] for place in order], columns, title=f"{coefficient.upper()}, 95 % interval"
    )


def spread_curves(table: pd.DataFrame, *, metrics: Mapping[str, Any] | None = None) -> go.Figure:
    """Metrics against the severity of one distortion over a whole set: the median as a line, the middle half as a band.

    On one scale for all: 1 is what identical pictures get (see `normalise`), 0 the worst quartile of the curve.

    Args:
        table: Rows of `severity.spread` for one distortion: `metric`, `severity`, `low`, `median`, `high`.
        metrics: As in `severity_curves`.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    _check_columns(table, ("metric", "severity", "low", "median", "high"), "Curves of a set")
    facts = _metrics(metrics)
    figure = go.Figure()
    for number, (key, rows) in enumerate(table.groupby("metric", sort=False)):
        rows = rows.sort_values("severity")
        label, unit, higher, identity = _facts(str(key), facts)
        severity = rows["severity"].to_numpy(float)
        values = rows[["median", "low", "high"]].to_numpy(float)
        middle, low, high = normalise(values.T.ravel(), identity=identity, higher_is_better=higher).reshape(3, -1)
        colour = COLOURS[number % len(COLOURS)]
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([severity, severity[::-1]]),
                y=np.concatenate([low, high[::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=_transparent(colour, 0.14),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=str(key),
                name=label,
            )
        )
        words = [f"{a:.4g} {unit} ({min(b, c):.4g} to {max(b, c):.4g})" for a, b, c in values]
        figure.add_trace(
            go.Scatter(
                x=severity,
                y=middle,
                name=label,
                legendgroup=str(key),
                mode="lines+markers",
                line={"color": colour, "dash": DASHES[number // len(COLOURS) % len(DASHES)]},
                marker={"size": 7, "symbol": SYMBOLS[number % len(SYMBOLS)]},
                text=words,
                hovertemplate=f"{label}: %{{text}}<extra></extra>",
            )
        )
        crosses = broken_order(middle)
        if crosses:
            figure.add_trace(
                go.Scatter(
                    x=severity[crosses],
                    y=middle[crosses],
                    mode="markers",
                    name="order broken",
                    showlegend=False,
                    legendgroup=str(key),
                    marker={"symbol": "x-thin", "size": 15, "line": {"width": 3, "color": _NEUTRAL}},
                    hovertemplate=f"{label}: the median is better than at the milder severity<extra></extra>",
                )
            )
    figure.update_xaxes(title="severity", dtick=1)
    figure.update_yaxes(title="score, 1 identical, 0 worst here<br>(higher is better)")
    return _finish(figure, height=380 + 14 * table["metric"].nunique())


def _transparent(colour: str, share: float) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {share})"


def axis_title(key: str, *, metrics: Mapping[str, Any] | None = None) -> str:
    """Label, unit and direction of a metric: "PSNR (dB), higher is better"."""
    label, unit, higher, _ = _facts(key, _metrics(metrics))
    return f"{label}{f' ({unit})' if unit else ''}, {'higher' if higher else 'lower'} is better"


def threshold_histogram(
    edges: np.ndarray, counts: np.ndarray, *, threshold: float, flags_when: str, title: str
) -> go.Figure:
    """How often each value occurs, with a threshold: what lies on its flagged side has another colour.

    Args:
        edges: Limits of the bins, shape (K + 1,), rising.
        counts: Pictures in each bin, shape (K,).
        threshold: Where the line stands.
        flags_when: `above` or `below`: the side that is flagged.
        title: Name of the value, with its unit.

    Returns:
        The figure. A bin that the threshold divides is drawn in two parts of one height.

    Raises:
        DeconvError: Bins and limits do not fit, or the side is another word.
    """
    import plotly.graph_objects as go

    edges, counts = np.asarray(edges, float), np.asarray(counts, float)
    if edges.ndim != 1 or counts.shape != (edges.size - 1,):
        raise DeconvError(f"A histogram needs one limit more than bins; got {edges.shape} limits and {counts.shape}.")
    if flags_when not in ("above", "below"):
        raise DeconvError(f"A threshold flags above or below; got '{flags_when}'.")
    figure = go.Figure()
    sides = (("passes", COLOURS[0], flags_when == "below"), ("flagged", COLOURS[5], flags_when == "above"))
    for name, colour, is_above in sides:
        left = np.maximum(edges[:-1], threshold) if is_above else edges[:-1]
        right = edges[1:] if is_above else np.minimum(edges[1:], threshold)
        shown = (right > left) & (counts > 0)
        figure.add_trace(
            go.Bar(
                x=(left + right)[shown] / 2,
                width=(right - left)[shown],
                y=counts[shown],
                name=name,
                marker={"color": colour, "line": {"width": 0}},
                customdata=np.stack([edges[:-1], edges[1:]], 1)[shown],
                hovertemplate="%{customdata[0]:.4g} to %{customdata[1]:.4g}: %{y:,} pictures<extra></extra>",
            )
        )
    figure.add_vline(x=threshold, line={"color": _NEUTRAL, "width": 2, "dash": "dash"})
    figure.update_xaxes(title=title, range=[float(edges[0]), float(edges[-1])])
    figure.update_yaxes(title="pictures", rangemode="tozero")
    figure.update_layout(bargap=0, barmode="overlay")
    return _legend_above(_finish(figure, height=300))


def overlaid_histograms(histograms: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str) -> go.Figure:
    """How often each value occurs in several sets, as shares, so that sets of any size can be compared.

    Args:
        histograms: Name of the set -> (counts, shape (K,); limits of the bins, shape (K + 1,)).
        title: Name of the value, with its unit.

    Returns:
        The figure: one stepped line per set.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for number, (name, (counts, edges)) in enumerate(histograms.items()):
        share = 100 * np.asarray(counts, float) / max(1.0, float(np.sum(counts)))
        shown = _escaped(name)
        figure.add_trace(
            go.Scatter(
                x=np.asarray(edges, float),
                y=np.append(share, share[-1:]),
                name=shown,
                mode="lines",
                line={"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number % len(DASHES)], "shape": "hv"},
                fill="tozeroy",
                hovertemplate=f"{shown}, from %{{x:.4g}}: %{{y:.1f}} %<extra></extra>",
            )
        )
    figure.update_xaxes(title=title)
    figure.update_yaxes(title="share of pictures (%)", rangemode="tozero")
    return _legend_above(_finish(figure, height=320))


# Spectra


def spectrum_figure(spectra: pd.DataFrame) -> go.Figure:
    """Power by frequency of several pictures, with the named bands shaded.

    Args:
        spectra: As from `spectrum.radial_spectra`: columns `picture`, `frequency`, `power_db`.

    Returns:
        The figure; the frequency axis is logarithmic, so every octave is equally wide.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    _check_columns(spectra, ("picture", "frequency", "power_db"), "A plot of spectra")
    figure = go.Figure()
    for number, (name, rows) in enumerate(spectra.groupby("picture", sort=False)):
        rows = rows[rows["frequency"] <= 0.5]  # beyond it only diagonals are left
        figure.add_trace(_line(str(name), rows["frequency"], rows["power_db"], number, "%{y:.1f} dB"))
    figure.update_yaxes(title="power per square cycle per pixel (dB)")
    return _frequency_axis(figure)


def transfer_figure(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """How much of each frequency was kept, one line per picture.

    Args:
        tables: Name -> table from `spectrum.transfer_ratio` (columns `frequency`, `transfer`).

    Returns:
        The figure: 1 is kept, 0 is lost, above 1 is amplified.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for number, (name, table) in enumerate(tables.items()):
        _check_columns(table, ("frequency", "transfer"), "A plot of transfer")
        rows = table[(table["frequency"] <= 0.5) & table["transfer"].notna()]
        figure.add_trace(_line(name, rows["frequency"], rows["transfer"], number, "%{y:.2f} kept"))
    figure.update_yaxes(title="share kept (1 all, 0 lost;<br>nearer to 1 is better)", rangemode="tozero")
    return _frequency_axis(figure)


def spectrum_2d(log_power: np.ndarray, *, low: float | None = None, high: float | None = None) -> go.Figure:
    """The two-dimensional spectrum as a picture, zero frequency in the middle.

    Args:
        log_power: Decibels, shape (H, W), as from `spectrum.log_power_spectrum`. Large ones are averaged to 256 pixels.
        low: Decibels of the darkest colour; by default the lowest hundredth of the values.
        high: Decibels of the lightest colour; by default the largest value. Give both to compare pictures.

    Returns:
        The figure, with a colour scale in decibels.
    """
    import cv2
    import plotly.graph_objects as go

    values = np.asarray(log_power, np.float32)
    if values.ndim != 2:
        raise DeconvError(f"A two-dimensional spectrum needs one plane (H, W); got the shape {np.shape(log_power)}.")
    height, width = values.shape
    rows, columns = min(height, 256), min(width, 256)
    shown = (
        cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA) if (rows, columns) != values.shape else values
    )
    figure = go.Figure(
        go.Heatmap(
            z=np.round(shown, 1),
            # The middles of the averaged cells; frequency 0 lies at index side // 2 of the full plane.
            x=_cells(width, columns),
            y=_cells(height, rows),
            zmin=float(np.quantile(values, 0.01)) if low is None else low,
            zmax=float(values.max()) if high is None else high,
            colorscale=[[place / 9, colour] for place, colour in enumerate(PALETTES["viridis"])],
            colorbar={"title": {"text": "power (dB)", "side": "right"}, "thickness": 12},
            hovertemplate="across %{x:.3f}, down %{y:.3f} cycles per pixel: %{z:.1f} dB<extra></extra>",
        )
    )
    figure.update_xaxes(title="frequency across (cycles per pixel)", constrain="domain")
    figure.update_yaxes(
        title="frequency down (cycles per pixel)", autorange="reversed", scaleanchor="x", constrain="domain"
    )
    return _finish(figure, height=420)


def _cells(side: int, count: int) -> np.ndarray:
    return np.round(((np.arange(count) + 0.5) * side / count - 0.5 - side // 2) / side, 4)


def _line(name: str, x: pd.Series, y: pd.Series, number: int, value: str) -> go.Scatter:
    import plotly.graph_objects as go

    return go.Scatter(
        x=x.to_numpy(float),
        y=y.to_numpy(float),
        name=name,
        mode="lines",
        line={"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number % len(DASHES)], "width": 2},
        customdata=1 / x.to_numpy(float),
        hovertemplate=f"{name}, period %{{customdata:.1f}} px: {value}<extra></extra>",
    )


def _frequency_axis(figure: go.Figure) -> go.Figure:
    """A logarithmic frequency axis with periods and shaded bands."""
    lowest = min((float(np.min(trace.x)) for trace in figure.data if len(trace.x)), default=1 / 64)
    # Larger periods hold too few waves to be measured, and a phone has no room for them.
    start = max(1 / 128, min(lowest, 1 / 32))
    ticks = [1 / period for period in (128, 64, 32, 16, 8, 4, 2) if 1 / period >= start]
    for number, band in enumerate(BANDS.values()):
        low, high = max(band.low, start), min(band.high, 0.5)
        if number % 2 == 0:
            figure.add_vrect(x0=low, x1=high, fillcolor="rgba(128, 128, 128, 0.13)", line_width=0, layer="below")
        figure.add_annotation(
            x=(math.log10(low) + math.log10(high)) / 2,  # annotations on a logarithmic axis count in powers of ten
            xref="x",
            y=1.0,
            yref="paper",
            yanchor="bottom",
            text=band.name.replace(" ", "<br>"),
            showarrow=False,
            font={"size": 11},
        )
    figure.update_xaxes(
        title="frequency (cycles per pixel) and period",
        type="log",
        range=[math.log10(start * 0.93), math.log10(0.5 * 1.05)],
        tickvals=ticks,
        ticktext=[f"{tick:.2g}<br>{1 / tick:.0f} px" for tick in ticks],
        tickangle=0,
    )
    _finish(figure, height=400)
    figure.update_layout(margin_t=48)
    return figure


# Error maps


def colour_map(error: np.ndarray, low: float, high: float, palette: str = "inferno") -> np.ndarray:
    """Colours of an error map on a fixed scale, so that maps can be compared.

    Args:
        error: Map, shape (H, W).
        low: Value of the darkest colour; smaller ones get it too.
        high: Value of the lightest colour; larger ones get it too.
        palette: "inferno" or "viridis".

    Returns:
        uint8 RGB, shape (H, W, 3). Values that are not numbers are mid-grey.

    Raises:
        DeconvError: Not one plane, an unknown palette, or low not below high.
    """
    index, unknown = _colour_numbers(error, low, high)
    colours = np.take(_lookup(palette), index, axis=0)
    if unknown.any():
        colours[unknown] = _NO_VALUE
    return colours


def colour_map_png(error: np.ndarray, low: float, high: float, palette: str = "inferno") -> bytes:
    """`colour_map` as a PNG file. One number per pixel and a palette: a quarter of the time and of the bytes."""
    from PIL import Image

    index, unknown = _colour_numbers(error, low, high)
    table = _lookup(palette)
    if unknown.any():  # the last colour makes room for those without a value; its neighbour looks the same
        table = np.concatenate([table[:-1], np.array([_NO_VALUE], np.uint8)])
        index = np.where(unknown, np.uint8(255), np.minimum(index, 254))
    image = Image.fromarray(index)
    image.putpalette(table.tobytes())
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=1)
    return target.getvalue()


def _colour_numbers(error: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of the 256 colours every value gets, and where there is no value."""
    values = np.asarray(error, np.float32)
    if values.ndim != 2:
        raise DeconvError(
            f"An error map needs one plane (H, W); got the shape {np.shape(error)}. Take one picture's map."
        )
    if not low < high:
        raise DeconvError(f"An error map's scale got low={low} and high={high}; low must be below high.")
    unknown = np.isnan(values)
    index = (values - np.float32(low)) * np.float32(255 / (high - low)) + np.float32(0.5)
    index = np.clip(np.nan_to_num(index, copy=False) if unknown.any() else index, 0, 255).astype(np.uint8)
    return index, unknown


def map_legend(low: float, high: float, unit: str = "", palette: str = "inferno") -> dict[str, Any]:
    """What a legend of `colour_map` shows: low, high, unit, colours (ten, dark to light) and css (their gradient).

    Raises:
        DeconvError: An unknown palette.
    """
    colours = list(_palette(palette))
    css = f"linear-gradient(to right, {', '.join(colours)})"
    return {"low": float(low), "high": float(high), "unit": unit, "colours": colours, "css": css}


def _palette(palette: str) -> tuple[str, ...]:
    if palette not in PALETTES:
        raise DeconvError(f"Unknown palette '{palette}'; choose one of {', '.join(PALETTES)}.")
    return PALETTES[palette]


def _lookup(palette: str) -> np.ndarray:
    stops = np.array(
        [[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in _palette(palette)], float
    )
    places = np.linspace(0, len(stops) - 1, 256)
    table = np.stack([np.interp(places, np.arange(len(stops)), stops[:, channel]) for channel in range(3)], axis=1)
    return np.rint(table).astype(np.uint8)


# Networks


def architecture_figure(layers: Sequence[Mapping[str, Any]]) -> go.Figure:
    """A network as blocks from picture to code to picture: as tall as the feature maps, as wide as they have channels.

    Neighbouring layers of one shape are drawn as one block; hovering lists them. Layers whose name begins with
    "linear" (a path beside the main one) are drawn below.

    Args:
        layers: In order, each with `name`, `kind` (such as "Conv2D") and `shape` (height, width, channels) for a
            picture of 512 x 512, say. One of them is named "code".

    Returns:
        The figure.

    Raises:
        DeconvError: No layer is named "code", or a layer lacks a field.
    """
    import plotly.graph_objects as go

    stages = _stages(layers)
    code = next(number for number, stage in enumerate(stages) if stage["role"] == "code")
    tallest = max(stage["shape"][0] for stage in stages)
    widest = max(stage["shape"][2] for stage in stages)
    x = 0.0
    for stage in stages:
        # Square roots: 512 and 8 pixels, 3 and 512 channels both stay visible.
        stage["tall"] = math.sqrt(stage["shape"][0] / tallest)
        stage["wide"] = 0.35 + 0.9 * math.sqrt(stage["shape"][2] / widest)
        if stage["beside"]:
            # Below the gap where the path leaves the main one; it takes no place there.
            stage["x"] = x - 0.125
            stage["tall"] *= 0.5
            stage["base"] = -0.6 - stage["tall"]
        else:
            stage["x"] = x + stage["wide"] / 2
            stage["base"] = -stage["tall"] / 2
            x += stage["wide"] + 0.25
    figure = go.Figure()
    roles = {
        "picture": ("picture", "#999999"),
        "encoder": ("encoder", "#0072B2"),
        "code": ("code", "#D55E00"),
        "decoder": ("decoder", "#009E73"),
    }
    for role, (words, colour) in roles.items():
        chosen = [stage for stage in stages if stage["role"] == role]
        figure.add_trace(
            go.Bar(
                x=[stage["x"] for stage in chosen],
                y=[stage["tall"] for stage in chosen],
                base=[stage["base"] for stage in chosen],
                width=[stage["wide"] for stage in chosen],
                name=words,
                marker={"color": colour, "line": {"width": 2 if role == "code" else 0, "color": _NEUTRAL}},
                hovertext=[_stage_words(stage) for stage in chosen],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    top = 0.5
    for number, anchor in ((0, "left"), (code, "center"), (len(stages) - 1, "right")):
        stage = stages[number]
        edge = {"left": -1, "center": 0, "right": 1}[anchor] * stage["wide"] / 2
        figure.add_annotation(
            x=stage["x"] + edge,
            y=stage["base"] + stage["tall"] if number == code else top,
            text=f"<b>code</b><br>{_shape_words(stage)}" if number == code else _shape_words(stage),
            showarrow=False,
            xanchor=anchor,
            yanchor="bottom",
            font={"size": 12},
        )
    figure.update_xaxes(
        title="picture → encoder → code → decoder → picture<br>block height: pixels, width: channels (square roots)",
        showticklabels=False,
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    lowest = min(stage["base"] for stage in stages)
    figure.update_yaxes(visible=False, range=[lowest - 0.05, top + 0.2], fixedrange=True)
    figure.update_layout(barmode="overlay", hovermode="closest")
    return _finish(figure, height=360)


def depth_curve(rows: Sequence[Mapping[str, Any]], measure: str) -> go.Figure:
    """How well the picture can be read from each layer of an encoder, from the picture to the code.

    Args:
        rows: In order; `name`, `label` and the measure.
        measure: A metric key.
    """
    import plotly.graph_objects as go

    names = [_escaped(row["label"]) for row in rows]
    figure = go.Figure(
        go.Scatter(
            x=list(range(len(rows))),
            y=[float(row[measure]) for row in rows],
            mode="lines+markers",
            line={"color": COLOURS[0], "width": 2},
            marker={"size": 9},
            customdata=names,
            hovertemplate="%{customdata}: %{y:.3g}<extra></extra>",
        )
    )
    figure.update_xaxes(
        title="layer, from the picture to the code", tickvals=list(range(len(rows))), ticktext=names, tickangle=-35
    )
    figure.update_yaxes(title=axis_title(measure))
    return _finish(figure, height=340)


def place_map(values: np.ndarray, chosen: tuple[int, int] | None = None) -> go.Figure:
    """The activations of one channel as squares that can be clicked (clicks on a heatmap are not told).

    Args:
        values: (h, w).
        chosen: Row and column of the one that is marked.
    """
    import plotly.graph_objects as go

    rows, columns = values.shape
    down, across = np.mgrid[:rows, :columns]
    largest = max(float(np.abs(values).max()), 1e-12)
    lowest = -largest if float(values.min()) < 0 else 0.0
    figure = go.Figure(
        go.Scattergl(
            x=across.ravel(),
            y=down.ravel(),
            mode="markers",
            marker={
                "symbol": "square",
                "size": max(3.0, 330 / max(rows, columns)),
                "color": np.round(values.ravel().astype(float), 4),
                "colorscale": [[place / 9, colour] for place, colour in enumerate(PALETTES["viridis"])],
                "cmin": lowest,
                "cmax": largest,
                "colorbar": {"title": {"text": "activation", "side": "right"}, "thickness": 12},
            },
            unselected={"marker": {"opacity": 1}},
            hovertemplate="row %{y}, column %{x}: %{marker.color:.3g}<extra></extra>",
        )
    )
    if chosen is not None:
        row, column = chosen
        figure.add_shape(
            type="rect", x0=column - 0.5, x1=column + 0.5, y0=row - 0.5, y1=row + 0.5, line={"color": "red", "width": 3}
        )
    figure.update_xaxes(title="column", range=[-0.5, columns - 0.5], constrain="domain", showgrid=False)
    figure.update_yaxes(
        title="row", range=[rows - 0.5, -0.5], scaleanchor="x", constrain="domain", showgrid=False, zeroline=False
    )
    return _finish(figure, height=420)


def matrix_figure(matrix: np.ndarray) -> go.Figure:
    """A small matrix as a picture: blue above zero, red below, grey or white at zero.

    Args:
        matrix: (rows, columns).
    """
    import plotly.graph_objects as go

    largest = max(float(np.abs(matrix).max()), 1e-12)
    figure = go.Figure(
        go.Heatmap(
            z=np.round(matrix, 4),
            zmin=-largest,
            zmax=largest,
            colorscale=[[0, "#c0392b"], [0.5, "rgba(128, 128, 128, 0.12)"], [1, "#1b6ca8"]],
            colorbar={"title": {"text": "value", "side": "right"}, "thickness": 12},
            hovertemplate="row %{y}, column %{x}: %{z:.3g}<extra></extra>",
        )
    )
    figure.update_xaxes(title="column", constrain="domain", showgrid=False, zeroline=False)
    figure.update_yaxes(title="row", autorange="reversed", constrain="domain", showgrid=False, zeroline=False)
    return _finish(figure, height=360)


def latent_figure(frame: pd.DataFrame, shares: tuple[float, float]) -> go.Figure:
    """One point for each picture, in the plane in which a set's codes vary most; 10,000 of them stay smooth.

    Args:
        frame: Columns `image`, `x`, `y`.
        shares: Share of the variance along x and y, 0 to 1.
    """
    import plotly.graph_objects as go

    _check_columns(frame, ("image", "x", "y"), "A latent map")
    images = np.array([_escaped(str(image)[-60:]) for image in frame["image"]], object)
    many = len(frame) > _WEBGL_POINTS
    figure = go.Figure(
        (go.Scattergl if many else go.Scatter)(
            x=np.round(frame["x"].to_numpy(float), 4),
            y=np.round(frame["y"].to_numpy(float), 4),
            mode="markers",
            marker={"color": COLOURS[0], "size": 5 if many else 8, "opacity": 0.6},
            unselected={"marker": {"opacity": 0.12}},
            customdata=np.stack([np.arange(len(frame)).astype(object), images], axis=1),
            hovertemplate="%{customdata[1]}<extra></extra>",
        )
    )
    figure.update_xaxes(title=f"first direction (deviations), {shares[0]:.0%} of what varies")
    figure.update_yaxes(title=f"second direction, {shares[1]:.0%}", scaleanchor="x", scaleratio=1)
    figure.update_layout(dragmode="lasso", hovermode="closest")
    return _finish(figure, height=560)


def _stages(layers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Layers grouped into blocks: neighbours on one path with one shape, the code always by itself."""
    for layer in layers:
        missing = [field for field in ("name", "kind", "shape") if field not in layer]
        if missing:
            raise DeconvError(f"A layer of the drawing lacks {', '.join(missing)}; got {dict(layer)}.")
    names = [layer["name"] for layer in layers]
    if "code" not in names:
        raise DeconvError(f"A drawing needs a layer named 'code'; got {', '.join(map(str, names)) or 'no layers'}.")
    code, last = names.index("code"), len(names) - 1
    stages: list[dict[str, Any]] = []
    for number, layer in enumerate(layers):
        if number == code:
            role = "code"
        elif number in (0, last):
            role = "picture"
        else:
            role = "encoder" if number < code else "decoder"
        beside = str(layer["name"]).startswith("linear")
        shape = tuple(int(side) for side in layer["shape"])
        key = (role, beside, shape)
        if not stages or stages[-1]["key"] != key:
            stages.append({"key": key, "role": role, "beside": beside, "shape": shape, "layers": []})
        stages[-1]["layers"].append(f"{layer['name']} ({layer['kind']})")
    return stages


def _shape_words(stage: Mapping[str, Any]) -> str:
    return " × ".join(str(side) for side in stage["shape"])


def _stage_words(stage: Mapping[str, Any]) -> str:
    """Shape and layers; long lists are cut, a hover label must fit on a phone."""
    shown = stage["layers"][:8]
    more = len(stage["layers"]) - len(shown)
    return "<br>".join([f"<b>{_shape_words(stage)}</b>", *shown, *([f"and {more} more"] if more else [])])


# Training


TRAINING_MEASURES = {
    "loss": "Loss (lower is better)",
    "psnr": "Validation PSNR in dB (higher is better)",
    "ssim": "Validation SSIM (higher is better)",
    "patches_per_second": "Patches per second",
}


def training_curves(histories: Mapping[str, pd.DataFrame], measure: str) -> go.Figure:
    """One measure over the epochs, a line for each run.

    Args:
        histories: Name of the run -> its `history.csv`: columns `epoch` and the measure.
        measure: A key of TRAINING_MEASURES.

    Raises:
        DeconvError: Another measure, or a table without its column.
    """
    import plotly.graph_objects as go

    if measure not in TRAINING_MEASURES:
        raise DeconvError(f"Runs have no curve '{measure}'; choose one of {', '.join(TRAINING_MEASURES)}.")
    figure = go.Figure()
    for number, (name, frame) in enumerate(histories.items()):
        _check_columns(frame, ("epoch", measure), "A training curve")
        shown = _escaped(name)
        figure.add_trace(
            go.Scatter(
                x=frame["epoch"].to_numpy(float),
                y=frame[measure].to_numpy(float),
                name=shown,
                # A single epoch makes no line, so points are drawn while there are few.
                mode="lines+markers" if len(frame) < 40 else "lines",
                line={"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number % len(DASHES)], "width": 2},
                marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 6},
                hovertemplate=f"{shown}, epoch %{{x:.0f}}: %{{y:.5g}}<extra></extra>",
            )
        )
    figure.update_xaxes(title="epoch", rangemode="tozero")
    figure.update_yaxes(title=TRAINING_MEASURES[measure])
    _finish(figure, height=300)
    figure.update_layout(showlegend=len(histories) > 1, uirevision=measure)
    return figure


def _escaped(text: str) -> str:
    """Names given by people, for plotly, which reads a little HTML and, in templates, %{...}."""
    return html.escape(" ".join(str(text).split())[:60]).replace("%{", "% {")


# Metrics and people

_MANY_POINTS = 1000  # beyond it they are drawn fainter
_MOST_DRAWN_POINTS = 3000  # beyond it the browser draws points as one picture


def opinion_scatter(
    frame: pd.DataFrame,
    metric: str,
    scores: str,
    *,
    curve: tuple[np.ndarray, np.ndarray] | None = None,
    names: Sequence[str] | None = None,
    group: str | None = None,
    highlight: str | None = None,
    metric_title: str = "",
    scores_title: str = "human score",
    metrics: Mapping[str, Any] | None = None,
) -> go.Figure:
    """Human scores against a metric, one point per picture, with the curve that was fitted.

    Args:
        frame: One row per picture with the columns `metric` and `scores`; rows that lack either are left out.
        metric: Key or column of the horizontal axis.
        scores: Column of the vertical axis.
        curve: Metric values and the human scores expected for them.
        names: What a point is called when pointed at, one per row of `frame`.
        group: Column that `highlight` is a value of.
        highlight: Group whose points stand out.
        metric_title: Title of the horizontal axis; label, unit and direction of a known metric without it.
        scores_title: Title of the vertical axis.
        metrics: As in `severity_curves`.

    Returns:
        The figure; `customdata` of a point is the position of its row.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    _check_columns(frame, (metric, scores, *([group] if group else [])), "A plot of human scores")
    table = _metrics(metrics)
    x, y = frame[metric].to_numpy(float), frame[scores].to_numpy(float)
    drawn = np.isfinite(x) & np.isfinite(y)
    stands_out = drawn & (frame[group].astype(str) == highlight).to_numpy() if group and highlight else drawn & False
    label = _escaped(_facts(metric, table)[0])
    kind = go.Scattergl if drawn.sum() > _MOST_DRAWN_POINTS else go.Scatter
    figure = go.Figure()
    parts = [(drawn & ~stands_out, "pictures", 0), (stands_out, highlight or "", 5)]
    for inside, name, number in parts:
        places = np.flatnonzero(inside)
        if not places.size:
            continue
        told = [_escaped(names[place]) for place in places] if names is not None else [""] * len(places)
        dimmed = bool(stands_out.any()) and number == 0
        figure.add_trace(
            kind(
                x=x[places],
                y=y[places],
                name=_escaped(name),
                mode="markers",
                marker={
                    "color": _NEUTRAL if dimmed else COLOURS[number],
                    "symbol": SYMBOLS[0 if number == 0 else 2],
                    "size": 7 if number == 0 else 9,
                    "opacity": 0.3 if dimmed or drawn.sum() > _MANY_POINTS else 0.65,
                },
                customdata=places[:, None],
                text=told,
                hovertemplate=f"%{{text}}<br>{label}: %{{x:.4g}}<br>human score: %{{y:.4g}}<extra></extra>",
            )
        )
    if curve is not None:
        figure.add_trace(
            go.Scatter(
                x=curve[0],
                y=curve[1],
                name="fitted curve",
                mode="lines",
                line={"color": COLOURS[1], "width": 3},
                hovertemplate=f"expected at {label} %{{x:.4g}}: %{{y:.4g}}<extra></extra>",
            )
        )
    usual = axis_title(metric, metrics=table) if metric in table else label
    figure.update_xaxes(title=_escaped(metric_title or usual))
    figure.update_yaxes(title=_escaped(scores_title))
    figure.update_layout(hovermode="closest")
    return _finish(figure, height=440)


def agreement_intervals(table: pd.DataFrame, *, metrics: Mapping[str, Any] | None = None) -> go.Figure:
    """How well each metric agrees with people: a point for its SRCC and a line for the 95 % interval, best on top.

    Args:
        table: One row per metric: columns `metric`, `srcc`, `srcc_low`, `srcc_high` (NaN for no interval).
        metrics: As in `severity_curves`.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    _check_columns(table, ("metric", "srcc", "srcc_low", "srcc_high"), "A plot of agreement")
    known = _metrics(metrics)
    rows = table.dropna(subset=["srcc"]).sort_values("srcc", kind="stable")
    values, low, high = (rows[name].to_numpy(float) for name in ("srcc", "srcc_low", "srcc_high"))
    spans = ["" if math.isnan(a) else f", 95 % interval {a:.3f} to {b:.3f}" for a, b in zip(low, high, strict=True)]
    figure = go.Figure(
        go.Scatter(
            **_points_with_intervals(values, low, high),
            y=["<br>".join(textwrap.wrap(_escaped(_facts(key, known)[0]), 24)) for key in rows["metric"]],
            text=spans,
            hovertemplate="%{y}: SRCC %{x:.3f}%{text}<extra></extra>",
        )
    )
    figure.update_xaxes(title="SRCC (higher is better)", range=_span_with_room(values, low, high))
    figure.update_yaxes(type="category")
    figure.update_layout(hovermode="closest", showlegend=False)
    return _finish(figure, height=120 + 34 * len(rows))


def interval_dots(
    table: pd.DataFrame,
    names: Sequence[str],
    columns: tuple[str, str, str],
    *,
    title: str,
    mark: float | None = None,
    span: tuple[float, float] | None = None,
) -> go.Figure:
    """A point and a line for its interval in each row, the first row on top; rows without a value are left out.

    Args:
        table: Columns as named by `columns`.
        names: Words for each row; told apart by position, so two may be alike.
        columns: Value, low end and high end.
        title: Of the axis, with unit and direction.
        mark: A value where a dotted line stands, such as that of chance.
        span: Ends of the axis; by the data without it.

    Raises:
        DeconvError: A column is missing.
    """
    import plotly.graph_objects as go

    _check_columns(table, columns, "A figure of intervals")
    middle, low, high = (table[column].to_numpy(float) for column in columns)
    order = [place for place in range(len(middle))[::-1] if np.isfinite(middle[place])]
    middle, low, high = middle[order], low[order], high[order]
    words = [_escaped(names[place]) for place in order]
    spans = ["" if math.isnan(a) else f", 95 % interval {a:.3g} to {b:.3g}" for a, b in zip(low, high, strict=True)]
    figure = go.Figure(
        go.Scatter(
            **_points_with_intervals(middle, low, high),
            y=list(range(len(order))),
            text=[f"{word}: {value:.3g}{told}" for word, value, told in zip(words, middle, spans, strict=True)],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    if mark is not None:
        figure.add_vline(mark, line={"color": _NEUTRAL, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title=title, range=span)
    figure.update_yaxes(
        tickvals=list(range(len(order))), ticktext=words, range=[-0.6, len(order) - 0.4], ticksuffix="  "
    )
    figure.update_layout(hovermode="closest", showlegend=False)
    return _finish(figure, height=110 + 28 * len(order))


def _points_with_intervals(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """Across: a point for each value and a line from `low` to `high`, none where these are missing."""
    return {
        "x": values,
        "mode": "markers",
        "marker": {"color": COLOURS[0], "size": 10},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": np.nan_to_num(high - values),
            "arrayminus": np.nan_to_num(values - low),
            "color": COLOURS[0],
            "thickness": 2,
        },
    }


def learning_curve(rows: Sequence[Mapping[str, float]]) -> go.Figure:
    """How the agreement of a calibrated metric grows with the human scores it was made from.

    Args:
        rows: `count` (human scores learned from) and `srcc` (on contents left out), as on the card of a calibration.
    """
    import plotly.graph_objects as go

    figure = go.Figure(
        go.Scatter(
            x=[row["count"] for row in rows],
            y=[row["srcc"] for row in rows],
            mode="lines+markers",
            line={"color": COLOURS[0], "width": 2},
            marker={"size": 8},
            hovertemplate="%{x:,.0f} human scores: SRCC %{y:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="human scores learned from", type="log", tickvals=[row["count"] for row in rows])
    figure.update_yaxes(title="SRCC on contents left out,<br>higher is better")
    return _finish(figure, height=280)


def _span_with_room(*columns: np.ndarray) -> list[float]:
    """0 to 1, or what the values need below it."""
    lowest = np.nanmin([np.nanmin(np.append(column, 0.0)) for column in columns])
    return [min(0.0, float(lowest) - 0.05), 1.0]


# Around all figures


def plot_config(name: str, format: str = "svg") -> dict[str, Any]:
    """Settings for a plot's toolbar: download under this name in one format, no upload button, no logo.

    Args:
        name: File name without extension; signs that file systems refuse become "_".
        format: "svg" (for papers, stays sharp) or "png" (twice the size on screen).

    Returns:
        The `config` argument of plotly and Streamlit.

    Raises:
        DeconvError: Another format.
    """
    if format not in IMAGE_FORMATS:
        raise DeconvError(f"A plot cannot be downloaded as '{format}'; choose one of {', '.join(IMAGE_FORMATS)}.")
    return {
        "displaylogo": False,
        "responsive": True,
        # plotly.js 4 offers to upload charts to its makers' server; nothing here leaves the machine.
        "showSendToCloud": False,
        "plotlyServerURL": "",
        "modeBarButtonsToRemove": ["lasso2d", "select2d"],
        "toImageButtonOptions": {
            "format": format,
            "filename": re.sub(r"[^\w.\-]+", "_", name).strip("._") or "plot",
            "scale": 2 if format == "png" else 1,
        },
    }


def _finish(figure: go.Figure, *, height: int) -> go.Figure:
    """What all figures share: no background, legend below, margins that fit a phone."""
    figure.update_layout(
        height=height,
        autosize=True,
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.28, "yanchor": "top"},
    )
    figure.update_xaxes(automargin=True, gridcolor=_GRID, zerolinecolor=_GRID)
    figure.update_yaxes(automargin=True, gridcolor=_GRID, zerolinecolor=_GRID)
    return figure


def _legend_above(figure: go.Figure) -> go.Figure:
    """Where the axis has a title of two lines, which would run into a legend below it on a phone."""
    return figure.update_layout(margin={"t": 40}, legend={"y": 1.02, "yanchor": "bottom"})


def _metrics(metrics: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if metrics is not None:
        return metrics
    from deconv_core.metrics import METRICS

    return METRICS


def _facts(key: str, metrics: Mapping[str, Any]) -> tuple[str, str, bool, float | None]:
    """Label, unit, direction and identity of a metric; a column that is no metric keeps its name, higher is better."""
    row = metrics.get(key)
    if row is None:
        return key.replace("_", " "), "", True, None
    return row.label, row.unit, row.higher_is_better, row.identity


def _check_columns(frame: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DeconvError(
            f"{what} needs the columns {', '.join(columns)}; got {', '.join(map(str, frame.columns))}."
            f" Add {', '.join(missing)}."
        )
