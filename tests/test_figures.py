"""Figures: what is drawn, in words with units and direction, on fixed scales; no background, fit for a phone."""

import itertools
import json
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from deconv_core import figures
from deconv_core.errors import DeconvError
from deconv_core.images import read_image
from deconv_core.spectrum import log_power_spectrum, radial_spectra, transfer_ratio

METRICS = {
    "up": SimpleNamespace(label="Up", unit="dB", higher_is_better=True, identity=100.0),
    "down": SimpleNamespace(label="Down", unit="", higher_is_better=False, identity=0.0),
    "open": SimpleNamespace(label="Open", unit="", higher_is_better=True, identity=None),
}


def _ladder():
    rows = [
        *(("up", severity, value) for severity, value in enumerate([100, 40, 30, 20, 25, 10])),
        *(("down", severity, value) for severity, value in enumerate([0, 1, 2, 3, 4, 8])),
        *(("open", severity, value) for severity, value in enumerate([0.9, 0.95, 0.8, 0.7, 0.6, 0.5])),
    ]
    return pd.DataFrame(rows, columns=["metric", "severity", "value"])


def _scores():
    generator = np.random.default_rng(1)
    groups = [f"type_{number}" for number in range(16)]
    return pd.DataFrame(
        [
            {"distortion": group, "severity": severity, "up": generator.uniform(20, 40), "down": generator.random()}
            for group in groups
            for severity in range(1, 6)
        ]
    )


def _layers():
    rows = [
        ("picture", "InputLayer", (512, 512, 3)),
        ("centre", "Rescaling", (512, 512, 3)),
        ("fold", "SpaceToDepth", (128, 128, 48)),
        ("encode_1", "Conv2D", (128, 128, 32)),
        ("encode_2_a", "Conv2D", (128, 128, 32)),
        ("encode_3", "Conv2D", (64, 64, 64)),
        ("encode_out", "Conv2D", (64, 64, 32)),
        ("linear_encode", "Conv2D", (64, 64, 32)),
        ("code", "Add", (64, 64, 32)),
        ("decode_1", "Conv2D", (64, 64, 64)),
        ("decode_up2", "Conv2D", (64, 64, 128)),
        ("decode_up2_unfold", "DepthToSpace", (128, 128, 32)),
        ("linear_decode", "Conv2D", (64, 64, 192)),
        ("decode_up4", "Conv2D", (128, 128, 48)),
        ("unfold", "DepthToSpace", (512, 512, 3)),
        ("uncentre", "Rescaling", (512, 512, 3)),
    ]
    return [{"name": name, "kind": kind, "shape": shape} for name, kind, shape in rows]


def _all_figures():
    generator = np.random.default_rng(2)
    image = generator.random((64, 64))
    candidate = (image + np.roll(image, 1, axis=1)) / 2
    return {
        "severity": figures.severity_curves(_ladder(), metrics=METRICS),
        "scatter": figures.score_scatter(_scores(), "up", "down", metrics=METRICS),
        "spectrum": figures.spectrum_figure(radial_spectra({"reference": image, "error": candidate - image})),
        "transfer": figures.transfer_figure({"blurred": transfer_ratio(image, candidate)}),
        "plane": figures.spectrum_2d(log_power_spectrum(image)),
        "architecture": figures.architecture_figure(_layers()),
    }


def test_every_figure_follows_theme_and_phone():
    for name, figure in _all_figures().items():
        layout = figure.to_plotly_json()["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0, 0, 0, 0)", name
        assert "color" not in layout.get("font", {}), name
        assert "width" not in layout, name
        assert layout["legend"]["orientation"] == "h", name
        assert layout["legend"]["y"] < 0, name
        assert max(layout["margin"][side] for side in "lr") <= 10, name
        assert layout["xaxis"]["automargin"] is True, name
        assert layout["xaxis"]["title"]["text"], name
        assert len(figure.to_json()) < 200_000, name


def test_severity_curves_start_at_one_end_at_zero_and_mark_broken_order():
    figure = figures.severity_curves(_ladder(), metrics=METRICS)
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces) == ["Up", "Down", "Open", "order broken: better than at a milder severity"]
    np.testing.assert_allclose(traces["Up"].y, (np.array([100, 40, 30, 20, 25, 10]) - 10) / 90)
    np.testing.assert_allclose(traces["Down"].y, 1 - np.array([0, 1, 2, 3, 4, 8]) / 8)
    np.testing.assert_allclose(traces["Open"].y, (np.array([0.9, 0.95, 0.8, 0.7, 0.6, 0.5]) - 0.5) / 0.4)
    crosses = traces["order broken: better than at a milder severity"]
    assert list(crosses.x) == [4, 1]
    assert list(crosses.text) == ["Up: better than at severity 3", "Open: better than at severity 0"]
    assert crosses.marker.symbol == "x-thin"
    assert list(traces["Up"].text) == ["100 dB", "40 dB", "30 dB", "20 dB", "25 dB", "10 dB"]
    assert "higher is better" in figure.layout.yaxis.title.text


