"""Writes an assessment's files: tables, features, pictures and the page."""

import os
import pathlib
from collections.abc import Collection, Mapping

import jax
import numpy as np

from examine_jax.common.atomic_files import write_array, write_bytes
from examine_jax.common.configuration import to_plain
from examine_jax.common.shapes import Int, UInt8
from examine_jax.encoders import Encoder
from examine_jax.encoders.in_words import of_others
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.jobs.assess.decision import decision_of
from examine_jax.jobs.assess.header_counts import header_tables, header_warnings
from examine_jax.jobs.assess.looking import findings_by_name, in_words, number_to_look_at
from examine_jax.jobs.assess.pilot import pilot_figure, pilot_tables
from examine_jax.jobs.assess.settings import DECISION_DEFAULTS, AssessSettings, DecisionSettings
from examine_jax.jobs.assess.slides import write_slides
from examine_jax.jobs.assess.to_label import (
    number_to_label,
    shown_pixels,
    stored_images,
    write_chosen,
)
from examine_jax.reporting.charts import (
    galleries,
    principal_components,
    scores,
    separations,
    singular_values,
    training_curves,
)
from examine_jax.reporting.headline import decision_headline, ranking_paragraph
from examine_jax.reporting.page import (
    PATIENTS_PIXELS,
    Illustration,
    Report,
    Table,
    package_versions,
    ranked_images,
    write_report,
)
from examine_jax.reporting.tables import (
    formula_like,
    write_noise_levels,
    write_scores,
    write_skipped,
    write_table,
)
from examine_jax.training.method import pictures

_PICTURED = 8  # images, by the method


def write_assessment(
    workdir: pathlib.Path,
    assessment: Assessment,
    settings: AssessSettings,
    decision: DecisionSettings = DECISION_DEFAULTS,
    *,
    source: str,
    device: str,
    folder: str | os.PathLike[str] | None = None,
    hand_over_as: Collection[str] | None = None,
    keep_originals: bool = False,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
) -> pathlib.Path:
    """Writes scores.csv, to_label.csv, features.npy, skipped.csv, the figures and report.html.

    Without a budget there is no to_label.csv, and one of an earlier run is removed.

    Of whole slides, slides/NAME/ gets a picture and the tiles for QuPath.

    Each file is written whole or not at all.

    Args:
        workdir: an existing folder.
        assessment: the results.
        settings: the settings of the assessment.
        decision: how the images to label were chosen.
        source: the name of the images' source, for the page.
        device: the name of the device, for the page.
        folder: the folder, list or archive of the images, if they are files: pictures are then
            shown and handed over at their full size. Otherwise as the encoder saw them.
        hand_over_as: the formats of the images to label, as in `hand_over`.
        keep_originals: as in `hand_over`.
        slicing: which slices of volumes were images.
        tiling: how whole slides were cut.

    Returns:
        The page's path.

    Raises:
        OSError: a file cannot be written; the message names it.
    """
    found = assessment.examination
    gap, score = np.asarray(found.gap), np.asarray(found.score)
    bound = np.asarray(found.error_bound)
    write_array(workdir / "features.npy", assessment.features)
    write_scores(
        workdir / "scores.csv",
        assessment.names,
        score,
        gap,
        bound,
        assessment.rank,
        assessment.findings,
        assessment.modalities,
        assessment.rank_in_modality,
    )
    with assessment.hiding():
        stored = stored_images(assessment, folder, slicing, tiling)
        write_chosen(workdir, assessment, stored, hand_over_as, keep_originals)
        slides = write_slides(workdir, assessment, folder)
    skipped = () if assessment.images is None else assessment.images.skipped
    write_skipped(workdir / "skipped.csv", skipped)
    tables: tuple[Table, ...] = ()
    if assessment.level is not None:
        write_noise_levels(
            workdir / "noise_levels.csv",
            assessment.names,
            assessment.level,
            score,
            gap,
            assessment.rank,
        )
        header, rows = separations.separation_rows(
            {name: [value] for name, value in assessment.separations.items()}
        )
        write_table(workdir / "noise_separation.csv", header, rows)
        tables = (
            Table("How well the gap tells the noise levels", header, rows, _ABOUT_SEPARATION),
        )
    tables = (*header_tables(assessment), *tables)
    if assessment.pilot is not None:
        tables = (*pilot_tables(assessment.pilot), *tables)
    illustrations = _illustrations(assessment, gap, score)
    for name, illustration in illustrations.items():
        write_bytes(workdir / f"{name}.png", illustration.png)
    highest, lowest = ranked_images(
        assessment.names,
        score,
        gap,
        bound,
        assessment.rank,
        pixels=None if assessment.images is None else assessment.images.pixels,
        level=assessment.level,
    )
    page = workdir / "report.html"
    write_report(
        page,
        Report(
            title="Image assessment" if assessment.images is not None else "Feature assessment",
            headline=decision_headline(
                source=source,
                count=len(gap),
                to_look_at={
                    in_words(name): len(indices)
                    for name, indices in findings_by_name(assessment).items()
                },
                to_look_at_in_all=number_to_look_at(assessment),
                to_label=number_to_label(assessment),
                num_skipped=len(skipped),
                num_duplicate_groups=len(assessment.duplicates),
            ),
            ranking=ranking_paragraph(
                encoder=_encoder_in_words(assessment),
                gap=gap,
                separation=assessment.separations.get("trained encoder"),
            ),
            decision=decision_of(assessment, decision, shown_pixels(assessment, stored)),
            privacy=PATIENTS_PIXELS if assessment.images is not None else "",
            summary={
                "images" if assessment.images is not None else "rows": f"{len(gap):,}",
                **(
                    {"to look at": f"{number_to_look_at(assessment):,}"}
                    if assessment.findings is not None
                    else {}
                ),
                **(
                    {"to label first": f"{number_to_label(assessment):,}"}
                    if assessment.asked
                    else {}
                ),
                "files skipped": str(len(skipped)),
                "groups of exact duplicates": str(len(assessment.duplicates)),
            },
            highest=highest,
            lowest=lowest,
            # The page shows the gallery as cards. Its picture is for slides.
            figures=(
                *slides.figures.values(),
                *(shown for name, shown in illustrations.items() if name != "gallery"),
            ),
            tables=(*slides.tables, *tables),
            duplicates=tuple(
                tuple(assessment.names[i] for i in group) for group in assessment.duplicates
            ),
            skipped=skipped,
            warnings=_warnings(assessment, gap, bound),
            settings={"device": device, **_settings(assessment, settings)},
            versions=package_versions(),
        ),
    )
    return page


