"""Which slices of a volume are images."""

import dataclasses
from typing import Literal

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")


@dataclasses.dataclass(frozen=True)
class Slicing:
    """Which slices of a volume are images.

    Attributes:
        plane: the plane of the slices: that of the volume's axes that is nearest to it. None: of a
            file that holds a volume, axial; of a DICOM series, the plane that it was taken in.
        step: every how many slices one is an image; 1: each.
    """

    plane: Plane | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.plane is not None and self.plane not in PLANES:
            raise ValueError(f"slice_axis={self.plane!r}: name one of {', '.join(PLANES)}")
        if self.step < 1:
            raise ValueError(f"slice_step={self.step}: 1 takes each slice, 2 every second")

    @property
    def plane_of_file(self) -> Plane:
        """The plane of the slices of a file that holds a volume."""
        return self.plane or "axial"


# Each slice.
EVERY_SLICE = Slicing()


def slicing_of(plane: Plane | None, step: int | None) -> Slicing:
    """As a user asks for it; None: the default."""
    return Slicing(plane, EVERY_SLICE.step if step is None else step)
