"""Makes fusion.npz: boxes of three readers and what ensemble-boxes makes of them.

pip install ensemble-boxes==1.0.9
python tests/detection/golden/make_fusion.py
"""

import pathlib

import numpy as np
from ensemble_boxes import weighted_boxes_fusion

SIDE = 512
LIMIT = 0.2


def main() -> None:
    rng = np.random.default_rng(0)
    images, labels, corners = [], [], []
    for image in range(40):
        for label in range(rng.integers(1, 4)):
            for _ in range(rng.integers(1, 4)):  # lesions, each drawn by one to three readers
                low = rng.uniform(0, 400, 2)
                side = rng.uniform(10, 110, 2)
                for _ in range(rng.integers(1, 4)):
                    moved = low + rng.normal(0, 0.15, 2) * side
                    box = np.concatenate([moved, moved + side * rng.uniform(0.7, 1.4, 2)])
                    images.append(image)
                    labels.append(label)
                    corners.append(np.clip(box, 0, SIDE))
    order = rng.permutation(len(images))
    image, label = np.array(images)[order], np.array(labels)[order]
    boxes = np.round(np.array(corners)[order], 1)
    arrays = {"image": image, "label": label, "corners": boxes}
    for name, step in (("released", 1), ("csv", -1)):
        # With equal scores the package takes the last box first.
        found = []
        for i in range(40):
            for c in range(3):
                rows = np.flatnonzero((image == i) & (label == c))[::step]
                if not len(rows):
                    continue
                assert len(rows) <= 16  # numpy's quicksort is stable only so far
                fused, _, _ = weighted_boxes_fusion(
                    [boxes[rows] / SIDE],
                    [np.ones(len(rows))],
                    [np.zeros(len(rows))],
                    weights=None,
                    iou_thr=LIMIT,
                    skip_box_thr=0.0001,
                )
                found += [(i, c, *box) for box in fused * SIDE]
        arrays[f"fused_{name}"] = np.array(found)
    np.savez_compressed(pathlib.Path(__file__).with_name("fusion.npz"), **arrays)


if __name__ == "__main__":
    main()
