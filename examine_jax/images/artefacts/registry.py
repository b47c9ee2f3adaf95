"""All kinds of artefacts by name, and those that suit each kind of picture."""

from types import MappingProxyType

from examine_jax.common.registry import lookup
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.blank import BlankGlass
from examine_jax.images.artefacts.blur import DefocusBlur, MotionBlur
from examine_jax.images.artefacts.bubble import Bubbles
from examine_jax.images.artefacts.collimation import Collimation
from examine_jax.images.artefacts.compression import JPEGCompression
from examine_jax.images.artefacts.dust import Dust
from examine_jax.images.artefacts.exposure import Overexposure, Underexposure
from examine_jax.images.artefacts.fold import Fold
from examine_jax.images.artefacts.inversion import Inversion
from examine_jax.images.artefacts.marker import Markers
from examine_jax.images.artefacts.noise import SensorNoise
from examine_jax.images.artefacts.overlay import FrozenOverlay
from examine_jax.images.artefacts.pen import PenStroke
from examine_jax.images.artefacts.rotation import Rotation
from examine_jax.images.artefacts.stain import StainShift
from examine_jax.images.artefacts.stitching import TileStitching

ARTEFACTS: MappingProxyType[str, type[Artefact]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            PenStroke,
            Fold,
            DefocusBlur,
            MotionBlur,
            Bubbles,
            BlankGlass,
            JPEGCompression,
            SensorNoise,
            StainShift,
            TileStitching,
            Overexposure,
            Underexposure,
            Dust,
            Collimation,
            Markers,
            Inversion,
            Rotation,
            FrozenOverlay,
        )
    }
)

_CAMERA = ("defocus", "motion", "jpeg", "noise", "overexposed", "underexposed")

# What happens to pictures of each kind, and to pictures of any kind.
SUITED: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "histology": (
            *("pen", "fold", "bubbles", "blank", "stain", "stitching", "dust"),
            *_CAMERA,
        ),
        "dermoscopy": ("pen", "bubbles", "dust", *_CAMERA),
        "x_ray": ("collimation", "markers", "inverted", "rotated", *_CAMERA),
        "ultrasound": ("overlay", "jpeg", "noise", "defocus", "overexposed", "underexposed"),
        "any": _CAMERA,
    }
)


def named_artefact(name: str, strength: float) -> Artefact:
    """Returns the artefact of a name in `ARTEFACTS`, or of `package.module:Class`.

    Raises:
        ValueError: the name is unknown, or the strength out of range.
    """
    return lookup(name, ARTEFACTS, "artefact")(strength)
