"""The networks of one seed: what each is, where its results lie, and how it is made when needed."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.encoders import Encoder
from examine_jax.studies.transfer.encoders import (
    GivenEncoder,
    adapted,
    same_network,
    trained_from_scratch,
    untrained,
    untrained_like,
)
from examine_jax.studies.transfer.results import RANDOM, SELF, random_of
from examine_jax.studies.transfer.sets import TransferSplit
from examine_jax.studies.transfer.settings import TransferSettings


@dataclasses.dataclass(frozen=True, eq=False)
class SeedNetwork:
    """A network that is probed or fine-tuned.

    Attributes:
        encoder: the name in the results.
        uses: by what is done with it ("probed", "tuned"), the use in the results.
        folder: of its results.
        features: the file of its features of all images.
        make: trains or reads the encoder.
        trained: False for a network at its random initialisation.
    """

    encoder: str
    uses: dict[str, str]
    folder: pathlib.Path
    features: pathlib.Path
    make: Callable[[], Encoder]
    trained: bool = True


def networks(
    given: Sequence[GivenEncoder],
    split: TransferSplit,
    at_size: Callable[[int], UInt8[np.ndarray, "n h w c"]],
    workdir: pathlib.Path,
    settings: TransferSettings,
    seed: int,
    progress: bool,
) -> tuple[SeedNetwork, ...]:
    """Returns a seed's networks in the order of the tables: controls, from scratch, given ones.

    Args:
        given: encoders from elsewhere.
        split: of the seed; only the pool is trained on.
        at_size: gives all images at a size.
        workdir: of the study.
        settings: of the study.
        seed: of initialisations and trainings.
        progress: show trainings on stderr.
    """
    home = workdir / f"seed_{seed}"

    def network(
        encoder: str, folder: pathlib.Path, make: Callable[[], Encoder], probed: str, tuned: str
    ) -> SeedNetwork:
        wanted = {"probed": probed, "tuned": tuned}
        uses = {done: use for done, use in wanted.items() if use in settings.uses}
        return SeedNetwork(encoder, uses, folder, folder / "features.npz", make)

    random = network(
        RANDOM,
        home / "random",
        functools.partial(untrained, settings, seed),
        "frozen",
        "fine_tuned",
    )
    controls = [dataclasses.replace(random, uses=_control(random.uses), trained=False)]
    for one in given:
        if not same_network(one.encoder, settings):
            own = network(
                random_of(one.name),
                home / "random_of" / one.name,
                functools.partial(untrained_like, one.encoder, seed),
                "frozen",
                "",
            )
            controls.append(dataclasses.replace(own, uses=_control(own.uses), trained=False))

    def from_scratch() -> Encoder:
        pixels = at_size(settings.chosen().encoder.image_size)[split.pool]
        return trained_from_scratch(
            home / "scratch" / "training", pixels, workdir, settings, seed, progress=progress
        )()

    def adapt(one: GivenEncoder) -> Encoder:
        pixels = at_size(one.encoder.image_size)[split.pool]
        folder = home / "adapted" / one.name / "training"
        return adapted(folder, one, pixels, workdir, settings, seed, progress=progress)()

    made = [network(SELF, home / "scratch", from_scratch, "frozen", "fine_tuned")]
    for one in given:
        frozen = network(
            one.name,
            home / "given" / one.name,
            functools.partial(lambda encoder: encoder, one.encoder),
            "frozen",
            "fine_tuned",
        )
        # Features of an encoder that no seed trains serve all seeds.
        made.append(
            dataclasses.replace(frozen, features=workdir / "encoders" / one.name / "features.npz")
        )
        made.append(
            network(
                one.name,
                home / "adapted" / one.name,
                functools.partial(adapt, one),
                "adapted",
                "adapted_fine_tuned",
            )
        )
    return tuple(
        dataclasses.replace(one, make=functools.cache(one.make)) for one in (*controls, *made)
    )


def _control(uses: dict[str, str]) -> dict[str, str]:
    return {"probed": "frozen", **uses}  # every row is judged by it
