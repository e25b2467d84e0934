"""Folders of well-known data sets with human scores, recognised by their files: none is downloaded, all stay local.

Each reader returns the same kind of table (`human_scores.HumanScores`) with the direction that the data set documents.
File names are taken as they come: in TID2008 and TID2013 upper and lower case are mixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.direction import Direction
from deconv_core.errors import DeconvError
from deconv_core.human_scores import HumanScores, Role, read_table, three_parts
from deconv_core.scoring import Problem

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Layout:
    """One known data set.

    Attributes:
        data_set: Its name.
        looks_like: What is looked for, in words.
        find: Folder -> the file that gives it away, or None.
        read: Folder, that file -> the table.
    """

    data_set: str
    looks_like: str
    find: Callable[[Path], Path | None]
    read: Callable[[Path, Path], HumanScores]


# The 24 kinds of TID2013 in their order; TID2008 has the first 17.
TID_DISTORTIONS = (
    *("additive Gaussian noise", "noise in colour components", "spatially correlated noise", "masked noise"),
    *("high-frequency noise", "impulse noise", "quantisation noise", "Gaussian blur", "denoising", "JPEG", "JPEG 2000"),
    *("JPEG transmission errors", "JPEG 2000 transmission errors", "non-eccentricity pattern noise"),
    *("local blocks", "mean shift", "contrast change", "saturation change", "multiplicative Gaussian noise"),
    *("comfort noise", "lossy compression of noisy images", "colour quantisation with dither"),
    *("chromatic aberrations", "sparse sampling and reconstruction"),
)
KADID_DISTORTIONS = (
    *("Gaussian blur", "lens blur", "motion blur", "colour diffusion", "colour shift", "colour quantisation"),
    *("colour saturation 1", "colour saturation 2", "JPEG 2000", "JPEG", "white noise", "white noise in colour"),
    *("impulse noise", "multiplicative noise", "denoising", "brighten", "darken", "mean shift", "jitter"),
    *("non-eccentricity patch", "pixelate", "quantisation", "colour block", "high sharpen", "contrast change"),
)
# Data sets whose file names tell the number of the kind, as in i01_08_3.bmp.
KINDS_IN_NAMES = {"TID2008": TID_DISTORTIONS[:17], "TID2013": TID_DISTORTIONS, "KADID-10k": KADID_DISTORTIONS}
# Folder and word in the file names of CSIQ, by the name in its table.
_CSIQ_FILES = {
    "noise": ("awgn", "AWGN"),
    "awgn": ("awgn", "AWGN"),
    "jpeg": ("jpeg", "JPEG"),
    "jpeg 2000": ("jpeg2000", "jpeg2000"),
    "jpeg2000": ("jpeg2000", "jpeg2000"),
    "fnoise": ("fnoise", "fnoise"),
    "blur": ("blur", "BLUR"),
    "contrast": ("contrast", "contrast"),
}
# LIVE release 2 keeps its scores in one list, kind after kind.
_LIVE_KINDS = (("jp2k", 227), ("jpeg", 233), ("wn", 174), ("gblur", 174), ("fastfading", 174))


def recognise(folder: str | Path) -> Layout | None:
    """The layout of a folder, also where its only content is one more folder; None where it is not known."""
    found = _recognise(Path(folder))
    return found[0] if found else None


def read_layout(folder: str | Path) -> HumanScores:
    """Read the scores of a known data set; pictures are only named, not opened.

    Raises:
        DeconvError: The folder has no known layout, or its files are not as they should be.
    """
    found = _recognise(Path(folder))
    if found is None:
        known = "; ".join(f"{layout.data_set}: {layout.looks_like}" for layout in LAYOUTS.values())
        raise DeconvError(f"'{Path(folder).name}' has no known layout. Give a table of scores, or one of: {known}.")
    layout, place, file = found
    return layout.read(place, file)


def _recognise(folder: Path) -> tuple[Layout, Path, Path] | None:
    if not folder.is_dir():
        raise DeconvError(f"'{folder}' is no folder; give a table of scores or a data set's folder.")
    places = [folder]
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if len(inside) == 1:
        places.append(inside[0])
    for place in places:
        for layout in LAYOUTS.values():
            file = layout.find(place)
            if file is not None:
                return layout, place, file
    return None


def _called(*names: str) -> Callable[[Path], Path | None]:
    def find(folder: Path) -> Path | None:
        files = {path.name.casefold(): path for path in sorted(folder.iterdir())}
        return next((files[name] for name in names if name in files and files[name].is_file()), None)

    return find


def _folder_called(folder: Path, *names: str) -> Path | None:
    folders = {path.name.casefold(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return next((folders[name] for name in names if name in folders), None)


# --------------------------------------------------------------------------------------------------------- the readers


def _read_tid(folder: Path, file: Path) -> HumanScores:
    """`mos_with_names.txt`: score and name in each line; references are paired by name."""
    from deconv_core.pairing import pair_files
    from deconv_core.published import name_of_data_set
    from deconv_core.sources import EXTENSIONS

    frame, _ = read_table(file)
    if frame.shape[1] != 2 or frame.iloc[:, 0].dtype != np.float64:
        raise DeconvError(f"'{file.name}' has {frame.shape[1]} columns; expected a score and a file name in each line.")
    frame.columns = ["mos", "candidate"]
    names = [str(name) for name in frame["candidate"]]
    parts = [three_parts(name) for name in names]
    kinds = [0 if part is None else int(part[1]) for part in parts]
    levels = [np.nan if part is None else part[2] for part in parts]
    data_set = name_of_data_set(folder.name)
    if not data_set:
        # TID2008 has 17 kinds in 4 levels, TID2013 24 in 5.
        data_set = "TID2013" if max(kinds, default=0) > 17 or np.nanmax([*levels, 0]) > 4 else "TID2008"
    problems = [
        Problem(name, "", "unknown name", "Not named like i01_08_3.bmp; kind and level of its distortion are unknown.")
        for name, part in zip(names, parts, strict=True)
        if part is None
    ]
    notes = []
    std_file = _called("mos_std.txt")(folder)
    if std_file is not None:
        spread, _ = read_table(std_file)
        if len(spread) == len(frame) and spread.shape[1] == 1:
            frame["std"] = spread.iloc[:, 0].to_numpy()
        else:
            notes.append(f"'{std_file.name}' has {len(spread)} lines for {len(frame)} scores; it was left out.")
    place = _folder_called(folder, "reference_images", "reference_images_png")
    references: dict[Path, Path] = {}
    if place is not None:
        files = [path for path in sorted(place.iterdir()) if path.suffix.lower() in EXTENSIONS]
        pairing = pair_files(names, files)
        references = dict(pairing.pairs)
        problems += [
            Problem(p.name, "", "unpaired", "No reference is called so.") for p in pairing.unmatched_candidates
        ]
        for path, choices in pairing.ambiguous:
            told = ", ".join(choice.name for choice in choices)
            problems.append(Problem(path.name, "", "ambiguous", f"Several references match: {told}."))
    else:
        notes.append("No folder reference_images is there, so no reference is known.")
    frame["reference"] = [
        str(references[Path(n)].relative_to(folder)) if Path(n) in references else None for n in names
    ]
    frame["distortion"] = [_kind(TID_DISTORTIONS, number) for number in kinds]
    frame["level"] = levels
    frame["content"] = [None if part is None else part[0] for part in parts]
    told = Direction(True, f"{data_set}'s scores are mean opinion scores from 0 to 9, higher is better.")
    return _scores(folder, frame, data_set, told, notes, problems, [file, *([std_file] if std_file else [])])


def _read_kadid(folder: Path, file: Path) -> HumanScores:
    frame, notes = read_table(file)
    frame = _columns(frame, file, {"candidate": "dist_img", "reference": "ref_img", "dmos": "dmos"}, {"var": "var"})
    parts = [three_parts(str(name)) for name in frame["candidate"]]
    frame["distortion"] = [_kind(KADID_DISTORTIONS, 0 if part is None else int(part[1])) for part in parts]
    frame["level"] = [np.nan if part is None else part[2] for part in parts]
    frame["content"] = frame["reference"]
    if "var" in frame:
        frame["std"] = np.sqrt(frame.pop("var").clip(lower=0))
    told = Direction(True, "KADID-10k calls its scores dmos, yet they run from 1 (very annoying) to 5 (imperceptible).")
    return _scores(folder, frame, "KADID-10k", told, notes, [], [file], mos="dmos")


def _read_csiq(folder: Path, file: Path) -> HumanScores:
    import openpyxl

    sheet = None
    if file.suffix.lower() == ".xlsx":
        book = openpyxl.load_workbook(file, read_only=True)
        sheet = next((name for name in book.sheetnames if name.casefold() == "all_by_image"), None)
        book.close()
    frame, notes = read_table(file, sheet=sheet)
    wanted = {"image": "image", "distortion": "dst_type", "level": "dst_lev", "dmos": "dmos"}
    frame = _columns(frame, file, wanted, {"std": "dmos_std"})
    frame = frame[frame["dmos"].notna() & frame["image"].notna()].reset_index(drop=True)
    images = [str(int(cell)) if isinstance(cell, float) else str(cell) for cell in frame.pop("image")]
    names, problems = [], []
    for image, kind, level in zip(images, frame["distortion"], frame["level"], strict=True):
        found = _CSIQ_FILES.get(str(kind).casefold())
        if found is None or not np.isfinite(level):
            names.append(None)
            problems.append(Problem(image, "", "unknown name", f"The kind '{kind}' at level {level} names no file."))
        else:
            names.append(f"dst_imgs/{found[0]}/{image}.{found[1]}.{int(level)}.png")
    frame["candidate"] = names
    frame["reference"] = [f"src_imgs/{image}.png" for image in images]
    frame["content"] = images
    told = Direction(False, "CSIQ's scores are differences (DMOS) from 0 to 1, lower is better.")
    return _scores(folder, frame, "CSIQ", told, notes, problems, [file], mos="dmos")


def _read_live(folder: Path, file: Path) -> HumanScores:
    import pandas as pd

    names_file = _called("refnames_all.mat")(folder)
    if names_file is None:
        raise DeconvError(
            f"'{file.name}' is there, but refnames_all.mat is not; LIVE keeps the references' names there."
        )
    old_file = _called("dmos.mat")(folder)
    content = _mat(file)
    scores = content.get("dmos_new", content.get("dmos"))
    copies = content.get("orgs", _mat(old_file).get("orgs") if old_file else None)
    references = _mat(names_file).get("refnames_all")
    total = sum(count for _, count in _LIVE_KINDS)
    for what, values in (("scores", scores), ("marks of undistorted copies (orgs)", copies), ("names", references)):
        if values is None or np.size(values) != total:
            size = 0 if values is None else np.size(values)
            raise DeconvError(f"'{folder.name}' holds {size} {what}; LIVE release 2 has {total}. Use its own files.")
    kinds = [kind for kind, count in _LIVE_KINDS for _ in range(count)]
    numbers = [number for _, count in _LIVE_KINDS for number in range(1, count + 1)]
    named = [str(np.ravel(cell)[0]) for cell in np.ravel(references)]
    frame = pd.DataFrame(
        {
            "candidate": [f"{kind}/img{number}.bmp" for kind, number in zip(kinds, numbers, strict=True)],
            "reference": [f"refimgs/{name}" for name in named],
            "dmos": np.ravel(scores).astype(np.float64),
            "distortion": kinds,
            "content": [name.casefold() for name in named],
        }
    )
    if np.size(content.get("dmos_std", ())) == total:
        frame["std"] = np.ravel(content["dmos_std"]).astype(np.float64)
    undistorted = np.ravel(copies).astype(bool)
    frame = frame[~undistorted].reset_index(drop=True)
    notes = [f"{int(undistorted.sum())} undistorted copies of references, which have no score of their own, left out."]
    told = Direction(False, "LIVE's scores are differences (DMOS), lower is better.")
    files = [file, names_file, *([old_file] if old_file and old_file != file else [])]
    return _scores(folder, frame, "LIVE", told, notes, [], files, mos="dmos")


def _read_koniq(folder: Path, file: Path) -> HumanScores:
    frame, notes = read_table(file)
    frame = _columns(frame, file, {"candidate": "image_name", "mos": "MOS"}, {"std": "SD", "mos_zscore": "MOS_zscore"})
    place = next((name for name in ("1024x768", "512x384") if (folder / name).is_dir()), None)
    if place is not None:
        frame["candidate"] = [f"{place}/{name}" for name in frame["candidate"]]
        notes.append(f"Pictures are taken from {place}.")
    told = Direction(True, "KonIQ-10k's scores are mean opinion scores from 1 to 5, higher is better.")
    return _scores(folder, frame, "KonIQ-10k", told, notes, [], [file])


def _read_biq(folder: Path, file: Path) -> HumanScores:
    import pandas as pd

    if file.stem.casefold() == "biq2021":
        files = [file]
    else:
        files = [path for path in (find(folder) for find in (_BIQ_TRAIN, _BIQ_TEST)) if path is not None]
    parts, notes = [], []
    for one in files:
        frame, told = read_table(one)
        name = "Image Name" if "Image Name" in frame else "image"
        frame = _columns(frame, one, {"candidate": name, "mos": "mos"}, {"subset": "subset", "std": "std"})
        if len(files) > 1:
            frame["subset"] = one.stem.split()[0].casefold()
        parts.append(frame)
        notes += told
    if len(files) < 2 and file.stem.casefold() != "biq2021":
        notes.append(f"Only '{files[0].name}' is there; the other half of BIQ2021 is missing.")
    told = Direction(True, "BIQ2021's scores are mean opinion scores from 0 to 1, higher is better.")
    return _scores(folder, pd.concat(parts, ignore_index=True), "BIQ2021", told, notes, [], files)


_BIQ_TRAIN, _BIQ_TEST = _called("train (images and mos).csv"), _called("test (images and mos).csv")


def _find_biq(folder: Path) -> Path | None:
    return _BIQ_TRAIN(folder) or _BIQ_TEST(folder) or _called("biq2021.csv")(folder)


def _find_kadid(folder: Path) -> Path | None:
    file = _called("dmos.csv")(folder)
    if file is None:
        return None
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        return file if "dist_img" in stream.readline().casefold() else None


LAYOUTS: dict[str, Layout] = {
    "tid": Layout(
        "TID2008 or TID2013", "mos_with_names.txt, reference_images", _called("mos_with_names.txt"), _read_tid
    ),
    "kadid10k": Layout("KADID-10k", "dmos.csv with dist_img and ref_img, images", _find_kadid, _read_kadid),
    "csiq": Layout(
        "CSIQ",
        "csiq.DMOS.xlsx, src_imgs, dst_imgs",
        _called("csiq.dmos.xlsx", "csiq_dmos.xlsx", "csiq.dmos.csv", "csiq_dmos.csv"),
        _read_csiq,
    ),
    "live": Layout(
        "LIVE release 2",
        "dmos_realigned.mat (or dmos.mat), refnames_all.mat, refimgs",
        _called("dmos_realigned.mat", "dmos.mat"),
        _read_live,
    ),
    "koniq10k": Layout(
        "KonIQ-10k",
        "koniq10k_scores_and_distributions.csv, 1024x768 or 512x384",
        _called("koniq10k_scores_and_distributions.csv", "koniq10k_scores.csv"),
        _read_koniq,
    ),
    "biq2021": Layout("BIQ2021", "Train (Images and MOS).csv, Test (Images and MOS).csv, Images", _find_biq, _read_biq),
}


# ------------------------------------------------------------------------------------------------------------ in common


def _mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        return loadmat(path)
    except (OSError, ValueError, TypeError, NotImplementedError) as error:  # the last: MATLAB 7.3, another format
        raise DeconvError(f"'{path.name}' is not a readable MATLAB file ({error}); use the data set's own.") from error


def _scores(
    folder: Path,
    frame: pd.DataFrame,
    data_set: str,
    direction: Direction,
    notes: Iterable[str],
    problems: Iterable[Problem],
    files: Iterable[Path],
    *,
    mos: str = "mos",
) -> HumanScores:
    order = ["reference", "candidate", mos, "std", "distortion", "level", "content"]
    frame = frame[[name for name in order if name in frame] + [name for name in frame if name not in order]]
    why = f"as {data_set} is laid out"
    roles = {("mos" if name == mos else name): Role(name, why) for name in order if name in frame}
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return HumanScores(frame, roles, data_set, direction, tuple(notes), tuple(problems), folder, digest.hexdigest())


def _columns(frame: pd.DataFrame, file: Path, needed: dict[str, str], welcome: dict[str, str]) -> pd.DataFrame:
    """The columns of a table under our names, found without regard to case; the others are left out."""
    from deconv_core.human_scores import resolve_column

    found: dict[str, Any] = {}
    for ours, theirs in (needed | welcome).items():
        try:
            found[ours] = frame[resolve_column(frame, theirs)]
        except DeconvError as error:
            if ours in needed:
                raise DeconvError(f"'{file.name}': {error}") from error
    return frame.assign(**found)[list(found)].copy()


def _kind(names: tuple[str, ...], number: int) -> str | None:
    return names[number - 1] if 1 <= number <= len(names) else None
