"""The only `cache_data` and `cache_resource` wrappers: everything a rerun should not compute again.

Arguments without a leading underscore are the key: tokens (content of pictures), names, settings. What begins with an
underscore is the thing itself, which is not hashed.
"""

from __future__ import annotations

import gc
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from deconv_core import inspection
from deconv_core.errors import DeconvError
from deconv_core.images import Picture, encode_png, encode_webp, read_image, to_uint8
from deconv_core.inspection import Recall, Recalling
from deconv_core.named_sets import NAMES

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.agree_command import Plan
    from deconv_core.agree_result import AgreeResult
    from deconv_core.audit.drift import Drift
    from deconv_core.audit.table import AuditTable
    from deconv_core.comparison import Comparison as MetricComparison
    from deconv_core.human_scores import HumanScores
    from deconv_core.metrics.deconv_quality import Judgement
    from deconv_core.model_comparison import Comparison
    from deconv_core.models.inside import Depth, Projection, Readout
    from deconv_core.models.latent import LatentMap
    from deconv_core.survey import Survey
    from deconv_core.training import Estimate, TrainSettings

# Pictures go to the browser with at most this many pixels; error maps are made at that size too.
VIEW_PIXELS = 2_000_000
_EXAMPLE_THUMBNAIL = 96


@dataclass(frozen=True)
class Subject:
    """A picture the page works on: read, perhaps reduced or made worse."""

    pixels: np.ndarray
    name: str
    token: str
    digest: str = ""  # of the file it came from
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        return f"{self.pixels.shape[1]} × {self.pixels.shape[0]} pixels"


# Models


@st.cache_resource(show_spinner=False)
def _recall() -> Recall:
    return Recall()


@st.cache_resource(show_spinner=False, max_entries=8)
def _model(name: str, digest: str) -> Recalling:
    from deconv_core.models.saving import load_model

    loaded = Recalling(load_model(name), _recall())
    _spare_the_collector()
    return loaded


def _spare_the_collector() -> None:
    """Take what was loaded out of the garbage collector's sight.

    Streamlit calls `keras.backend.clear_session()` after every run of a page, which collects garbage; with TensorFlow
    in memory that took .8 seconds each time, in which nobody's page answered.
    """
    gc.freeze()


def model(card: Mapping[str, Any] | None) -> Recalling | None:
    """The model of a card, loaded once per process; None for no card."""
    return None if card is None else _model(card["name"], card["digest"])


def cards() -> list[dict[str, Any]]:
    """The cards of all models; not cached, for a training may publish one at any time and reading them is quick."""
    from deconv_core.models.saving import list_models

    return list_models()


@st.cache_data(show_spinner="Drawing the network", max_entries=16)
def layers(name: str, digest: str, side: int, _model: Recalling) -> list[dict[str, Any]]:
    """The layers of a model for a picture of the given side."""
    from deconv_core.models.measuring import describe_layers

    return describe_layers(_model.model, side, side)


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """Load TensorFlow and the models that a first click needs, once per process, while the visitor reads."""
    # Not a daemon: TensorFlow must not be torn down in the middle of its own start.
    threading.Thread(target=_warm_up, name="warm-up", daemon=False).start()


def _warm_up() -> None:
    from deconv_core.scoring import DECONV_MODEL, DEFAULT_MODEL

    example = inspection.example_picture("coffee").pixels
    wanted = [card for card in cards() if card["name"] in (DECONV_MODEL, DEFAULT_MODEL) and not card["reason"]]
    for card in wanted:
        inspection.rebuild(model(card), example)  # the first call compiles
    _spare_the_collector()


# Pictures


@st.cache_data(show_spinner=False, max_entries=24)
def example(key: str) -> Subject:
    """A sample photograph or a drawn digit."""
    picture = inspection.example_picture(key)
    return Subject(picture.pixels, picture.name, inspection.token(picture.pixels), picture.digest, picture.notes)


@st.cache_data(show_spinner=False, max_entries=24)
def thumbnail(key: str) -> bytes:
    """A small square WebP of an example."""
    pixels = example(key).pixels
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = inspection.reduce_side(pixels[top : top + side, left : left + side], _EXAMPLE_THUMBNAIL)
    return encode_webp(square, 80)


