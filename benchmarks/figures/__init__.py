"""Write figures into README.md and docs/: the measured ones from the records in benchmarks/results.

    python -m benchmarks.figures            # fails if a page differs from the records
    python -m benchmarks.figures --write    # writes the pages anew

A page holds a table between `<!-- table: NAME -->` and `<!-- /table -->`, and a figure within a
sentence between `<!-- figure: NAME -->` and `<!-- /figure -->`. A new table or figure is one
function in the file of its subject and its entry in TABLES or FIGURES there. Nothing is rounded or
copied by hand.
"""

from benchmarks.figures.cells import ROOT
from benchmarks.figures.pages import FIGURES, TABLES, filled, pages

__all__ = ["FIGURES", "ROOT", "TABLES", "filled", "pages"]
