"""How strange an image is: its distance to the k-th nearest of the usual ones."""

import numpy as np
from scipy.spatial import cKDTree

from examine_jax.common.shapes import Float, Int
from examine_jax.images.decoding.parallel import available_cores
from examine_jax.quality.descriptors.thumbnail import PACKED, unpack
from examine_jax.quality.measures import Columns, detail, fineness, hard_edges, lack_of_detail
from examine_jax.quality.populations import centre_and_deviation

# A coordinate counts up to so many deviations: one extreme descriptor is enough to be strange.
_FARTHEST = 8.0
# Distances are to at most so many images, drawn once: enough to say what is usual.
_MOST_USUAL = 5_000
_BLOCK = 4096
# Values are rounded before they are compared and written: their last digits depend on the machine.
DECIMALS = 6
_KEPT, _STEPS, _SHRUNK = 0.75, 15, 0.05


def kind_of_picture(
    columns: Columns, usual: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "n coordinates"]:
    """Size, brightness, colour and coarse contrast, in deviations: what blur and noise leave."""
    return _scaled(
        [
            (np.log(columns["height"] * columns["width"]), 0.1),
            (columns["brightness"], 5.0),
            (columns["red_green"], 3.0),
            (columns["yellow_blue"], 3.0),
            (np.log(columns["contrast_blurred"] + 2), 0.1),
        ],
        usual,
    )


def appearance(
    columns: Columns, usual: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "n coordinates"]:
    """Detail, noise, tones, colours and layout, in robust deviations from the median."""
    return _scaled(
        [
            (detail(columns), 0.2),
            (fineness(columns), 0.2),
            (lack_of_detail(columns), 0.2),
            (hard_edges(columns), 0.15),
            (np.sqrt(columns["noise_floor"]), 0.1),
            (np.sqrt(columns["colour_noise"]), 0.1),
            (np.log(columns["block_edges"]), 0.03),
            (columns["brightness"], 5.0),
            (columns["brightness_p5"], 5.0),
            (columns["brightness_p95"], 5.0),
            (np.log(columns["contrast"] + 2), 0.1),
            (np.log(columns["contrast_blurred"] + 2), 0.1),
            (columns["entropy"], 0.2),
            (columns["dark_band"], 3.0),
            (columns["coherence"], 0.05),
            (columns["centre_minus_border"], 3.0),
            (np.log(columns["straight_step"]), 0.15),
            (columns["saturation"], 0.02),
            (columns["saturation_p95"], 0.02),
            (columns["red_green"], 3.0),
            (columns["yellow_blue"], 3.0),
            (np.sqrt(columns["black_share"]), 0.02),
            (np.sqrt(columns["empty_share"]), 0.05),
        ],
        usual,
    )


def layout(columns: Columns) -> Float[np.ndarray, "n 64"]:
    """The thumbnails' grey levels: where light and dark lie."""
    packed = np.stack([columns[f"thumbnail_{number}"] for number in range(PACKED)], axis=1)
    return unpack(packed).astype(np.float64)


