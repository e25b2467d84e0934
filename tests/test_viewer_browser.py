"""The picture viewer in a real browser: what it draws, what it keeps, what it says."""

import re

import pytest
from conftest import running_dashboard

pytestmark = pytest.mark.browser

# Known pictures, 60 x 40: A is one colour; the right half of B differs by (10, 20, 0). The map runs from black to
# white. "Next" shows others of the same size: A is green, B blue.
_SCRIPT = """
import io
import numpy as np
import streamlit as st
from PIL import Image
from pages.ui.viewer import Legend, Shot, viewer

def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()

st.set_page_config(layout="wide")
turn = st.session_state.setdefault("turn", 0)
if st.button("Next"):
    turn = st.session_state["turn"] = turn + 1
a = np.zeros((40, 60, 3)) + [100, 50, 200]
b = a.copy()
b[:, 30:] = [90, 70, 200]
if turn:
    a[:], b[:] = [0, 200, 0], [0, 0, 200]
ramp = np.zeros((40, 60, 3)) + (np.arange(60) / 59 * 255).round()[None, :, None]
viewer(
    [
        Shot("a", "Reference", png(a), caption="As <b>sent</b>."),
        Shot("b", "Image to judge", png(b)),
        Shot("map", "Error map", png(ramp), legend=Legend(0, 2, "dB", ["#000000", "#ffffff"])),
    ],
    key="pictures",
)
st.text(f"Turn {turn}")
st.html("<div style='height: 1500px'></div>")
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    script = folder / "pictures.py"
    script.write_text(_SCRIPT, encoding="utf-8")
    with running_dashboard(script, folder) as address:
        yield address


@pytest.fixture
def page(address, open_page):
    return _ready(open_page(address))


def _ready(page):
    from playwright.sync_api import expect

    expect(page.locator(".tag").first).to_be_visible()
    return page


def _mode(page, name):
    page.get_by_role("group", name="Way to compare").get_by_role("button", name=name).click()


def _spot(page, across, down):
    """A place of the stage, in parts of its width and height, as mouse coordinates."""
    box = page.locator(".stage").bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def _colour(page, across, down):
    """The colour drawn at a place of the stage."""
    return page.locator("canvas").evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data]",
        [across, down],
    )[:3]


def _expect_colour(page, across, down, colour):
    page.wait_for_function(
        """([root, x, y, colour]) => {
            const canvas = root.querySelector('canvas');
            const drawn = canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data;
            return colour.every((value, c) => drawn[c] === value);
        }""",
        arg=[page.locator(".viewer").element_handle(), across, down, colour],
        timeout=10_000,
    )


def _zoom(page):
    return page.locator(".zoom").inner_text()


def test_slider_shows_a_left_and_b_right_of_the_divider(page):
    _expect_colour(page, 0.49, 0.5, [100, 50, 200])
    _expect_colour(page, 0.51, 0.5, [90, 70, 200])
    page.mouse.move(*_spot(page, 0.5, 0.5))
    page.mouse.down()
    page.mouse.move(*_spot(page, 0.6, 0.5), steps=4)
    page.mouse.up()
    _expect_colour(page, 0.59, 0.5, [100, 50, 200])
    _expect_colour(page, 0.61, 0.5, [90, 70, 200])


def test_divider_follows_the_arrow_keys(page):
    from playwright.sync_api import expect

    divider = page.get_by_role("slider", name="Divider between A and B")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    divider.focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "62")
    page.keyboard.press("Home")
    expect(divider).to_have_attribute("aria-valuenow", "0")
    _expect_colour(page, 0.51, 0.5, [90, 70, 200])


def test_difference_is_the_absolute_one_times_the_gain(page):
    from playwright.sync_api import expect

    _mode(page, "Difference")
    _expect_colour(page, 0.4, 0.5, [0, 0, 0])
    _expect_colour(page, 0.6, 0.5, [10, 20, 0])
    page.get_by_role("button", name="×8").click()
    _expect_colour(page, 0.6, 0.5, [80, 160, 0])
    expect(page.locator(".note")).to_contain_text("times 8; 32 and more is drawn as 255. Largest 20, mean 5 of 255.")


def test_pointing_reads_place_and_values_of_both_pictures(page):
    from playwright.sync_api import expect

    page.mouse.move(*_spot(page, 0.6, 0.5))
    expect(page.locator(".readout")).to_have_text(re.compile(r"^x 3[0-9], y 20A100 50 200B90 70 200$"))


def test_pointing_at_a_map_reads_the_value_its_colour_stands_for(page):
    from playwright.sync_api import expect

    page.get_by_label("Picture B").select_option(label="Error map")
    expect(page.locator(".legend")).to_have_text("Error map02 dB")
    page.mouse.move(*_spot(page, 0.5, 0.5))
    expect(page.locator(".readout")).to_contain_text(re.compile(r"Babout (0\.9[89]\d*|1|1\.0[0-3]) dB"))


def test_zoom_place_mode_and_choice_outlive_new_pictures(page):
    from playwright.sync_api import expect

    page.get_by_role("button", name="Swap A and B").click()
    _mode(page, "Side by side")
    _expect_colour(page, 0.7, 0.5, [100, 50, 200])
    whole = _zoom(page)
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".zoom")).not_to_have_text(whole)
    zoom = _zoom(page)
    page.mouse.move(*_spot(page, 0.25, 0.5))
    expect(page.locator(".readout")).to_have_text(re.compile("^x "))
    place = page.locator(".readout .position").inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Turn 1")).to_be_visible()
    _expect_colour(page, 0.25, 0.5, [0, 0, 200])
    _expect_colour(page, 0.75, 0.5, [0, 200, 0])
    assert _zoom(page) == zoom
    page.mouse.move(*_spot(page, 0.25, 0.5))
    expect(page.locator(".readout .position")).to_have_text(place)
    expect(page.get_by_role("button", name="Side by side")).to_have_attribute("aria-pressed", "true")


def test_new_pictures_never_leave_the_stage_blank(page):
    """Every frame painted while the pictures change holds a picture."""
    _expect_colour(page, 0.49, 0.5, [100, 50, 200])
    page.locator(".viewer").evaluate(
        """(root) => {
            const canvas = root.querySelector('canvas');
            window.blankFrames = 0;
            window.frames_ = 0;
            const look = () => {
                const alpha = canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[3];
                window.frames_ += 1;
                if (!canvas.isConnected || alpha !== 255) window.blankFrames += 1;
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    page.get_by_role("button", name="Next").click()
    _expect_colour(page, 0.49, 0.5, [0, 200, 0])
    assert page.evaluate("window.frames_") > 2
    assert page.evaluate("window.blankFrames") == 0


def test_panes_zoom_together_about_the_pointer(page):
    from playwright.sync_api import expect

    _mode(page, "Side by side")
    whole = _zoom(page)
    page.mouse.move(*_spot(page, 0.2, 0.33))
    place = page.locator(".readout .position").inner_text()
    page.mouse.wheel(0, -400)
    expect(page.locator(".zoom")).not_to_have_text(whole)
    page.mouse.move(*_spot(page, 0.2001, 0.33))
    expect(page.locator(".readout .position")).to_have_text(place)
    page.mouse.dblclick(*_spot(page, 0.25, 0.5))
    expect(page.get_by_role("button", name="Fit", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="1:1").click()
    expect(page.locator(".zoom")).to_have_text("100 %")


def test_wheel_scrolls_the_page_when_there_is_nothing_to_zoom_out_of(page):
    page.mouse.move(*_spot(page, 0.25, 0.5))
    page.mouse.wheel(0, 300)
    page.wait_for_function("() => [...document.querySelectorAll('*')].some((element) => element.scrollTop > 50)")


def test_flicker_shows_both_pictures_in_turn_and_can_be_paused(page):
    from playwright.sync_api import expect

    _mode(page, "Flicker")
    for colour in ([90, 70, 200], [100, 50, 200], [90, 70, 200]):
        _expect_colour(page, 0.6, 0.5, colour)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    shown = _colour(page, 0.6, 0.5)
    page.wait_for_timeout(1200)  # more than two changes at the rate it starts with
    assert _colour(page, 0.6, 0.5) == shown


def test_flicker_waits_for_a_click_where_motion_is_unwelcome(address, open_page):
    from playwright.sync_api import expect

    page = _ready(open_page(address, reduced_motion="reduce"))
    _mode(page, "Flicker")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_small_pictures_are_drawn_as_squares(page):
    """Above two screen pixels per picture pixel nothing is smoothed: the border between the colours is sharp."""
    page.get_by_role("slider", name="Divider between A and B").focus()
    page.keyboard.press("Home")
    _expect_colour(page, 0.6, 0.5, [90, 70, 200])
    row = page.locator("canvas").evaluate(
        """(canvas) => {
            const data = canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width, 1).data;
            const colours = new Set();
            for (let i = 0; i < data.length; i += 4) if (data[i + 3]) colours.add(data.slice(i, i + 3).join(' '));
            return [...colours].sort();
        }"""
    )
    assert row == ["100 50 200", "90 70 200"]


def test_texts_are_shown_as_they_are(page):
    from playwright.sync_api import expect

    expect(page.locator(".captions")).to_have_text("Reference As <b>sent</b>.")
    expect(page.locator(".captions b")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 390, 2560])
def test_viewer_fits_any_width(address, open_page, width):
    page = _ready(open_page(address, viewport={"width": width, "height": 844}))
    for mode in ("Slider", "Side by side", "Flicker", "Difference"):
        _mode(page, mode)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".viewer").evaluate("(root) => [root.scrollWidth, root.clientWidth]")
        assert box[0] <= box[1], mode


def test_fingers_pinch_and_scroll(address, open_page):
    from playwright.sync_api import expect

    page = _ready(open_page(address, viewport={"width": 390, "height": 844}, has_touch=True))
    stage = page.locator(".stage")
    expect(stage).to_have_css("touch-action", "pan-y")  # shown whole: an upward stroke scrolls the page
    before = _zoom(page)
    stage.scroll_into_view_if_needed()
    x, y = _spot(page, 0.5, 0.7)
    hand = page.context.new_cdp_session(page)

    def touch(kind, apart):
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}] if apart else []
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 20)
    for apart in (30, 40, 60):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    expect(page.locator(".zoom")).not_to_have_text(before)
    expect(stage).to_have_css("touch-action", "none")
