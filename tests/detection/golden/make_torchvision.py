"""Makes torchvision_parts.npz, faster_rcnn.npz and faster_rcnn.safetensors by torchvision.

torchvision_parts.npz holds inputs and outputs of the parts of a detector (torchvision_parts.py).

faster_rcnn.safetensors is the state of a narrow Faster R-CNN with random weights, in float16.
faster_rcnn.npz holds what it computes for three images, in evaluation and in training. Its samplers
take every anchor and every proposal, so nothing in it is drawn.

Run in an environment of its own: pip install torch==2.14.1 torchvision==0.29.1 numpy safetensors;
python make_torchvision.py
With `--full=FOLDER` it writes the same for a ResNet-50 of full width (170 MB) to FOLDER instead.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.misc import FrozenBatchNorm2d
from torchvision_parts import CLASSES, HEIGHT, WIDTH, all_parts, boxes, randomise

HERE = pathlib.Path(__file__).parent


class NarrowResNet(ResNet):
    """torchvision's ResNet with another width and number of blocks."""

    def __init__(self, block, depths, width, norm):
        nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation = norm, width, 1
        self.groups, self.base_width = 1, 64
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._make_layer(block, width, depths[0])
        self.layer2 = self._make_layer(block, 2 * width, depths[1], stride=2)
        self.layer3 = self._make_layer(block, 4 * width, depths[2], stride=2)
        self.layer4 = self._make_layer(block, 8 * width, depths[3], stride=2)


def narrow_detector(norm, block=Bottleneck, width=8, channels=16, hidden=64, depths=(1, 1, 1, 1)):
    """A Faster R-CNN with torchvision's structure; every sampler takes all."""
    body = NarrowResNet(block, depths, width, norm)
    returned = {f"layer{i + 1}": str(i) for i in range(4)}
    inputs = [width * 2**i * block.expansion for i in range(4)]
    backbone = BackboneWithFPN(body, returned, inputs, channels)
    return FasterRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(
            ((8,), (16,), (32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 5
        ),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2, canonical_scale=56),
        box_head=TwoMLPHead(channels * 49, hidden),
        box_predictor=FastRCNNPredictor(hidden, CLASSES),
        min_size=HEIGHT,
        max_size=WIDTH,
        rpn_pre_nms_top_n_train=150,
        rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_train=80,
        rpn_post_nms_top_n_test=60,
        rpn_batch_size_per_image=8192,
        box_batch_size_per_image=512,
        box_detections_per_img=20,
    )


def whole(folder, generator, network, height, width, name, keep_maps, calm=1.0):
    """A network's detections, maps, losses and gradients for three images."""
    randomise(network, generator)
    with torch.no_grad():  # Scores and boxes that differ enough to test their order.
        state = network.state_dict()
        state["rpn.head.cls_logits.weight"] *= calm
        state["roi_heads.box_predictor.cls_score.weight"] *= calm
        state["rpn.head.bbox_pred.weight"] *= 0.3
        state["roi_heads.box_predictor.bbox_pred.weight"] *= 0.5
        for tensor in state.values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    save_file(
        {key: value.half().contiguous() for key, value in state.items()},
        folder / f"{name}.safetensors",
    )
    out = {}
    images = torch.randint(0, 256, (3, 3, height, width), generator=generator, dtype=torch.uint8)
    smooth = nn.functional.avg_pool2d(images.float(), 9, 1, 4, count_include_pad=False)
    smooth = (smooth - smooth.amin((1, 2, 3), True)) / (
        smooth.amax((1, 2, 3), True) - smooth.amin((1, 2, 3), True)
    )
    images = (smooth * 255).round().to(torch.uint8)
    out["images"] = images.permute(0, 2, 3, 1)
    scaled = list(images.float() / 255)
    truth = [
        boxes(generator, 5, height, width, 6.0).clamp(min=0),
        torch.zeros(0, 4),
        boxes(generator, 2, height, width, 6.0).clamp(min=0),
    ]
    for box in truth:
        box[:, 0::2].clamp_(max=width)
        box[:, 1::2].clamp_(max=height)
    labels = [
        torch.tensor([1, 2, 3, 1, 2]),
        torch.zeros(0, dtype=torch.int64),
        torch.tensor([3, 1]),
    ]
    targets = [{"boxes": b, "labels": c} for b, c in zip(truth, labels)]
    for i in range(3):
        out[f"truth/boxes_{i}"], out[f"truth/labels_{i}"] = truth[i], labels[i]

    network.eval()
    with torch.no_grad():
        batch, _ = network.transform(scaled)
        assert batch.tensors.shape[-2:] == (height, width), batch.tensors.shape
        maps = network.backbone(batch.tensors)
        if keep_maps:
            for level, tensor in network.backbone.body(batch.tensors).items():
                out[f"maps/{level}"] = tensor[:1]
            for level, tensor in maps.items():
                out[f"pyramid/{level}"] = tensor[:1]
        proposed, _ = network.rpn(batch, maps)
        for i, result in enumerate(network(scaled)):
            out[f"proposals_{i}"] = proposed[i]
            for part, values in result.items():
                out[f"{part}_{i}"] = values

    network.train()
    parts_of_loss = network(scaled, targets)
    for part, value in parts_of_loss.items():
        out[f"loss/{part}"] = value
    sum(parts_of_loss.values()).backward()
    for key, parameter in network.named_parameters():
        if parameter.grad is not None:
            out[f"gradient_norm/{key}"] = parameter.grad.norm()
    return out


def save(file, out):
    arrays = {
        key: value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        for key, value in out.items()
    }
    arrays["versions"] = np.array(
        json.dumps({"torch": torch.__version__, "torchvision": torchvision.__version__})
    )
    np.savez_compressed(file, **arrays)
    print(file, sum(array.nbytes for array in arrays.values()), file.stat().st_size)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", type=pathlib.Path)
    full = parser.parse_args().full
    torch.manual_seed(0)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    if full is not None:
        network = torchvision.models.detection.fasterrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=CLASSES,
            min_size=256,
            max_size=320,
            rpn_batch_size_per_image=200_000,
            box_batch_size_per_image=8192,
        )
        save(full / "full.npz", whole(full, generator, network, 256, 320, "full", False, 0.1))
        return
    save(HERE / "torchvision_parts.npz", all_parts(generator))
    network = narrow_detector(FrozenBatchNorm2d)
    save(
        HERE / "faster_rcnn.npz",
        whole(HERE, generator, network, HEIGHT, WIDTH, "faster_rcnn", True),
    )
    network = narrow_detector(nn.BatchNorm2d, BasicBlock, 8)
    live = whole(HERE, generator, network, HEIGHT, WIDTH, "faster_rcnn_basic", False)
    save(HERE / "faster_rcnn_basic.npz", live)


if __name__ == "__main__":
    main()
