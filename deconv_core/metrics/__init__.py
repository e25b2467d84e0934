"""The table of metrics: every measure by its key, with direction, range, recipe and map.

A metric is a function of two batches, `f(reference, candidate)`, float32 (N, H, W, C) in [0, 1], that returns one
float64 per pair; those with `needs_model` take `model=` too. A new metric is one file and one row here, and nothing
else changes.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from deconv_core.errors import DeconvError
from deconv_core.metrics.deconv import deconv, deconv_map
from deconv_core.metrics.deconv_control import deconv_control, deconv_control_map
from deconv_core.metrics.deconv_quality import MODEL as QUALITY_MODEL
from deconv_core.metrics.deconv_quality import deconv_quality, deconv_quality_map
from deconv_core.metrics.deconv_quality_control import deconv_quality_control, deconv_quality_control_map
from deconv_core.metrics.detail import detail, detail_map
from deconv_core.metrics.fsim import fsim, fsim_map, fsimc, fsimc_map
from deconv_core.metrics.gmsd import gmsd, gmsd_map
from deconv_core.metrics.gradient_information import gradient_information, gradient_information_map
from deconv_core.metrics.haarpsi import haarpsi, haarpsi_map
from deconv_core.metrics.mdsi import mdsi, mdsi_map
from deconv_core.metrics.ms_ssim import ms_ssim, ms_ssim_map
from deconv_core.metrics.ms_ssim_luma import ms_ssim_luma, ms_ssim_luma_map
from deconv_core.metrics.nlpd import nlpd, nlpd_map
from deconv_core.metrics.psnr import CAP, capped, mean_psnr, psnr, psnr_map
from deconv_core.metrics.psnr_y import psnr_y, psnr_y_map
from deconv_core.metrics.recon import (
    recon_pair_code,
    recon_pair_code_map,
    recon_pair_ms_ssim,
    recon_pair_ms_ssim_map,
    recon_pair_psnr,
    recon_pair_psnr_map,
    recon_pair_ssim,
    recon_pair_ssim_map,
    recon_self_psnr,
    recon_self_psnr_map,
    recon_self_ssim,
    recon_self_ssim_map,
    recon_true_psnr,
    recon_true_psnr_map,
    recon_true_ssim,
    recon_true_ssim_map,
)
from deconv_core.metrics.remembered import Remembered, remembered
from deconv_core.metrics.ssim import ssim, ssim_map
from deconv_core.metrics.ssim_luma import ssim_luma, ssim_luma_map
from deconv_core.metrics.ssim_uniform import ssim_uniform, ssim_uniform_map
from deconv_core.metrics.ssim_wang2004 import ssim_wang2004, ssim_wang2004_map
from deconv_core.metrics.vif import vif, vif_map
from deconv_core.metrics.vsi import vsi, vsi_map

__all__ = [
    "CAP",
    "METRICS",
    "Metric",
    "Remembered",
    "capped",
    "is_metric",
    "mean_psnr",
    "metric",
    "recipe",
    "remembered",
]


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        key: Column name in tables and name on the command line.
        label: Name on screen.
        function: `f(reference, candidate)` or `f(reference, candidate, model=...)`, one float64 per pair.
        unit: "dB" or "" where there is none.
        low, high: Range; infinite where there is no bound.
        higher_is_better: Direction.
        identity: Value of identical pictures, exactly; None where it depends on the model.
        good: What is good, in a few words.
        version: Raised with every change of formula or settings.
        smallest_side: Smallest height and width in pixels that can be scored.
        needs_reference, needs_model: What the function cannot do without.
        control: Key of the same comparison without a model, shown beside it; None where there is no model.
        recipe: How the number is made, for `recipe`.
        map_function: Same arguments, float32 (N, H, W) error map with 0 for no error; None if there is none.
        warning: One sentence to show wherever the number is shown, or "".
        own_model: Name of the bundled model that the function loads itself, or "".
        card: What a calibrated metric was fitted to and how good it is (see `deconv_core.calibration`); else empty.
    """

    key: str
    label: str
    function: Callable[..., np.ndarray]
    unit: str
    low: float
    high: float
    higher_is_better: bool
    identity: float | None
    good: str
    version: int
    smallest_side: int
    needs_reference: bool = True
    needs_model: bool = False
    control: str | None = None
    recipe: Mapping[str, str] = field(default_factory=dict)
    map_function: Callable[..., np.ndarray] | None = None
    warning: str = ""
    own_model: str = ""
    card: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)


