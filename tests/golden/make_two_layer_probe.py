"""Makes two_layer_probe.npz: PyTorch's losses and scores of the low-resource paper's probe.

The probe trains on a few rows, from given weights. It scores other rows in evaluation mode. The
hidden layer's bias stays at zero, because the batch norm takes it out again.

Run in an environment of its own: pip install torch==2.13.0 numpy; python make_two_layer_probe.py
"""

import pathlib

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
width, hidden, classes, count = 10, 8, 3, 24
model = nn.Sequential(
    nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(), nn.Linear(hidden, classes)
)
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(parameter.float().double())  # exactly what float32 holds
    model[0].bias.zero_()
model[0].bias.requires_grad_(False)
names = ("hidden.weight", "hidden.bias", "norm.weight", "norm.bias", "logits.weight", "logits.bias")
arrays = {
    name: parameter.detach().numpy().copy() for name, parameter in zip(names, model.parameters())
}

rng = np.random.default_rng(0)
arrays["labels"] = rng.integers(0, classes, count)
arrays["labels"][:classes] = np.arange(classes)
arrays["features"] = rng.standard_normal((count, width)).astype(np.float32)
features, labels = torch.as_tensor(arrays["features"]).double(), torch.as_tensor(arrays["labels"])

optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=25, gamma=0.5)
losses = []
for _ in range(60):  # every row in every batch: the order of the rows does not matter
    loss = nn.functional.cross_entropy(model(features), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()
    losses.append(loss.item())
arrays["losses"] = np.array(losses)
arrays["others"] = rng.standard_normal((count, width)).astype(np.float32)
model.eval()
with torch.no_grad():
    arrays["scores"] = torch.softmax(
        model(torch.as_tensor(arrays["others"]).double()), dim=1
    ).numpy()
arrays["running_variance"] = model[1].running_var.numpy()
np.savez_compressed(pathlib.Path(__file__).with_name("two_layer_probe.npz"), **arrays)
print(losses[::20], losses[-1])
