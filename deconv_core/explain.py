"""One or two plain sentences about what a picture lost or gained against its reference, and where.

Every number in a sentence is measured: bands and patches as in `spectrum.band_maps`, regions from a 3 x 3 grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deconv_core.errors import ImageError
from deconv_core.images import LUMA
from deconv_core.spectrum import BANDS, SMALLEST_SIDE, BandMap, band_maps

# Row by row, as the patches lie.
REGIONS: dict[str, str] = {
    "upper_left": "in the upper left",
    "upper_edge": "at the upper edge",
    "upper_right": "in the upper right",
    "left_edge": "at the left edge",
    "centre": "in the centre",
    "right_edge": "at the right edge",
    "lower_left": "in the lower left",
    "lower_edge": "at the lower edge",
    "lower_right": "in the lower right",
}
EVERYWHERE = "everywhere"

_STEP = 1 / 255
# A patch counts as hit when its error is at least this strong (root mean square); rounding to 8 bits makes 0.29 steps.
_SEEN = 0.6 * _STEP
# ... and at least this share (in energy) of what the hardest-hit patches have.
_HIT_SHARE = 0.1
# Damage is everywhere when the least of the regions that could show it has this share of the average region.
_EVEN_SHARE = 0.25
# A region can show a loss when its reference has a pattern at least this strong.
_TEXTURE = 1.0 * _STEP
# A change of level or colour is named first when it explains this share of the squared error.
_LEVEL_SHARE = 0.6
# Colour patterns are named only when the luma error has less than this share: coloured noise shows in luma as well.
_LUMA_SILENT = 0.15
# "Structure is kept" is said when it explains this share.
_LEVEL_ALONE = 0.9
# A loss that is uneven within a patch leaves a part that looks added; noise hardly ever looks lost. Losses weigh more.
_LOSS_WEIGHT = 1.5
# A second change is mentioned when its energy is at least this share of the first one's.
_SECOND_SHARE = 0.3


@dataclass(frozen=True)
class Explanation:
    """What changed between a reference and the image to judge.

    Attributes:
        kind: "lost" (pattern of the reference is weaker or gone), "added" (pattern that the reference does not have, or
            has weaker), "level" (brightness or contrast), "colour", or "none".
        band: Key in `spectrum.BANDS`, or "" when no band stands out.
        region: Key in `REGIONS` where it is strongest, "everywhere", or "" when nothing changed.
        share: Share of the picture's patches that are hit, 0 to 1.
        amount: Kind "lost": share of the pattern's energy in the hit patches that is gone; "added": root mean square of
            what came in the hit patches, in units of the value range; "level" and "colour": share of the squared error
            that the change explains; "none": 0.
        sentences: One to three plain sentences.
    """

    kind: str
    band: str
    region: str
    share: float
    amount: float
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sentences in one line."""
        return " ".join(self.sentences)


@dataclass(frozen=True)
class _Change:
    kind: str  # lost, added or boosted
    band: str
    energy: float
    region: str
    share: float
    amount: float


def describe(
    reference: np.ndarray,
    candidate: np.ndarray,
    *,
    rebuilt_reference: np.ndarray | None = None,
    rebuilt_candidate: np.ndarray | None = None,
) -> Explanation:
    """Say in plain words what the candidate lost or gained against the reference, and where.

    Brightness, contrast and colour come first when they explain most of the error; otherwise the strongest change of
    a frequency band (on luma) is named with the region where it is strongest. Takes about 30 ms for 512 x 512.

    Args:
        reference: True image, shape (H, W, C) with C 1 or 3, values in [0, 1], at least 8 pixels each way.
        candidate: Image to judge, same shape.
        rebuilt_reference: What a model makes of the reference; adds a sentence on how much of the change it passes on.
        rebuilt_candidate: What the model makes of the candidate.

    Returns:
        The explanation.

    Raises:
        ImageError: Shapes differ or are too small.

    Example:
        >>> picture = np.full((32, 32, 1), 0.5, np.float32)
        >>> describe(picture, picture).text
        'The image to judge is identical to the reference, pixel for pixel.'
        >>> describe(picture, picture * 0.88).text
        'The picture is 12 % darker overall; structure is kept.'
    """
    pictures = {"reference": reference, "candidate": candidate}
    if rebuilt_reference is not None:
        pictures["rebuilt_reference"] = rebuilt_reference
    if rebuilt_candidate is not None:
        pictures["rebuilt_candidate"] = rebuilt_candidate
    arrays = {name: np.asarray(picture, np.float32) for name, picture in pictures.items()}
    _check(arrays)
    found = _explain(arrays["reference"], arrays["candidate"])
    sentence = _rebuilt_sentence(arrays)
    if not sentence:
        return found
    return Explanation(found.kind, found.band, found.region, found.share, found.amount, (*found.sentences, sentence))


