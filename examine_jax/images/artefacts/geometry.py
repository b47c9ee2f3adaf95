"""Shapes on an image whose shorter side is 1: coordinates, strokes, soft edges, smooth noise."""

import itertools

import numpy as np

from examine_jax.common.shapes import Float


def coordinates(
    shape: tuple[int, ...],
) -> tuple[Float[np.ndarray, "h 1"], Float[np.ndarray, "1 w"]]:
    """Returns y [H, 1] and x [1, W] of the pixels' centres; the shorter side spans 0 to 1."""
    height, width = shape[:2]
    side = min(height, width)
    return ((np.arange(height) + 0.5) / side)[:, None], ((np.arange(width) + 0.5) / side)[None]


def extent(shape: tuple[int, ...]) -> tuple[float, float]:
    """Returns the image's height and width in shorter sides."""
    side = min(shape[:2])
    return shape[0] / side, shape[1] / side


def edge(distance: np.ndarray, softness: float) -> np.ndarray:
    """Returns 1 where the distance is far below 0, 0 far above, with a smooth step between.

    Args:
        distance: signed, in any unit.
        softness: the width of the step, in the same unit.
    """
    t = np.clip(0.5 - distance / max(softness, 1e-9), 0, 1)
    return t * t * (3 - 2 * t)


def window(shape: tuple[int, ...], at: np.ndarray, reach: float) -> tuple[slice, slice]:
    """Returns the rows and columns within `reach` of a point (y, x), in shorter sides."""
    side = min(shape[:2])
    low = [max(0, int((place - reach) * side)) for place in at]
    high = [max(0, int((place + reach) * side) + 1) for place in at]
    return slice(low[0], high[0]), slice(low[1], high[1])


def pixel(shape: tuple[int, ...]) -> float:
    """Returns the width of a pixel in shorter sides."""
    return 1 / min(shape[:2])


def curve_across(
    shape: tuple[int, ...], draws: np.random.Generator, bend: float = 0.25
) -> Float[np.ndarray, "points 2"]:
    """Returns points (y, x) of a gently bent curve that crosses the image near its middle.

    Args:
        shape: of the image.
        draws: random numbers.
        bend: how far the middle may leave the straight line, in shorter sides.
    """
    height, width = extent(shape)
    angle = draws.uniform(0, np.pi)
    along = np.array([np.sin(angle), np.cos(angle)])
    across = np.array([along[1], -along[0]])
    middle = np.array([height, width]) * draws.uniform(0.3, 0.7, 2)
    reach = np.hypot(height, width)
    t = np.linspace(-1, 1, 21)[:, None]
    bent = draws.uniform(-bend, bend) * (1 - (2 * t) ** 2)
    wave = draws.uniform(0, 0.12 * bend) * np.sin(draws.uniform(4, 8) * t + draws.uniform(0, 6))
    return middle + along * reach * t + across * (bent + wave)


def stroke(
    shape: tuple[int, ...], points: Float[np.ndarray, "points 2"]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Returns each pixel's signed distance from a chain of points, and its place along it.

    Args:
        shape: of the image.
        points: (y, x) in shorter sides, two at least.

    Returns:
        Distance [H, W], negative on one side of the chain; place [H, W] in segments.
    """
    y, x = coordinates(shape)
    best, place = np.full(shape[:2], np.inf), np.zeros(shape[:2])
    side = np.zeros(shape[:2])
    for number, (first, second) in enumerate(itertools.pairwise(points)):
        dy, dx = second - first
        t = ((y - first[0]) * dy + (x - first[1]) * dx) / max(dy * dy + dx * dx, 1e-12)
        np.clip(t, 0, 1, out=t)
        from_y, from_x = (y - first[0]) - t * dy, (x - first[1]) - t * dx
        squared = from_y * from_y + from_x * from_x
        nearer = squared < best
        np.copyto(best, squared, where=nearer)
        np.copyto(place, number + t, where=nearer)
        np.copyto(side, from_y * dx - from_x * dy, where=nearer)
    return np.copysign(np.sqrt(best), side), place


def smooth_field(
    shape: tuple[int, ...], draws: np.random.Generator, cells: float
) -> Float[np.ndarray, "h w"]:
    """Returns smooth noise with mean 0 and about unit variance, with `cells` bumps a side.

    Its draws do not depend on the image's size, only on its shape's ratio.
    """
    y, x = coordinates(shape)
    height, width = extent(shape)
    grid = draws.standard_normal((int(cells * height) + 4, int(cells * width) + 4))
    rows = sum(weight * grid[knot] for knot, weight in _spline(cells * y[:, 0]))
    field = sum(weight * rows[:, knot] for knot, weight in _spline(cells * x[0], across=True))
    return field / 0.48  # the spline's smoothing leaves this deviation


def _spline(at: np.ndarray, across: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the four knots and weights of the uniform cubic B-spline at each place."""
    first = np.floor(at).astype(np.int64)
    t = at - first
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    return [(first + k, w[None] if across else w[:, None]) for k, w in enumerate(weights)]


def shifted(
    pixels: Float[np.ndarray, "h w c"], down: np.ndarray | float, right: np.ndarray | float
) -> Float[np.ndarray, "h w c"]:
    """Returns the image moved by a share of the shorter side; what lacks is mirrored.

    Args:
        pixels: the image.
        down: how far, [H, W] or one number.
        right: how far, [H, W] or one number.
    """
    from scipy.ndimage import map_coordinates

    height, width = pixels.shape[:2]
    side = min(height, width)
    y = np.arange(height)[:, None] - side * np.broadcast_to(down, (height, width))
    x = np.arange(width)[None] - side * np.broadcast_to(right, (height, width))
    at = np.stack([y, x])
    return np.stack(
        [
            map_coordinates(pixels[..., channel], at, order=1, mode="reflect")
            for channel in range(pixels.shape[2])
        ],
        axis=-1,
    )
