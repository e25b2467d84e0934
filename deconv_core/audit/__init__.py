"""Audits: which pictures of a data set are bad, by which check, and with what evidence.

`checks` is the table of checks, `measure` what is measured on one picture, `model` what a model says of it, `whole`
what needs the whole set. `run` is the audit itself: `portions` and `cluster` bring pictures to the workers, `parts` and
`cache` keep their rows, `outcome` makes table and summary of them. `table` and `rows` are the way to its results,
`review` what people decide, `earlier` what they decided before, `risk` one rank from all checks, `drift` the comparison
of two audits; `export`, `moving` and `report` are what leaves, `thumbnails` the pictures themselves once more.
"""
