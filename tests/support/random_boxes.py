"""Box sets of random boxes, for tests of formats and of what reads them."""

import numpy as np

from examine_jax.labelled.boxes import BoxSet


def random_boxes(*, scored: bool = False, read: bool = False, count: int = 40) -> BoxSet:
    """Boxes on nine images, the last of them without one.

    Args:
        scored: with scores.
        read: by two readers, who looked at all images.
        count: how many.
    """
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 300, (count, 2))
    return BoxSet(
        images=tuple(f"folder/im äge {i}.png" for i in range(9)),
        sizes=rng.integers(400, 600, (9, 2)),
        classes=("a cell", 'quoted "cell"', "never"),
        image=np.sort(rng.integers(0, 8, count)),
        label=rng.integers(0, 2, count),
        corners=np.concatenate([low, low + rng.uniform(1, 99, (count, 2))], axis=1),
        score=rng.uniform(0, 1, count) if scored else None,
        reader=rng.integers(0, 2, count) if read else None,
        readers=("R1", "R2") if read else (),
        readings=np.stack(np.divmod(np.arange(18), 2), axis=1) if read else None,
    )
