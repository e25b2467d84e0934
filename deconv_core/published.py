"""Numbers that others published, to show beside ours, and whether a metric knew the set it is judged on.

Rank correlations (SRCC) with human scores. They differ between sources because settings differ: all are shown, none is
picked. Whether a metric was trained on human scores stands with each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from deconv_core.direction import plain_name

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes:
        metric: Key, as in `metrics.METRICS` where this project computes the metric.
        label: Name in the source.
        trained_on_scores: Whether human scores took part in making the metric.
        trained_on: What it was trained on, in a few words; "" if it was not.
        data_set: One of `DATA_SETS`.
        srcc: Spearman's correlation with the human scores, positive for agreement.
        srcc_to: Upper end where the source gives a range, otherwise None.
        source: Where the number stands.
    """

    metric: str
    label: str
    trained_on_scores: bool
    trained_on: str
    data_set: str
    srcc: float
    srcc_to: float | None
    source: str


DATA_SETS = ("TID2008", "TID2013", "KADID-10k", "LIVE", "CSIQ", "KonIQ-10k", "BIQ2021")

_IQA = "chaofengc/IQA-PyTorch, tests/FR_benchmark_results.csv"
_PIQ = "photosynthesis-team/piq, docs/source/_static/benchmark.csv"
_PIQ_README = "photosynthesis-team/piq, README"
_SSIMULACRA = "cloudinary/ssimulacra2, README"
_BIQ = "nisarahmedrana/BIQ2021, README: test split, 2,000 photographs"
_IMAGENET = "BIQ2021 training split, started from ImageNet"

