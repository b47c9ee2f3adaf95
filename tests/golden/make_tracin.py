"""Makes tracin.npz: captum's TracInCP, and TracInCPFast for the last layer, in float64.

The network is small, and there are three checkpoints.

Run in an environment of its own: pip install torch==2.13.0 captum==0.9.0 numpy; python
make_tracin.py
"""

import pathlib
import tempfile

import numpy as np
import torch
from captum.influence import TracInCP, TracInCPFast
from torch import nn
from torch.utils.data import TensorDataset

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
width, hidden, classes, num_train, num_test = 5, 7, 3, 23, 6
rng = np.random.default_rng(0)
arrays = {
    "train_input": rng.standard_normal((num_train, width)),
    "train_label": rng.integers(0, classes, num_train),
    "test_input": rng.standard_normal((num_test, width)),
    "test_label": rng.integers(0, classes, num_test),
}
tensors = {name: torch.as_tensor(array) for name, array in arrays.items()}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.last = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.last(torch.tanh(self.hidden(x)))


model = Network()
rates = {}
with tempfile.TemporaryDirectory() as folder:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    files = []
    for i, rate in enumerate((0.5, 0.3, 0.1)):
        for _ in range(5):
            optimiser.zero_grad()
            nn.functional.cross_entropy(
                model(tensors["train_input"]), tensors["train_label"]
            ).backward()
            optimiser.step()
        files.append(str(pathlib.Path(folder) / f"{i}.pt"))
        rates[files[-1]] = rate
        torch.save(model.state_dict(), files[-1])
        for name, parameter in model.named_parameters():
            arrays[f"{i}.{name}"] = parameter.detach().numpy().copy()
        arrays[f"{i}.learning_rate"] = np.float64(rate)

    def load(model, file):
        model.load_state_dict(torch.load(file, weights_only=True))
        return rates[file]

    common = {
        "model": model,
        "train_dataset": TensorDataset(tensors["train_input"], tensors["train_label"]),
        "checkpoints": files,
        "checkpoints_load_func": load,
        "loss_fn": nn.CrossEntropyLoss(reduction="sum"),
        "batch_size": 8,
    }
    whole = TracInCP(**common, sample_wise_grads_per_batch=True)
    fast = TracInCPFast(**common, final_fc_layer=model.last)
    test = (tensors["test_input"], tensors["test_label"])
    last = TracInCP(**common, sample_wise_grads_per_batch=True, layers=["last"])
    # TracInCPFast leaves the layer's bias out.
    for name, oracle in (("whole", whole), ("last", last), ("last_without_bias", fast)):
        arrays[f"{name}.influence"] = (
            oracle.influence(test, k=None).detach().numpy()
        )  # [test, train]
        arrays[f"{name}.self_influence"] = oracle.self_influence().detach().numpy()
    helpful = whole.influence(test, k=4, proponents=True)
    harmful = whole.influence(test, k=4, proponents=False)
    arrays["helpful"], arrays["harmful"] = helpful.indices.numpy(), harmful.indices.numpy()
np.savez_compressed(pathlib.Path(__file__).with_name("tracin.npz"), **arrays)
print({name: array.shape for name, array in arrays.items()})