def test_severity_curves_sort_leave_out_missing_values_and_need_no_cross_when_in_order():
    frame = _ladder().query("metric == 'down'").sample(frac=1, random_state=3)
    frame.loc[frame["severity"] == 5, "value"] = np.nan
    figure = figures.severity_curves(frame, metrics=METRICS)
    assert len(figure.data) == 1
    assert list(figure.data[0].x) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(figure.data[0].y, [1, 0.75, 0.5, 0.25, 0])


def test_normalise_edges():
    np.testing.assert_array_equal(figures.normalise(np.array([1.0, 1.0]), identity=1.0, higher_is_better=True), [1, 1])
    # PSNR of identical pictures is infinite: drawn 6 dB above the best other value.
    psnr = np.array([np.inf, 44.0, 34.0, 30.0])
    np.testing.assert_allclose(figures.normalise(psnr, identity=np.inf, higher_is_better=True), [1.0, 0.7, 0.2, 0.0])
    np.testing.assert_array_equal(figures.normalise(psnr[:1], identity=np.inf, higher_is_better=True), [1.0])
    assert figures.normalise(np.array([]), identity=1.0, higher_is_better=True).size == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_score_that_gets_better_with_damage_rises_and_is_marked(sign):
    only_rises, rises_more = (
        figures.normalise(sign * np.array(values), identity=None, higher_is_better=sign == 1)
        for values in ([20.0, 21.0, 24.0], [20.0, 19.0, 24.0])
    )
    np.testing.assert_allclose(only_rises, [1.0, 1.25, 2.0])
    np.testing.assert_allclose(rises_more, [1.0, 0.75, 2.0])  # its rise does not push the other curves off the plot
    assert figures.broken_order(only_rises) == [1, 2]
    assert figures.broken_order(rises_more) == [2]


def test_the_table_of_metrics_is_used_by_default():
    from deconv_core.metrics import METRICS as table

    frame = pd.DataFrame({"metric": ["psnr"] * 2, "severity": [0, 1], "value": [table["psnr"].identity, 30.0]})
    figure = figures.severity_curves(frame)
    assert figure.data[0].name == table["psnr"].label
    assert list(figure.data[0].text) == ["identical", "30 dB"]
    assert figures.axis_title("psnr") == f"{table['psnr'].label} (dB), higher is better"


def test_scatter_tells_groups_apart_twice_and_names_unit_and_direction():
    figure = figures.score_scatter(_scores(), "up", "down", metrics=METRICS, labels={"type_0": "Blur"})
    assert figure.layout.xaxis.title.text == "Up (dB), higher is better"
    assert figure.layout.yaxis.title.text == "Down, lower is better"
    assert len(figure.data) == 16
    assert figure.data[0].name == "Blur"
    assert figure.data[1].name == "type 1"
    looks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == 16
    assert list(np.diff(figure.data[0].marker.size) > 0) == [True] * 4
    assert "severity" in figure.data[0].hovertemplate


def test_spectrum_has_bands_periods_and_units():
    figure = _all_figures()["spectrum"]
    assert [trace.name for trace in figure.data] == ["reference", "error"]
    assert figure.layout.xaxis.type == "log"
    assert max(max(trace.x) for trace in figure.data) <= 0.5
    assert "0.5<br>2 px" in figure.layout.xaxis.ticktext
    assert [note.text for note in figure.layout.annotations] == [
        "fine<br>texture",
        "detail",
        "shapes",
        "large<br>forms",
    ]
    assert "dB" in figure.layout.yaxis.title.text
    shaded = [(shape.x0, shape.x1) for shape in figure.layout.shapes]
    assert (0.25, 0.5) in shaded
    assert (1 / 16, 1 / 8) in shaded


def test_transfer_of_a_two_pixel_average_falls():
    trace = _all_figures()["transfer"].data[0]
    assert trace.y[1] > 0.9
    assert trace.y[-1] < 0.6


