"""The studies by name. For a new study, add a folder with a function `run`, and a line here."""

STUDIES = {
    "examine": "the EXAMINE paper: scores under noise, and choosing data by their values",
    "byol_tracin": "BYOL with an extra positive chosen by influence, compared with other methods",
    "budget": "what K labels buy, by the way the K images are chosen; with artefacts too",
    "detection": "how many boxes pre-training on unlabelled images spares, with several readers",
    "low_resource": "DCL, SimCLR, SimSiam and VICReg on small labelled sets",
    "transfer": "an encoder from elsewhere, frozen or adapted, against training from scratch",
}
"""The name of each study's package, and the experiments that it repeats."""