@st.cache_data(show_spinner="Reading the picture", max_size="600 MB")
def upload(
    file_id: str, background: str, max_pixels: int, quick_pixels: int, work_pixels: int, name: str, _data: bytes
) -> Subject:
    """An uploaded picture; with more than `quick_pixels` it is reduced to `work_pixels` (0 keeps every pixel)."""
    picture: Picture = read_image(_data, name=name, background=background, max_pixels=max_pixels)
    pixels, notes = picture.pixels, list(picture.notes)
    if work_pixels and pixels.shape[0] * pixels.shape[1] > quick_pixels:
        height, width = pixels.shape[:2]
        pixels = inspection.reduce(pixels, work_pixels)
        notes.append(f"Reduced from {width} × {height} to {pixels.shape[1]} × {pixels.shape[0]} pixels for working.")
    return Subject(pixels, name, inspection.token(pixels), picture.digest, tuple(notes))


@st.cache_data(show_spinner=False, max_size="300 MB")
def distorted(token: str, steps: tuple[tuple[str, float], ...], seed: int, _pixels: np.ndarray) -> Subject:
    """The picture made worse."""
    from deconv_core.distortions import distort_all

    pixels = distort_all(_pixels, steps, seed=seed)
    return Subject(pixels, "judged.png", inspection.token(pixels))


def fitted(reference: Subject, candidate: Subject, mismatch: str) -> tuple[np.ndarray, np.ndarray, str, str, str]:
    """Both pictures with one shape, their tokens, and what was done to get there."""
    if reference.pixels.shape == candidate.pixels.shape:  # nearly always: nothing to do, to keep or to name again
        return reference.pixels, candidate.pixels, reference.token, candidate.token, ""
    return _fitted(reference.token, candidate.token, mismatch, reference.pixels, candidate.pixels)


@st.cache_data(show_spinner=False, max_size="300 MB")
def _fitted(
    reference: str, candidate: str, mismatch: str, _reference: np.ndarray, _candidate: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str, str, str]:
    from deconv_core.scoring import fit_pair

    x, y, note = fit_pair(_reference, _candidate, mismatch)
    return x, y, inspection.token(x), inspection.token(y), note


# What is found out about a pair


@dataclass(frozen=True)
class Pair:
    """A pair of pictures of one shape with the models that look at it."""

    reference: np.ndarray
    candidate: np.ndarray
    reference_token: str
    candidate_token: str
    card: Mapping[str, Any] | None  # of the model for the recon_* scores
    deconv_card: Mapping[str, Any] | None

    @property
    def key(self) -> tuple[str, ...]:
        return self.reference_token, self.candidate_token, *self.models_key

    @property
    def models_key(self) -> tuple[str, ...]:
        return tuple(card["digest"] if card else "" for card in (self.card, self.deconv_card))

    @property
    def models(self) -> dict[str, Recalling | None]:
        return {"model": model(self.card), "deconv_model": model(self.deconv_card)}


def scores(pair: Pair, keys: Sequence[str]) -> dict[str, float]:
    """Scores of a pair."""
    return _scores(pair.key, tuple(keys), pair)


@st.cache_data(show_spinner=False, max_entries=512)
def _scores(key: tuple[str, ...], keys: tuple[str, ...], _pair: Pair) -> dict[str, float]:
    return inspection.score_pair(_pair.reference, _pair.candidate, keys, **_pair.models)


def explanation(pair: Pair) -> tuple[str, ...]:
    """Plain sentences about what was lost or added; none for pictures too small to say."""
    return _explanation(pair.key, pair)


@st.cache_data(show_spinner=False, max_entries=256)
def _explanation(key: tuple[str, ...], _pair: Pair) -> tuple[str, ...]:
    from deconv_core.explain import describe
    from deconv_core.spectrum import SMALLEST_SIDE

    if min(_pair.reference.shape[:2]) < SMALLEST_SIDE:
        same = np.array_equal(_pair.reference, _pair.candidate)
        return ("The image to judge is identical to the reference, pixel for pixel.",) if same else ()
    return describe(_pair.reference, _pair.candidate).sentences


@st.cache_data(show_spinner=False, max_size="200 MB")
def png(token: str, max_pixels: int, _pixels: np.ndarray) -> bytes:
    """A picture for the browser, reduced where it is large."""
    return encode_png(inspection.reduce(_pixels, max_pixels))


def rebuilt(pair: Pair) -> tuple[np.ndarray, np.ndarray] | None:
    """R of the reference and of the candidate, in the model's channels; None without a model."""
    chosen = model(pair.card)
    if chosen is None:
        return None
    return inspection.rebuild(chosen, pair.reference), inspection.rebuild(chosen, pair.candidate)


