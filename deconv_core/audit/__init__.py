"""Audits: which pictures of a data set are bad, by which check, and with what evidence.

`checks` is the table of checks, `measure` what is measured on one picture, `whole` what needs the whole set, `run` the
audit itself, `table` the way to its results, `review` what people decide, `risk` one rank from all checks, `drift`
the comparison of two audits, `export` what leaves, `thumbnails` the pictures themselves once more.
"""
