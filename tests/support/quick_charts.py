"""Charts that are drawn in half the time, for tests that read other results of whole commands.

A conftest.py that imports `quick_charts` applies it to each test function of its folder. Runs in
fixtures of a module draw their charts as users see them.
"""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quick_charts() -> Iterator[None]:
    """All charts are drawn, with fewer pixels; matplotlib does not rearrange their parts."""
    from examine_jax.reporting.charts import drawing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_PIXELS_PER_INCH", 110)
        patch.setattr(drawing, "ConstrainedLayoutEngine", lambda **settings: None)
        yield