def _explain(reference: np.ndarray, candidate: np.ndarray) -> Explanation:
    difference = candidate - reference
    largest = max(float(difference.max()), -float(difference.min()))
    if largest == 0:
        return _nothing("The image to judge is identical to the reference, pixel for pixel.")
    if largest < 1.5 * _STEP:
        steps = f"{largest / _STEP:.1f}".removesuffix(".0")
        return _nothing(f"No difference can be seen: no value is off by more than {steps} of 255 steps.")
    luma, judged = _luma(reference), _luma(candidate)
    gain, offset, explained = _level_fit(luma, judged)
    moments = _Moments.of(reference, difference)
    # Less contrast takes colour away as well: colour is named only when one level for all channels does not tell all.
    if moments.error_after(gain, offset) > (1 - _LEVEL_ALONE) * moments.error_after(1, 0):
        colour = _colour_change(moments, reference, candidate, luma, judged)
        if colour is not None:
            return colour
    maps = band_maps(luma, judged)
    # What is left once the reference has been given the same brightness and contrast.
    maps_left = band_maps(gain * luma + offset, judged) if explained >= _LEVEL_SHARE else maps
    # Less contrast weakens patterns of all sizes; when the finer ones do not follow, only the large forms changed.
    if explained < _LEVEL_SHARE or _finer_error(maps_left) > max(_finer_error(maps), _SEEN**2):
        changes = _band_changes(maps)
        if not changes:
            steps = f"{_SEEN / _STEP:.1f}"
            return _nothing(f"Changes are faint: no patch of the picture is off by more than {steps} of 255 steps.")
        first, *others = changes
        sentences = [_sentence(first)]
        second = _second(first, others)
        if second is not None:
            sentences.append(_sentence(second))
        kind = "lost" if first.kind == "lost" else "added"
        return Explanation(kind, first.band, first.region, first.share, first.amount, tuple(sentences))
    sentence = _level_words(luma, gain, offset)
    if explained >= _LEVEL_ALONE:
        sentences = [f"{sentence}; structure is kept."]
    else:
        sentences = [f"{sentence}.", *(_sentence(change) for change in _band_changes(maps_left)[:1])]
    return Explanation("level", "", EVERYWHERE, 1.0, explained, tuple(sentences))


def _nothing(sentence: str) -> Explanation:
    return Explanation("none", "", "", 0.0, 0.0, (sentence,))


# Brightness, contrast, colour