@st.cache_data(show_spinner=False, max_size="200 MB")
def rebuilt_png(token: str, model_digest: str, max_pixels: int, _pixels: np.ndarray, _card: Mapping) -> bytes:
    """What a model makes of a picture, for the browser."""
    return encode_png(inspection.reduce(inspection.rebuild(model(_card), _pixels), max_pixels))


def map_png(pair: Pair, key: str) -> bytes | None:
    """The error map of one metric in its colours; None where there is none."""
    return _map_png(pair.key, key, VIEW_PIXELS, pair)


@st.cache_data(show_spinner=False, max_size="200 MB")
def _map_png(pair_key: tuple[str, ...], key: str, max_pixels: int, _pair: Pair) -> bytes | None:
    from deconv_core.figures import colour_map_png

    x, y = (inspection.reduce(pixels, max_pixels) for pixels in (_pair.reference, _pair.candidate))
    found = inspection.error_map(key, x, y, **_pair.models)
    if found is None:
        return None
    return colour_map_png(found, 0, inspection.map_scale(key)[0])


def worst_patches(pair: Pair, key: str, side: int) -> tuple[bytes, list[tuple[inspection.Patch, bytes]]]:
    """The candidate with frames around the patches where a map is worst, and these patches with a WebP of each."""
    return _worst_patches(pair.key, key, side, pair)


@st.cache_data(show_spinner=False, max_size="60 MB")
def _worst_patches(
    pair_key: tuple[str, ...], key: str, side: int, _pair: Pair
) -> tuple[bytes, list[tuple[inspection.Patch, bytes]]]:
    x, y = (inspection.reduce(pixels, VIEW_PIXELS) for pixels in (_pair.reference, _pair.candidate))
    found = inspection.error_map(key, x, y, **_pair.models)
    patches = [] if found is None else inspection.worst_patches(found, side=side)
    pictures = []
    for patch in patches:
        cut = np.s_[patch.top : patch.top + patch.height, patch.left : patch.left + patch.width]
        beside = np.concatenate([x[cut], np.ones((patch.height, 2, x.shape[-1]), np.float32), y[cut]], axis=1)
        pictures.append(encode_webp(np.repeat(np.repeat(beside, 3, axis=0), 3, axis=1), 85))
    return encode_png(inspection.framed(y, patches)), list(zip(patches, pictures, strict=True))


@st.cache_data(show_spinner=False, max_entries=512)
def ladder(
    reference: str,
    models: tuple[str, ...],
    kind: str,
    severities: tuple[float, ...],
    keys: tuple[str, ...],
    seed: int,
    _pair: Pair,
):
    """Scores of the reference, reduced to a small copy, along one kind of damage."""
    small = inspection.reduce_side(_pair.reference, inspection.LADDER_SIDE)
    return inspection.ladder(small, kind, severities, keys, seed=seed, **_pair.models)


@st.cache_data(show_spinner="Measuring spectra", max_entries=16)
def spectra(key: tuple[str, ...], _pair: Pair) -> dict[str, Any]:
    """Radial spectra, transfer and the two-dimensional spectrum of the error."""
    from deconv_core.spectrum import log_power_spectrum, radial_spectra, transfer_ratio

    x, y = (inspection.reduce(pixels, VIEW_PIXELS) for pixels in (_pair.reference, _pair.candidate))
    pictures = {"reference": x, "image to judge": y, "error": y - x}
    transfers = {"image to judge": transfer_ratio(x, y)}
    chosen = model(_pair.card)
    if chosen is not None:
        seen = inspection.to_channels(x, chosen.channels)
        recovered = inspection.rebuild(chosen, y)
        pictures["recovered minus reference"] = recovered - seen
        transfers["image to judge, recovered"] = transfer_ratio(seen, recovered)
        transfers["reference, recovered"] = transfer_ratio(seen, inspection.rebuild(chosen, x))
    return {"radial": radial_spectra(pictures), "transfer": transfers, "plane": log_power_spectrum(y - x)}


def recipes(pair: Pair) -> dict[str, Any]:
    """The recipe of every metric; the models are described by their cards, so none is loaded for it."""
    from types import SimpleNamespace

    from deconv_core.metrics import METRICS, recipe

    made_with = [card and SimpleNamespace(card=card, digest=card["digest"]) for card in (pair.card, pair.deconv_card)]
    return {key: recipe(key, made_with[key == "deconv"]) for key in METRICS}


