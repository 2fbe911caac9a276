"""A model with an adapter: the base is frozen, and few parameters are trained."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import getfile
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.encoder_decoder import Memory
from groundup.models.gpt2 import GPT2
from groundup.models.language_model import Cache, Shape
from groundup.models.linear import Linear
from groundup.models.llama import Llama
from groundup.models.t5 import T5
from groundup.models.weights_digest import weights_digest
from groundup.tuning.adapted_linear import AdaptedLinear
from groundup.tuning.adapter_config import AdapterConfig
from groundup.tuning.dora import DoraLinear
from groundup.tuning.fused_lora import FusedLoraLinear
from groundup.tuning.ia3 import Ia3Linear
from groundup.tuning.lora import LoraLinear, lora_scaling
from groundup.tuning.nf4_linear import Nf4Linear
from groundup.tuning.prefix_tuning import Prefix
from groundup.tuning.prompt_tuning import PromptEmbedding

__all__ = ["AdaptedModel", "adapt", "adapt_layers", "linear_layers", "low_rank"]

OUTPUT = "lm_head"  # not adapted: it is the largest matrix, and often the embedding itself
EMBEDDING = {Llama: "embed_tokens", GPT2: "wte", T5: "shared"}
FEED_FORWARD_ENDS = r"down_proj|mlp\.c_proj|wo"
IA3_TARGETS = rf"k_proj|v_proj|c_attn|{FEED_FORWARD_ENDS}"


class AdaptedModel(nn.Module):
    """A model in which an adapter is; itself a model of the same kind, to train and to ask.

    A prefix and a prompt take the first positions of a text: an empty cache takes them up, and
    holds so many positions more than the text.
    """

    def __init__(
        self,
        model: GPT2 | Llama | T5,
        adapter: AdapterConfig,
        base_digest: str,
        layers: dict[str, AdaptedLinear],
        prefix: Prefix | None = None,
        prompt: PromptEmbedding | None = None,
    ) -> None:
        """Use `adapt`, or `load_adapter`."""
        super().__init__()
        self.model, self.adapter, self.base_digest = model, adapter, base_digest
        self.layers, self.prefix, self.prompt = layers, prefix, prompt

    @property
    def config(self) -> Shape:
        """The model's."""
        return self.model.config

    @property
    def dtype(self) -> torch.dtype:
        """Of the values between layers, and so of a cache's keys and values."""
        return self.model.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.model.device

    @property
    def virtual_tokens(self) -> int:
        """The positions that a prefix or a prompt takes before a text."""
        return sum(part.tokens for part in (self.prefix, self.prompt) if part is not None)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name: the adapter's parameters, float32."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def hidden(
        self, ids: Tensor, cache: Cache | None = None, *, outputs: int | None = None
    ) -> Tensor:
        """As the decoder-only model's own, for the text's positions alone."""
        assert not isinstance(self.model, T5), "a T5 has encode and decode"
        outputs = ids.shape[1] if outputs is None else outputs
        if cache is None or not cache.length:
            if self.prefix is not None:
                cache = self.prefix.cache(cache, len(ids), self.dtype)
            if self.prompt is not None:
                ids = self.prompt.before(ids)
        return self.model.hidden(ids, cache, outputs=outputs)

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """As T5's, (B, V + S, C): a prompt stands before the source."""
        assert isinstance(self.model, T5)
        return self.model.encode(ids if self.prompt is None else self.prompt.before(ids),
                                 self._mask(mask))  # fmt: skip

    def remember(self, encoded: Tensor) -> Memory:
        """As T5's."""
        assert isinstance(self.model, T5)
        return self.model.remember(encoded)

    def decode(
        self, ids: Tensor, memory: Memory, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """As T5's; ``mask`` is the source's, without the prompt. A prefix is the decoder's."""
        assert isinstance(self.model, T5)
        if self.prefix is not None and (cache is None or not cache.length):
            cache = self.prefix.cache(cache, len(ids), self.dtype)
        return self.model.decode(ids, memory, self._mask(mask), cache)

    def _mask(self, mask: Tensor | None) -> Tensor | None:
        if mask is None or self.prompt is None:
            return mask
        return torch.cat((mask.new_ones(len(mask), self.prompt.tokens), mask), dim=1)

    def logits(self, hidden: Tensor) -> Tensor:
        """As the model's own."""
        return self.model.logits(hidden)

    def forward(
        self, ids: Tensor, further: Tensor | Cache | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Logits, of the model's own arguments: ids and a cache, or source and target ids."""
        if isinstance(self.model, T5):
            memory = self.remember(self.encode(ids, mask))
            return self.logits(self.decode(cast(Tensor, further), memory, mask))
        return self.logits(self.hidden(ids, cast(Cache | None, further)))

    def merge(self) -> GPT2 | Llama | T5:
        """The plain model, with matrices in which the adapter is; `unmerge` takes it out again.

        The base's matrices are kept beside them until this object is gone, so nothing is rounded.

        Raises:
            GroundupError: a prefix or a prompt is in no matrix.
        """
        self._check_in_layers()
        for name, layer in self.layers.items():
            _replace(self.model, name, layer.as_linear())
        return self.model

    def unmerge(self) -> None:
        """Undo `merge`: the base's matrices are as they were, bit for bit."""
        for name, layer in self.layers.items():
            _replace(self.model, name, layer)

    @contextmanager
    def switched_off(self) -> Iterator[GPT2 | Llama | T5]:
        """Within it, the model without the adapter: preference tuning's reference.

        Raises:
            GroundupError: as `merge`.
        """
        self._check_in_layers()
        for name, layer in self.layers.items():
            _replace(self.model, name, layer.base)
        try:
            yield self.model
        finally:
            self.unmerge()

    def _check_in_layers(self) -> None:
        if not self.layers:
            raise GroundupError(
                f"an adapter of the method {self.adapter.method} is in no matrix, so it can be "
                "neither merged nor switched off: load it beside its model, or train lora, dora, "
                "qlora or ia3 instead"
            )


def adapt(model: GPT2 | Llama | T5, config: AdapterConfig, *, seed: int = 0) -> AdaptedModel:
    """Put an adapter into a model, whose own parameters are frozen.

    At first it changes nothing, but for a prefix, a prompt, and the rounding of QLoRA's base.

    Args:
        model: the base. Its layers are replaced in place, and QLoRA drops their matrices.
        config: the method.
        seed: of what is drawn.

    Raises:
        GroundupError: no layer's name fits the pattern, or it is not one; the model has an adapter
            already, or is of a family that has none.
    """
    generator = torch.Generator().manual_seed(seed)
    if config.method == "prefix":
        digest = _freeze(model)
        prefix = _prefix(model, config.virtual_tokens, generator)
        return AdaptedModel(model, config, digest, {}, prefix=prefix)
    if config.method == "prompt":
        digest = _freeze(model)
        name = EMBEDDING[type(model)]
        embedding = model.get_submodule(name)
        assert isinstance(embedding, nn.Embedding)
        prompt = PromptEmbedding(embedding, config.virtual_tokens, generator=generator)
        _replace(model, name, prompt)
        return AdaptedModel(model, config, digest, {}, prompt=prompt)
    scaling = lora_scaling(config.rank, config.alpha, rank_stabilized=config.rank_stabilized)
    makers: dict[str, Callable[[Linear], AdaptedLinear]] = {}
    for name in _targeted(model, config):
        if config.method == "ia3":
            makers[name] = partial(Ia3Linear, inputs=_fits(FEED_FORWARD_ENDS, name))
        else:
            makers[name] = partial(
                low_rank, config=config, rank=config.rank, scaling=scaling, generator=generator
            )
    return adapt_layers(model, config, makers)


def adapt_layers(
    model: GPT2 | Llama | T5,
    config: AdapterConfig,
    makers: Mapping[str, Callable[[Linear], AdaptedLinear]],
) -> AdaptedModel:
    """As `adapt`, with what is put in each layer's place, by its name.

    Raises:
        GroundupError: as there.
    """
    digest = _freeze(model)
    layers: dict[str, AdaptedLinear] = {}
    for name, make in makers.items():
        base = model.get_submodule(name)
        assert isinstance(base, Linear)
        layers[name] = make(base).to(model.device).train(model.training)
        _replace(model, name, layers[name])
    return AdaptedModel(model, config, digest, layers)


def low_rank(
    base: Linear,
    *,
    config: AdapterConfig,
    rank: int,
    scaling: float,
    generator: torch.Generator | None = None,
) -> LoraLinear:
    """A layer with the addition that the config's method makes, LoRA's, DoRA's or QLoRA's."""
    # A learner's layer that is swapped in computes by itself.
    own = Path(getfile(LoraLinear)).parent == Path(__file__).parent
    plain = FusedLoraLinear if own else LoraLinear
    kind = DoraLinear if config.method == "dora" else plain
    frozen = Nf4Linear(base) if config.method == "qlora" else base
    return kind(frozen, rank, scaling, dropout=config.dropout, generator=generator)


def _freeze(model: nn.Module) -> str:
    """Freeze the base, and return its digest."""
    if type(model) not in EMBEDDING:
        raise GroundupError(f"adapters are for GPT-2, Llama and T5, got a {type(model).__name__}")
    if any(isinstance(module, AdaptedLinear | PromptEmbedding) for module in model.modules()):
        raise GroundupError("the model has an adapter already: load the model anew")
    model.requires_grad_(False)
    return weights_digest(model)


def linear_layers(model: nn.Module) -> dict[str, Linear]:
    """The layers that may be adapted, by name: all linear ones but the output."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Linear) and name != OUTPUT
    }


def _targeted(model: nn.Module, config: AdapterConfig) -> list[str]:
    names = list(linear_layers(model))
    pattern = config.targets or (IA3_TARGETS if config.method == "ia3" else ".*")
    try:
        found = [name for name in names if _fits(pattern, name)]
    except re.error as error:
        raise GroundupError(f"the targets {pattern!r} are not a regular expression: {error}"
                            ) from None  # fmt: skip
    if not found:
        kinds = dict.fromkeys(re.sub(r"\.\d+\.", ".N.", name) for name in names)
        raise GroundupError(
            f"the targets {pattern!r} fit no layer: expected a regular expression for the name, "
            f"or for its end after a dot, of some of these (N is a number): {', '.join(kinds)}"
        )
    return found


def _fits(pattern: str, name: str) -> bool:
    return re.fullmatch(rf"(.*\.)?({pattern})", name) is not None


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, layer)


@torch.no_grad()
def _prefix(model: GPT2 | Llama | T5, tokens: int, generator: torch.Generator) -> Prefix:
    """A prefix that begins as the keys and values of tokens drawn at random."""
    config = model.config
    prefix = Prefix(
        config.layers, config.kv_heads, config.head_dim, tokens, doubled=isinstance(model, T5)
    ).to(model.device)
    ids = torch.randint(config.vocabulary, (1, tokens), generator=generator).to(model.device)
    recorder = _Recorder()
    training = model.training
    model.eval()
    if isinstance(model, T5):
        model.decode(ids, model.remember(model.encode(ids)), cache=recorder)
    else:
        model.hidden(ids, recorder)
    model.train(training)
    prefix.begin_with(recorder.written)
    return prefix


class _Recorder:
    """An empty cache that notes what is written to it."""

    length = 0

    def __init__(self) -> None:
        self.written: list[tuple[Tensor, Tensor]] = []

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.written.append((k, v))
        return k, v

    def advance(self, tokens: int) -> None:
        pass
