"""Values rows of features, or images: the worth of each for a classifier, or without labels.

python -m launch.value --features=F.npy --labels=L.csv --workdir=OUT
python -m launch.value --features=F.npy --labels=L.npy --workdir=OUT \\
    --validation_features=V.npy --validation_labels=W.npy
python -m launch.value --images=DIR --encoder=FOLDER --labels=L.csv --workdir=OUT
"""

import sys

from absl.flags import FlagValues

from .command import run
from .device import choose_device
from .flags import define, read, refuse_without_effect

_FLAG_NAMES = {"allow_shared_groups": "force", "allow_long": "yes"}


def main() -> None:
    run("examine-value", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.jobs.headers import PrivacySettings
    from examine_jax.jobs.value.value import ValueFiles
    from examine_jax.valuation import LogisticRegression, ValueSettings

    define(values, ValueFiles)
    define(values, PrivacySettings)
    define(values, ValueSettings, names=_FLAG_NAMES)
    define(values, LogisticRegression)


def _job(values: FlagValues) -> None:
    from examine_jax.jobs.headers import PrivacySettings
    from examine_jax.jobs.value.value import ValueFiles, value_files
    from examine_jax.valuation import LogisticRegression, ValueSettings
    from examine_jax.valuation.registry import describe_valuers

    if "help" in (values["valuers"].value or ()):
        raise ValueError(describe_valuers())
    files = read(values, ValueFiles)
    device = choose_device(values, files.workdir)
    settings = read(values, ValueSettings, model=read(values, LogisticRegression))
    if files.features is not None:
        refuse_without_effect(
            values, ("id_key", "keep_ids", "anonymous_names"), "--features have no headers"
        )
    found = value_files(files, settings, privacy=read(values, PrivacySettings), device=device)
    for warning in found.values.warnings:
        print(f"note: {warning}", file=sys.stderr)
    if found.skipped:
        print(
            f"{len(found.skipped)} file(s) could not be read: see {files.workdir}/skipped.csv",
            file=sys.stderr,
        )
    valuations = found.values.valuations
    rows = len(next(iter(valuations.values())).values)
    print(f"{rows} rows valued by {len(valuations)} valuers; open {found.page}", file=sys.stderr)


if __name__ == "__main__":
    main()
