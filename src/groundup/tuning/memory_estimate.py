"""How much memory a tuning takes, before it takes it."""

import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from groundup.errors import GroundupError
from groundup.training.glibc_malloc import return_freed_memory

__all__ = [
    "MemoryEstimate",
    "Probe",
    "available_memory",
    "check_memory",
    "estimate_memory",
    "probe_memory",
    "resident_memory",
    "score_bytes",
]

PROBE = 128  # tokens, twice and three times as many: a parabola is laid through what they hold
# What is held and freed in pieces leaves gaps in the heap: with glibc, a step of which freed memory
# is given back takes 1.2 to 1.6 times its tensors. Whole matrices have pages of their own.
GAPS = 1.7


@dataclass(frozen=True)
class Probe:
    """The most that a step holds at once, as a polynomial in the length of its texts."""

    constant: float  # bytes, such as weights that were converted
    each: float  # bytes for each token
    pair: float  # bytes for each pair of tokens of one text: attention's

    def activations(self, tokens: int, longest: int) -> int:
        """Bytes for ``tokens``, in texts of at most ``longest``."""
        return round(self.constant + tokens * (self.each + self.pair * min(longest, tokens)))


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, by what they are for."""

    resident: int  # what the process holds already: Python, the libraries, the weights
    gradients: int
    optimizer: int
    activations: int
    scores: int  # over the vocabulary, of the tokens that count
    besides: int = 0  # what is made before the training or after it, and not within it

    @property
    def more(self) -> int:
        """What tuning takes besides what there is."""
        training = self.gradients + self.optimizer + self.activations + self.scores
        return max(training, self.besides)

    @property
    def peak(self) -> int:
        """What the process holds in the end."""
        return self.resident + self.more


def probe_memory(model: nn.Module, loss: Callable[[int], Tensor], context: int) -> Probe:
    """Measure short texts, forwards and backwards: each tensor that torch makes is counted.

    Args:
        model: as it will be trained; it is not changed, and its gradients stay None.
        loss: of texts of so many tokens, of which one counts.
        context: the longest text that may be tried, at least 3 tokens.
    """
    step = min(PROBE, context // 3)
    lengths = [step, 2 * step, 3 * step]
    own = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    # A gradient is let go as soon as it is whole: all of them together are counted apart.
    hooks = [
        p.register_post_accumulate_grad_hook(_without_gradient)
        for p in model.parameters()
        if p.requires_grad
    ]
    training = model.training
    model.train()
    found = []
    try:
        for tokens in lengths:
            with _Held(own) as held:
                loss(tokens).backward()
            found.append(held.most)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return_freed_memory()
    pair, each, constant = np.polyfit(lengths, found, 2).clip(0)
    return Probe(float(constant), float(each), float(pair))


def _without_gradient(parameter: Tensor) -> None:
    parameter.grad = None


class _Held(TorchDispatchMode):
    """Within it, the bytes of all tensors that are made and not yet freed, and the most of them."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.most = self.now = 0
        self.known = set(known)  # storages that are counted, or are not to be

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.known:
                    self.known.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())
        return made

    def _freed(self, storage: int, size: int) -> None:
        self.known.discard(storage)
        self.now -= size


def score_bytes(counted: int, vocabulary: int, *, chunk: int | None = None) -> int:
    """What the scores of so many tokens take, with what is made of them.

    ``chunk``: how many tokens' scores are made at a time, by `chunked_cross_entropy_sum`. Without
    it there are all of them at once, in float32 and in the products' dtype, with their
    probabilities and gradients.
    """
    return 16 * counted * vocabulary if chunk is None else 8 * min(counted, chunk) * vocabulary


def estimate_memory(
    model: nn.Module, probe: Probe, *, tokens: int, longest: int, scores: int, besides: int = 0
) -> MemoryEstimate:
    """The memory of training with AdamW.

    Args:
        model: as it will be trained.
        probe: of it.
        tokens: that are read at a time, at most.
        longest: tokens of the longest text.
        scores: as `score_bytes` gives it.
        besides: bytes that are needed before or after, and not while it is trained.
    """
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    gaps = GAPS if next(model.parameters()).device.type == "cpu" else 1.1
    return MemoryEstimate(
        resident=resident_memory(next(model.parameters()).device),
        gradients=trained,
        optimizer=3 * trained,  # two moments, and what a step divides by
        activations=round(
            probe.constant + gaps * (probe.activations(tokens, longest) - probe.constant)
        ),
        scores=scores,
        besides=besides,
    )


def check_memory(
    wanted: MemoryEstimate, available: int | None, others: Iterable[tuple[str, MemoryEstimate]]
) -> str:
    """A line that says what a tuning takes.

    Args:
        wanted: with the settings that were asked for.
        available: bytes that can be had; None where nobody knows.
        others: options instead, with what they take. Of those with one name, the first that
            fits is named.

    Raises:
        GroundupError: it cannot be had; names the options with which it could.
    """
    line = (
        f"about {wanted.peak / 1e9:.1f} GB at its peak, {wanted.resident / 1e9:.1f} GB of them "
        "already held"
    )
    if available is None or wanted.more <= available:
        return f"memory: {line}"
    fitting: dict[str, str] = {}
    for option, other in others:
        if other.more <= available:
            fitting.setdefault(option.split()[0], f"{option} ({other.peak / 1e9:.1f} GB)")
    advice = " or ".join(fitting.values()) + " would fit"
    if not fitting:
        advice = "close other programs, or take a smaller model"
    free = f"{available / 1e9:.1f} GB are free"
    raise GroundupError(f"tuning takes {line}, and {free}: {advice}")


def resident_memory(device: torch.device) -> int:
    """Bytes that this process holds now; 0 where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_memory(device: torch.device) -> int | None:
    """Bytes that can be taken now; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_proc_available(), _container_available()]
    known = [bytes_ for bytes_ in found if bytes_ is not None]
    if not known and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    return min(known) if known else None


def _proc_available() -> int | None:
    """Linux's own estimate of what can be had without swapping."""
    try:
        lines: Sequence[str] = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _container_available() -> int | None:
    """What a container's limit leaves; pages of files that can be dropped count as left."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text("ascii").strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text("ascii"))
        stat = dict(
            line.split() for line in (group / "memory.stat").read_text("ascii").splitlines()
        )
        return int(limit) - used + int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
