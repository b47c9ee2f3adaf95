"""What of an image an encoder sees, and by which kernel it is resized: its library's rule."""

import dataclasses
from typing import Literal, get_args

from PIL import Image

Rule = Literal["squash", "shorter_side"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
_LARGEST = 1 << 13
_MOST_BETWEEN = 50_000_000  # pixels


@dataclasses.dataclass(frozen=True)
class Framing:
    """A square size, and how an image of any shape comes to it.

    Attributes:
        size: of the result in pixels.
        rule: "squash", the whole image; "shorter_side", torchvision's Resize(side) and
            CenterCrop(size), which cut off what is beyond the centre.
        interpolation: Pillow's kernel, antialiased.
        side: with "shorter_side", pixels of the shorter side before the crop, at least `size`;
            None: `size`.
    """

    size: int
    rule: Rule = "squash"
    interpolation: Interpolation = "lanczos"
    side: int | None = None

    def __post_init__(self) -> None:
        for field, choices in (("rule", Rule), ("interpolation", Interpolation)):
            if getattr(self, field) not in get_args(choices):
                raise ValueError(
                    f"Framing: {field} must be one of {', '.join(get_args(choices))}, got "
                    f"{getattr(self, field)!r}"
                )
        if self.side is not None and self.rule == "squash":
            raise ValueError(f"Framing: side={self.side} is for the rule shorter_side")
        if self.side is not None and not self.size <= self.side <= _LARGEST:
            raise ValueError(
                f"Framing: the shorter side must be {self.size} (the size) to {_LARGEST} pixels, "
                f"got {self.side}"
            )

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side before the crop."""
        return self.size if self.side is None else self.side

    def at(self, size: int) -> "Framing":
        """The same rule for another size: the shorter side changes with it.

        Raises:
            ValueError: the shorter side would be too long.
        """
        side = None if self.side is None else round(self.side * size / self.size)
        return dataclasses.replace(self, size=size, side=None if side == size else side)

    @property
    def kernel(self) -> Image.Resampling:
        """Pillow's."""
        return Image.Resampling[self.interpolation.upper()]

    def between(self, rows: int, columns: int) -> tuple[int, int]:
        """The (rows, columns) of an image before the centre is cut out.

        Raises:
            ValueError: the image is so long that they take too much memory.

        Source:
            pytorch/vision, torchvision/transforms/functional.py, _compute_resized_output_size.
        """
        if self.rule == "squash":
            return self.size, self.size
        side = self.shorter_side
        shorter, longer = sorted((rows, columns))
        long = int(side * longer / shorter)
        if side * long > _MOST_BETWEEN:
            raise ValueError(
                f"{columns} x {rows} pixels are too long for an encoder that crops: resized to a "
                f"shorter side of {side}, they have {long} x {side}"
            )
        return (long, side) if rows > columns else (side, long)

    def corner(self, rows: int, columns: int) -> tuple[int, int]:
        """The (row, column) at which the centre of a resized image begins.

        Source:
            pytorch/vision, torchvision/transforms/functional.py, center_crop.
        """
        return round((rows - self.size) / 2), round((columns - self.size) / 2)

    def __str__(self) -> str:
        if self.rule == "squash":
            return f"the whole image squashed to {self.size} x {self.size} ({self.interpolation})"
        return (
            f"the shorter side to {self.shorter_side} ({self.interpolation}), then the centre's "
            f"{self.size} x {self.size}"
        )
