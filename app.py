"""Overview: what is measured, what is here, where to go next."""

import streamlit as st

from pages.ui import cached
from pages.ui.example import FOLDER, PICTURES, read_example
from pages.ui.frame import PRODUCT, frame
from pages.ui.scores import HEADLINE, plain_score

frame(PRODUCT, "How good is a picture, and what was lost? Answered by taking it apart and putting it together again.")
st.markdown(
    "A network encodes the picture by convolution and pooling, and recovers it from this short code by deconvolution. "
    "What comes back is compared with the true picture, beside the familiar measures PSNR and SSIM, on photographs of "
    "your own and without sending them anywhere. Every score stands next to its control, the same comparison "
    "without a network, so you can see what the network adds."
)
with st.container(horizontal=True):
    if st.button("Score images", type="primary", icon=":material/compare:", key="overview_start"):
        st.switch_page("pages/score_images.py")
    if st.button("Show me in three minutes", icon=":material/slideshow:", key="overview_story"):
        st.switch_page("pages/tell_story.py")

st.subheader("An example", anchor=False)
example = read_example()
st.markdown(f"{example['done']}. {' '.join(example['words'])}")
with st.container(horizontal=True, gap="medium"):
    for name, label in PICTURES.items():
        with st.container(width=215):
            st.image(FOLDER / f"{name}.webp", caption=label, width="stretch", alt=label)
with st.container(horizontal=True, gap="large"):
    for key in ("deconv", "deconv_control", "psnr", "ssim"):
        st.metric(HEADLINE[key], plain_score(key, example["scores"][key]), width="content")
st.caption(
    "Higher is better for all four; the first two run from 0 to 100. The map is black where no edge changed. Computed "
    "beforehand with the bundled models."
)
if st.button("Open this example and change it", icon=":material/tune:", key="overview_example"):
    st.session_state.pop("score_link_read", None)
    st.switch_page("pages/score_images.py", query_params=example["query"])
cached.warm_up()
