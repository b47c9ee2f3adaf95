"""Makes ssl_losses.npz: values and gradients of the two-view losses in float64.

They come from pytorch-metric-learning where it has them, else from the reference codes' formulas.

Run in an environment of its own: pip install torch==2.13.0 pytorch-metric-learning==2.9.0 numpy;
python make_ssl_losses.py
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import NTXentLoss, VICRegLoss

generator = np.random.default_rng(0)
SHAPES = {"narrow": (7, 5), "wide": (5, 12), "pair": (2, 3)}


def metric_learning_nt_xent(temperature):
    def loss(first, second):
        labels = torch.arange(len(first)).repeat(2)
        return NTXentLoss(temperature=temperature)(torch.cat([first, second]), labels)

    return loss


def metric_learning_vicreg(first, second):
    return VICRegLoss()(first, ref_emb=second)


def decoupled(temperature, sigma, both):
    """Returns the loss of raminnakhli/Decoupled-Contrastive-Learning, loss/dcl.py.

    There, the network ends in F.normalize.
    """
    small = np.log(1e-45)

    def one_way(z1, z2):
        cross_view_distance = torch.mm(z1, z2.t())
        positive_loss = -torch.diag(cross_view_distance) / temperature
        if sigma is not None:
            positive_loss = positive_loss * (
                2 - z1.size(0) * F.softmax((z1 * z2).sum(dim=1) / sigma, dim=0).squeeze()
            )
        neg_similarity = torch.cat((torch.mm(z1, z1.t()), cross_view_distance), dim=1) / temperature
        neg_mask = torch.eye(z1.size(0), dtype=z1.dtype).repeat(1, 2)
        return (positive_loss + torch.logsumexp(neg_similarity + neg_mask * small, dim=1)).mean()

    def loss(first, second):
        z1, z2 = F.normalize(first, dim=-1), F.normalize(second, dim=-1)
        return one_way(z1, z2) + one_way(z2, z1) if both else one_way(z1, z2)

    return loss


def byol_direction(prediction, projection):
    """Returns regression_loss of deepmind-research, byol/utils/helpers.py.

    The mean over the batch is that of byol_experiment.py.
    """

    def l2_normalize(x):
        return x * torch.rsqrt(torch.clamp(torch.square(x).sum(dim=-1, keepdim=True), min=1e-12))

    return ((l2_normalize(prediction) - l2_normalize(projection.detach())) ** 2).sum(dim=-1).mean()


def simsiam_direction(p, z):
    """facebookresearch/simsiam, main_simsiam.py: one of the two terms, before its half."""
    return -torch.nn.CosineSimilarity(dim=1)(p, z.detach()).mean()


def vicreg_low_resource(z1, z2):
    """Returns the VICReg loss of soumitri2001/SmallDataSSL, lossfuns.py.

    It equals the original, but it sums the variance terms of the views.
    """

    def off_diagonal(x):
        n, _ = x.shape
        return x.flatten()[:-1].view(n - 1, n + 1)[:, 1:].flatten()

    def covariance(z):
        z = z - z.mean(dim=0)
        return off_diagonal((z.T @ z) / (z.shape[0] - 1)).pow(2).sum() / z.shape[1]

    def deviation(z):
        return torch.mean(F.relu(1 - torch.sqrt(z.var(dim=0) + 1e-04)))

    return (
        25 * F.mse_loss(z1, z2)
        + 25 * (deviation(z1) + deviation(z2))
        + covariance(z1)
        + covariance(z2)
    )


LOSSES = {
    "nt_xent_0.1": metric_learning_nt_xent(0.1),
    "nt_xent_0.5": metric_learning_nt_xent(0.5),
    "dcl_both": decoupled(0.1, None, True),
    "dclw_both": decoupled(0.1, 0.5, True),
    "dclw_first": decoupled(0.1, 0.5, False),
    "byol": byol_direction,
    "simsiam": simsiam_direction,
    "vicreg": metric_learning_vicreg,
    "vicreg_low_resource": vicreg_low_resource,
}

arrays = {}
for shape_name, shape in SHAPES.items():
    first = generator.normal(size=shape)
    second = 0.6 * first + 0.5 * generator.normal(size=shape)
    arrays[f"{shape_name}.first"], arrays[f"{shape_name}.second"] = first, second
    for name, loss in LOSSES.items():
        views = [
            torch.tensor(view, dtype=torch.float64, requires_grad=True) for view in (first, second)
        ]
        value = loss(*views)
        value.backward()
        arrays[f"{shape_name}.{name}.value"] = value.detach().numpy()
        for side, view in zip(("first", "second"), views):
            gradient = np.zeros(shape) if view.grad is None else view.grad.numpy()
            arrays[f"{shape_name}.{name}.gradient.{side}"] = gradient
np.savez_compressed(pathlib.Path(__file__).with_name("ssl_losses.npz"), **arrays)
print({name: float(array) for name, array in arrays.items() if name.endswith("value")})
