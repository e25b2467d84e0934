"""Which candidate belongs to which reference, decided by names alone and never by order.

The rule, without regard to upper and lower case: a candidate belongs to the reference with the same stem, or else to
the reference with the longest stem that the candidate's stem begins with, followed by a character that is neither
letter nor digit (`kodim01_blur` belongs to `kodim01`, `img10` never to `img1`). Where two references fit equally well
the candidate is reported as ambiguous and not paired.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from deconv_core.errors import DeconvError


@dataclass(frozen=True)
class Pairing:
    """What belongs together, and everything that was left over.

    Attributes:
        pairs: (candidate, reference), in the order of the candidates.
        unmatched_candidates: Candidates whose name fits no reference.
        unmatched_references: References that got no candidate, and are no answer to an ambiguous one either.
        ambiguous: (candidate, the references that fit equally well).
    """

    pairs: tuple[tuple[Path, Path], ...]
    unmatched_candidates: tuple[Path, ...]
    unmatched_references: tuple[Path, ...]
    ambiguous: tuple[tuple[Path, tuple[Path, ...]], ...]


def pair_files(
    candidates: Iterable[str | Path], references: Iterable[str | Path], *, single_reference: bool = False
) -> Pairing:
    """Find the reference of every candidate by its name; the folders and the order of the lists do not matter.

    Args:
        candidates: Paths of the images to judge; nothing is opened.
        references: Paths of the true images.
        single_reference: True only when the user named one reference file on purpose: it then serves every candidate,
            whatever the names.

    Returns:
        A `Pairing`; every candidate is in exactly one of pairs, unmatched_candidates and ambiguous.

    Raises:
        DeconvError: `single_reference` is set and there is not exactly one reference.

    Example:
        >>> pairing = pair_files(["out/img1_blur.png", "out/img10.png"], ["true/IMG1.bmp"])
        >>> [(candidate.name, reference.name) for candidate, reference in pairing.pairs]
        [('img1_blur.png', 'IMG1.bmp')]
        >>> [candidate.name for candidate in pairing.unmatched_candidates]
        ['img10.png']
    """
    candidates = list(dict.fromkeys(Path(path) for path in candidates))
    references = list(dict.fromkeys(Path(path) for path in references))
    if single_reference:
        if len(references) != 1:
            raise DeconvError(
                f"single_reference is set, but {len(references)} references arrived; name exactly one file."
            )
        pairs = tuple((candidate, references[0]) for candidate in candidates)
        return Pairing(pairs, (), () if pairs else tuple(references), ())

    by_stem: dict[str, list[Path]] = defaultdict(list)
    for reference in references:
        by_stem[_stem(reference)].append(reference)
    pairs, unmatched, ambiguous, touched = [], [], [], set()
    for candidate in candidates:
        fitting = _fitting(_stem(candidate), by_stem)
        touched.update(fitting)
        if len(fitting) == 1:
            pairs.append((candidate, fitting[0]))
        elif fitting:
            ambiguous.append((candidate, tuple(fitting)))
        else:
            unmatched.append(candidate)
    left_over = tuple(reference for reference in references if reference not in touched)
    return Pairing(tuple(pairs), tuple(unmatched), left_over, tuple(ambiguous))


def _fitting(stem: str, by_stem: dict[str, list[Path]]) -> list[Path]:
    """The references of the longest stem that fits; several when they share that stem."""
    if not stem:
        return []
    if stem in by_stem:
        return by_stem[stem]
    # From the longest possible beginning to the shortest, so that a_b_c belongs to a_b rather than to a.
    for end in range(len(stem) - 1, 0, -1):
        if _is_separator(stem[end]) and stem[:end] in by_stem:
            return by_stem[stem[:end]]
    return []


def _stem(path: Path) -> str:
    # Composed and case-folded, as file systems differ in both: one name must not look like two.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", PurePath(path).stem).casefold())


def _is_separator(letter: str) -> bool:
    # A combining mark belongs to the letter before it.
    return not letter.isalnum() and not unicodedata.combining(letter)