def test_a_wave_shows_at_its_frequency_in_the_plane_also_when_averaged():
    for side in (64, 510):
        wave = np.cos(2 * np.pi * np.arange(side) / 4) * np.ones((side, 1))
        trace = figures.spectrum_2d(log_power_spectrum(wave)).data[0]
        assert max(np.shape(trace.z)) <= 256
        row, column = np.unravel_index(np.argmax(trace.z), np.shape(trace.z))
        assert abs(trace.x[column]) == pytest.approx(0.25, abs=1 / 128)
        assert trace.y[row] == pytest.approx(0, abs=1 / 128)


def _lightness(colours):
    """CIE L* of sRGB colours."""
    linear = np.asarray(colours, float) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


@pytest.mark.parametrize("palette", figures.PALETTES)
def test_palettes_grow_lighter_evenly(palette):
    ramp = figures.colour_map(np.linspace(0, 1, 256)[None], 0, 1, palette)[0]
    lightness = _lightness(ramp)
    ideal = np.linspace(lightness[0], lightness[-1], 256)
    # Of 100. The originals are even in another measure of lightness (CAM02-UCS), which differs by 5.3 in inferno.
    assert np.abs(lightness - ideal).max() < 6
    assert np.diff(lightness[::8]).min() > 0


def test_colours_depend_on_the_scale_and_not_on_the_map():
    one = figures.colour_map(np.array([[0.1, 0.2]]), 0, 0.5)
    other = figures.colour_map(np.array([[0.1, 0.5]]), 0, 0.5)
    np.testing.assert_array_equal(one[0, 0], other[0, 0])
    outside = figures.colour_map(np.array([[-1.0, 0.0, 0.5, 9.0, np.inf, np.nan]]), 0, 0.5)[0]
    np.testing.assert_array_equal(outside[0], outside[1])
    np.testing.assert_array_equal(outside[2], outside[3])
    np.testing.assert_array_equal(outside[2], outside[4])
    assert tuple(outside[5]) == (128, 128, 128)
    legend = figures.map_legend(0, 0.5, "of full range")
    assert (legend["low"], legend["high"], legend["unit"]) == (0.0, 0.5, "of full range")
    assert legend["colours"][0] == "#{:02x}{:02x}{:02x}".format(*outside[1])
    assert legend["colours"][-1] == "#{:02x}{:02x}{:02x}".format(*outside[2])
    assert legend["css"].startswith("linear-gradient(to right, #000004, ")
    json.dumps(legend)


@pytest.mark.parametrize("holes", [False, True])
def test_a_map_as_a_file_holds_the_same_colours(holes):
    error = np.random.default_rng(5).random((20, 30), np.float32)
    error[0] = np.linspace(0, 1, 30)
    if holes:
        error[3, 4] = np.nan
    drawn = read_image(figures.colour_map_png(error, 0, 1)).pixels * 255
    expected = figures.colour_map(error, 0, 1).astype(np.float32)
    np.testing.assert_allclose(drawn, expected, atol=1 + 3 * holes)  # with holes the lightest colour is the one below
    assert not holes or drawn[3, 4].tolist() == [128, 128, 128]


def test_colouring_a_512_map_takes_at_most_10_ms():
    error = np.random.default_rng(4).random((512, 512), np.float32)
    times = []
    for _ in range(20):  # processor time, the best of several: other work on the machine is not what is measured
        start = time.process_time()
        colours = figures.colour_map(error, 0, 1)
        times.append(time.process_time() - start)
    assert colours.dtype == np.uint8
    assert min(times) <= 0.010


def test_architecture_shows_each_shape_once_the_code_alone_and_lists_layers_on_hover():
    figure = figures.architecture_figure(_layers())
    bars = {trace.name: trace for trace in figure.data}
    assert list(bars) == ["picture", "encoder", "code", "decoder"]
    assert len(bars["code"].x) == 1
    assert "64 × 64 × 32" in bars["code"].hovertext[0]
    assert any("encode_1 (Conv2D)<br>encode_2_a (Conv2D)" in text for text in bars["encoder"].hovertext)
    assert max(bars["picture"].y) == max(max(trace.y) for trace in figure.data)
    below = [text for text, base in zip(bars["decoder"].hovertext, bars["decoder"].base, strict=True) if base < -0.6]
    assert len(below) == 1
    assert "linear_decode" in below[0]
    assert [note.text for note in figure.layout.annotations] == [
        "512 × 512 × 3",
        "<b>code</b><br>64 × 64 × 32",
        "512 × 512 × 3",
    ]
    # Blocks of the main path stand side by side.
    blocks = sorted(
        (x - width / 2, x + width / 2)
        for trace in figure.data
        for x, width, base in zip(trace.x, trace.width, trace.base, strict=True)
        if base > -0.6
    )
    assert len(blocks) == 13
    assert all(left[1] < right[0] for left, right in itertools.pairwise(blocks))