@st.cache_data(show_spinner=False, max_entries=16)
def checkerboard(token: str, model_digest: str, _pixels: np.ndarray, _card: Mapping) -> dict[str, Any]:
    """The checkerboard meter of a model's decoder on one picture."""
    from deconv_core.models.checkerboard import checkerboard as measure

    chosen = model(_card)
    return measure(chosen, inspection.to_channels(_pixels, chosen.channels)[None])


# Training


@st.cache_resource(show_spinner=False)
def _surveys() -> Surveys:
    return Surveys()


def survey(source: str, *, roots: Sequence[Path] | None, report: Callable[[int], None]) -> Survey:
    """What a source holds, looked at once; a source that is looked at for minutes reports how far it is."""
    return _surveys().get(source, roots, report)


def forget_survey(source: str) -> None:
    """Look at a source again when it is asked for next."""
    _surveys().forget(source)


class Surveys:
    """The last surveys by source. Not `cache_data`, which could not report while it works."""

    def __init__(self, max_entries: int = 32) -> None:
        self._max_entries = max_entries
        self._found: OrderedDict[str, Survey] = OrderedDict()

    def get(self, source: str, roots: Sequence[Path] | None, report: Callable[[int], None]) -> Survey:
        """The survey kept, or made now."""
        from deconv_core.roots import check_inside_roots
        from deconv_core.survey import survey

        if roots is not None and "://" not in source and source not in NAMES:
            check_inside_roots(source, roots)  # roots may have changed since the survey was made
        if source not in self._found:
            self._found[source] = survey(source, allowed_roots=roots, report=report)
        while len(self._found) > self._max_entries:
            self._found.popitem(last=False)
        return self._found[source]

    def forget(self, source: str) -> None:
        """Drop a survey."""
        self._found.pop(source, None)


@st.cache_data(show_spinner=False, max_entries=64)
def estimate(key: str, _settings: TrainSettings) -> Estimate:
    """Parameters, memory and seconds of one step, measured here; `key` is what they depend on."""
    from deconv_core.training import estimate as measure

    return measure(replace(_settings, epochs=1, steps_per_epoch=1), 1)


@st.cache_data(show_spinner=False, max_entries=32)
def quick_look(file: str, digest: str) -> None:
    """The quick look at a finished model; what was found is on its card afterwards."""
    from deconv_core.model_checks import quick_look as look

    look(file)
    _spare_the_collector()


@st.cache_data(show_spinner=False, max_entries=8)
def model_comparison(
    first: tuple[str, str],
    second: tuple[str, str],
    source: str,
    measure: str,
    damage: tuple[tuple[str, float], ...],
    _roots: Sequence[Path] | None,
) -> Comparison:
    """Two models, each as (name, digest), compared on the first pictures of a source."""
    from deconv_core.model_comparison import compare_models

    pictures, broken = _comparison_pictures(source, _roots)
    found = compare_models(_model(*first), _model(*second), pictures, measure=measure, damage=damage)
    return replace(found, skipped=(*found.skipped, *broken))


@st.cache_data(show_spinner=False, max_size="400 MB")
def _comparison_pictures(source: str, _roots: Sequence[Path] | None):
    from deconv_core.model_comparison import take_pictures
    from deconv_core.sources import iterate

    return take_pictures(iterate(source, allowed_roots=_roots))


@st.cache_data(show_spinner=False, max_size="200 MB")
def rebuilt_by_both(
    first: tuple[str, str],
    second: tuple[str, str],
    source: str,
    image: str,
    damage: tuple[tuple[str, float], ...],
    _roots: Sequence[Path] | None,
) -> dict[str, bytes]:
    """One picture of a comparison as PNG files: `clean`, `first`, `second`."""
    from deconv_core.model_comparison import rebuild_pair

    pictures, _ = _comparison_pictures(source, _roots)
    number = list(pictures).index(image) + 1  # the seed of its damage, as in the comparison
    made = rebuild_pair(_model(*first), _model(*second), pictures[image], damage=damage, seed=number)
    return dict(zip(("clean", "first", "second"), map(encode_png, made), strict=True))


# Comparisons of metrics


