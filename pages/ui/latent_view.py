"""The map of a set of pictures by their codes: click for the picture, lasso for a table."""

from __future__ import annotations

import streamlit as st

from deconv_core.figures import latent_figure, plot_config
from deconv_core.models.latent import MAX_POINTS
from deconv_core.scoring import DEFAULT_MODEL
from deconv_core.tables import csv_bytes
from pages.ui import cached
from pages.ui.inputs import choose_model, plain
from pages.ui.thumbnails import Tile, thumbnails
from pages.ui.training_data import choose_source

_PER_PAGE = 60


def show_latent_map(name: str) -> None:
    """Choose a model and a set, then look at the map."""
    state = st.session_state
    card = choose_model(
        f"{name}_latent", cached.cards(), DEFAULT_MODEL, label="Model", help="Its encoder describes the pictures."
    )
    source = choose_source(f"{name}_latent", label="Pictures to lay out")
    if card is None or source is None:
        return
    asked = (card["name"], card["digest"], source.place)
    if state.get(f"{name}_latent_asked") != asked:
        if not st.button("Draw the map", type="primary", key=f"{name}_latent_go", icon=":material/scatter_plot:"):
            st.caption(f"At most {MAX_POINTS:,} pictures are encoded, each reduced to 128 × 128 pixels.")
            return
        state[f"{name}_latent_asked"] = asked
        state[f"{name}_latent_rows"] = []
    made = cached.latent_map(*asked, source.roots)
    frame = made.frame
    key = f"{name}_latent_map"

    def take() -> None:
        points = state[key]["selection"]["points"]
        rows = [point["customdata"][0] for point in points if point.get("customdata")]
        state[f"{name}_latent_rows"] = [int(row) for row in rows if 0 <= int(row) < len(frame)]
        state[f"{name}_latent_shown"] = _PER_PAGE

    left, right = st.columns([3, 2], gap="large")
    with left:
        st.plotly_chart(
            latent_figure(frame, made.shares),
            config={**plot_config("latent_map"), "modeBarButtonsToRemove": ["select2d"]},
            key=key,
            on_select=take,
            selection_mode=("points", "lasso", "box"),
            alt="One point for each picture; pictures that the encoder describes alike lie close together",
        )
        notes = [
            "Pictures that the encoder describes alike lie close together: a code is summed up by the mean and the "
            "deviation of its channels, and drawn along the two directions in which the set varies most.",
            f"{made.shares[0] + made.shares[1]:.0%} of what varies is in this plane; the rest cannot be seen here.",
            f"{len(made.broken)} files could not be read ({made.broken[0][1]})" if made.broken else "",
            f"Only the first {MAX_POINTS:,} pictures are shown." if made.left_out else "",
        ]
        st.caption(plain(" ".join(filter(None, notes))))
    with right:
        rows = [row for row in state.get(f"{name}_latent_rows", ()) if row < len(frame)]
        if not rows:
            st.caption("Click a point, or draw around several, to see the pictures.")
            return
        chosen = frame.iloc[rows]
        shown = chosen.iloc[: state.get(f"{name}_latent_shown", _PER_PAGE)]
        st.markdown(f"**{len(chosen):,} chosen**")
        thumbnails(
            [Tile(str(row), made.thumbnails.get(image), label=image[-28:], hint=image) for row, image in
             shown["image"].items()],
            key=f"{name}_latent_tiles", on_press=lambda pressed: None, side=76,
        )  # fmt: skip
        if len(shown) < len(chosen) and st.button("More", key=f"{name}_latent_more", type="tertiary"):
            state[f"{name}_latent_shown"] = state.get(f"{name}_latent_shown", _PER_PAGE) + _PER_PAGE
            st.rerun()
        with st.expander("As a table"):
            st.dataframe(
                chosen, hide_index=True, height=260,
                column_config={
                    "image": "Picture",
                    "x": st.column_config.NumberColumn("First direction (deviations)", format="%.2f"),
                    "y": st.column_config.NumberColumn("Second direction (deviations)", format="%.2f"),
                },
            )  # fmt: skip
            st.download_button(
                "Download CSV", csv_bytes(chosen), "latent_map.csv", "text/csv", key=f"{name}_latent_csv",
                icon=":material/download:",
            )  # fmt: skip
