"""Whole detectors against torchvision's with the same weights (golden/make_torchvision.py)."""

import jax
import numpy as np
import pytest

from examine_jax.detection.starting_weights import detector_from_torchvision
from tests.support.torchvision_detector import GOLDEN, golden_batch, narrow_detector

LOSSES = {
    "objectness_loss": "loss_objectness",
    "proposal_box_loss": "loss_rpn_box_reg",
    "class_loss": "loss_classifier",
    "box_loss": "loss_box_reg",
}
GRADIENTS = {
    "encoder/stem/kernel": "backbone.body.conv1.weight",
    "encoder/stage_3_block_0/conv_2/kernel": "backbone.body.layer4.0.conv2.weight",
    "pyramid/lateral_32/kernel": "backbone.fpn.inner_blocks.3.0.weight",
    "pyramid/output_4/kernel": "backbone.fpn.layer_blocks.0.0.weight",
    "pyramid/output_8/bias": "backbone.fpn.layer_blocks.1.0.bias",
    "proposal_head/convolution/kernel": "rpn.head.conv.0.0.weight",
    "proposal_head/objectness/bias": "rpn.head.cls_logits.bias",
    "proposal_head/boxes/kernel": "rpn.head.bbox_pred.weight",
    "box_head/hidden_1/kernel": "roi_heads.box_head.fc6.weight",
    "box_head/classes/bias": "roi_heads.box_predictor.cls_score.bias",
    "box_head/boxes/kernel": "roi_heads.box_predictor.bbox_pred.weight",
}


# Frozen batch norms with bottlenecks, and live ones with basic blocks. One of each is enough for a
# quick run; all are compared with `-m study`.
DETECTED = [
    "faster_rcnn",
    pytest.param("faster_rcnn_basic", marks=pytest.mark.study),
]
TRAINED = [
    "faster_rcnn_basic",
    pytest.param("faster_rcnn", marks=pytest.mark.study),
]


def read(name: str):
    detector = narrow_detector(name)
    file = GOLDEN / f"{name}.safetensors"
    params, state, _ = detector_from_torchvision(file, detector, jax.random.key(0))
    return detector, params, state, np.load(GOLDEN / f"{name}.npz")


@pytest.mark.parametrize("name", DETECTED)
def test_same_detections(name: str) -> None:
    detector, params, state, golden = read(name)
    found = jax.jit(detector.detect)(params, state, golden["images"])
    for i in range(len(golden["images"])):
        count = len(golden[f"boxes_{i}"])
        assert found.mask[i].sum() == count == 20
        np.testing.assert_allclose(found.corners[i], golden[f"boxes_{i}"], rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.score[i], golden[f"scores_{i}"], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(found.label[i] + 1, golden[f"labels_{i}"])


@pytest.mark.parametrize("name", TRAINED)
def test_same_losses_and_gradients(name: str) -> None:
    """Every anchor and proposal is sampled, so nothing is drawn."""
    detector, params, state, golden = read(name)
    value_and_grad = jax.jit(jax.value_and_grad(detector.loss, has_aux=True))
    (loss, (_, metrics)), gradients = value_and_grad(
        params, state, golden_batch(golden), jax.random.key(3)
    )
    for ours, theirs in LOSSES.items():
        np.testing.assert_allclose(metrics[ours], golden[f"loss/{theirs}"], rtol=1e-5)
    np.testing.assert_allclose(loss, sum(golden[f"loss/{x}"] for x in LOSSES.values()), rtol=1e-5)
    for path, theirs in GRADIENTS.items():
        gradient = gradients
        for part in path.split("/"):
            gradient = gradient[part]
        norm = golden[f"gradient_norm/{theirs}"]
        np.testing.assert_allclose(np.linalg.norm(gradient), norm, rtol=1e-4, err_msg=path)
