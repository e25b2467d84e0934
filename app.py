"""Overview: what is measured, what is here, where to go next."""

from pages.ui.frame import PRODUCT, frame

frame(PRODUCT, "How good is a picture, and what was lost? Answered by taking it apart and putting it together again.")
