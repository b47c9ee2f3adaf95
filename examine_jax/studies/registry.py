"""The studies. A new one is a folder here, with a function `run`, and a line in this table."""

STUDIES = {
    "examine": "the EXAMINE paper: scores under noise, and choosing data by their values",
    "byol_tracin": "BYOL with an extra positive chosen by influence, and its rivals",
    "low_resource": "DCL, SimCLR, SimSiam and VICReg on small labelled sets",
}
"""Each study's package and what it repeats."""
