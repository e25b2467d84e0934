"""What is found out about a finished model: the quick look marked as such, the full check as a process of its own."""

import json
import os
import signal
import time

import pytest

from deconv_core.errors import JobError, ModelError
from deconv_core.model_checks import (
    QUICK_KEYS,
    check_state,
    full_check_command,
    is_fully_checked,
    quick_look,
    start_full_check,
)
from deconv_core.models.saving import read_card, save_model

CARD = {
    "label": "Small", "architecture": "article", "arguments": {"filters": 2}, "objective": "reconstruct", "channels": 1,
    "stride": 2, "code_channels": 2, "code_layer": "code", "trained_on": "Drawn digits, 10,000 pictures", "laws": {},
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    from deconv_core.models import architecture

    save_model(architecture("article").build(filters=2), tmp_path / "small.keras", CARD)
    return tmp_path / "small.keras"


def test_a_quick_look_stands_on_the_card_and_says_that_it_was_one(file):
    assert not is_fully_checked(read_card(file))
    card = quick_look(file)
    assert card == read_card(file)
    assert card["capacity"]["pictures"] == 20
    assert tuple(card["laws"]) == QUICK_KEYS
    assert all(found["quick"] == {"photographs": 3, "steps": 6, "side": 28} for found in card["laws"].values())
    assert card["laws"]["recon_true_psnr"]["passed"] is False  # an untrained network rebuilds nothing exactly
    assert not is_fully_checked(card)


def test_a_quick_look_leaves_the_laws_of_a_full_check_alone(file):
    from deconv_core.models.saving import update_card

    update_card(file, laws={"recon_pair_psnr": {"passed": True, "failed": [], "laws": {}}})
    card = quick_look(file)
    assert list(card["laws"]) == ["recon_pair_psnr"]
    assert is_fully_checked(card)
    assert "capacity" in card


def test_the_full_check_is_the_command_for_measuring(file):
    words = full_check_command(file)
    assert words[:5] == ["-m", "deconv_core", "models", "measure", str(file)]
    assert words[words.index("--data") + 1] == "digits"


def test_a_full_check_that_runs_is_not_started_twice(file, monkeypatch):
    monkeypatch.setattr(
        "deconv_core.model_checks.full_check_command", lambda path: ["-c", "import time; time.sleep(60)"]
    )
    start_full_check(file)
    state = check_state(file)
    assert state.running
    assert not state.done
    with pytest.raises(JobError, match="being checked already"):
        start_full_check(file)
    number = json.loads(file.with_name(".small.check").read_text())["id"]
    os.kill(number, signal.SIGKILL)
    end = time.monotonic() + 20
    while check_state(file).running and time.monotonic() < end:
        time.sleep(0.05)
    assert not check_state(file).running


def test_a_check_that_fails_tells_its_last_line(file, monkeypatch):
    monkeypatch.setattr(
        "deconv_core.model_checks.full_check_command", lambda path: ["-c", "raise SystemExit('no luck')"]
    )
    start_full_check(file)
    end = time.monotonic() + 20
    while check_state(file).running and time.monotonic() < end:
        time.sleep(0.05)
    assert check_state(file).last_line == "no luck"


def test_damaged_marks_are_passed_over(file):
    file.with_name(".small.check").write_text("{")
    assert not check_state(file).running
    with pytest.raises(ModelError):
        check_state(file.with_name("missing.keras"))


@pytest.mark.slow
def test_a_full_check_puts_measures_and_laws_on_the_card(file):
    quick_look(file)
    start_full_check(file)
    end = time.monotonic() + 400
    while check_state(file).running and time.monotonic() < end:
        time.sleep(0.5)
    state = check_state(file)
    card = read_card(file)
    assert state.done, state.last_line
    assert card["measures"]["digits"]["reconstruct_psnr"] > 0
    assert len(card["laws"]["recon_pair_psnr"]["laws"]) == 9
    assert "capacity" in card