_ABOUT_SEPARATION = (
    "Rank correlation of the gap with the noise level, and AUROC of the gap as a detector of each "
    "level against clean images. This is one run: differences of a few hundredths are chance. A "
    "trained encoder that is no better than the rows below it has added nothing to this experiment."
)


def _illustrations(
    assessment: Assessment, gap: np.ndarray, score: np.ndarray
) -> dict[str, Illustration]:
    made = {
        "score_distribution": Illustration(
            "Scores and gaps",
            scores.score_distribution(score, gap, assessment.level),
            "The score is exp(-gap). Where scores crowd together, look at the gap.",
            "Distribution of the scores and of the gaps"
            + (" by noise level" if assessment.level is not None else ""),
        )
    }
    if assessment.images is not None:
        made["gallery"] = Illustration(
            "The first and the last ranks",
            galleries.gallery(
                assessment.images.pixels, assessment.names, score, gap, assessment.rank
            ),
            "Above: the smallest gaps (without the image, the top singular value changes least). "
            "Below: the largest.",
            "Pictures of the images with the first and the last ranks, their names and scores",
        )
    if assessment.pilot is not None:
        made["learning_curve"] = pilot_figure(assessment.pilot)
    made["feature_map"] = Illustration(
        "Map of the features",
        principal_components.principal_component_map(assessment.features, gap),
        "Each dot is an image, at its first two principal components. The colour is its gap.",
        "Scatter plot of the features coloured by gap",
    )
    made["spectrum"] = Illustration(
        "Spectrum of the features",
        singular_values.singular_value_chart(assessment.features),
        "The score uses the first singular value. If the second is close to it, gaps say little.",
        "The leading singular values of the features",
    )
    if assessment.training_loss is not None:
        made["training_loss"] = Illustration(
            "Training loss",
            training_curves.loss_curve(*assessment.training_loss),
            "Should have levelled off.",
            "Loss by step",
        )
    encoder = assessment.encoder
    if encoder is not None and assessment.images is not None:
        made |= _pictures_of_method(encoder, assessment.images.pixels, assessment.rank)
    if assessment.separations:
        made["noise_separation"] = Illustration(
            "Noise experiment",
            separations.separation_chart(
                {name: [value] for name, value in assessment.separations.items()}
            ),
            _ABOUT_SEPARATION,
            "Rank correlation and AUROC for the trained encoder and for controls",
        )
    return made


