"""Makes froc.npz: FROC curves by MONAI (centre inside) and by picai_eval (overlap).

Run in an environment of its own: pip install monai==1.6.1 picai_eval==1.4.13 (both with what they
need); python make_froc.py
"""

import importlib.metadata
import json
import pathlib

import monai.metrics
import numpy as np
import picai_eval

HERE = pathlib.Path(__file__).parent
SIDE, IMAGES = 64, 14
RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)


def apart(box, others):
    """Whether a pixel at least lies between the box and all others."""
    return all(box[0] > o[2] or o[0] > box[2] or box[1] > o[3] or o[1] > box[3] for o in others)


def draw(rng):
    """Boxes of the truth and predictions; no two of a kind touch, so that maps can hold them."""
    truth, predictions = [], []
    for image in range(IMAGES):
        own, theirs = [], []
        for _ in range(40 if image % 4 else 0):  # Every fourth image is negative.
            corner, sides = rng.integers(1, SIDE - 21, 2), rng.integers(8, 20, 2)
            box = (*corner, *(corner + sides))
            if len(own) < rng.integers(1, 4) and apart(box, own):
                own.append(box)
        for box in own:
            if rng.random() < 0.8:
                shift = rng.integers(-4, 5, 4)
                moved = tuple(int(v) for v in np.clip(np.array(box) + shift, 0, SIDE - 1))
                if apart(moved, theirs):
                    theirs.append(moved)
            if rng.random() < 0.4:  # A second one, well inside: its centre hits, its overlap not.
                small = (box[0] + 1, box[1] + 1, box[0] + 5, box[1] + 4)
                if apart(small, theirs):
                    theirs.append(small)
        for _ in range(3):
            corner, sides = rng.integers(1, SIDE - 16, 2), rng.integers(4, 15, 2)
            box = (*corner, *(corner + sides))
            if apart(box, theirs):
                theirs.append(box)
        truth += [(image, *box) for box in own]
        predictions += [(image, *box) for box in theirs]
    return np.array(truth), np.array(predictions)


def main():
    rng = np.random.default_rng(3)
    truth, predictions = draw(rng)
    score = rng.permutation(np.arange(1, len(predictions) + 1)) / (len(predictions) + 1)
    out = {"truth": truth, "predictions": predictions, "score": score, "rates": RATES}
    out["images"] = IMAGES

    false, hit, number = [], [], 0
    for image in range(IMAGES):
        mask = np.zeros((SIDE, SIDE), np.int64)
        for i, (x0, y0, x1, y1) in enumerate(truth[truth[:, 0] == image, 1:]):
            mask[y0:y1, x0:x1] = i + 1
        own = predictions[:, 0] == image
        boxes = predictions[own, 1:]
        centre = np.floor((boxes[:, :2] + boxes[:, 2:]) / 2).astype(int)
        if not mask.any():
            false += score[own].tolist()
            continue
        f, t, count = monai.metrics.compute_fp_tp_probs_nd(score[own], centre[:, ::-1], mask)
        false, hit, number = false + f.tolist(), hit + t.tolist(), number + count
    hit = np.array(hit)
    # MONAI stores the hits' scores in float32.
    hit = np.where(hit > 0, score[np.abs(score[None] - hit[:, None]).argmin(1)], 0.0)
    rate, sensitivity = monai.metrics.compute_froc_curve_data(np.array(false), hit, number, IMAGES)
    out["monai/false_positives"], out["monai/sensitivity"] = rate, sensitivity
    out["monai/cpm"] = monai.metrics.compute_froc_score(rate, sensitivity, RATES)

    maps, labels = np.zeros((2, IMAGES, 1, SIDE, SIDE), np.float32)
    for (image, x0, y0, x1, y1), s in zip(predictions, score):
        maps[image, 0, y0:y1, x0:x1] = s
    for image, x0, y0, x1, y1 in truth:
        labels[image, 0, y0:y1, x0:x1] = 1
    for least in (0.5, 0.3):
        for extra in (True, False):
            result = picai_eval.evaluate(
                list(maps),
                list(labels.astype(np.int32)),
                min_overlap=least,
                allow_unmatched_candidates_with_minimal_overlap=extra,
                num_parallel_calls=1,
            )
            name = f"picai/{least}/{'neither' if extra else 'false_positive'}"
            out[f"{name}/false_positives"] = result.lesion_FPR
            out[f"{name}/sensitivity"] = result.lesion_TPR
            out[f"{name}/at_rates"] = [result.lesion_TPR_at_FPR(rate) for rate in RATES]
            out[f"{name}/image_auroc"] = result.auroc
    versions = {name: importlib.metadata.version(name) for name in ("monai", "picai_eval")}
    out["versions"] = json.dumps(versions)
    np.savez_compressed(HERE / "froc.npz", **{k: np.asarray(v) for k, v in out.items()})
    print({k: np.shape(v) for k, v in out.items()}, out["monai/cpm"])


if __name__ == "__main__":
    main()
