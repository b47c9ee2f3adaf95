"""Whether a shifted stain can be seen in one tile, without labels and with them.

python -m benchmarks.quality.shifted_stains --images=LC25000 --output=benchmarks/results/FILE.json

Each third tile of LC25000 is taken as it is and with a shifted stain of middle strength. What is
counted: the share of the shifted tiles above the value that .5% of the clean tiles exceed, and
AUROC. For likelihoods, a twentieth of the tiles that say what is usual are shifted.
"""

import csv
import json
import pathlib

import numpy as np
from absl import app, flags
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors

from examine_jax.common.atomic_files import write_text
from examine_jax.images.artefacts.stain import StainShift
from examine_jax.reporting.page import package_versions

_IMAGES = flags.DEFINE_string("images", None, "The folder of LC25000.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_FALSE = 0.005
# Haematoxylin's and eosin's optical densities, and the third that Ruifrok and Johnston add.
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


def densities(tile: np.ndarray) -> np.ndarray:
    """[pixels, 3] optical densities of the tile's tissue."""
    density = -np.log((tile.reshape(-1, 3) + 1.0) / 256)
    tissue = density[density.max(axis=1) > 0.35]
    return tissue if len(tissue) >= 200 else density


def ratios(tile: np.ndarray) -> list[float]:
    """Logarithms of haematoxylin over eosin: of high, middle and mean amounts, and across."""
    unit = _STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)
    blue, red = np.maximum(densities(tile) @ np.linalg.inv(unit), 1e-3).T[:2]
    return [
        float(np.log(over / under))
        for over, under in (
            (np.quantile(blue, 0.95), np.quantile(red, 0.95)),
            (np.median(blue), np.median(red)),
            (blue.mean(), red.mean()),
            (np.quantile(blue, 0.9), np.median(red)),
        )
    ]


def tones(tile: np.ndarray) -> np.ndarray:
    """Logarithms of the three channels' densities at five quantiles of the tissue."""
    levels = np.quantile(densities(tile[::2, ::2]), (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    return np.log(levels + 0.02).ravel()


def unlikeliness(points: np.ndarray, usual: np.ndarray, own: bool, count: int) -> np.ndarray:
    """-log likelihood by a normal distribution of so many nearest usual tiles, itself left out."""
    middle = np.median(usual, axis=0)
    deviation = 1.4826 * np.median(np.abs(usual - middle), axis=0)
    usual, points = (usual - middle) / deviation, (points - middle) / deviation
    eigenvalues, axes = np.linalg.eigh(np.cov(np.clip(usual, -4, 4).T))
    turn = axes / np.sqrt(eigenvalues + 0.02)
    usual, points = usual @ turn, points @ turn
    near = NearestNeighbors(n_neighbors=count + 1).fit(usual).kneighbors(points)[1]
    found = []
    for row, (point, chosen) in enumerate(zip(points, near)):
        others = usual[[one for one in chosen if not own or one != row][:count]]
        spread = np.cov(others.T)
        spread += 0.05 * np.trace(spread) / len(spread) * np.eye(len(spread))
        away = point - np.median(others, axis=0)
        found.append(away @ np.linalg.solve(spread, away) + np.linalg.slogdet(spread)[1])
    return np.array(found)


def measured(clean: np.ndarray, shifted: np.ndarray) -> dict[str, float]:
    truth = np.repeat([0, 1], [len(clean), len(shifted)])
    return {
        "auroc": float(roc_auc_score(truth, np.concatenate([clean, shifted]))),
        "found": float((shifted > np.quantile(clean, 1 - _FALSE)).mean()),
    }


def main(argv: list[str]) -> None:
    del argv
    folder = pathlib.Path(_IMAGES.value)
    with (folder / "groups.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])[::3]
    tiles = [np.asarray(Image.open(folder / row["file"]).convert("RGB")) for row in rows]
    shifted = [StainShift().apply(tile, seed) for seed, tile in enumerate(tiles)]
    groups = np.array([row["group"] for row in rows])
    amounts = [np.array([ratios(tile) for tile in one]) for one in (tiles, shifted)]
    colours = [np.array([tones(tile) for tile in one]) for one in (tiles, shifted)]

    found: dict[str, dict[str, float]] = {}
    for column in range(amounts[0].shape[1]):
        middle = np.median(amounts[0][:, column])
        distances = [np.abs(one[:, column] - middle) for one in amounts]
        found[f"ratio {column}"] = {
            **measured(*distances),
            "robust_deviation": float(1.4826 * np.median(distances[0])),
            "shift": float(np.median(np.abs(amounts[1][:, column] - amounts[0][:, column]))),
        }
    scaled = [(one - amounts[0].mean(axis=0)) / amounts[0].std(axis=0) for one in amounts]
    near = NearestNeighbors(n_neighbors=21).fit(scaled[0])
    found["20th nearest by ratios"] = measured(
        near.kneighbors(scaled[0])[0][:, 20], near.kneighbors(scaled[1])[0][:, 19]
    )
    order = np.random.default_rng(0).permutation(len(tiles))
    few = len(tiles) // 20
    clean = colours[0][order[few:]]
    usual = np.concatenate([clean, colours[1][order[:few]]])
    for count in (50, 100, 200):
        found[f"likelihood by the nearest {count}"] = measured(
            unlikeliness(clean, usual, True, count),
            unlikeliness(colours[1][order[few:]], usual, False, count),
        )
    both = np.concatenate([np.concatenate([a, c], axis=1) for a, c in zip(amounts, colours)])
    predicted = cross_val_predict(
        HistGradientBoostingClassifier(random_state=0),
        both,
        np.repeat([0, 1], len(tiles)),
        groups=np.concatenate([groups, groups]),
        cv=GroupKFold(5),
        method="predict_proba",
    )[:, 1]
    found["a classifier that knows both"] = measured(*np.split(predicted, 2))
    for name, one in found.items():
        print(name, one, flush=True)
    record = {
        "what": "shifted stains of middle strength among tiles of LC25000",
        "tiles": len(tiles),
        "false": _FALSE,
        "found": found,
        "versions": package_versions(),
    }
    write_text(_OUTPUT.value, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
