"""Makes torchvision_parts.npz, faster_rcnn.npz and faster_rcnn.safetensors by torchvision.

torchvision_parts.npz holds inputs and outputs of the parts of a detector: anchors, box coder,
matcher, levels, feature pyramid, RoIAlign, proposals, losses, detections.

faster_rcnn.safetensors is the state of a narrow Faster R-CNN with random weights, in float16.
faster_rcnn.npz holds what it computes for three images, in evaluation and in training. Its samplers
take every anchor and every proposal, so nothing in it is drawn.

Run in an environment of its own: pip install torch==2.14.1 torchvision==0.29.1 numpy safetensors;
python make_torchvision.py
With `--full=FOLDER` it writes the same for a ResNet-50 of full width (170 MB) to FOLDER instead.
"""

import argparse
import collections
import json
import pathlib

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection import _utils as parts
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, box_iou
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.misc import FrozenBatchNorm2d
from torchvision.ops.poolers import LevelMapper

HERE = pathlib.Path(__file__).parent
HEIGHT, WIDTH = 96, 128
CLASSES = 4  # the background is one of them


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


def boxes(generator, count, height=HEIGHT, width=WIDTH, least=3.0):
    """Random boxes, some of which leave the image a little."""
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([width - 8.0, height - 8.0])
    corner = corner - 4.0
    sides = least + torch.rand(count, 2, generator=generator) ** 2 * torch.tensor(
        [width * 0.7, height * 0.7]
    )
    return torch.cat([corner, corner + sides], 1)


def anchors(out):
    cases = {
        "default": ([[32], [64], [128], [256], [512]], [0.5, 1.0, 2.0], (96, 128)),
        "odd": ([[32], [64], [128], [256], [512]], [0.5, 1.0, 2.0], (100, 132)),
        "two_sizes": ([[16, 22], [32, 45], [64, 90]], [0.5, 1.0, 2.0], (64, 96)),
        "ratios": ([[17], [31]], [0.75, 1.0, 1.33], (40, 24)),
    }
    for name, (sizes, ratios, (height, width)) in cases.items():
        first = 2 if name in ("default", "odd") else 3
        grids = []
        for level in range(len(sizes)):
            stride = 2 ** (first + level)
            grids.append((-(-height // stride), -(-width // stride)))
        generator = AnchorGenerator(sizes, (tuple(ratios),) * len(sizes))
        maps = [torch.zeros(1, 1, *grid) for grid in grids]
        images = ImageList(torch.zeros(1, 3, height, width), [(height, width)])
        out[f"anchors/{name}/boxes"] = generator(images, maps)[0]
        out[f"anchors/{name}/grids"] = np.array(grids)
        out[f"anchors/{name}/sizes"] = np.array(sizes, np.float32)
        out[f"anchors/{name}/ratios"] = np.array(ratios, np.float32)
        out[f"anchors/{name}/image"] = np.array([height, width])


def coder(out, generator):
    reference, proposals = boxes(generator, 40), boxes(generator, 40)
    deltas = torch.randn(40, 12, generator=generator) * 3
    deltas[:4] *= 20  # The clamp of the logarithms of sides acts.
    out["coder/reference"], out["coder/proposals"], out["coder/deltas"] = (
        reference,
        proposals,
        deltas,
    )
    for name, weights in (("ones", (1.0, 1.0, 1.0, 1.0)), ("roi", (10.0, 10.0, 5.0, 5.0))):
        box_coder = parts.BoxCoder(weights)
        out[f"coder/{name}/encoded"] = box_coder.encode([reference], [proposals])[0]
        out[f"coder/{name}/decoded"] = box_coder.decode(deltas, [proposals])


def matcher(out, generator):
    grid = AnchorGenerator([[16], [32]], ((0.5, 1.0, 2.0),) * 2)
    images = ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)])
    anchor = grid(images, [torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4)])[0]
    truths = {
        "random": boxes(generator, 6, 64, 64),
        "on_anchors": anchor[[5, 40, 100]].clone(),  # IoU 1
        # The first lies halfway between anchors: several tie as its best.
        "ties": torch.tensor([[0.0, 0.0, 16.0, 16.0], [4.0, 4.0, 12.0, 12.0], [4, 4, 12, 12]]),
        "tiny": torch.tensor([[20.0, 20.0, 22.0, 22.0]]),  # matched by low quality alone
        "one_large": torch.tensor([[0.0, 0.0, 64.0, 64.0], [1.0, 2.0, 63.0, 61.0]]),
    }
    out["matcher/anchors"] = anchor
    for name, truth in truths.items():
        overlap = box_iou(truth, anchor)
        out[f"matcher/{name}/truth"] = truth
        out[f"matcher/{name}/iou"] = overlap
        out[f"matcher/{name}/rpn"] = parts.Matcher(0.7, 0.3, True)(overlap)
        out[f"matcher/{name}/roi"] = parts.Matcher(0.5, 0.5, False)(overlap)