_PSNR_GOOD = "above 40 dB hard to tell apart, 30 dB fair, below 25 dB clearly damaged"
_SSIM_GOOD = "above 0.98 hard to tell apart, 0.9 fair, below 0.8 clearly damaged"
_SCORE_GOOD = "above 90 hard to tell apart, 70 fair, below 55 clearly damaged"
_TRUE_WARNING = (
    "Identical pictures do not get the best value here, and a lightly noised picture can beat the original, "
    "because the model removes noise."
)
_SELF_WARNING = (
    "Not a measure of quality: it says how far the picture is from what the model knows, "
    "and blur and black frames are easy for an autoencoder."
)
_QUALITY_WARNING = (
    "A prediction, calibrated on photographs only: sure of large differences between photographs of all kinds, unsure "
    "among good ones, and blind to what a picture is meant to be."
)
_DETAIL_WARNING = "A measure of detail, not of quality: noise raises it too, and a picture may be meant to be soft."
_GREY = "BT.601 luma, full range, not rounded"
_RGB = "every channel as it comes, averaged"
_GAUSSIAN = "Gaussian 11 x 11, sigma 1.5, whole windows only, population covariance"
_MODEL_CHANNELS = "the model's own channels: luma for a grey model, grey repeated for a colour model"
_TWO_VIEWS = (
    "root of the mean square of D as shown (a quarter) and as rebuilt, 100 clip(1 - . / 0.45, 0, 1); "
    "D = sqrt(G (1.01 - V)); residuals below 20/255 shrunk over 3 x 3"
)
_INFORMATION_WINDOW = "Prewitt 3 x 3, mirrored edges, constant 600/255^2; 7 x 7 boxes, whole windows only, n = 2e-4"

_QUALITY_GOOD = "above 0.7 good, 0.5 fair, below 0.35 bad, as people rated photographs"
_CALIBRATED = "predicted mean opinion score (BIQ2021), kernel ridge regression of statistics of "
_STATISTICS = "four scales; local strength over 7 x 7, mirrored edges"
_STATISTICS_OF = "BT.601 luma, red less green, yellow less blue"
_SCREEN = "area averages to 512 on the shorter side, if that has more than 768"
_VIEWED = "averages over f x f pixels, f = round(shorter side / 256), halves to even"
_HALVED = "2 x 2 averages first; an odd last row or column is completed with zeros"
_NTSC = "luma and the colour differences I and Q (NTSC); a grey picture as it is"
_REPEATED = "a grey picture as three equal channels"


def _recipe(convention: str, colour_space: str, window: str, resize: str = "none") -> dict[str, str]:
    return {"convention": convention, "colour_space": colour_space, "window": window, "resize": resize}


def _psnr(key: str, label: str, function: Callable, map_function: Callable, recipe: dict[str, str], **more) -> Metric:
    more = {"identity": math.inf, "good": _PSNR_GOOD, "version": 1, "smallest_side": 1} | more
    return Metric(key, label, function, "dB", 0, math.inf, True, map_function=map_function, recipe=recipe, **more)


def _ssim(key: str, label: str, function: Callable, map_function: Callable, recipe: dict[str, str], **more) -> Metric:
    more = {"identity": 1.0, "good": _SSIM_GOOD, "version": 1, "smallest_side": 11, "low": -1} | more
    return Metric(
        key, label, function, "", high=1, higher_is_better=True, map_function=map_function, recipe=recipe, **more
    )


