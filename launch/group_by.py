"""What images of one group share, as `examine_jax.labelled.header_groups` has it."""

from typing import Literal

GroupBy = Literal["patient", "study", "series", "folder", "file"]