def test_toolbar_downloads_one_format_and_uploads_nothing():
    config = figures.plot_config("scores of a/b: 1", format="png")
    assert config["toImageButtonOptions"] == {"format": "png", "filename": "scores_of_a_b_1", "scale": 2}
    assert figures.plot_config("x")["toImageButtonOptions"]["format"] == "svg"
    assert config["showSendToCloud"] is False
    assert config["plotlyServerURL"] == ""
    json.dumps(config)


def test_wrong_requests_are_refused_in_words():
    with pytest.raises(DeconvError, match="choose one of svg, png"):
        figures.plot_config("x", format="pdf")
    with pytest.raises(DeconvError, match="choose one of inferno, viridis"):
        figures.colour_map(np.zeros((2, 2)), 0, 1, "jet")
    with pytest.raises(DeconvError, match="low must be below high"):
        figures.colour_map(np.zeros((2, 2)), 1, 1)
    with pytest.raises(DeconvError, match=r"one plane \(H, W\); got the shape \(1, 2, 2\)"):
        figures.colour_map(np.zeros((1, 2, 2)), 0, 1)
    with pytest.raises(DeconvError, match="Add severity, value"):
        figures.severity_curves(pd.DataFrame({"metric": ["up"]}), metrics=METRICS)
    with pytest.raises(DeconvError, match="named 'code'; got picture"):
        figures.architecture_figure(_layers()[:1])
    with pytest.raises(DeconvError, match="lacks kind, shape"):
        figures.architecture_figure([{"name": "code"}])


def history(epochs, start):
    return pd.DataFrame(
        {"epoch": range(1, epochs + 1), "loss": np.linspace(start, 0, epochs), "psnr": 20.0, "ssim": 0.5}
    )


def test_training_curves_draw_one_line_for_each_run():
    figure = figures.training_curves({"first": history(5, 1.0), "second": history(3, 2.0)}, "loss")
    assert [trace.name for trace in figure.data] == ["first", "second"]
    assert figure.data[0].line.dash != figure.data[1].line.dash
    np.testing.assert_allclose(figure.data[1].y, [2, 1, 0])
    assert figure.layout.yaxis.title.text == "Loss (lower is better)"
    assert figure.layout.xaxis.title.text == "epoch"
    assert figure.layout.showlegend
    assert not figures.training_curves({"only": history(5, 1.0)}, "psnr").layout.showlegend


def test_names_of_runs_are_text_to_plotly():
    [trace] = figures.training_curves({"<b>x</b> %{y}": history(2, 1.0)}, "psnr").data
    assert "<b>" not in trace.name + trace.hovertemplate
    assert trace.hovertemplate.count("%{") == 2


def test_curves_that_are_not_there_are_refused():
    with pytest.raises(DeconvError, match="no curve 'beauty'; choose one of loss"):
        figures.training_curves({}, "beauty")
    with pytest.raises(DeconvError, match="needs the columns epoch, patches_per_second"):
        figures.training_curves({"x": history(2, 1.0)}, "patches_per_second")


# A threshold in a histogram


@pytest.mark.parametrize(
    ("flags_when", "flagged", "passes"), [("above", [2.5, 3.5], [0.5, 1.5]), ("below", [0.5, 1.5], [2.5, 3.5])]
)
def test_threshold_histogram_colours_the_flagged_side(flags_when, flagged, passes):
    figure = figures.threshold_histogram(
        [0, 1, 2, 3, 4], [5, 6, 7, 8], threshold=2, flags_when=flags_when, title="Blur (px)"
    )
    bars = {trace.name: trace for trace in figure.data}
    assert list(bars["flagged"].x) == flagged
    assert list(bars["passes"].x) == passes
    assert figure.layout.shapes[0].x0 == 2
    assert figure.layout.xaxis.title.text == "Blur (px)"


