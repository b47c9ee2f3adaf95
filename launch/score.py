"""Score features of any size: which rows are worth labelling?

python -m launch.score --features=PATH --output=FILE                     (PATH: .npy, .parquet or a folder of either)
python -m launch.score --features=PATH --groups=GROUPS.csv --output=FILE    (whole patients or slides left out)
python -m launch.score --features=NEW.npy --against=SUMMARY --output=FILE  (new images, against a corpus' saved summary)
"""

import sys

from absl import flags

from .command import choose_device, run

_FEATURES = flags.DEFINE_string("features", None, "An .npy or .parquet file [N, D], or a folder of either.")
_OUTPUT = flags.DEFINE_string("output", None, "The table to write, CSV or Parquet by its ending.")
_CENTER = flags.DEFINE_bool("center", False, "Examine the features less their mean.")
_SAVE_SUMMARY = flags.DEFINE_string(
    "save_summary",
    None,
    "Write the corpus' summary here (.npz); with --against, of that corpus and the new rows together.",
)
_AGAINST = flags.DEFINE_string(
    "against",
    None,
    "A corpus' summary: score the rows by what each would add to it, without reading that corpus again.",
)
_NAMES = flags.DEFINE_string(
    "names",
    None,
    "A .csv or .txt file of image names; F.names.csv or names.csv (.txt) beside the features if not given.",
)
_IMAGE_COLUMN = flags.DEFINE_string("image_column", "image", "The header of the names' column.")
_GROUPS = flags.DEFINE_string(
    "groups",
    None,
    "A .csv file with the group (patient, slide) of each image or index: whole groups are left out, one row a group.",
)
_GROUP_COLUMN = flags.DEFINE_string("group_column", "group", "The header of the groups' column.")


def main() -> None:
    run(_job, "examine-score")


def _job() -> None:
    features, output = _FEATURES.value, _OUTPUT.value
    if not features or not output:
        raise ValueError("--features=PATH and --output=FILE are both needed (see --help)")
    choose_device()
    from examine_jax.jobs.score import ScoreSettings, score_features

    settings = ScoreSettings(
        features=features,
        output=output,
        center=_CENTER.value,
        against=_AGAINST.value,
        save_summary=_SAVE_SUMMARY.value,
        names=_NAMES.value,
        image_column=_IMAGE_COLUMN.value,
        groups=_GROUPS.value,
        group_column=_GROUP_COLUMN.value,
    )
    found = score_features(settings)
    print(f"{len(found.gap)} scored; sigma = {float(found.singular_value):.6g}; see {output}", file=sys.stderr)


if __name__ == "__main__":
    main()
