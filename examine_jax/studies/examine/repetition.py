"""One seed's features, and what is done with them: values by each valuer, curves by each one's values."""

import dataclasses
import hashlib
import pathlib
from typing import Any, cast

import numpy as np

from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Float, Int
from examine_jax.evaluation.curves import Choosing, CodedRows, Curve, valuation_curves
from examine_jax.jobs.value.value import ValueSettings, value_features
from examine_jax.labelled.labelled_rows import LabelledRows
from examine_jax.studies.common.kept import record
from examine_jax.studies.examine.sets import Division, LabelledImages
from examine_jax.studies.examine.settings import ExperimentSettings
from examine_jax.valuation.utility import Utility


@dataclasses.dataclass(frozen=True, eq=False)
class Repetition:
    """A seed's sets and their features.

    Attributes:
        images, division: all images, and which of them are in which set.
        features: by set ("assessed", "clean", "valued_on", "measured_on"), of the main encoder.
        folder: of this seed.
        settings, seed: of the experiment.
        force_long: value also where that is estimated to take more than a day.
        progress: say on stderr how far everything is.
    """

    images: LabelledImages
    division: Division
    features: dict[str, Float[np.ndarray, "_ d"]]
    folder: pathlib.Path
    settings: ExperimentSettings
    seed: int
    force_long: bool
    progress: bool

    def coded(self, which: str) -> CodedRows:
        """A set with its true labels."""
        return CodedRows(self.features[which], self.images.labels[getattr(self.division, which)])

    def rows(self, which: str, labels: Int[np.ndarray, " n"]) -> LabelledRows:
        """A set with these labels."""
        indices = getattr(self.division, which)
        groups = None if self.images.groups is None else self.images.groups[indices]
        return LabelledRows(self.features[which], labels, groups, tuple(self.images.names[i] for i in indices))


def valued_by(repetition: Repetition, name: str, labels: Int[np.ndarray, " n"], stage: str) -> dict[str, Any]:
    """The record of a valuer's values of the assessed images under these labels: values, standard_error, seconds, diagnostics.

    Raises:
        ValueError: what the valuer refuses; work of more than a day.
    """
    settings, folder = repetition.settings, repetition.folder / stage
    chosen = ValueSettings(
        valuers=(name,),
        model=settings.model,
        metric=settings.metric,
        permutations=settings.permutations,
        yes=repetition.force_long,
        seed=repetition.seed,
    )

    def compute() -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        with progress_bar(f"of {name}, seed {repetition.seed} ({stage})", repetition.progress) as told:
            found = value_features(
                repetition.rows("assessed", labels),
                folder,
                chosen,
                validation=repetition.rows("valued_on", repetition.coded("valued_on").labels),
                on_progress=lambda _, done, of: told(done, of),
            )
        one = found.valuations[name]
        return {
            "values": one.values.tolist(),
            "standard_error": None if one.standard_error is None else one.standard_error.tolist(),
            "seconds": found.seconds[name],
            "diagnostics": one.diagnostics,
        }

    return record(folder / f"{name}.json", compute)


def curves_of(repetition: Repetition, values: dict[str, Float[np.ndarray, " n"]]) -> dict[Choosing, dict[str, Curve]]:
    """Fig. 3 of these values, measured on the set that the settings name."""
    measured_on = repetition.coded("measured_on")
    settings = repetition.settings
    utility = Utility(measured_on.features, measured_on.labels, settings.model, settings.metric)

    def compute() -> dict[str, Any]:
        with progress_bar(f"curves, seed {repetition.seed}", repetition.progress) as told:
            found = valuation_curves(
                utility,
                repetition.coded("assessed"),
                repetition.coded("clean"),
                values,
                settings.curves,
                seed=repetition.seed,
                on_progress=told,
            )
        return {
            choosing: {name: [one.counts.tolist(), one.worth.tolist()] for name, one in curves.items()}
            for choosing, curves in found.items()
        }

    # With other valuers another file: adding one must not need a new folder.
    which = hashlib.blake2b(",".join(values).encode(), digest_size=6).hexdigest()
    there = record(repetition.folder / f"curves_{which}.json", compute)
    return {
        cast(Choosing, choosing): {name: Curve(np.array(one[0]), np.array(one[1])) for name, one in curves.items()}
        for choosing, curves in there.items()
    }
