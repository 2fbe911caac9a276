"""The key-value cache against a plain list of what was written."""

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor

from groundup.engine.kv_cache import KVCache

H, D = 2, 3
Pair = tuple[Tensor, Tensor]  # keys and values, each of shape (B, H, T, D)


# How much of the room that is left is written, and how much of that is counted.
shares = st.sampled_from([0.0, 0.02, 0.2, 0.5, 1.0]) | st.floats(0, 1)


class CacheMachine(RuleBasedStateMachine):
    """Forward passes, whole, interrupted and taken back, beside lists that are joined."""

    @initialize(
        layers=st.integers(1, 3),
        batch=st.integers(1, 2),
        limit=st.sampled_from([1, 5, 256, 257, 600, 1500]),
        dtype=st.sampled_from([torch.float32, torch.bfloat16]),
        seed=st.integers(0, 1000),
    )
    def start(self, layers: int, batch: int, limit: int, dtype: torch.dtype, seed: int) -> None:
        self.layers, self.batch, self.limit, self.dtype = layers, batch, limit, dtype
        self.generator = torch.Generator().manual_seed(seed)
        self.cache = KVCache(layers, H, D, limit=limit, batch=batch, dtype=dtype)
        empty = torch.empty(batch, H, 0, D, dtype=dtype)
        self.held: list[Pair] = [(empty, empty)] * layers
        self.written: list[Pair] = [(empty, empty)] * layers  # by the current pass
        self.written_tokens = 0

    @property
    def length(self) -> int:
        return self.held[0][0].shape[2]

    def new_pair(self, tokens: int) -> Pair:
        shape = (2, self.batch, H, tokens, D)
        k, v = torch.randn(shape, generator=self.generator).to(self.dtype)
        return k, v

    def write(self, layer: int, tokens: int) -> None:
        k, v = self.new_pair(tokens)
        keys, values = self.cache.write(layer, k, v)
        self.written[layer] = k.clone(), v.clone()
        for got, before, new in zip((keys, values), self.held[layer], (k, v), strict=True):
            assert torch.equal(got, torch.cat((before, new), dim=2))
            assert got.dtype == self.dtype
        k.fill_(9.0)  # the caller's tensors are its own
        v.fill_(9.0)

    @rule(share=shares, accepted=shares)
    def forward(self, share: float, accepted: float) -> None:
        """All layers, and then some of the positions are counted, in one step or in two."""
        tokens = int(share * (self.limit - self.length))
        for layer in range(self.layers):
            self.write(layer, tokens)
        counted = int(accepted * tokens)
        self.cache.advance(counted)
        self.cache.advance(tokens - counted)
        self.keep(tokens)

    @rule(share=shares, accepted=shares)
    def speculate(self, share: float, accepted: float) -> None:
        """All layers, and the last positions are never counted."""
        tokens = int(share * (self.limit - self.length))
        for layer in range(self.layers):
            self.write(layer, tokens)
        counted = int(accepted * tokens)
        self.cache.advance(counted)
        self.keep(counted)
        self.written_tokens = tokens - counted

    @rule(tokens=st.integers(1, 3), passes=st.integers(1, 30))
    def decode(self, tokens: int, passes: int) -> None:
        for _ in range(min(passes, (self.limit - self.length) // tokens)):
            for layer in range(self.layers):
                self.write(layer, tokens)
            self.cache.advance(tokens)
            self.keep(tokens)

    def keep(self, tokens: int) -> None:
        self.held = [
            (torch.cat((k, new_k[:, :, :tokens]), 2), torch.cat((v, new_v[:, :, :tokens]), 2))
            for (k, v), (new_k, new_v) in zip(self.held, self.written, strict=True)
        ]
        self.written_tokens = 0

    @rule(share=shares, data=st.data())
    def interrupt(self, share: float, data: st.DataObject) -> None:
        """Only some layers are written, and nothing is counted."""
        tokens = int(share * (self.limit - self.length))
        for layer in range(data.draw(st.integers(1, self.layers))):
            self.write(layer, tokens)
        self.written_tokens = tokens

    @rule(share=shares)
    def truncate(self, share: float) -> None:
        length = round(share * self.length)
        self.cache.truncate(length)
        self.held = [(k[:, :, :length], v[:, :, :length]) for k, v in self.held]
        self.written_tokens = 0

    @rule(excess=st.integers(1, 400))
    def write_too_much(self, excess: int) -> None:
        k, v = self.new_pair(self.limit - self.length + excess)
        with pytest.raises(ValueError, match=f"holds {self.length} of at most {self.limit}"):
            self.cache.write(0, k, v)

    @rule(excess=st.integers(1, 10))
    def advance_too_far(self, excess: int) -> None:
        for tokens in (self.written_tokens + excess, -excess):
            message = f"advance by {tokens}: {self.written_tokens} positions were written"
            with pytest.raises(ValueError, match=message):
                self.cache.advance(tokens)

    @rule(excess=st.integers(1, 10))
    def truncate_too_far(self, excess: int) -> None:
        for length in (self.length + excess, -excess):
            with pytest.raises(ValueError, match=f"truncate {self.length} positions to {length}"):
                self.cache.truncate(length)

    @precondition(lambda self: self.length < self.limit)
    @rule()
    def write_what_does_not_fit(self) -> None:
        k, v = self.new_pair(1)
        for layer, bad_k, bad_v in (
            (self.layers, k, v),
            (-1, k, v),
            (0, k[..., 1:], v[..., 1:]),
            (0, k[:, 1:], v[:, 1:]),
            (0, k, v[:, :, :0]),
        ):
            with pytest.raises(ValueError, match=r"there are layers|must be of shape"):
                self.cache.write(layer, bad_k, bad_v)

    @invariant()
    def length_is_what_was_counted(self) -> None:
        if hasattr(self, "cache"):
            assert self.cache.length == self.length


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_single_tokens_are_not_copied_with_all_before_them() -> None:
    """The memory moves when it grows: 256, 512, 1024, 2048 positions, and not in between."""
    cache = KVCache(1, 1, 2, limit=2000)
    token = torch.ones(1, 1, 1, 2)
    kept, blocks = [], set()
    for _ in range(2000):
        keys, _ = cache.write(0, token, token)
        cache.advance(1)
        kept.append(keys)  # so that no memory is handed out twice
        blocks.add(keys.untyped_storage().data_ptr())
    assert len(blocks) == 4


@pytest.mark.parametrize("tokens", [1, 300, 990])
def test_growing_keeps_what_every_layer_holds(tokens: int) -> None:
    """By one position, to less than double, and to more than double."""
    cache = KVCache(3, 1, 2, limit=2000)
    held, new = torch.randn(3, 1, 1, 256, 2), torch.randn(3, 1, 1, tokens, 2)
    for layer in range(3):
        cache.write(layer, held[layer], -held[layer])
    cache.advance(256)
    for layer in range(3):
        keys, values = cache.write(layer, new[layer], -new[layer])
        want = torch.cat((held[layer], new[layer]), dim=2)
        assert torch.equal(keys, want)
        assert torch.equal(values, -want)


def test_memory_is_taken_as_it_is_needed_and_never_beyond_the_limit() -> None:
    cache = KVCache(2, 1, 4, limit=1000)
    bytes_a_position = 2 * 2 * 4 * 4

    def positions(tokens: int) -> float:
        k = torch.zeros(1, 1, tokens, 4)
        keys, _ = cache.write(0, k, k)
        return keys.untyped_storage().nbytes() / bytes_a_position

    assert [positions(tokens) for tokens in (1, 256, 257, 513, 1000)] == [256, 256, 512, 1000, 1000]


@pytest.mark.parametrize("name", ["layers", "kv_heads", "head_dim", "limit", "batch"])
@pytest.mark.parametrize("size", [0, -1])
def test_sizes_must_be_positive(name: str, size: int) -> None:
    sizes = {"layers": 1, "kv_heads": 1, "head_dim": 2, "limit": 4, "batch": 1} | {name: size}
    with pytest.raises(ValueError, match=f"^{name} must be positive, got {size}$"):
        KVCache(**sizes)  # type: ignore[arg-type]