def _score(key: str, label: str, function: Callable, map_function: Callable, recipe: dict[str, str], **more) -> Metric:
    more = {"identity": 100.0, "good": _SCORE_GOOD, "version": 1, "smallest_side": 14} | more
    return Metric(key, label, function, "", 0, 100, True, map_function=map_function, recipe=recipe, **more)


def _similarity(
    key: str, label: str, function: Callable, map_function: Callable, recipe: dict[str, str], **more
) -> Metric:
    more = {"high": 1, "identity": 1.0, "version": 1} | more
    return Metric(key, label, function, "", 0, higher_is_better=True, map_function=map_function, recipe=recipe, **more)


def _distance(
    key: str, label: str, function: Callable, map_function: Callable, recipe: dict[str, str], **more
) -> Metric:
    more = {"identity": 0.0, "version": 1} | more
    return Metric(key, label, function, "", 0, higher_is_better=False, map_function=map_function, recipe=recipe, **more)


_ROWS = [
    _score(
        "deconv",
        "Deconvolution score",
        deconv,
        deconv_map,
        _recipe(_TWO_VIEWS + "; rebuilt by the model", _GREY, _INFORMATION_WINDOW, "2 x 2 averages after rebuilding"),
        version=2,
        needs_model=True,
        control="deconv_control",
    ),
    _score(
        "deconv_control",
        "Deconvolution score without the network",
        deconv_control,
        deconv_control_map,
        _recipe(
            _TWO_VIEWS + "; rebuilt by a Gaussian, sigma 2",
            _GREY,
            _INFORMATION_WINDOW,
            "2 x 2 averages after rebuilding",
        ),
        version=2,
    ),
    _score(
        "gradient_information",
        "Gradient and information",
        gradient_information,
        gradient_information_map,
        _recipe(
            "100 clip(1 - D / 0.45, 0, 1); D = sqrt(G (1.01 - V))", _GREY, _INFORMATION_WINDOW, "2 x 2 averages first"
        ),
    ),
    _psnr("psnr", "PSNR", psnr, psnr_map, _recipe("all channels together, peak 1", "as it comes", "none: every pixel")),
    _psnr(
        "psnr_y",
        "PSNR on luma, super-resolution",
        psnr_y,
        psnr_y_map,
        _recipe(
            "peak 1, no border cut off, as in papers on super-resolution",
            "BT.601 studio swing (MATLAB rgb2ycbcr), not rounded",
            "none: every pixel",
        ),
    ),
    _ssim("ssim", "SSIM", ssim, ssim_map, _recipe("Wang 2004, as tf.image and scikit-image", _RGB, _GAUSSIAN)),
    _ssim("ssim_luma", "SSIM on luma", ssim_luma, ssim_luma_map, _recipe("Wang 2004", _GREY, _GAUSSIAN)),
    _ssim(
        "ssim_wang2004",
        "SSIM of Wang's ssim.m",
        ssim_wang2004,
        ssim_wang2004_map,
        _recipe(
            "Wang 2004 with automatic downsampling",
            _GREY,
            _GAUSSIAN,
            "f x f averages, mirrored border, every f-th pixel; f = round(shorter side / 256)",
        ),
    ),
    _ssim(
        "ssim_uniform",
        "SSIM, scikit-image's defaults",
        ssim_uniform,
        ssim_uniform_map,
        _recipe("scikit-image defaults", _RGB, "flat 7 x 7, whole windows only, sample covariance"),
        smallest_side=7,
    ),
    _ssim(
        "ms_ssim",
        "MS-SSIM",
        ms_ssim,
        ms_ssim_map,
        _recipe("Wang 2003, as tf.image; negative scales count as 0", _RGB, _GAUSSIAN, "2 x 2 averages, four times"),
        smallest_side=161,
        low=0,
    ),
    _ssim(
        "ms_ssim_luma",
        "MS-SSIM on luma",
        ms_ssim_luma,
        ms_ssim_luma_map,
        _recipe("Wang 2003; negative scales count as 0", _GREY, _GAUSSIAN, "2 x 2 averages, four times"),
        smallest_side=161,
        low=0,
    ),
    _distance(
        "gmsd",
        "GMSD",
        gmsd,
        gmsd_map,
        _recipe(
            "Xue 2014: population deviation of the similarity of gradients, c = 170/255^2",
            _GREY,
            "Prewitt 3 x 3, zeros around the picture",
            _HALVED,
        ),
        high=0.5,
        good="below 0.01 hard to tell apart, 0.05 fair, above 0.1 clearly damaged",
        smallest_side=6,
    ),
    _distance(
        "mdsi",
        "MDSI",
        mdsi,
        mdsi_map,
        _recipe(
            "Nafchi 2016, gradient and colour added (0.6, 0.4), C = (140, 55, 550)/255^2, q = o = 1/4",
            f"luminance and the chromaticities H and M; {_REPEATED}",
            "Prewitt 3 x 3, zeros around the picture",
            _VIEWED,
        ),
        high=1,
        good="below 0.2 hard to tell apart, 0.33 fair, above 0.4 clearly damaged",
        smallest_side=3,
    ),
    _similarity(
        "haarpsi",
        "HaarPSI",
        haarpsi,
        haarpsi_map,
        _recipe(
            "Reisenhofer 2018, C = 30/255^2, alpha = 4.2",
            _NTSC,
            "Haar wavelets of 2, 4 and, for the weights, 8 pixels; zeros around the picture",
            _HALVED,
        ),
        good="above 0.98 hard to tell apart, 0.85 fair, below 0.7 clearly damaged",
        smallest_side=16,
    ),
    _similarity(
        "vsi",
        "VSI",
        vsi,
        vsi_map,
        _recipe(
            "Zhang 2014 with SDSP saliency at 256 x 256, as piq; C = (1.27, 386/255^2, 130/255^2), powers 0.4 and 0.02",
            f"channels L, M, N; CIE L*a*b* for the saliency; {_REPEATED}",
            "Scharr 3 x 3, zeros around the picture",
            _VIEWED,
        ),
        good="above 0.995 hard to tell apart, 0.975 fair, below 0.955 clearly damaged",
        smallest_side=3,
    ),
    _similarity(
        "fsim",
        "FSIM",
        fsim,
        fsim_map,
        _recipe(
            "Zhang 2011, as piq; T = (0.85, 160/255^2)",
            _GREY,
            "log-Gabor filters, 4 scales from 6 pixels, 4 orientations; Scharr 3 x 3, zeros around the picture",
            _VIEWED,
        ),
        good="above 0.99 hard to tell apart, 0.93 fair, below 0.87 clearly damaged",
        smallest_side=6,
    ),
    _similarity(
        "fsimc",
        "FSIMc, with colour",
        fsimc,
        fsimc_map,
        _recipe(
            "Zhang 2011, as piq; T = (0.85, 160/255^2, 200/255^2, 200/255^2), lambda 0.03",
            _NTSC,
            "log-Gabor filters, 4 scales from 6 pixels, 4 orientations; Scharr 3 x 3, zeros around the picture",
            _VIEWED,
        ),
        good="above 0.99 hard to tell apart, 0.93 fair, below 0.87 clearly damaged",
        smallest_side=6,
    ),
    _similarity(
        "vif",
        "VIF, pixel domain",
        vif,
        vif_map,
        _recipe(
            "Sheikh 2006, vifp_mscale.m, noise of the eye 2/255^2",
            _GREY,
            "Gaussians of 17, 9, 5 and 3 pixels, sigma a fifth, whole windows only",
            "the next scale's Gaussian, whole windows, every second pixel; four scales",
        ),
        high=math.inf,
        good="above 0.85 hard to tell apart, 0.53 fair, below 0.4 clearly damaged; above 1 more contrast than before",
        smallest_side=41,
    ),
    _distance(
        "nlpd",
        "NLPD",
        nlpd,
        nlpd_map,
        _recipe(
            "Laparra 2016, NLP_dist.m: six levels, root mean square of each, averaged",
            _GREY,
            "5 x 5 Laplacian pyramid (Burt and Adelson), fitted divisive normalisation",
        ),
        high=math.inf,
        good="below 0.05 hard to tell apart, 0.18 fair, above 0.27 clearly damaged",
        smallest_side=17,
    ),
    _psnr(
        "recon_true_psnr",
        "Recovered with true, PSNR",
        recon_true_psnr,
        recon_true_psnr_map,
        _recipe("R(y) with x; PSNR, peak 1", _MODEL_CHANNELS, "none: every pixel"),
        identity=None,
        needs_model=True,
        control="psnr",
        warning=_TRUE_WARNING,
    ),
    _ssim(
        "recon_true_ssim",
        "Recovered with true, SSIM",
        recon_true_ssim,
        recon_true_ssim_map,
        _recipe("R(y) with x; SSIM of Wang 2004", _MODEL_CHANNELS, _GAUSSIAN),
        identity=None,
        needs_model=True,
        control="ssim",
        warning=_TRUE_WARNING,
    ),
    _psnr(
        "recon_pair_psnr",
        "Recovered with recovered, PSNR",
        recon_pair_psnr,
        recon_pair_psnr_map,
        _recipe("R(y) with R(x); PSNR, peak 1", _MODEL_CHANNELS, "none: every pixel"),
        needs_model=True,
        control="psnr",
    ),
    _ssim(
        "recon_pair_ssim",
        "Recovered with recovered, SSIM",
        recon_pair_ssim,
        recon_pair_ssim_map,
        _recipe("R(y) with R(x); SSIM of Wang 2004", _MODEL_CHANNELS, _GAUSSIAN),
        needs_model=True,
        control="ssim",
    ),
    _ssim(
        "recon_pair_ms_ssim",
        "Recovered with recovered, MS-SSIM",
        recon_pair_ms_ssim,
        recon_pair_ms_ssim_map,
        _recipe("R(y) with R(x); MS-SSIM of Wang 2003", _MODEL_CHANNELS, _GAUSSIAN, "2 x 2 averages, four times"),
        smallest_side=161,
        low=0,
        needs_model=True,
        control="ms_ssim",
    ),
    Metric(
        "recon_pair_code",
        "Distance of the codes",
        recon_pair_code,
        "",
        0,
        math.inf,
        False,
        identity=0.0,
        good="below 0.1 the model sees hardly a difference, 1 is as much as there is in the picture",
        version=1,
        smallest_side=1,
        needs_model=True,
        control="psnr",
        recipe=_recipe("root of squared difference of E(y) and E(x) over the spread of E(x)", _MODEL_CHANNELS, "none"),
        map_function=recon_pair_code_map,
    ),
    Metric(
        "deconv_quality",
        "Deconvolution quality",
        deconv_quality,
        "",
        0,
        1,
        True,
        identity=None,
        good=_QUALITY_GOOD,
        version=1,
        smallest_side=64,
        needs_reference=False,
        control="deconv_quality_control",
        recipe=_recipe(_CALIBRATED + "y - R(y), R a network trained to restore", _STATISTICS_OF, _STATISTICS, _SCREEN),
        map_function=deconv_quality_map,
        warning=_QUALITY_WARNING,
        own_model=QUALITY_MODEL,
    ),
    Metric(
        "deconv_quality_control",
        "Deconvolution quality without the network",
        deconv_quality_control,
        "",
        0,
        1,
        True,
        identity=None,
        good=_QUALITY_GOOD,
        version=1,
        smallest_side=64,
        needs_reference=False,
        recipe=_recipe(_CALIBRATED + "y - G(y), G a Gaussian, sigma 1.2", _STATISTICS_OF, _STATISTICS, _SCREEN),
        map_function=deconv_quality_control_map,
        warning=_QUALITY_WARNING,
    ),
    Metric(
        "detail",
        "Detail",
        detail,
        "",
        0,
        255,
        True,
        identity=None,
        good="more is more fine detail, or more noise; below 2 hardly any",
        version=1,
        smallest_side=1,
        needs_reference=False,
        recipe=_recipe("mean |y - R(y)| in steps of 8 bits, R a network trained to restore", _MODEL_CHANNELS, "none"),
        map_function=detail_map,
        warning=_DETAIL_WARNING,
        own_model=QUALITY_MODEL,
    ),
    _psnr(
        "recon_self_psnr",
        "Recovered with itself, PSNR",
        recon_self_psnr,
        recon_self_psnr_map,
        _recipe("R(y) with y; PSNR, peak 1", _MODEL_CHANNELS, "none: every pixel"),
        identity=None,
        good="high means the model knows such pictures, not that they are good",
        needs_reference=False,
        needs_model=True,
        control="psnr",
        warning=_SELF_WARNING,
    ),
    _ssim(
        "recon_self_ssim",
        "Recovered with itself, SSIM",
        recon_self_ssim,
        recon_self_ssim_map,
        _recipe("R(y) with y; SSIM of Wang 2004", _MODEL_CHANNELS, _GAUSSIAN),
        identity=None,
        good="high means the model knows such pictures, not that they are good",
        needs_reference=False,
        needs_model=True,
        control="ssim",
        warning=_SELF_WARNING,
    ),
]

