"""Audit data set: thousands of pictures in, the bad ones out, each with the evidence for it."""

import streamlit as st

from deconv_core.errors import DeconvError
from pages.ui.audit_plan import plan
from pages.ui.audit_views import show_audit
from pages.ui.frame import frame
from pages.ui.inputs import plain
from pages.ui.job_panel import job_in_address, list_runs, offer_leaving

NAME = "audit_dataset"

frame(
    "Audit data set",
    "Point at a data set, whether ten pictures or a hundred thousand, and get the bad ones out: each with the evidence "
    "for it, a report to send and lists to act on.",
)
offer_leaving(NAME, "All audits, and a new one")
try:
    folder = job_in_address("audit")
    if folder is None:
        plan(NAME)
    else:
        show_audit(NAME, folder)
except DeconvError as error:
    st.error(plain(error))
list_runs(NAME, "audit")