def test_threshold_histogram_divides_the_bin_in_which_the_threshold_lies():
    figure = figures.threshold_histogram([0, 4], [9], threshold=1, flags_when="above", title="x")
    passes, flagged = figure.data
    assert (passes.x[0], passes.width[0], passes.y[0]) == (0.5, 1, 9)
    assert (flagged.x[0], flagged.width[0], flagged.y[0]) == (2.5, 3, 9)


def test_threshold_histogram_refuses_bins_that_do_not_fit():
    with pytest.raises(DeconvError, match="one limit more than bins"):
        figures.threshold_histogram([0, 1], [1, 2], threshold=0, flags_when="above", title="x")
    with pytest.raises(DeconvError, match="above or below; got 'set'"):
        figures.threshold_histogram([0, 1], [1], threshold=0, flags_when="set", title="x")


def test_interval_dots_have_the_first_row_on_top_and_leave_out_what_has_no_value():
    table = pd.DataFrame({"rate": [0.9, np.nan, 0.4], "low": [0.8, np.nan, np.nan], "high": [0.95, np.nan, np.nan]})
    names = ["best", "unknown", "<b>last"]
    figure = figures.interval_dots(table, names, ("rate", "low", "high"), title="rate, higher is better", mark=0.5)
    [dots] = figure.data
    assert list(dots.x) == [0.4, 0.9]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;last", "best"]
    assert list(dots.error_x.array) == pytest.approx([0.0, 0.05])
    assert list(dots.error_x.arrayminus) == pytest.approx([0.0, 0.1])
    assert dots.text[1] == "best: 0.9, 95 % interval 0.8 to 0.95"
    assert dots.text[0] == "&lt;b&gt;last: 0.4"  # no interval is told where there is none
    assert figure.layout.xaxis.title.text == "rate, higher is better"
    assert figure.layout.shapes[0].x0 == 0.5
    with pytest.raises(DeconvError, match="rate"):
        figures.interval_dots(table[["low"]], names, ("rate", "low", "high"), title="")


def _compared(images: int = 3) -> pd.DataFrame:
    """A comparison of two distortions at severities 1 to 3; the last row has no PSNR."""
    rows = [
        {"image": f"<i>{n}", "distortion": kind, "severity": s, "psnr": 40.0 - 5 * s + n, "gmsd": 0.05 * s}
        for n in range(images)
        for kind in ("jpeg", "blur")
        for s in (1.0, 2.0, 3.0)
    ]
    return pd.DataFrame(rows).assign(psnr=lambda frame: [*frame["psnr"].iloc[:-1], np.inf])


def test_a_linked_scatter_tells_the_row_of_every_point_and_leaves_out_what_has_no_place():
    figure = figures.linked_scatter(_compared(), "psnr", "gmsd", labels={"blur": "Blur", "jpeg": "JPEG"}, chosen=[4])
    assert [trace.name for trace in figure.data] == ["Blur", "JPEG"]
    rows = {
        int(data[0]): (trace.name, x, y)
        for trace in figure.data
        for data, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }
    assert sorted(rows) == list(range(17))
    assert rows[0] == ("JPEG", 35.0, 0.05)
    assert rows[4] == ("Blur", 30.0, 0.1)
    assert [list(trace.selectedpoints) for trace in figure.data] == [[1], []]
    assert figure.data[0].customdata[0][2] == "&lt;i&gt;0"
    assert figure.layout.xaxis.title.text == "PSNR (dB), higher is better"
    assert figure.layout.dragmode == "lasso"


def test_a_linked_scatter_of_ten_thousand_points_is_drawn_by_the_graphics_card_within_a_second():
    frame = _compared(images=1700)
    began = time.process_time()
    figure = figures.linked_scatter(frame, "psnr", "gmsd")
    assert time.process_time() - began < 1
    assert {trace.type for trace in figure.data} == {"scattergl"}
    assert {trace.type for trace in figures.linked_scatter(_compared(), "psnr", "gmsd").data} == {"scatter"}


def test_relation_dots_have_the_strongest_on_top():
    table = pd.DataFrame({"krcc": [0.2, 0.9], "krcc_low": [0.1, 0.8], "krcc_high": [0.3, 0.95]})
    figure = figures.relation_dots(table, "krcc", ["weak", "strong"])
    assert list(figure.layout.yaxis.ticktext) == ["weak", "strong"]  # plotly counts from below
    assert figure.layout.xaxis.title.text == "KRCC, 95 % interval"
    with pytest.raises(DeconvError, match="srcc_low"):
        figures.relation_dots(table, "srcc", ["weak", "strong"])


