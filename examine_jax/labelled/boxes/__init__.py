"""Boxes on images: what they are, and the formats in which people keep them, one file each."""

from examine_jax.labelled.boxes.box_set import BoxSet, box_areas
from examine_jax.labelled.boxes.image_matching import ImageFinder, match_images, named_images
from examine_jax.labelled.boxes.problems import Problem, left_out
from examine_jax.labelled.boxes.reading import format_of, read_boxes, write_boxes

__all__ = [
    "BoxSet",
    "ImageFinder",
    "Problem",
    "box_areas",
    "format_of",
    "left_out",
    "match_images",
    "named_images",
    "read_boxes",
    "write_boxes",
]