# key, label, trained on (human scores), {data set: (SRCC, source)}
_FULL_REFERENCE: tuple[tuple[str, str, str, dict[str, tuple[float, str]]], ...] = (
    (
        *("psnr", "PSNR", ""),
        {"TID2013": (0.6869, _IQA), "KADID-10k": (0.6757, _PIQ), "LIVE": (0.8730, _IQA), "CSIQ": (0.8087, _IQA)},
    ),
    ("ssim", "SSIM", "", {"TID2013": (0.6269, _IQA), "LIVE": (0.9103, _IQA), "CSIQ": (0.8367, _IQA)}),
    ("ssim", "SSIM", "", {"TID2013": (0.72, _PIQ_README), "KADID-10k": (0.72, _PIQ_README)}),
    ("ssim", "SSIM", "", {"TID2013": (0.7552, _SSIMULACRA), "KADID-10k": (0.7806, _SSIMULACRA)}),
    ("ms_ssim", "MS-SSIM", "", {"TID2013": (0.7859, _IQA), "LIVE": (0.9508, _IQA), "CSIQ": (0.9131, _IQA)}),
    ("ms_ssim", "MS-SSIM", "", {"TID2013": (0.7983, _PIQ), "KADID-10k": (0.8020, _PIQ)}),
    (
        *("fsimc", "FSIMc", ""),
        {"TID2013": (0.8509, _PIQ), "KADID-10k": (0.8537, _PIQ), "LIVE": (0.9646, _IQA), "CSIQ": (0.9309, _IQA)},
    ),
    ("vif", "VIF (pixel domain)", "", {"TID2013": (0.6102, _PIQ), "KADID-10k": (0.6500, _PIQ)}),
    ("vif", "VIF (wavelets)", "", {"TID2013": (0.6770, _IQA), "LIVE": (0.9636, _IQA), "CSIQ": (0.9194, _IQA)}),
    ("gmsd", "GMSD", "", {"TID2013": (0.8038, _PIQ), "KADID-10k": (0.8474, _PIQ)}),
    ("haarpsi", "HaarPSI", "", {"TID2013": (0.8732, _PIQ), "KADID-10k": (0.8849, _PIQ)}),
    ("mdsi", "MDSI", "", {"TID2013": (0.8899, _PIQ), "KADID-10k": (0.8853, _PIQ)}),
    ("vsi", "VSI", "", {"TID2013": (0.8949, _PIQ), "KADID-10k": (0.8780, _PIQ)}),
    ("lpips", "LPIPS (AlexNet)", "BAPPS", {"TID2013": (0.7445, _IQA), "LIVE": (0.9235, _IQA), "CSIQ": (0.9233, _IQA)}),
    (
        *("dists", "DISTS", "human scores (KADID-10k) and textures"),
        {"TID2013": (0.7077, _IQA), "KADID-10k": (0.8137, _PIQ), "LIVE": (0.9477, _IQA), "CSIQ": (0.9296, _IQA)},
    ),
    (
        *("pieapp", "PieAPP", "human preferences"),
        {"TID2013": (0.8438, _IQA), "KADID-10k": (0.8655, _PIQ), "LIVE": (0.9182, _IQA), "CSIQ": (0.8968, _IQA)},
    ),
    (
        *("ssimulacra2", "SSIMULACRA 2", "human scores, among them TID2013 and KADID-10k"),
        {"TID2013": (0.8194, _SSIMULACRA), "KADID-10k": (0.7851, _SSIMULACRA)},
    ),
    ("topiq_fr", "TOPIQ-FR", "KADID-10k", {"TID2013": (0.9165, _IQA), "LIVE": (0.9759, _IQA), "CSIQ": (0.9674, _IQA)}),
)
# key, label, trained on, SRCC, upper end; all on the BIQ2021 test split, without a reference.
_NO_REFERENCE: tuple[tuple[str, str, str, float, float | None], ...] = (
    ("niqe", "NIQE", "", 0.27, 0.36),
    ("piqe", "PIQE", "", 0.18, 0.21),
    ("brisque", "BRISQUE", "BIQ2021 training split", 0.60, None),
    ("curveletqa", "CurveletQA", "BIQ2021 training split", 0.63, None),
    ("resnet50", "ResNet-50", _IMAGENET, 0.647, None),
    ("inception_resnet_v2", "Inception-ResNet-v2", _IMAGENET, 0.662, None),
    ("nasnet_large", "NASNet-Large", _IMAGENET, 0.6725, None),
)
PUBLISHED: tuple[Published, ...] = (
    *(
        Published(key, label, bool(trained), trained, data_set, value, None, source)
        for key, label, trained, numbers in _FULL_REFERENCE
        for data_set, (value, source) in numbers.items()
    ),
    *(
        Published(key, label, bool(trained), trained, "BIQ2021", low, high, _BIQ)
        for key, label, trained, low, high in _NO_REFERENCE
    ),
)
# Spellings under which the same metric goes elsewhere.
_SAME = {"vifp": "vif", "vifpixel": "vif"}
# Words by which a data set is recognised in a text, in letters and digits alone.
_WORDS = {
    "TID2008": ("tid2008",),
    "TID2013": ("tid2013",),
    "KADID-10k": ("kadid10k", "kadid"),
    "LIVE": ("liveiqa", "liverelease2", "live"),
    "CSIQ": ("csiq",),
    "KonIQ-10k": ("koniq10k", "koniq"),
    "BIQ2021": ("biq2021", "biq"),
}


def published(metric: str | None = None, data_set: str | None = None) -> list[Published]:
    """Published numbers of a metric, of a data set, or of both; empty where there are none.

    Example:
        >>> [(row.srcc, row.trained_on_scores) for row in published("PSNR", "tid2013")]
        [(0.6869, False)]
    """
    key = None if metric is None else _SAME.get(plain_name(metric), plain_name(metric))
    name = None if data_set is None else plain_name(name_of_data_set(data_set) or data_set)
    return [
        row
        for row in PUBLISHED
        if (key is None or plain_name(row.metric) == key) and (name is None or plain_name(row.data_set) == name)
    ]