def test_spread_curves_have_a_band_a_line_and_crosses_on_one_scale():
    rows = pd.DataFrame(
        {
            "metric": ["ssim"] * 3 + ["gmsd"] * 3,
            "severity": [1.0, 2.0, 3.0] * 2,
            "low": [0.9, 0.6, 0.7, 0.1, 0.2, 0.3],
            "median": [0.95, 0.7, 0.8, 0.1, 0.2, 0.3],
            "high": [1.0, 0.8, 0.9, 0.1, 0.2, 0.3],
        }
    )
    figure = figures.spread_curves(rows)
    band, line, cross = (trace for trace in figure.data if trace.legendgroup == "ssim")
    assert list(line.y) == pytest.approx([0.875, 0.25, 0.5])
    assert list(band.y) == pytest.approx([0.75, 0.0, 0.25, 0.75, 0.5, 1.0])
    assert list(cross.x) == [3.0]
    _, falling = (trace for trace in figure.data if trace.legendgroup == "gmsd")
    assert list(falling.y) == pytest.approx([2 / 3, 1 / 3, 0.0])


def _opinions(count: int = 20) -> pd.DataFrame:
    quality = np.linspace(0, 1, count)
    kinds = ["blur", "noise"] * (count // 2)
    return pd.DataFrame({"down": 5 - quality, "mos": 1 + 4 * quality, "kind": kinds})


def test_human_scores_are_drawn_with_their_curve_and_each_point_knows_its_row():
    frame = _opinions()
    frame.loc[3, "mos"] = np.nan
    frame.loc[5, "down"] = np.inf
    curve = (np.array([4.0, 5.0]), np.array([5.0, 1.0]))
    names = [f"<b>{row}" for row in range(20)]
    figure = figures.opinion_scatter(frame, "down", "mos", curve=curve, names=names, metrics=METRICS)
    points, line = figure.data
    rows = np.ravel(points.customdata).tolist()
    assert rows == [row for row in range(20) if row not in (3, 5)]
    assert list(points.x) == frame["down"].iloc[rows].tolist()
    assert points.text[0] == "&lt;b&gt;0"
    assert list(line.y) == [5.0, 1.0]
    assert figure.layout.xaxis.title.text == "Down, lower is better"
    with pytest.raises(DeconvError, match="Add other"):
        figures.opinion_scatter(frame, "down", "other", metrics=METRICS)


def test_a_kind_stands_out_from_the_others():
    figure = figures.opinion_scatter(_opinions(), "down", "mos", group="kind", highlight="noise", metrics=METRICS)
    others, kind = figure.data
    assert np.ravel(kind.customdata).tolist() == list(range(1, 20, 2))
    assert kind.name == "noise"
    assert others.marker.opacity < kind.marker.opacity
    assert others.marker.color != kind.marker.color


def test_many_points_are_drawn_as_one_picture():
    assert figures.opinion_scatter(_opinions(4000), "down", "mos", metrics=METRICS).data[0].type == "scattergl"
    assert figures.opinion_scatter(_opinions(400), "down", "mos", metrics=METRICS).data[0].type == "scatter"


def test_agreement_has_the_best_metric_on_top_with_its_interval():
    rows = [("up", 0.5, 0.4, 0.7), ("down", 0.9, np.nan, np.nan), ("open", -0.2, -0.3, -0.1), ("none", np.nan, 0, 0)]
    table = pd.DataFrame(rows, columns=["metric", "srcc", "srcc_low", "srcc_high"])
    figure = figures.agreement_intervals(table, metrics=METRICS)
    [points] = figure.data
    assert list(points.y) == ["Open", "Up", "Down"]  # drawn from below
    assert list(points.error_x.array) == pytest.approx([0.1, 0.2, 0])
    assert list(points.error_x.arrayminus) == pytest.approx([0.1, 0.1, 0])
    assert figure.layout.xaxis.range[0] < -0.3
    assert figure.layout.xaxis.range[1] == 1
    assert "better" in figure.layout.xaxis.title.text


def test_a_learning_curve_tells_its_counts():
    figure = figures.learning_curve([{"count": 50, "srcc": 0.6}, {"count": 400, "srcc": 0.7}])
    assert list(figure.data[0].x) == [50, 400]
    assert list(figure.layout.xaxis.tickvals) == [50, 400]
    assert "higher is better" in figure.layout.yaxis.title.text
