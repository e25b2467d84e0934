"""Pairing by name: every candidate is accounted for, and none is given a reference that its name does not state."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconv_core.errors import DeconvError
from deconv_core.pairing import pair_files


def _names(pairing):
    return {candidate.name: reference.name for candidate, reference in pairing.pairs}


@pytest.mark.parametrize(
    ("candidate", "reference"),
    [
        ("a.png", "a.bmp"),
        ("i01_08_3.bmp", "I01.BMP"),
        ("kodim01_blur.png", "kodim01.png"),
        ("img1-jpeg.jpg", "img1.png"),
        ("img1.q10.jpg", "img1.png"),
        ("photo (2).png", "photo.png"),
        ("STRASSE~x.png", "straße.png"),
        ("cafe\u0301_1.png", "caf\u00e9.png"),
    ],
)
def test_names_that_belong_together(candidate, reference):
    pairing = pair_files([f"out/{candidate}"], [f"true/{reference}", "true/other.png"])
    assert _names(pairing) == {candidate: reference}
    assert [path.name for path in pairing.unmatched_references] == ["other.png"]


@pytest.mark.parametrize(
    ("candidate", "reference"),
    [
        ("img10.png", "img1.png"),
        ("img1.png", "img10.png"),
        ("img1a.png", "img1.png"),
        ("blur_img1.png", "img1.png"),
        ("cafe\u0301.png", "cafe.png"),
        ("q\u0301_x.png", "q.png"),  # no composed form exists: the accent is still part of the letter
        ("x.png", "y.png"),
    ],
)
def test_names_that_do_not_belong_together(candidate, reference):
    pairing = pair_files([candidate], [reference])
    assert pairing.pairs == ()
    assert pairing.unmatched_candidates == (Path(candidate),)
    assert pairing.unmatched_references == (Path(reference),)


def test_longest_stem_wins():
    pairing = pair_files(["a_b_c.png", "a_c.png", "a_b.png"], ["a.png", "a_b.png"])
    assert _names(pairing) == {"a_b_c.png": "a_b.png", "a_c.png": "a.png", "a_b.png": "a_b.png"}


@pytest.mark.parametrize(
    "references", [["a.png", "a.bmp"], ["x/a.png", "y/a.png"], ["a.png", "A.png"], ["long/a.png", "a.tif"]]
)
def test_equal_stems_are_ambiguous_and_never_paired(references):
    pairing = pair_files(["a.png", "a_blur.png", "b.png"], [*references, "b.png", "c.png"])
    assert _names(pairing) == {"b.png": "b.png"}
    assert [candidate.name for candidate, _ in pairing.ambiguous] == ["a.png", "a_blur.png"]
    assert all(options == tuple(map(Path, references)) for _, options in pairing.ambiguous)
    assert pairing.unmatched_references == (Path("c.png"),)


def test_an_ambiguous_longer_stem_does_not_fall_back_to_a_shorter_one():
    pairing = pair_files(["a_b_1.png"], ["a.png", "a_b.png", "a_b.bmp"])
    assert pairing.pairs == ()
    assert len(pairing.ambiguous) == 1


def test_one_path_given_twice_is_one_reference():
    assert _names(pair_files(["a_1.png", "a_1.png"], ["a.png", Path("a.png")])) == {"a_1.png": "a.png"}


def test_single_reference_serves_all_only_on_request():
    files = ["x.png", "y.png"]
    assert _names(pair_files(files, ["a.png"], single_reference=True)) == {"x.png": "a.png", "y.png": "a.png"}
    assert pair_files(files, ["a.png"]).pairs == ()
    with pytest.raises(DeconvError, match="2 references arrived; name exactly one"):
        pair_files(files, ["a.png", "b.png"], single_reference=True)


def test_nothing_pairs_with_nothing():
    pairing = pair_files([], [])
    assert (pairing.pairs, pairing.unmatched_candidates, pairing.unmatched_references, pairing.ambiguous) == ((),) * 4


STEMS = st.text(alphabet="aAbB1 0_-.éß", min_size=1, max_size=6).map(lambda stem: f"{stem}.png")


@given(st.lists(STEMS, max_size=8), st.lists(STEMS, max_size=8))
def test_every_candidate_is_accounted_for_once(candidates, references):
    pairing = pair_files(candidates, references)
    seen = [candidate for candidate, _ in pairing.pairs]
    seen += [candidate for candidate, _ in pairing.ambiguous]
    seen += pairing.unmatched_candidates
    assert sorted(seen) == sorted({Path(name) for name in candidates})
    named = {reference for _, reference in pairing.pairs}
    named |= {reference for _, options in pairing.ambiguous for reference in options}
    assert named.isdisjoint(pairing.unmatched_references)
    assert named | set(pairing.unmatched_references) == {Path(name) for name in references}


@given(st.lists(STEMS, max_size=8), st.lists(STEMS, max_size=8))
def test_a_pair_is_stated_by_the_names(candidates, references):
    for candidate, reference in pair_files(candidates, references).pairs:
        whole, start = candidate.stem.casefold(), reference.stem.casefold()
        assert whole.startswith(start)
        assert whole == start or not whole[len(start)].isalnum()


@given(st.lists(STEMS, max_size=8), st.lists(STEMS, max_size=8), st.randoms(use_true_random=False))
def test_order_does_not_matter(candidates, references, random):
    before = pair_files(candidates, references)
    random.shuffle(candidates)
    random.shuffle(references)
    after = pair_files(candidates, references)
    assert set(before.pairs) == set(after.pairs)
    assert set(before.unmatched_candidates) == set(after.unmatched_candidates)
    assert {candidate for candidate, _ in before.ambiguous} == {candidate for candidate, _ in after.ambiguous}


@given(st.integers(0, 999), st.integers(0, 999))
def test_numbers_are_never_taken_for_their_beginning(first, second):
    pairs = pair_files([f"img{first}.png", f"img{first}_blur.png"], [f"img{second}.png"]).pairs
    assert len(pairs) == (2 if first == second else 0)