def distance_to_kth(
    place: Float[np.ndarray, "n coordinates"], usual: Int[np.ndarray, " m"]
) -> Float[np.ndarray, " n"]:
    """The distance to the k-th nearest of the usual images, itself left out.

    k is a twentieth of the usual images, 1 to 50: a few damaged images that are alike are far from
    all others, while a small kind of its own of more than 50 images is not.

    Source: Ramaswamy, Rastogi and Shim, "Efficient algorithms for mining outliers from large data
    sets", SIGMOD 2000.
    """
    if len(usual) > _MOST_USUAL:
        usual = np.sort(np.random.default_rng(0).choice(usual, _MOST_USUAL, replace=False))
    k = int(np.clip(len(usual) // 20, 1, 50))
    tree = cKDTree(place[usual])
    own = np.zeros(len(place), bool)
    own[usual] = True
    distances = np.empty(len(place))
    for start in range(0, len(place), _BLOCK):
        rows = slice(start, start + _BLOCK)
        near = tree.query(place[rows], k=[k, min(k + 1, len(usual))], workers=available_cores())[0]
        distances[rows] = np.where(own[rows], near[:, 1], near[:, 0])
    return distances


def decorrelated(
    place: Float[np.ndarray, "n coordinates"], usual: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "n coordinates"]:
    """Coordinates whose Euclidean distance is Mahalanobis' by a trimmed covariance.

    What usually goes together counts once; what never goes together counts much. The covariance is
    that of the three quarters of usual images that are nearest by it, found by repetition, and is
    shrunk: the unit matrix is added, a twentieth of it and more for few images.

    Source: the concentration steps of Rousseeuw and Van Driessen, "A fast algorithm for the minimum
    covariance determinant estimator", Technometrics 41(3), 1999, from the median.
    """
    points = place[usual]
    count = max(int(_KEPT * len(points)), 1)
    shrunk = _SHRUNK + place.shape[1] / count
    distances = np.einsum("ij,ij->i", points, points)
    for _ in range(_STEPS):
        kept = points[np.argsort(distances, kind="stable")[:count]]
        mean = kept.mean(axis=0)
        covariance = np.einsum("ki,kj->ij", kept - mean, kept - mean) / count
        eigenvalues, axes = np.linalg.eigh(covariance + shrunk * np.eye(place.shape[1]))
        turn = axes / np.sqrt(eigenvalues)
        whitened = np.einsum("nd,dk->nk", points - mean, turn)
        distances = np.round(np.einsum("ij,ij->i", whitened, whitened), DECIMALS)
    return np.einsum("nd,dk->nk", place - mean, turn)


def principal_coordinates(
    features: Float[np.ndarray, "n d"], usual: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "n coordinates"]:
    """Features along the usual images' principal axes, each in robust deviations.

    At most 32 axes, and a tenth as many as usual images. Euclidean distances in them are
    Mahalanobis distances, without the axes of which little is known.
    """
    values = features.astype(np.float64)
    values = values - np.median(values[usual], axis=0)
    largest = np.abs(values).max()
    if largest > 0:
        values = values / largest
    count = int(np.clip(len(usual) // 10, 1, min(32, values.shape[1])))
    covariance = _exact_squares(values[usual]) / len(usual)
    eigenvalues, axes = np.linalg.eigh(covariance)
    kept = axes[:, ::-1][:, :count]
    floor = float(np.sqrt(max(eigenvalues[-count], 0.0))) / 3 + 1e-12
    along = np.einsum("nd,dk->nk", values, kept)
    return _scaled([(column, floor) for column in along.T], usual)


def _exact_squares(values: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "d d"]:
    """values' values, of entries from -1 to 1, rounded to 2^-20.

    Then each block's product is a sum of whole numbers below 2^53, which float64 holds with all
    digits: it is the same in any order of summation.
    """
    total = np.zeros((values.shape[1], values.shape[1]))
    for start in range(0, len(values), _BLOCK):
        whole = np.rint(values[start : start + _BLOCK] * 2.0**20)
        total += whole.T @ whole
    return total / 2.0**40


def strangest(values: list[Float[np.ndarray, " n"]]) -> Float[np.ndarray, " n"]:
    """One value from several that are each 1 at their threshold: the 4-norm, near the largest."""
    return np.round(np.power(sum(np.maximum(value, 0.0) ** 4 for value in values), 0.25), DECIMALS)


def _scaled(
    coordinates: list[tuple[Float[np.ndarray, " n"], float]], usual: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "n coordinates"]:
    columns = []
    for values, floor in coordinates:
        centre, deviation = centre_and_deviation(values[usual], floor)
        columns.append(np.clip((values - centre) / deviation, -_FARTHEST, _FARTHEST))
    return np.stack(columns, axis=1)
