"""What the main job finds."""

import contextlib
import dataclasses

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped
from examine_jax.encoders import Encoder
from examine_jax.evaluation.noise_separation import NoiseSeparation
from examine_jax.evaluation.pilot import PilotResult
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.images import ImageSet
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.jobs.headers import JobHeaders
from examine_jax.quality import Findings
from examine_jax.scoring import Examination
from examine_jax.selection import Selection


@dataclasses.dataclass(frozen=True, eq=False)
class Assessment:
    """The results of an assessment. Row i of every array is image i.

    Attributes:
        names: the images' names ("row 17" for given features).
        features: [N, D], the matrix that was scored.
        examination: scores, gaps and error bounds, as NumPy arrays.
        rank: [N]. Rank 1 has the smallest gap; ties go by index.
        preprocessing: of the encoder's features.
        images: the assessed images as the encoder saw them, with their noise; None for given
            features.
        level: [N], the noise levels, or None.
        separations: how well gaps separate the noise levels, by features: the trained encoder's
            and each control's. Empty without noise.
        encoder: the encoder; None for given features.
        training_loss: (steps, losses), or None if nothing was trained.
        duplicates: groups of indices of identical images.
        findings: which images are usable and what was found in the others; None for given
            features.
        selection: the images to label; None: none can be chosen.
        asked: whether a budget was given. Otherwise the selection is a suggestion.
        unmet: why the budget cannot be met; "": it is met, or there is none.
        groups: [N], each image's group as text, or None.
        labelled: indices of the images that are labelled already.
        pilot: what a pilot of labelled images says, if one was given.
        modalities: [N], each image's modality, such as CT; "": unknown. Empty: none is known.
        identities: [N], what the header of each image says; empty for given features.
        stored_names: the names by which the images' files are found, where `names` hide what
            these hold; None: `names`.
        notes: what the user should know of groups and names, one line each.
        headers: of all images, and what hides names; None for given features.
        seconds: the time of each stage.
    """

    names: tuple[str, ...]
    features: Float[np.ndarray, "n d"]
    examination: Examination
    rank: Int[np.ndarray, " n"]
    preprocessing: Preprocessing
    images: ImageSet | None = None
    level: Float[np.ndarray, " n"] | None = None
    separations: dict[str, NoiseSeparation] = dataclasses.field(default_factory=dict)
    encoder: Encoder | None = None
    training_loss: tuple[Int[np.ndarray, " t"], Float[np.ndarray, " t"]] | None = None
    duplicates: tuple[tuple[int, ...], ...] = ()
    findings: Findings | None = None
    selection: Selection | None = None
    asked: bool = False
    unmet: str = ""
    groups: Shaped[np.ndarray, " n"] | None = None
    labelled: Int[np.ndarray, " labelled"] = dataclasses.field(
        default_factory=lambda: np.empty(0, np.int64)
    )
    pilot: PilotResult | None = None
    modalities: tuple[str, ...] = ()
    identities: tuple[HeaderIdentity | None, ...] = ()
    stored_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    headers: JobHeaders | None = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def rank_in_modality(self) -> Int[np.ndarray, " n"] | None:
        """[N]. The rank among the images of the same modality; None: no modality is known."""
        if not any(self.modalities):
            return None
        order, kinds = np.argsort(self.rank), np.array(self.modalities)
        ranks = np.zeros(len(kinds), np.int64)
        for kind in set(self.modalities):
            own = order[kinds[order] == kind]
            ranks[own] = np.arange(1, len(own) + 1)
        return ranks

    def hiding(self) -> contextlib.AbstractContextManager[None]:
        """Inside, errors are raised with messages that may be shown."""
        return contextlib.nullcontext() if self.headers is None else self.headers.hiding()

    def stored_name(self, index: int) -> str:
        """The name by which an image's file is found."""
        return (self.stored_names or self.names)[index]
