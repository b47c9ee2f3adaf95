"""Detection of wrong labels by self-influence, by the loss, and at random.

    python -m benchmarks.quality.mislabelled --images=DIR --labels=L.csv \
        --output=benchmarks/results/FILE.json
    python -m benchmarks.quality.mislabelled --images=DIR --encoder=OUT/encoder --output=...

Without --labels, sub-folders are the classes. A tenth of the labels is flipped, and the two-layer
probe is trained on them. Self-influence is summed over six epochs; the loss is the final one.
Precision at 10% is the share of wrong labels among the tenth ranked first. Each seed has its own
flips and probe.
"""

import json
import pathlib
import sys
import time

import jax
import numpy as np
from absl import app, flags
from sklearn.metrics import roc_auc_score

from examine_jax.common.atomic_files import write_text
from examine_jax.encoders import load_encoder
from examine_jax.evaluation.classifier_influence import (
    ClassifierLoss,
    classifier_checkpoints,
    labelled_examples,
)
from examine_jax.evaluation.classifier_training import ClassifierTraining
from examine_jax.evaluation.control_features import colour_statistics
from examine_jax.evaluation.mlp_probe import two_layer_probe
from examine_jax.features.preprocessing import FeatureStatistics, preprocess
from examine_jax.influence import flip_labels, precision_at, self_influence
from examine_jax.labelled.sets import LabelledSource, read_labelled
from examine_jax.reporting.page import package_versions

_IMAGES = flags.DEFINE_string("images", None, "A folder of labelled images.", required=True)
_LABELS = flags.DEFINE_string(
    "labels", None, "A .csv file; without it, sub-folders are the classes."
)
_IMAGE_COLUMN = flags.DEFINE_string(
    "image_column", "image", "The header of its column of image names."
)
_LABEL_COLUMN = flags.DEFINE_string("label_column", "label", "The header of its column of labels.")
_ENCODER = flags.DEFINE_string(
    "encoder", None, "A trained encoder's folder; colour statistics if not given."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Repetitions.", lower_bound=1)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)

SHARE = 0.1
TRAINING = ClassifierTraining(epochs=30, batch_size=64, kept_epochs=(5, 10, 15, 20, 25, 30))


def main(arguments: list[str]) -> None:
    del arguments
    encoder = None if _ENCODER.value is None else load_encoder(_ENCODER.value)
    size = 72 if encoder is None else encoder.image_size
    source = LabelledSource(
        _IMAGES.value,
        _LABELS.value,
        image_column=_IMAGE_COLUMN.value,
        label_column=_LABEL_COLUMN.value,
    )
    images = read_labelled(source, image_size=size, channels=3)
    features = colour_statistics(images.pixels) if encoder is None else encoder.embed(images.pixels)
    features = preprocess(features, "zscore", FeatureStatistics.of(features)).astype(np.float32)
    found = [
        one_seed(features, images.labels, len(images.classes), seed) for seed in range(_SEEDS.value)
    ]
    record = {
        "what": f"{SHARE:.0%} of the labels of {len(features)} images in "
        f"{len(images.classes)} classes flipped; "
        f"{'colour statistics' if encoder is None else 'a trained encoder'}, {features.shape[1]} "
        "features, z-scored",
        "device": str(jax.devices()[0]),
        "versions": package_versions(),
        "seeds": found,
    }
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def one_seed(
    features: np.ndarray, labels: np.ndarray, classes: int, seed: int
) -> dict[str, dict[str, float]]:
    """By ranking: precision_at_10 and auroc; for self-influence also its CPU seconds."""
    noisy, wrong = flip_labels(labels, share=SHARE, num_classes=classes, seed=seed)
    probe = two_layer_probe(features, noisy, num_classes=classes, training=TRAINING)
    begin = time.process_time()
    examples = labelled_examples(features, noisy, num_classes=classes)
    influence = self_influence(
        ClassifierLoss(probe.network), classifier_checkpoints(probe), examples
    )
    seconds = time.process_time() - begin
    loss = -np.log(np.maximum(probe.scores(features)[np.arange(len(noisy)), noisy], 1e-30))
    rankings = {
        "self-influence": influence,
        "loss": loss,
        "random": np.random.default_rng(seed).random(len(noisy)),
    }
    found = {
        name: {
            "precision_at_10": round(precision_at(score, wrong, share=SHARE), 4),
            "auroc": round(float(roc_auc_score(wrong, score)), 4),
        }
        for name, score in rankings.items()
    }
    found["self-influence"]["cpu_seconds"] = round(seconds, 2)
    print(f"seed {seed}: {found}", file=sys.stderr)
    return found


if __name__ == "__main__":
    app.run(main)