def _pictures_of_method(
    encoder: Encoder, pixels: UInt8[np.ndarray, "n h w c"], rank: Int[np.ndarray, " n"]
) -> dict[str, Illustration]:
    """The method's pictures (for a masked autoencoder: reconstructions) of some images, by name."""
    shown = np.linspace(0, len(rank) - 1, min(_PICTURED, len(rank))).round().astype(int)
    images = pixels[np.argsort(rank)[shown]]
    made = pictures(encoder.method, encoder.params, encoder.state, images, jax.random.key(0))
    return {
        picture.name: Illustration(
            picture.title,
            galleries.image_rows({"original": images, **picture.rows}),
            f"From rank 1 (left) to the last rank. {picture.caption}",
            picture.description,
        )
        for picture in made
    }


def _encoder_in_words(assessment: Assessment) -> str:
    if assessment.encoder is None:
        return "features made elsewhere"
    training = assessment.encoder.training
    others = of_others(assessment.encoder)
    if others is not None:
        return others
    name = f"an encoder ({type(assessment.encoder.method).__name__})"
    if assessment.training_loss is not None:
        return (
            f"{name} trained for {training.get('steps')} steps on {training.get('images')} images"
        )
    return f"{name} trained earlier"


def _warnings(assessment: Assessment, gap: np.ndarray, bound: np.ndarray) -> tuple[str, ...]:
    found = list(header_warnings(assessment))
    formulas = formula_like(assessment.names)
    if formulas:
        found.append(
            f"{len(formulas)} file names start like a formula: "
            "import them into spreadsheets as text."
        )
    if assessment.images is not None and assessment.images.resized_up:
        found.append(f"{assessment.images.resized_up} images were enlarged to the encoder's input.")
    if assessment.duplicates:
        twice = sum(len(group) for group in assessment.duplicates)
        found.append(
            f"{twice} images have identical copies; copies share a gap, and each is scored."
        )
    if gap.size and bound.max() > 1e-3 * max(float(gap.max()), 1e-300):
        found.append(
            "The two largest singular values nearly coincide: some gaps are ill-conditioned "
            "(see error_bound in scores.csv)."
        )
    if float(gap.max()) == 0:
        found.append("All gaps are zero: the features do not distinguish these images.")
    return tuple(found)


def _settings(assessment: Assessment, settings: AssessSettings) -> Mapping[str, object]:
    described: dict[str, object] = {
        "features": f"{assessment.features.shape[1]} of {assessment.features.dtype}",
        "preprocessing": assessment.preprocessing,
        "centred": "yes" if settings.center else "no",
        "solver": repr(settings.solver) if settings.solver is not None else "default",
        "seed": settings.seed,
    }
    if assessment.encoder is not None:
        encoder = assessment.encoder.method.encoder
        described |= {
            "method": type(assessment.encoder.method).__name__,
            "encoder": to_plain(encoder),
            "training": assessment.encoder.training.get("settings", "unknown"),
        }
    if assessment.images is not None and assessment.images.bits_stored is not None:
        described["bits per sample, scaled to 8"] = assessment.images.bits_stored
    if assessment.images is not None and assessment.images.notes:
        described["how images were read"] = "; ".join(assessment.images.notes)
    if settings.noise is not None:
        described["noise"] = to_plain(settings.noise)
    described |= {
        f"seconds to {stage}": f"{value:.1f}" for stage, value in assessment.seconds.items()
    }
    return described
