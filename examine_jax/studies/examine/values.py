"""One seed's features, their values by each valuer, and the curves of choosing by value."""

import dataclasses
import hashlib
import pathlib
from typing import Any, cast

import numpy as np

from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Float, Int
from examine_jax.evaluation.curves import CodedRows, Curve, CurveKind, valuation_curves
from examine_jax.labelled.labelled_rows import LabelledRows
from examine_jax.labelled.sets import LabelledImages
from examine_jax.studies.common import kept
from examine_jax.studies.examine.sets import ExamineSplit
from examine_jax.studies.examine.settings import ExperimentSettings
from examine_jax.valuation.side_by_side import ValueSettings, value_features
from examine_jax.valuation.utility import Utility


@dataclasses.dataclass(frozen=True, eq=False)
class SeedFeatures:
    """A seed's sets and their features.

    Attributes:
        images, split: all images, and the row numbers of each set.
        features: the main encoder's, by set ("assessed", "clean", "valued_on", "measured_on").
        folder: the folder of this seed.
        settings: the settings of the study.
        seed: the seed.
        allow_long: values images even if that takes more than a day by estimate.
        progress: shows the progress on stderr.
    """

    images: LabelledImages
    split: ExamineSplit
    features: dict[str, Float[np.ndarray, "_ d"]]
    folder: pathlib.Path
    settings: ExperimentSettings
    seed: int
    allow_long: bool
    progress: bool

    def coded(self, which: str) -> CodedRows:
        """Returns the features of a set with the true labels."""
        return CodedRows(self.features[which], self.images.labels[getattr(self.split, which)])

    def rows(self, which: str, labels: Int[np.ndarray, " n"]) -> LabelledRows:
        """Returns the features of a set with the given labels."""
        indices = getattr(self.split, which)
        groups = None if self.images.groups is None else self.images.groups[indices]
        names = tuple(self.images.names[i] for i in indices)
        return LabelledRows(self.features[which], labels, groups, names)


def valued_by(
    of_seed: SeedFeatures, name: str, labels: Int[np.ndarray, " n"], stage: str
) -> dict[str, Any]:
    """Values the assessed images with these labels by one valuer.

    Args:
        of_seed: the seed's features.
        name: the name of the valuer.
        labels: the labels of the assessed images, correct or not.
        stage: the name of the subfolder for the result.

    Returns:
        values, standard_error, seconds, diagnostics.

    Raises:
        ValueError: the valuer cannot use the rows, or would take more than a day.
    """
    settings, folder = of_seed.settings, of_seed.folder / stage
    options = ValueSettings(
        valuers=(name,),
        model=settings.model,
        metric=settings.metric,
        permutations=settings.permutations,
        allow_long=of_seed.allow_long,
        seed=of_seed.seed,
    )

    def compute() -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        with progress_bar(f"of {name}, seed {of_seed.seed} ({stage})", of_seed.progress) as report:
            values = value_features(
                of_seed.rows("assessed", labels),
                folder,
                options,
                validation=of_seed.rows("valued_on", of_seed.coded("valued_on").labels),
                on_progress=lambda _, done, total: report(done, total),
            )
        valuation = values.valuations[name]
        error = valuation.standard_error
        return {
            "values": valuation.values.tolist(),
            "standard_error": None if error is None else error.tolist(),
            "seconds": values.seconds[name],
            "diagnostics": valuation.diagnostics,
        }

    return kept.json(folder / f"{name}.json", compute)


def curves_of(
    of_seed: SeedFeatures, values: dict[str, Float[np.ndarray, " n"]]
) -> dict[CurveKind, dict[str, Curve]]:
    """Returns the curves of Fig. 3 for these values, measured on the set `measured_on`."""
    measured_on = of_seed.coded("measured_on")
    settings = of_seed.settings
    utility = Utility(measured_on.features, measured_on.labels, settings.model, settings.metric)

    def compute() -> dict[str, Any]:
        with progress_bar(f"curves, seed {of_seed.seed}", of_seed.progress) as report:
            curves = valuation_curves(
                utility,
                of_seed.coded("assessed"),
                of_seed.coded("clean"),
                values,
                settings.curves,
                seed=of_seed.seed,
                on_progress=report,
            )
        return {
            kind: {
                name: [curve.counts.tolist(), curve.worth.tolist()]
                for name, curve in by_name.items()
            }
            for kind, by_name in curves.items()
        }

    # The file name depends on the valuers, because valuers may be added to the folder later.
    which = hashlib.blake2b(",".join(values).encode(), digest_size=6).hexdigest()
    stored = kept.json(of_seed.folder / f"curves_{which}.json", compute)
    return {
        cast(CurveKind, kind): {
            name: Curve(np.array(counts), np.array(worth))
            for name, (counts, worth) in curves.items()
        }
        for kind, curves in stored.items()
    }