METRICS: dict[str, Metric] = {row.key: row for row in _ROWS}


def metric(key: str) -> Metric:
    """The row of one metric: of the table, or one that was calibrated here and lies in the workspace.

    Raises:
        DeconvError: No metric has this key, or the calibrated one is damaged.

    Example:
        >>> metric("psnr").unit
        'dB'
    """
    if key in METRICS:
        return METRICS[key]
    from deconv_core.calibrated_metrics import saved_metric, saved_names

    if (row := saved_metric(key)) is not None:
        return row
    known = ", ".join([*METRICS, *saved_names()])
    raise DeconvError(f"There is no metric {key!r}; expected one of {known}. Choose one of these.")


def is_metric(key: str) -> bool:
    """Whether `metric` knows the key."""
    from deconv_core.calibrated_metrics import saved_names

    return key in METRICS or key in saved_names()


def recipe(key: str, model: object | None = None) -> dict[str, object]:
    """How a number is made, to be kept beside it: JSON-able, with a hash that changes when anything in it does.

    Args:
        key: Key of the metric.
        model: The model in use, for metrics that need one; its `digest` and the `name` on its card are written down.

    Returns:
        key, name, version, convention, colour_space, value_range, window, resize, direction, model, model_digest, hash.

    Raises:
        DeconvError: No metric has this key.

    Example:
        >>> recipe("ssim")["window"]
        'Gaussian 11 x 11, sigma 1.5, whole windows only, population covariance'
    """
    row = metric(key)
    made: dict[str, object] = {
        "key": row.key,
        "name": row.label,
        "version": row.version,
        **row.recipe,
        "value_range": "[0, 1]",
        "direction": "higher is better" if row.higher_is_better else "lower is better",
        "model": None,
        "model_digest": None,
    }
    if row.needs_model and model is not None:
        made["model"] = (getattr(model, "card", None) or {}).get("name")
        made["model_digest"] = getattr(model, "digest", None)
    elif row.own_model:
        from deconv_core.models.saving import read_card

        made["model"], made["model_digest"] = row.own_model, read_card(row.own_model)["digest"]
    made["hash"] = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
    return made
