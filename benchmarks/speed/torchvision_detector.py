"""torchvision's side of benchmarks/speed/detection.py, for an environment with torchvision.

    python torchvision_detector.py THREADS BATCH

Builds the detector of the preset `small` from torchvision's parts. For each line of the standard
input, "train" or "detect", it does one step and prints its CPU seconds. It imports nothing of ours.
"""

import sys
import time

import torch
import torchvision
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

HEIGHT, WIDTH, CLASSES, BOXES = 192, 256, 3, 12


class NarrowResNet(ResNet):
    """torchvision's ResNet-18 of another width."""

    def __init__(self, width):
        nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation = nn.BatchNorm2d, width, 1
        self.groups, self.base_width = 1, 64
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._make_layer(BasicBlock, width, 2)
        self.layer2 = self._make_layer(BasicBlock, 2 * width, 2, stride=2)
        self.layer3 = self._make_layer(BasicBlock, 4 * width, 2, stride=2)
        self.layer4 = self._make_layer(BasicBlock, 8 * width, 2, stride=2)


class NoMore(ExtraFPNBlock):
    """No level beyond the encoder's."""

    def forward(self, results, x, names):
        return results, names


def detector():
    body = NarrowResNet(32)
    returned = {"layer2": "0", "layer3": "1", "layer4": "2"}
    backbone = BackboneWithFPN(body, returned, [64, 128, 256], 64, extra_blocks=NoMore())
    sizes = ((16, 22), (32, 45), (64, 90))
    return FasterRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2, canonical_scale=56),
        box_head=TwoMLPHead(64 * 49, 256),
        box_predictor=FastRCNNPredictor(256, 1 + CLASSES),
        min_size=HEIGHT,
        max_size=WIDTH,
        rpn_pre_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_train=150,
        rpn_post_nms_top_n_test=150,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=64,
    )


def main():
    threads, batch = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = detector()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1e-2)
    images = list(torch.rand(batch, 3, HEIGHT, WIDTH))
    corner = torch.rand(batch, BOXES, 2) * torch.tensor([WIDTH - 60.0, HEIGHT - 60.0])
    box = torch.cat([corner, corner + 15 + 45 * torch.rand(batch, BOXES, 2)], 2)
    label = torch.randint(1, 1 + CLASSES, (batch, BOXES))
    targets = [{"boxes": b, "labels": c} for b, c in zip(box, label)]
    print(torch.__version__, torchvision.__version__, flush=True)
    for line in sys.stdin:
        train = line.strip() == "train"
        model.train(train)
        begin = time.process_time()
        if train:
            optimiser.zero_grad()
            loss = sum(model(images, targets).values())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimiser.step()
            assert torch.isfinite(loss)
        else:
            with torch.inference_mode():
                model(images)
        print(time.process_time() - begin, flush=True)


if __name__ == "__main__":
    main()
