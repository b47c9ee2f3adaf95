"""BreaKHis: breast tumours under the microscope, benign or malignant; groups are slides."""

import re

_SLIDE = re.compile(r"SOB_[BM]_[A-Z]+-(\d+-[^-/]+)-(\d+)-\d+[^/]*$")


def breast(name: str) -> tuple[str, str | None] | None:
    """A `FileNameLayout` of the images at 400x.

    .../SOB_B_A_14-22549AB/400X/SOB_B_A-14-22549AB-400-001.png

    Source: Spanhol et al. 2016.
    """
    found = _SLIDE.search(name)
    if found is None or found.group(2) != "400":
        return None
    return ("benign" if name[found.start() :].startswith("SOB_B") else "malignant"), found.group(1)
