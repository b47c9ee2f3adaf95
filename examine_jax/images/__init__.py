"""Where pixels come from: folders, arrays, the sample, and the paper's corruption of them."""

from examine_jax.images.corruption import GaussianCorruption, corrupt
from examine_jax.images.image_set import ImageSet, SkippedImage, exact_duplicates
from examine_jax.images.sources.any_source import load_images, stream_images
from examine_jax.images.sources.arrays import load_array
from examine_jax.images.sources.folder import load_folder
from examine_jax.images.sources.sample import sample_images
from examine_jax.images.sources.streaming import StreamedImages, prefetch, stream_folder

__all__ = [
    "GaussianCorruption",
    "ImageSet",
    "SkippedImage",
    "StreamedImages",
    "corrupt",
    "exact_duplicates",
    "load_array",
    "load_folder",
    "load_images",
    "prefetch",
    "sample_images",
    "stream_folder",
    "stream_images",
]
