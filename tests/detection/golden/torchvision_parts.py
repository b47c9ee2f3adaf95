"""Cases of a detector's parts by torchvision; make_torchvision.py keeps them.

Inputs and outputs of anchors, box coder, matcher, levels, feature pyramid, RoIAlign, proposals,
losses and detections.
"""

import collections

import numpy as np
import torch
from torchvision.models.detection import _utils as parts
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, box_iou
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import LevelMapper

HEIGHT, WIDTH = 96, 128
CLASSES = 4  # the background is one of them


def boxes(generator, count, height=HEIGHT, width=WIDTH, least=3.0):
    """Random boxes, some of which leave the image a little."""
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([width - 8.0, height - 8.0])
    corner = corner - 4.0
    sides = least + torch.rand(count, 2, generator=generator) ** 2 * torch.tensor(
        [width * 0.7, height * 0.7]
    )
    return torch.cat([corner, corner + sides], 1)


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


def all_parts(generator):
    """The arrays of all parts by name; the order of the draws is theirs."""
    out = {}
    anchors(out)
    for make in (coder, matcher, pyramid, pooling, proposals, losses, detections):
        make(out, generator)
    levels(out)
    return out
