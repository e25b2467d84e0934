"""What the sorter does with what the browser tells: every decision once, in order, and nothing else."""

import json

from streamlit.testing.v1 import AppTest

from pages.ui.sorter import _apply

VALUES = {"keep", "drop"}


class Desk:
    """Decisions as they come, with an undo."""

    def __init__(self):
        self.kept = {"queue": "all", "place": 0, "applied": 0}
        self.done = []

    def tell(self, place, *events, queue="all"):
        told = {"queue": queue, "place": place, "events": list(events)}
        _apply(told, self.kept, ["a", "b", "c"], VALUES, lambda *what: self.done.append(what), self._undo)

    def _undo(self):
        return self.done.pop()[0] if self.done else None


def decide(number, image, value):
    return {"act": "decide", "number": number, "image": image, "value": value}


def test_a_decision_that_is_told_twice_counts_once():
    desk = Desk()
    desk.tell(1, decide(1, "a", "keep"))
    desk.tell(2, decide(1, "a", "keep"), decide(2, "b", "drop"))
    assert desk.done == [("a", "keep"), ("b", "drop")]
    assert desk.kept == {"queue": "all", "place": 2, "applied": 2}


def test_undo_goes_back_to_the_picture_whose_decision_it_took_back():
    desk = Desk()
    desk.tell(2, decide(1, "a", "keep"), decide(2, "b", "drop"))
    desk.tell(2, {"act": "undo", "number": 3})
    assert desk.done == [("a", "keep")]
    assert desk.kept["place"] == 1
    desk.tell(2, {"act": "undo", "number": 3}, decide(4, "b", "keep"))
    assert desk.done == [("a", "keep"), ("b", "keep")]
    assert desk.kept["place"] == 2


def test_undo_with_nothing_to_take_back_stays_where_it_is():
    desk = Desk()
    desk.tell(1, {"act": "go", "number": 1})
    desk.tell(1, {"act": "undo", "number": 2})
    assert desk.kept["place"] == 1


def test_what_makes_no_sense_is_passed_over():
    desk = Desk()
    for told in (None, 3, {"queue": "all"}, {"queue": "all", "events": [3, {"number": "1"}, None]}):
        _apply(told, desk.kept, ["a"], VALUES, lambda *what: desk.done.append(what), lambda: None)
    desk.tell(99, decide(1, "../secret", "keep"), decide(2, "a", "<b>"), decide(3, ["a"], "keep"))
    desk.tell(0, decide(9, "a", "keep"), queue="another")
    assert desk.done == []
    assert desk.kept == {"queue": "all", "place": 3, "applied": 3}


def _page():
    import streamlit as st

    from pages.ui.sorter import Card, Choice, sorter

    queue = [f"{number}.png" for number in range(100)]
    place = sorter(
        queue, lambda name: Card(None, name, ["<b>fact</b>"]), [Choice("keep", "Keep", "k", "Kept")], key="desk",
        queue_name=st.session_state.get("queue", "first"), decide=lambda *_: None, undo=lambda: None,
    )  # fmt: skip
    st.text(place)


def sent(app):
    assert not app.exception
    return json.loads(app.get("bidi_component")[0].proto.json)


def test_only_the_pictures_around_the_place_are_sent():
    app = AppTest.from_function(_page, default_timeout=60).run()
    assert [card["place"] for card in sent(app)["cards"]] == list(range(11))
    app.session_state["desk_at"] = {"queue": "first", "place": 50, "applied": 7}
    app.run()
    assert [card["place"] for card in sent(app)["cards"]] == list(range(48, 61))
    assert (sent(app)["total"], sent(app)["applied"]) == (100, 7)
    assert sent(app)["cards"][0]["facts"] == ["<b>fact</b>"]


def test_another_queue_begins_at_its_first_picture():
    app = AppTest.from_function(_page, default_timeout=60).run()
    app.session_state["desk_at"] = {"queue": "first", "place": 50, "applied": 7}
    app.session_state["queue"] = "second"
    app.run()
    assert (sent(app)["place"], sent(app)["applied"]) == (0, 7)
    assert app.text[0].value == "0"