def published_table(metrics: list[str] | None = None, data_set: str | None = None) -> pd.DataFrame:
    """The same as a table, one row per number, for showing beside our own."""
    import pandas as pd

    rows = (
        published(None, data_set) if metrics is None else [row for key in metrics for row in published(key, data_set)]
    )
    columns = ["metric", "label", "trained_on_scores", "trained_on", "data_set", "srcc", "srcc_to", "source"]
    return pd.DataFrame([vars(row) for row in rows], columns=columns)


def name_of_data_set(text: str) -> str:
    """The known data set that a file name, folder or sentence speaks of; "" where there is none, or more than one.

    Example:
        >>> name_of_data_set("tid2013_scores.tsv"), name_of_data_set("delivery.csv")
        ('TID2013', '')
    """
    found = _data_sets_in(text)
    return found[0] if len(found) == 1 else ""


def contamination(
    metric: str, data_set: str, *, card: Mapping[str, Any] | None = None, data_digest: str = "", scores_digest: str = ""
) -> str:
    """A sentence where a metric was made with the pictures or the human scores it is judged on, otherwise "".

    Args:
        metric: Key or label.
        data_set: Name of the set that is judged, as well as it is known; "" for none.
        card: The card of the model the metric uses, or of the metric itself: `trained_on`, `data_digest`,
            `calibrated_on` (a text, or a mapping with `data_set` and `digest`) and `trained_on_scores`.
        data_digest: Digest of the pictures, as `picture_set.read_pictures` gives it, to compare with the card's.
        scores_digest: Digest of the table of scores, to compare with that of `calibrated_on`.

    Example:
        >>> contamination("ssimulacra2", "TID2013")
        'ssimulacra2 was made with human scores of TID2013, the set judged here: its agreement is flattered.'
    """
    card = card or {}
    name = name_of_data_set(data_set)
    calibrated = card.get("calibrated_on") or ""
    known_digest = ""
    if isinstance(calibrated, Mapping):
        known_digest = str(calibrated.get("digest") or "")
        calibrated = str(calibrated.get("data_set") or calibrated.get("name") or "")
    trained = str(card.get("trained_on") or "")
    same_table = bool(scores_digest) and known_digest == scores_digest
    if same_table or _speaks_of(str(calibrated), name, data_set):
        return _made_with(metric, "calibrated on human scores", name or data_set or "this table")
    if card.get("trained_on_scores") and _speaks_of(trained, name, data_set):
        return _made_with(metric, "made with human scores", name or data_set)
    from_literature = next((row.trained_on for row in published(metric) if row.trained_on_scores), "")
    if from_literature and _speaks_of(from_literature, name, ""):
        return _made_with(metric, "made with human scores", name)
    same_pictures = bool(data_digest) and card.get("data_digest") == data_digest
    if same_pictures or _speaks_of(trained, name, data_set):
        return (
            f"{metric} uses a model trained on pictures of {name or data_set or 'this set'}, the set judged here "
            "(not on their human scores): it may know them."
        )
    return ""


def _made_with(metric: str, how: str, data_set: str) -> str:
    return f"{metric} was {how} of {data_set}, the set judged here: its agreement is flattered."


def _speaks_of(text: str, name: str, data_set: str) -> bool:
    if name:
        return name in _data_sets_in(text)
    # A set that is not known by name: the user's own name for it, whole.
    return bool(data_set.strip()) and bool(text) and plain_name(data_set) == plain_name(text)


def _data_sets_in(text: str) -> list[str]:
    # Words, and words run together with the next (KADID-10k), so that "live" is found but "delivery" is not.
    words = re.findall(r"[a-z0-9]+", text.casefold())
    joined = {*words, *(first + second for first, second in pairwise(words))}
    # LIVE is a word too, and the first name of other sets: in a sentence it counts in capitals only.
    if (" " in text and "LIVE" not in text) or joined & {"wild", "challenge", "itw", "fb", "vqc"}:
        joined.discard("live")
    return [name for name, spellings in _WORDS.items() if joined & set(spellings)]
