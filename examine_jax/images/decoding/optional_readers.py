"""The readers of formats whose packages may not be installed."""

from types import ModuleType

from examine_jax.images.decoding.unreadable import UnreadableImage


def dicom_reader() -> ModuleType:
    """The module dicom_images.py.

    Raises:
        UnreadableImage: pydicom is not installed.
    """
    try:
        from examine_jax.images.decoding import dicom, dicom_images  # noqa: F401
    except ImportError:
        raise UnreadableImage(
            "a DICOM file, which is read by the package pydicom; pip install 'examine-jax[dicom]'"
        ) from None
    return dicom_images


def identity_reader() -> ModuleType:
    """The module dicom_identity.py.

    Raises:
        UnreadableImage: pydicom is not installed.
    """
    dicom_reader()
    from examine_jax.images.decoding import dicom_identity

    return dicom_identity


def volume_reader() -> ModuleType:
    """The module volume_images.py.

    Raises:
        UnreadableImage: nibabel is not installed.
    """
    try:
        from examine_jax.images.decoding import volume_images
    except ImportError:
        raise UnreadableImage(
            "a volume, which is read by the package nibabel; pip install 'examine-jax[volumes]'"
        ) from None
    return volume_images


def slide_reader() -> ModuleType:
    """The module slide.py.

    Raises:
        UnreadableImage: openslide is not installed.
    """
    try:
        from examine_jax.images.decoding import slide
    except ImportError:
        raise UnreadableImage(
            "a whole slide, which is read by the package openslide-python; pip install "
            "'examine-jax[slides]'"
        ) from None
    return slide


def tiff_reader() -> ModuleType:
    """The module tiff.py.

    Raises:
        UnreadableImage: tifffile or imagecodecs is not installed.
    """
    try:
        from examine_jax.images.decoding import tiff
    except ImportError:
        raise UnreadableImage(
            "a TIFF, which is read by the packages tifffile and imagecodecs; pip install tifffile "
            "imagecodecs"
        ) from None
    return tiff


def dicom_slide_reader() -> ModuleType:
    """The module dicom_slide.py.

    Raises:
        UnreadableImage: pydicom is not installed.
    """
    try:
        from examine_jax.images.decoding import dicom_slide
    except ImportError:
        raise UnreadableImage(
            "a whole slide in DICOM, which is read by the package pydicom too; pip install "
            "'examine-jax[slides]'"
        ) from None
    return dicom_slide
