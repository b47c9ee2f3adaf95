"""Sources of images, their decoding, and the paper's corruption."""

from examine_jax.images.corruption import GaussianCorruption, corrupt
from examine_jax.images.image_set import ImageSet, SkippedImage, exact_duplicates
from examine_jax.images.prefetching import prefetch
from examine_jax.images.remote_access import remember_access
from examine_jax.images.sources.array import load_array
from examine_jax.images.sources.folder import load_folder, stream_folder
from examine_jax.images.sources.load import can_stream, load_images, stream_images
from examine_jax.images.sources.sample import sample_images
from examine_jax.images.sources.source import ReadOptions, Source
from examine_jax.images.streamed_images import StreamedImages

__all__ = [
    "GaussianCorruption",
    "ImageSet",
    "ReadOptions",
    "SkippedImage",
    "Source",
    "StreamedImages",
    "can_stream",
    "corrupt",
    "exact_duplicates",
    "load_array",
    "load_folder",
    "load_images",
    "prefetch",
    "remember_access",
    "sample_images",
    "stream_folder",
    "stream_images",
]