def _level_fit(luma: np.ndarray, judged: np.ndarray) -> tuple[float, float, float]:
    """Gain and offset of the candidate's large forms, and the share of the luma error that they explain.

    Fitted on coarse pictures: a blur lowers the variance of fine texture too, and must not pass for less contrast.
    """
    import cv2

    coarse = tuple(max(4, min(side, side // 16)) for side in luma.shape[::-1])
    x = cv2.resize(luma, coarse, interpolation=cv2.INTER_AREA).astype(np.float64)
    y = cv2.resize(judged, coarse, interpolation=cv2.INTER_AREA).astype(np.float64)
    variance = x.var()
    gain = float(np.mean((x - x.mean()) * (y - y.mean())) / variance) if variance > (0.5 * _STEP) ** 2 else 1.0
    offset = float(y.mean() - gain * x.mean())
    error = float(np.mean((judged - luma) ** 2, dtype=np.float64))
    if error < _SEEN**2:
        return gain, offset, 0.0
    rest = float(np.mean((judged - np.float32(gain) * luma - np.float32(offset)) ** 2, dtype=np.float64))
    return gain, offset, 1 - rest / error


def _finer_error(maps: dict[str, BandMap]) -> float:
    return float(sum(maps[key].error.mean() for key in maps if key != "forms"))


def _level_words(luma: np.ndarray, gain: float, offset: float) -> str:
    mean = float(luma.mean(dtype=np.float64))
    shift = (gain - 1) * mean + offset
    amount = _percent(abs(shift) / mean) if mean > 2 * _STEP else f"{abs(shift) * 255:.0f} of 255 steps"
    light = f"{amount} {'brighter' if shift > 0 else 'darker'} overall"
    contrast = f"{_percent(abs(gain - 1))} {'more' if gain > 1 else 'less'}"
    # A plain factor changes mean and contrast alike: one fact, said once.
    is_factor = abs(offset) < 0.25 * abs(shift)
    moved = abs(shift) > 0.25 * abs(gain - 1) * max(float(luma.std()), _STEP) and abs(shift) >= 0.5 * _STEP
    if abs(gain - 1) >= 0.02 and not is_factor:
        if not moved:
            return f"The picture has {contrast} contrast"
        return f"The picture is {light} and has {contrast} contrast"
    return f"The picture is {light}"


@dataclass(frozen=True)
class _Moments:
    """Means and mean products of reference and difference (candidate minus reference), over all pixels, by channel."""

    mean: np.ndarray  # (C,) of the reference
    shift: np.ndarray  # (C,) of the difference
    own: np.ndarray  # (C, C) reference x reference
    cross: np.ndarray  # (C, C) reference x difference
    error: np.ndarray  # (C, C) difference x difference

    @classmethod
    def of(cls, reference: np.ndarray, difference: np.ndarray) -> _Moments:
        # One matrix product: all that follows about level and colour comes from these few numbers.
        channels = reference.shape[2]
        values = np.concatenate([reference, difference], axis=2).reshape(-1, 2 * channels)
        means = (np.ones(len(values), np.float32) @ values).astype(np.float64) / len(values)
        products = (values.T @ values).astype(np.float64) / len(values)
        return cls(
            means[:channels],
            means[channels:],
            products[:channels, :channels],
            products[:channels, channels:],
            products[channels:, channels:],
        )

    def error_after(self, gain: float, offset: float) -> float:
        """Mean square of what is left of the difference when the reference gets this gain and offset."""
        more = gain - 1
        squares = np.diag(self.error) + more**2 * np.diag(self.own) + offset**2
        mixed = more * offset * self.mean - more * np.diag(self.cross) - offset * self.shift
        return max(0.0, float(np.mean(squares + 2 * mixed)))


def _colour_change(
    moments: _Moments, reference: np.ndarray, candidate: np.ndarray, luma: np.ndarray, judged: np.ndarray
) -> Explanation | None:
    """The explanation when most of the error is in colour and not in brightness, else None."""
    if reference.shape[2] != 3:
        return None
    squares = float(np.trace(moments.error)) / 3
    to_colour = np.eye(3) - np.asarray(LUMA)  # each channel minus luma
    own, cross, error = (to_colour @ part @ to_colour.T for part in (moments.own, moments.cross, moments.error))
    in_colour = float(np.trace(error)) / 3
    if in_colour < _LEVEL_SHARE * squares:
        return None
    energy, covariance = float(np.trace(own)) / 3, float(np.trace(cross)) / 3
    more = covariance / energy if energy > _SEEN**2 else 0.0
    by_gain = more * covariance / in_colour
    shift = to_colour @ moments.shift
    by_shift = float(np.mean(shift**2)) / in_colour
    kept = "brightness and structure are kept" if in_colour >= _LEVEL_ALONE * squares else "brightness changed less"
    if by_gain >= max(_LEVEL_SHARE, by_shift):
        change = f"Colours are {_percent(abs(more))} {'stronger' if more > 0 else 'paler'} overall"
        sentence = f"{'All colour is gone' if more < -0.97 else change}; {kept}."
        return Explanation("colour", "", EVERYWHERE, 1.0, by_gain, (sentence,))
    if by_shift >= _LEVEL_SHARE:
        step = float(np.abs(shift).max()) * 255
        sentence = f"The whole picture has shifted towards {_hue(shift)}, by {step:.0f} of 255 steps; {kept}."
        return Explanation("colour", "", EVERYWHERE, 1.0, by_shift, (sentence,))
    if float(LUMA @ moments.error @ LUMA) > _LUMA_SILENT * squares:
        return None
    # Neither paler nor tinted: patterns of colour were lost or added. Red or blue shows them, whichever changed more.
    channel = int(np.argmax(np.diag(error)))
    changes = _band_changes(band_maps(reference[..., channel] - luma, candidate[..., channel] - judged))
    if not changes:
        return None
    first = changes[0]
    sentence = f"{_sentence(first, 'colour ')[:-1]}; brightness is kept."
    return Explanation("colour", first.band, first.region, first.share, in_colour / squares, (sentence,))


def _hue(shift: np.ndarray) -> str:
    """The nearest of six hues to a shift of red, green and blue."""
    hues = {
        "red": (1, 0, 0),
        "yellow": (1, 1, 0),
        "green": (0, 1, 0),
        "cyan": (0, 1, 1),
        "blue": (0, 0, 1),
        "magenta": (1, 0, 1),
    }
    centred = shift - shift.mean()

    def likeness(hue: str) -> float:
        direction = np.array(hues[hue], float) - np.mean(hues[hue])
        return float(centred @ direction / np.linalg.norm(direction))

    return max(hues, key=likeness)


# Bands and regions


def _band_changes(maps: dict[str, BandMap]) -> list[_Change]:
    """Every kind of change in every band that some patch shows, strongest first."""
    changes = []
    for band, energies in maps.items():
        for kind in ("lost", "added", "boosted"):
            change = _change(kind, band, getattr(energies, kind), energies)
            if change is not None:
                changes.append(change)
    return sorted(
        changes, key=lambda change: change.energy * (1.0 if change.kind == "added" else _LOSS_WEIGHT), reverse=True
    )


def _change(kind: str, band: str, energies: np.ndarray, band_map: BandMap) -> _Change | None:
    hit = _hits(energies)
    if not hit.any():
        return None
    regions = _thirds(energies)
    able = np.ones(9, bool)
    amount = float(np.sqrt(energies[hit].mean()))
    if kind != "added":
        # Flat regions have nothing to lose: whether a loss is everywhere is judged by those that have.
        own = _thirds(band_map.reference)
        able = own >= max(_TEXTURE**2, 0.02 * own.max())
        if able.any():
            regions = np.where(able, regions / np.where(able, own, 1.0), 0.0)
        else:
            able[:] = True
        if kind == "lost":
            # Energy of what is left, against what was there.
            amount = float(1 - band_map.kept[hit].sum() / band_map.reference[hit].sum())
    return _Change(kind, band, float(energies.mean()), _region(regions, able), float(hit.mean()), amount)


def _hits(energies: np.ndarray) -> np.ndarray:
    strong = np.quantile(energies, 0.98)
    return energies >= max(_SEEN**2, _HIT_SHARE * strong)


def _thirds(energies: np.ndarray) -> np.ndarray:
    """Mean of each of the nine regions, row by row."""
    rows, columns = energies.shape
    return energies.reshape(3, rows // 3, 3, columns // 3).mean(axis=(1, 3)).ravel()


def _region(values: np.ndarray, able: np.ndarray) -> str:
    """The region with the largest value, or everywhere when all regions that can show it do."""
    shown = values[able]
    if able.sum() > 1 and shown.min() >= _EVEN_SHARE * shown.mean():
        return EVERYWHERE
    return list(REGIONS)[int(np.argmax(np.where(able, values, -1.0)))]


# Words


def _sentence(change: _Change, of: str = "") -> str:
    """One change in words; `of` is "colour " when the planes are those of a colour difference."""
    band = BANDS[change.band]
    if change.kind == "added":
        strength = f"{change.amount * 255:.0f} of 255 steps strong"
        subject = f"{of}noise or false patterns of {band.sizes}, {strength}, were added"
        return _capital(_placed(subject, change.region, change.share)) + "."
    subject = f"{of}{band.name}{'' if band.sizes.startswith('over') else ' at'} {band.sizes}"
    was = "were" if band.name.endswith("s") else "was"
    verb = "exaggerated" if change.kind == "boosted" else "lost" if change.amount >= 0.5 else "weakened"
    sentence = _placed(f"{subject} {was} {verb}", change.region, change.share, "wherever there was any")
    if change.kind == "lost" and 0.01 <= change.amount < 0.95:
        there = "" if change.region == EVERYWHERE and change.share >= 0.9 else " there"
        sentence += f" ({_percent(change.amount)} of the energy{there} is gone)"
    return _capital(sentence) + "."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _second(first: _Change, others: list[_Change]) -> _Change | None:
    """The next change worth a sentence: the other kind before another band of the same kind."""
    strong = [change for change in others if change.energy >= _SECOND_SHARE * first.energy]
    other_kind = [change for change in strong if change.kind != first.kind]
    return next(iter(other_kind + strong), None)


def _placed(subject: str, region: str, share: float, wherever: str = "") -> str:
    """The subject with where and how much of the picture; `wherever` words damage that is everywhere but with gaps."""
    if region != EVERYWHERE:
        return f"{subject} in {_percent(share)} of the picture, most {REGIONS[region]}"
    if share >= 0.9:
        return f"{subject} everywhere"
    if wherever:
        return f"{subject} {wherever}, in {_percent(share)} of the picture"
    return f"{subject} in {_percent(share)} of the picture, spread over all of it"


def _percent(share: float) -> str:
    return "less than 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _rebuilt_sentence(arrays: dict[str, np.ndarray]) -> str:
    """What the model's reconstructions make of the change; "" when there is nothing to compare."""
    rebuilt = arrays.get("rebuilt_candidate")
    if rebuilt is None:
        return ""
    before = _distance(arrays["reference"], arrays["candidate"])
    if before == 0:
        return ""
    if "rebuilt_reference" in arrays:
        passed = _distance(arrays["rebuilt_reference"], rebuilt) / before
        if passed > 1.05:
            return f"The reconstructions differ more than the pictures do: {passed:.1f} times as much."
        return f"The reconstructions show {_percent(passed)} of this difference; the model passes over the rest."
    after = _distance(arrays["reference"], rebuilt)
    nearer = "nearer to" if after < before else "farther from"
    return (
        f"The reconstruction is {nearer} the reference than the image to judge is: {after * 255:.1f} steps of 255 away"
        f" instead of {before * 255:.1f}."
    )


def _distance(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Root mean square difference."""
    return float(np.sqrt(np.mean(np.square(candidate - reference))))


def _luma(image: np.ndarray) -> np.ndarray:
    if image.shape[2] == 1:
        return image[..., 0]
    return image @ np.asarray(LUMA, np.float32)


def _check(arrays: dict[str, np.ndarray]) -> None:
    shape = arrays["reference"].shape
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise ImageError(f"An explanation needs pictures (H, W, C) with 1 or 3 channels; got the shape {shape}.")
    for name, array in arrays.items():
        if array.shape != shape:
            raise ImageError(
                f"An explanation needs pictures of one shape; got reference {shape} and {name} {array.shape}."
                " Resize one of them, or pair the files again."
            )
    if min(shape[:2]) < SMALLEST_SIDE:
        raise ImageError(
            f"An explanation needs at least {SMALLEST_SIDE} pixels each way; got {shape[0]} x {shape[1]}."
            " Use a larger picture."
        )