def pace(keys: Sequence[str], kinds: Sequence[str], card: Mapping[str, Any] | None) -> float:
    """Seconds per megapixel of one candidate with these metrics, measured here; each group of metrics once."""
    from deconv_core.metrics import METRICS
    from deconv_core.scoring import DECONV_MODEL

    known = [key for key in keys if key in METRICS]  # calibrated ones are quick beside what they are made of
    rebuilding = tuple(key for key in known if METRICS[key].needs_model and key != "deconv")
    groups = [rebuilding, *((key,) for key in known if key not in rebuilding)]
    own = next((found for found in cards() if found["name"] == DECONV_MODEL and not found["reason"]), None)
    total = _pace((), tuple(kinds), "", None, None)
    for group in filter(None, groups):
        chosen = own if group == ("deconv",) else card if group == rebuilding else None
        total += _pace(group, (), chosen["digest"] if chosen else "", chosen, own)
    return total


@st.cache_data(show_spinner=False, max_entries=256)
def _pace(keys: tuple[str, ...], kinds: tuple[str, ...], digest: str, _card: Any, _deconv_card: Any) -> float:
    return inspection.pace(
        keys, kinds, model=model(_card), deconv_model=model(_deconv_card) if keys == ("deconv",) else None
    )


def run_scores(folder: Path) -> tuple[str, MetricComparison]:
    """What a comparison of metrics has found so far, and a token that changes when more comes; only to be read."""
    results = folder / "results"
    files = [results / "scores.parquet"]
    if not files[0].is_file():
        files = sorted((results / "parts").glob("*.parquet"))
    facts = [(file.name, (known := file.stat()).st_mtime_ns, known.st_size) for file in files]
    token = hashlib.sha256(repr((str(folder), facts)).encode()).hexdigest()[:24]
    return token, _run_scores(str(folder), token)


@st.cache_resource(show_spinner=False, max_entries=6)
def _run_scores(folder: str, token: str) -> MetricComparison:
    from deconv_core.comparison import read_result

    return read_result(folder)


@st.cache_data(show_spinner=False, max_size="300 MB")
def run_pair(token: str, row: int, _found: MetricComparison) -> tuple[np.ndarray, np.ndarray, str, str]:
    """Reference and candidate of a row, as they were scored, with their tokens."""
    pictures = _found.pair(row)
    return *pictures, *map(inspection.token, pictures)


@st.cache_data(show_spinner=False, max_size="60 MB")
def run_thumbnail(token: str, row: int, side: int, _found: MetricComparison) -> bytes:
    """The candidate of a row as a small WebP."""
    return encode_webp(inspection.reduce_side(_found.pair(row)[1], side), 80)


@st.cache_data(show_spinner="Correlating", max_entries=64)
def run_correlations(token: str, keys: tuple[str, ...], split: bool, _found: MetricComparison) -> pd.DataFrame:
    """Correlations between metrics with intervals, over everything or for each distortion.

    A finished run has them written down; what is not finished is correlated now.
    """
    import pandas as pd

    from deconv_core.relations import correlations

    stored = _found.folder / "results" / "correlations.parquet"
    if _found.summary and stored.is_file():
        table = pd.read_parquet(stored)
        table = table[table["first"].isin(keys) & table["second"].isin(keys)]
    else:
        group = "distortion" if split else None
        table = correlations(_found.scored, keys, group=group, seed=_found.settings.seed)
    return table[(table["group"] != "all") == split].reset_index(drop=True)


@st.cache_data(show_spinner=False, max_entries=64)
def run_disagreements(
    token: str, first: str, second: str, kind: str, one_image: bool, _found: MetricComparison
) -> pd.DataFrame:
    """Pairs of candidates about which two metrics disagree most, best first."""
    from deconv_core.relations import disagreements

    seed = _found.settings.seed
    return disagreements(_found.scored, first, second, kind=kind, within_image=one_image, seed=seed)


@st.cache_data(show_spinner=False, max_entries=1024)
def run_reason(token: str, row: int, _found: MetricComparison) -> str:
    """One line on what happened to a candidate."""
    from deconv_core.relations import reason

    return reason(_found, row)


@st.cache_data(show_spinner=False, max_entries=16)
def run_percentiles(token: str, _found: MetricComparison) -> pd.DataFrame:
    """Percentiles of every score within its comparison, 100 the best."""
    from deconv_core.percentiles import within

    return within(_found.frame, list(_found.metrics))


