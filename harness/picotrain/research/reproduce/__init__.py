"""The experiments of the PRIOT paper and ours: one command from grids to `docs/results.md`.

`steps` runs them, `results` reads what came out, `page` and `figures` show it. Every number on the
page is computed from the results files; a sentence that claims an order names its condition, and a
page whose conditions do not hold is not written.
"""