def levels(out):
    sides = np.array([1, 28, 55.99, 56, 111.9999, 112, 112.001, 223.99, 224, 300, 447.9, 448, 900])
    box = torch.tensor(np.stack([0 * sides, 0 * sides, sides, sides], 1), dtype=torch.float32)
    out["levels/boxes"] = box
    out["levels/level"] = LevelMapper(2, 5)([box]) + 2
    out["levels/level_56"] = LevelMapper(2, 5, canonical_scale=56)([box]) + 2


def pyramid(out, generator):
    network = FeaturePyramidNetwork([4, 6, 8], 5, LastLevelMaxPool())
    maps = collections.OrderedDict(
        (str(i), torch.randn(2, channels, *sides, generator=generator))
        for i, (channels, sides) in enumerate(((4, (13, 17)), (6, (7, 9)), (8, (4, 5))))
    )
    randomise(network, generator, 0.5)
    for name, tensor in network.state_dict().items():
        out[f"pyramid/state/{name}"] = tensor
    for name, tensor in maps.items():
        out[f"pyramid/input/{name}"] = tensor
    for name, tensor in network(maps).items():
        out[f"pyramid/output/{name}"] = tensor


def pooling(out, generator):
    maps = {
        str(i): torch.randn(2, 3, 96 // s, 128 // s, generator=generator)
        for i, s in enumerate((4, 8, 16, 32))
    }
    box = torch.cat(
        [
            boxes(generator, 9),
            torch.tensor([[-20.0, -10, 8, 9], [120, 90, 160, 130], [5, 5, 5.2, 5.1]]),
        ]
    )
    pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2, canonical_scale=56)
    rois = [box, box[::2].contiguous()]
    for name, tensor in maps.items():
        out[f"pooling/map/{name}"] = tensor
        tensor.requires_grad_(True)
    out["pooling/boxes"] = box
    pooled = pool(maps, rois, [(96, 128)] * 2)
    weights = torch.randn(pooled.shape, generator=generator)
    (pooled * weights).sum().backward()
    out["pooling/output"], out["pooling/weights"] = pooled, weights
    for name, tensor in maps.items():
        out[f"pooling/gradient/{name}"] = tensor.grad