@st.cache_data(show_spinner=False, max_entries=32)
def quick_laws(keys: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The sanity laws of metrics that need no model, tried on four small photographs in six steps."""
    from deconv_core.metrics.laws import check_many
    from deconv_core.samples import photographs

    if not keys:
        return {}
    return {key: found.as_json() for key, found in check_many(keys, photographs=photographs(4, 176), steps=6).items()}


@st.cache_data(show_spinner=False, max_entries=16)
def run_spread(token: str, _found: MetricComparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Severity curves of the whole set, and how often more damage scored better."""
    from deconv_core.severity import broken_steps, spread

    return spread(_found.scored, _found.metrics), broken_steps(_found.scored, _found.metrics)


# Human scores


@st.cache_data(show_spinner="Reading the table", max_entries=16)
def human_scores(place: str, stamp: str, sheet: str | None, columns: tuple[tuple[str, str], ...]) -> HumanScores:
    """A table of human scores, understood; `stamp` changes with the file."""
    from deconv_core.human_scores import read_scores

    return read_scores(place, sheet=sheet, columns=dict(columns))


@st.cache_data(show_spinner="Looking for the pictures", max_entries=16)
def agree_plan(place: str, stamp: str, request: tuple[tuple[str, Any], ...]) -> Plan:
    """What would be compared, with its pictures found."""
    from deconv_core.agree_command import prepare

    options = dict(request)
    options["columns"] = dict(options["columns"])
    return prepare(place, **options)


def agree_result(folder: Path) -> AgreeResult | None:
    """The result of a comparison with human scores; None while there is none."""
    try:
        stamp = (folder / "results" / "curves.json").stat().st_mtime_ns
    except OSError:
        return None
    return _agree_result(str(folder), stamp)


@st.cache_data(show_spinner="Reading the result", max_entries=8)
def _agree_result(folder: str, stamp: int) -> AgreeResult | None:
    from deconv_core.agree_result import read_result

    return read_result(folder)


@st.cache_data(show_spinner=False, max_size="200 MB")
def file_png(path: str, stamp: int, max_pixels: int) -> bytes:
    """A picture file for the browser, reduced where it is large."""
    return encode_png(inspection.reduce(read_image(Path(path)).pixels, max_pixels))


# Audits


@st.cache_data(show_spinner=False, ttl=60, max_entries=32)
def audit_count(source: str, _roots: Sequence[Path] | None) -> tuple[int, bool]:
    """How many images a source has, counted for at most half a second, and whether that was all."""
    from deconv_core.sources import iterate

    count, end = 0, time.monotonic() + 0.5
    for _ in iterate(source, allowed_roots=_roots):
        count += 1
        if time.monotonic() > end:
            return count, False
    return count, True


@st.cache_data(show_spinner=False, ttl=600, max_entries=32)
def audit_address(source: str) -> None:
    """Refuse, with a DeconvError, what is no address that can be read; nothing is fetched."""
    from deconv_core.addresses import open_address

    open_address(source)


def quality_metrics() -> dict[str, str]:
    """Key -> label of what predicts quality without a reference: the bundled metric, and those calibrated here.

    Not cached, for one may be added any time.
    """
    from deconv_core.calibrated_metrics import saved_names
    from deconv_core.metrics import metric

    found = {}
    for name in ("deconv_quality", *saved_names()):
        try:
            row = metric(name)
        except DeconvError:  # damaged, or made with what is no longer here
            continue
        if not row.needs_reference:
            found[name] = row.label
    return found


def audit_stamp(folder: Path) -> str:
    """A token that changes when an audit has found more; "" before its first images."""
    from deconv_core.audit.table import AuditTable

    stamp = AuditTable.stamp(folder)
    if not any(stamp) or not (folder / "settings.json").is_file():
        return ""
    return hashlib.sha256(repr((str(folder), stamp)).encode()).hexdigest()[:24]


def audit_table(folder: Path) -> tuple[str, AuditTable] | None:
    """What an audit has found so far, with its token; None before its first images."""
    token = audit_stamp(folder)
    return (token, _audit_tables().get(folder, token)) if token else None


@st.cache_resource(show_spinner=False)
def _audit_tables() -> AuditTables:
    return AuditTables()


class AuditTables:
    """The tables of the audits looked at last, one each; one at work is read on from where it was left."""

    def __init__(self, max_entries: int = 4) -> None:
        self._max_entries = max_entries
        self._found: OrderedDict[Path, tuple[str, AuditTable]] = OrderedDict()
        self._lock = threading.Lock()  # of what is kept; not held while a table is read
        self._reading: dict[Path, threading.Lock] = {}

    def get(self, folder: Path, token: str) -> AuditTable:
        """The table kept, or read now."""
        from deconv_core.audit.table import AuditTable

        with self._lock:
            reading = self._reading.setdefault(folder, threading.Lock())
        with reading:  # two visitors of one audit read it once, and none waits for another audit
            with self._lock:
                known, table = self._found.get(folder, ("", None))
            if known != token:
                table = AuditTable(folder, table)
            with self._lock:
                self._found[folder] = token, table
                self._found.move_to_end(folder)
                while len(self._found) > self._max_entries:
                    self._found.popitem(last=False)
        return table


@st.cache_data(show_spinner=False, max_entries=8)
def audit_risk(
    token: str, weights: tuple[tuple[str, float], ...], thresholds: tuple[tuple[str, float], ...], _table: AuditTable
) -> np.ndarray:
    """The quality risk of every image by the points and thresholds of its set."""
    from deconv_core.audit.review import Choice
    from deconv_core.audit.risk import set_risk

    return set_risk(_table, Choice(thresholds=dict(thresholds), weights=dict(weights)))


@st.cache_data(show_spinner=False, max_size="200 MB")
def audit_picture(folder: str, image: str, digest: str, max_pixels: int, _table: AuditTable) -> tuple[bytes, str]:
    """An image of an audit for the browser, reduced where it is large; and a sentence if it has changed since."""
    pixels, told = _audit_pixels(folder, image, digest, _table)
    return encode_png(inspection.reduce(pixels, max_pixels)), told


@st.cache_data(show_spinner=False, max_size="300 MB")
def _audit_pixels(folder: str, image: str, digest: str, _table: AuditTable) -> tuple[np.ndarray, str]:
    from deconv_core.audit.thumbnails import CHANGED, picture

    found = picture(folder, image, _table)
    return found.pixels, CHANGED if CHANGED in found.notes else ""


@st.cache_data(show_spinner="Rebuilding the image", max_size="100 MB")
def audit_rebuilt(
    folder: str, image: str, digest: str, max_side: int, model_digest: str, _table: AuditTable, _card: Mapping
) -> tuple[bytes, bytes, bytes | None]:
    """The image as the audit's model saw it, as it rebuilt it, and the error map; three PNG files."""
    from deconv_core.audit.model import working_picture
    from deconv_core.figures import colour_map_png

    chosen = model(_card)
    pixels, _ = _audit_pixels(folder, image, digest, _table)
    seen = inspection.to_channels(working_picture(to_uint8(pixels), max_side), chosen.channels)
    error = inspection.error_map("recon_self_psnr", seen, seen, model=chosen)
    coloured = None if error is None else colour_map_png(error, 0, inspection.map_scale("recon_self_psnr")[0])
    return encode_png(seen), encode_png(inspection.rebuild(chosen, seen)), coloured


@st.cache_data(show_spinner="Comparing the two audits", max_entries=8)
def audit_drift(
    first: str,
    second: str,
    thresholds: tuple[tuple[str, float], ...],
    weights: tuple[tuple[str, float], ...],
    _first: AuditTable,
    _second: AuditTable,
) -> Drift:
    """Two audits compared, by the thresholds and points of the second."""
    from deconv_core.audit.drift import compare_audits

    return compare_audits(_first, _second, thresholds=dict(thresholds), weights=dict(weights))


@st.cache_data(show_spinner=False, max_entries=8)
def audit_kinds(token: str, chosen: str, _places: np.ndarray, _table: AuditTable) -> dict[str, int]:
    """Where these rows of an audit lie, kind -> how many; `chosen` tells the rows apart."""
    from deconv_core.audit.moving import count_kinds

    return count_kinds(_table, _places)


# Inside a model


@st.cache_data(show_spinner=False, max_entries=16)
def inside_square(token: str, channels: int, stride: int, side: int, _pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture as a model sees it, its sides multiples of the stride."""
    from deconv_core.images import crop_centre, to_channels

    height, width = (min(side, size) // stride * stride for size in _pixels.shape[:2])
    if not height or not width:
        return to_channels(_pixels, channels)
    return np.ascontiguousarray(to_channels(crop_centre(_pixels, height, width), channels))


@st.cache_resource(show_spinner="Fitting one reading per layer, once for each model", max_entries=4)
def _readouts(name: str, digest: str) -> list[Readout]:
    from deconv_core.models.inside import fit_readouts, reading_pictures

    chosen = _model(name, digest).model
    return fit_readouts(chosen, reading_pictures(chosen))


@st.cache_data(show_spinner=False, max_entries=16)
def depths_read(name: str, digest: str, token: str, _square: np.ndarray) -> list[dict[str, Any]]:
    """The picture as read from every layer, with its scores, words and a PNG."""
    from deconv_core.models.inside import read_depths
    from deconv_core.scoring import DECONV_MODEL

    rows = read_depths(_model(name, digest).model, _readouts(name, digest), _square)
    judge = next((card for card in cards() if card["name"] == DECONV_MODEL and not card["reason"]), None)
    for row in rows:
        row |= inspection.score_pair(_square, row["pixels"], ("psnr", "ssim", "deconv"), deconv_model=model(judge))
        row["png"] = encode_png(row.pop("pixels"))
    return rows


@st.cache_data(show_spinner=False, max_entries=16)
def inside_depths(name: str, digest: str) -> list[Depth]:
    """The layers of a model's encoder."""
    from deconv_core.models.inside import depths

    return depths(_model(name, digest).model)


@st.cache_data(show_spinner=False, max_entries=16)
def inside_values(name: str, digest: str, token: str, layer: str, _square: np.ndarray) -> np.ndarray:
    """The activations of one layer."""
    from deconv_core.models.inside import activations

    return activations(_model(name, digest).model, _square[None], [layer])[layer][0]


@st.cache_data(show_spinner=False, max_entries=32)
def inside_projection(
    name: str, digest: str, token: str, layer: str, place: tuple[int, int], channel: int, rule: str, _square: np.ndarray
) -> Projection:
    """One activation back in pixels."""
    from deconv_core.models.inside import project

    return project(_model(name, digest).model, _square, layer, place, channel, rule=rule)


@st.cache_data(show_spinner=False, max_entries=16)
def inside_kernel_layers(name: str, digest: str) -> list[str]:
    """The layers whose kernels can be shown."""
    from deconv_core.models.inside import kernel_layers

    return kernel_layers(_model(name, digest).model)


@st.cache_data(show_spinner=False, max_entries=32)
def inside_kernel_sheet(name: str, digest: str, layer: str, count: int) -> tuple[bytes, tuple[int, ...]]:
    """A PNG of a layer's kernels, and how many there are of what shape."""
    from deconv_core.models.inside import kernel_sheet, kernels

    tiles = kernels(_model(name, digest).model, layer)
    return encode_png(inspection.enlarged(kernel_sheet(tiles, count), 560)), tiles.shape


@st.cache_data(show_spinner=False, ttl=600, max_size="200 MB")
def latent_map(name: str, digest: str, source: str, _roots: Sequence[Path] | None) -> LatentMap:
    """A set of pictures laid out by their codes; laid out again after ten minutes, for the folder may have changed."""
    from deconv_core.models.latent import latent_map as lay_out
    from deconv_core.sources import iterate

    note = st.progress(0.0, text="Encoding the pictures")
    try:
        return lay_out(
            _model(name, digest).model,
            iterate(source, allowed_roots=_roots),
            report=lambda done: note.progress(min(1.0, done / 10_000), text=f"{done:,} pictures encoded"),
        )
    finally:
        note.empty()


# Without a reference


@dataclass(frozen=True)
class Quality:
    """What can be said of one picture alone."""

    judgement: Judgement
    control: float
    detail: float


@st.cache_data(show_spinner="Judging the picture by itself", max_entries=128)
def quality(token: str, _pixels: np.ndarray) -> Quality:
    """The score without a reference with its interval and reasons, its control, and the detail."""
    from deconv_core.metrics.deconv_quality import judge
    from deconv_core.metrics.deconv_quality_control import deconv_quality_control
    from deconv_core.metrics.detail import detail

    batch = np.ascontiguousarray(_pixels)[None]
    return Quality(judge(batch)[0], float(deconv_quality_control(None, batch)[0]), float(detail(None, batch)[0]))


@st.cache_data(show_spinner=False, max_size="100 MB")
def quality_map_png(token: str, _pixels: np.ndarray) -> bytes:
    """Where the score without a reference is lost, in its colours."""
    from deconv_core.figures import colour_map_png

    small = inspection.reduce(_pixels, VIEW_PIXELS)
    found = inspection.error_map("deconv_quality", small, small)
    return colour_map_png(found, 0, inspection.map_scale("deconv_quality")[0])


def quality_card() -> dict[str, Any]:
    """The card of the score without a reference."""
    from deconv_core.metrics.deconv_quality import calibration

    return dict(calibration().card)
