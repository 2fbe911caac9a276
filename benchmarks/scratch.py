"""A training step of groundup's NumPy networks against the same step in PyTorch, on the CPU.

Run: ``python benchmarks/scratch.py``. Both have the same layers, batch and optimiser (AdamW), start
from the same weights, and step in turn on the same batches in float32, on one thread. What is
compared is the processor's time, not the clock's, because other programs share the machine; that
the losses agree shows that both do the same work.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before the imports: one thread for both
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from groundup.scratch.adamw import AdamW
from groundup.scratch.cross_entropy import cross_entropy
from groundup.scratch.module import Sequential
from groundup.scratch.networks import convolutional, multilayer_perceptron
from groundup.scratch.tensor import Array, Tensor

BATCH = 128
WARM_UP = 10

Step = Callable[[Array, Array], float]


def ours(network: Sequential) -> Step:
    optimiser = AdamW(network.parameters())

    def step(images: Array, labels: Array) -> float:
        loss = cross_entropy(network(Tensor(images)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def theirs(network: nn.Module) -> Step:
    optimiser = torch.optim.AdamW(network.parameters())

    def step(images: Array, labels: Array) -> float:
        logits = network(torch.from_numpy(images))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def in_torch(name: str, network: Sequential) -> nn.Module:
    """The same network with the same weights."""
    layers: dict[str, list[nn.Module]] = {
        "mlp": [
            nn.Flatten(),
            *(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)),
        ],
        "cnn": [
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10)),
        ],
    }
    built = nn.Sequential(*layers[name])
    for own, other in zip(network.parameters(), built.parameters(), strict=True):
        other.data.copy_(torch.from_numpy(own.data))
    return built


def measure(name: str, steps: int) -> None:
    rng = np.random.default_rng(0)
    build = {"mlp": multilayer_perceptron, "cnn": convolutional}[name]
    network = build(28, 10, rng)
    both = {"torch": theirs(in_torch(name, network)), "groundup": ours(network)}
    seconds: dict[str, list[float]] = {who: [] for who in both}
    for number in range(WARM_UP + steps):
        images = rng.standard_normal((BATCH, 1, 28, 28)).astype(np.float32)
        labels = rng.integers(10, size=BATCH)
        losses = {}
        for who in list(both)[:: 1 if number % 2 else -1]:  # neither always first
            start = time.process_time()
            losses[who] = both[who](images, labels)
            seconds[who].append(time.process_time() - start)
        if number < WARM_UP:
            assert abs(losses["torch"] - losses["groundup"]) < 1e-3, losses
    medians = {who: statistics.median(taken[WARM_UP:]) for who, taken in seconds.items()}
    pairs = zip(seconds["groundup"][WARM_UP:], seconds["torch"][WARM_UP:], strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"{name}  groundup {1e3 * medians['groundup']:6.2f} ms   torch "
        f"{1e3 * medians['torch']:6.2f} ms   median ratio {ratio:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    steps = parser.parse_args().steps
    print(f"CPU time of a step, batch {BATCH}, threads {torch.get_num_threads()}")
    for name in ("mlp", "cnn"):
        measure(name, steps)


if __name__ == "__main__":
    main()