def proposals(out, generator):
    network = RegionProposalNetwork(
        AnchorGenerator([[16], [32], [64]], ((0.5, 1.0, 2.0),) * 3),
        RPNHead(4, 3),
        0.7,
        0.3,
        256,
        0.5,
        {"training": 60, "testing": 40},
        {"training": 50, "testing": 30},
        0.7,
    )
    images = ImageList(torch.zeros(2, 3, 64, 96), [(64, 96)] * 2)
    grids = [(8, 12), (4, 6), (2, 3)]
    anchor = network.anchor_generator(images, [torch.zeros(2, 1, *grid) for grid in grids])
    counts = [3 * rows * columns for rows, columns in grids]
    logits = torch.randn(2, sum(counts), generator=generator)
    deltas = torch.randn(2, sum(counts), 4, generator=generator) * torch.tensor(
        [0.3, 0.3, 0.5, 0.5]
    )
    deltas[0, :3, 0] = 50.0  # far outside: no side is left after clipping
    decoded = network.box_coder.decode(deltas.reshape(-1, 4), anchor).view(2, -1, 4)
    out["proposals/anchors"], out["proposals/logits"], out["proposals/deltas"] = (
        anchor[0],
        logits,
        deltas,
    )
    out["proposals/counts"] = np.array(counts)
    for mode in (True, False):
        network.train(mode)
        name = "training" if mode else "testing"
        result, scores = network.filter_proposals(decoded, logits, images.image_sizes, counts)
        for i in range(2):
            out[f"proposals/{name}/boxes_{i}"] = result[i]
            out[f"proposals/{name}/scores_{i}"] = scores[i]


def losses(out, generator):
    labels = torch.tensor([1.0, 0, 0, -1, 1, 0, -1, 1, 0, 0] * 4)
    logits = torch.randn(2, 20, generator=generator) * 2
    deltas, targets = (torch.randn(40, 4, generator=generator) for _ in range(2))
    network = RegionProposalNetwork(
        AnchorGenerator([[16]], ((1.0,),)), RPNHead(4, 1), 0.7, 0.3, 1000, 0.5, {}, {}, 0.7
    )
    objectness, box = network.compute_loss(
        logits, deltas, list(labels.split(20)), list(targets.split(20))
    )
    out["losses/rpn/labels"], out["losses/rpn/logits"] = labels.view(2, 20), logits
    out["losses/rpn/deltas"], out["losses/rpn/targets"] = (
        deltas.view(2, 20, 4),
        targets.view(2, 20, 4),
    )
    out["losses/rpn/objectness"], out["losses/rpn/box"] = objectness, box
    classes = torch.tensor([0, 2, 0, 1, 3, 0, 0, 0, 1, 2, 0, 3])
    class_logits = torch.randn(12, CLASSES, generator=generator)
    regression = torch.randn(12, 4 * CLASSES, generator=generator)
    target = torch.randn(12, 4, generator=generator)
    classifier, box = fastrcnn_loss(class_logits, regression, [classes], [target])
    out["losses/roi/labels"], out["losses/roi/logits"] = classes, class_logits
    out["losses/roi/deltas"], out["losses/roi/targets"] = regression, target
    out["losses/roi/classifier"], out["losses/roi/box"] = classifier, box


def detections(out, generator):
    head = RoIHeads(None, None, None, 0.5, 0.5, 512, 0.25, None, 0.05, 0.5, 20).eval()
    box = [boxes(generator, 60), boxes(generator, 60)]
    logits = torch.randn(120, CLASSES, generator=generator) * 2
    deltas = torch.randn(120, 4 * CLASSES, generator=generator)
    result = head.postprocess_detections(logits, deltas, box, [(HEIGHT, WIDTH)] * 2)
    out["detections/proposals"] = torch.stack(box)
    out["detections/logits"] = logits.view(2, 60, -1)
    out["detections/deltas"] = deltas.view(2, 60, -1)
    for i in range(2):
        for name, values in zip(("boxes", "scores", "labels"), result):
            out[f"detections/{name}_{i}"] = values[i]


def randomise(network, generator, scale=1.0):
    """Random weights that float16 holds exactly: activations keep about one size."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                value = 1 + 0.5 * torch.rand(tensor.shape, generator=generator)
            elif tensor.ndim == 1 and name.endswith("weight"):
                value = 0.8 + 0.2 * noise
            elif tensor.ndim == 1:
                value = 0.1 * noise
            else:
                value = scale * noise * (2 / tensor[0].numel()) ** 0.5
            tensor.copy_(value.half().float())


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
    out = {}
    anchors(out)
    for make in (coder, matcher, pyramid, pooling, proposals, losses, detections):
        make(out, generator)
    levels(out)
    save(HERE / "torchvision_parts.npz", out)
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
