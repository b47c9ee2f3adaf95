"""Times a training step of torchvision's Faster R-CNN with the preset `small`'s network.

python torchvision_step.py BATCH.npz ROUNDS

BATCH.npz holds image, boxes, box_labels and box_mask as `detection_step` writes them. The script
runs in an environment with torch and torchvision, without JAX; `detection_step
--torchvision_python=…` starts it. It uses one thread and prints one JSON object.
"""

import collections
import json
import statistics
import sys
import time

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

WIDTH, CHANNELS, HIDDEN, CLASSES = 32, 64, 256, 4


class NarrowResNet(ResNet):
    """torchvision's ResNet-18 of another width: maps of strides 8 to 32 through a pyramid."""

    def __init__(self):
        nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation = nn.BatchNorm2d, WIDTH, 1
        self.groups, self.base_width = 1, 64
        self.conv1 = nn.Conv2d(3, WIDTH, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._make_layer(BasicBlock, WIDTH, 2)
        self.layer2 = self._make_layer(BasicBlock, 2 * WIDTH, 2, stride=2)
        self.layer3 = self._make_layer(BasicBlock, 4 * WIDTH, 2, stride=2)
        self.layer4 = self._make_layer(BasicBlock, 8 * WIDTH, 2, stride=2)
        self.pyramid = FeaturePyramidNetwork([WIDTH * 2**i for i in (1, 2, 3)], CHANNELS)
        self.out_channels = CHANNELS

    def forward(self, x):
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        maps = collections.OrderedDict()
        for name, layer in zip("012", (self.layer2, self.layer3, self.layer4)):
            x = maps[name] = layer(x)
        return self.pyramid(maps)


def main(path, rounds):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batch = dict(np.load(path))
    height, width = batch["image"].shape[1:3]
    network = FasterRCNN(
        NarrowResNet(),
        rpn_anchor_generator=AnchorGenerator(
            ((16, 22), (32, 45), (64, 90)), ((0.5, 1.0, 2.0),) * 3
        ),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2, canonical_scale=56),
        box_head=TwoMLPHead(CHANNELS * 49, HIDDEN),
        box_predictor=FastRCNNPredictor(HIDDEN, CLASSES),
        min_size=height,
        max_size=width,
        rpn_pre_nms_top_n_train=300,
        rpn_post_nms_top_n_train=150,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=64,
    ).train()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    images = list(torch.from_numpy(batch["image"]).permute(0, 3, 1, 2).float() / 255)
    targets = [
        {
            "boxes": torch.from_numpy(batch["boxes"][i][batch["box_mask"][i]]),
            "labels": torch.from_numpy(batch["box_labels"][i][batch["box_mask"][i]]).long() + 1,
        }
        for i in range(len(images))
    ]

    def step():
        optimiser.zero_grad()
        sum(network(images, targets).values()).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()

    step()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        step()
        times.append(time.process_time() - begin)
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    seconds = statistics.median(times) / len(images)
    print(json.dumps({"step_per_image": seconds, "versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
