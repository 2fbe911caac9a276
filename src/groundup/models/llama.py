"""The Llama transformer, and its relatives: SmolLM, Qwen2, Qwen3, Mistral and Mixtral."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from groundup.models.attention import attention
from groundup.models.from_state import model_from_state
from groundup.models.language_model import Attend, Cache
from groundup.models.linear import Linear
from groundup.models.mixture_of_experts import MixtureOfExperts
from groundup.models.rms_norm import RMSNorm
from groundup.models.rotary import rotary_frequencies, rotary_table, rotate
from groundup.models.rotary_scaling import RotaryScaling, scale_frequencies
from groundup.models.sliding_window import sliding_window_attention
from groundup.models.swiglu import SwiGLU

__all__ = ["Attention", "Block", "Llama", "LlamaConfig"]


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a model.

    Llama, SmolLM and SmolLM2 use the defaults; Qwen2 has ``qkv_bias``; Qwen3 ``qk_norm``; SmolLM3
    leaves out the rotation in some layers; Mistral has a ``window``, Mixtral ``experts``.

    Raises:
        ValueError: heads is not a multiple of kv_heads, or the window is not positive.
    """

    vocabulary: int
    dim: int
    hidden_dim: int  # of the feed-forward layers
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int  # the longest sequence, in tokens, that the model was trained for
    norm_eps: float = 1e-5
    rotary_base: float = 10000.0
    rotary_scaling: RotaryScaling | None = None
    layers_without_rotary: frozenset[int] = frozenset()
    tied_embeddings: bool = False  # the output layer is the embedding matrix
    qkv_bias: bool = False
    output_bias: bool = False  # of the attention's output projection
    qk_norm: bool = False  # RMSNorm over each head's queries and keys
    window: int | None = None  # how many positions a token sees, itself included; None is all
    experts: int = 0  # in each feed-forward layer; 0 is a plain one
    experts_per_token: int = 2

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.window is not None and self.window <= 0:
            raise ValueError(f"window must be positive, got {self.window}")


class Attention(nn.Module):
    """Project to queries, keys and values, rotate, attend, project back."""

    def __init__(self, config: LlamaConfig, layer: int, attend: Attend) -> None:
        """Make the sublayer.

        Args:
            config: of the model.
            layer: the index of its block, 0 first, under which a cache knows it.
            attend: attends.

        ``q_proj`` (dim to heads * head_dim), ``k_proj`` and ``v_proj`` (dim to kv_heads * head_dim)
        have biases where ``qkv_bias`` says so, ``o_proj`` (back to dim) where ``output_bias`` does.
        ``q_norm`` and ``k_norm`` are None, or with ``qk_norm`` RMSNorms of head_dim features.
        """
        super().__init__()
        self.layer = layer
        self.attend = attend
        self.head_dim = config.head_dim
        self.rotary = layer not in config.layers_without_rotary
        width, kv_width = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = Linear(config.dim, width, bias=config.qkv_bias)
        self.k_proj = Linear(config.dim, kv_width, bias=config.qkv_bias)
        self.v_proj = Linear(config.dim, kv_width, bias=config.qkv_bias)
        self.o_proj = Linear(width, config.dim, bias=config.output_bias)
        self.q_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else None

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, outputs: int
    ) -> Tensor:
        """Attend.

        Args:
            x: shape (B, T, dim). The features of head h are h * head_dim and those that follow.
            cos, sin: the rotary table of the T positions, shape (T, head_dim / 2), float32. Queries
                and keys are turned by it, after their norms, but not in ``layers_without_rotary``.
            cache: holds the keys and values of earlier positions, and takes up those of x.
            outputs: only the last so many positions ask.

        Returns:
            Shape (B, outputs, dim), in the dtype of x.
        """
        B, T, _ = x.shape
        # Widened once, here: the rotation and the cache then convert nothing.
        wide = torch.promote_types(x.dtype, cos.dtype)
        q = self.q_proj(x[:, T - outputs :]).to(wide).view(B, outputs, -1, self.head_dim)
        k = self.k_proj(x).to(wide).view(B, T, -1, self.head_dim)
        v = self.v_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, H_kv, T, D)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = q.transpose(1, 2), k.transpose(1, 2)  # (B, H, outputs, D), (B, H_kv, T, D)
        if self.rotary:
            q = rotate(q, cos[T - outputs :], sin[T - outputs :])
            k = rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.write(self.layer, k, v)  # (B, H_kv, S, D)
        attended = self.attend(q.to(v.dtype), k.to(v.dtype), v).transpose(1, 2)
        joined = attended.to(x.dtype, memory_format=torch.contiguous_format)  # (B, outputs, H, D)
        out: Tensor = self.o_proj(joined.reshape(B, outputs, -1))
        return out


class Block(nn.Module):
    """Attention, then feed-forward, each on a normalised input and added to the residual stream."""

    def __init__(self, config: LlamaConfig, layer: int, attend: Attend) -> None:
        """Make the block: ``input_layernorm``, ``self_attn``, ``post_attention_layernorm`` and
        ``mlp``, which is `SwiGLU`, or with experts `MixtureOfExperts`."""
        super().__init__()
        self.input_layernorm = RMSNorm(config.dim, config.norm_eps)
        self.self_attn = Attention(config, layer, attend)
        self.post_attention_layernorm = RMSNorm(config.dim, config.norm_eps)
        self.mlp: SwiGLU | MixtureOfExperts = (
            MixtureOfExperts(
                config.dim, config.hidden_dim, config.experts, config.experts_per_token
            )
            if config.experts
            else SwiGLU(config.dim, config.hidden_dim)
        )

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, outputs: int
    ) -> Tensor:
        """``x`` (B, T, dim); returns (B, outputs, dim), for the last ``outputs`` positions.

        What the sublayers read may be narrowed to their matrices' dtype; the stream x may not.
        """
        attended = self.self_attn(self._narrow(self.input_layernorm(x)), cos, sin, cache, outputs)
        x = x[:, x.shape[1] - outputs :] + attended
        out: Tensor = x + self.mlp(self._narrow(self.post_attention_layernorm(x)))
        return out

    def _narrow(self, x: Tensor) -> Tensor:
        """Several rows are multiplied in the matrices' dtype: they are converted here, once, and
        not again before each matrix. A single row stays wide (see `Linear`)."""
        return x if x.shape[:-1].numel() == 1 else x.to(self.self_attn.q_proj.dtype)


class Llama(nn.Module):
    """A decoder-only transformer. Its parameters bear Hugging Face's names, less ``model.``.

    Tokens become vectors (``embed_tokens``), which pass the blocks (``layers``) and a last norm
    (``norm``). The output layer (``lm_head``, no bias) is a matrix of its own, or with
    ``tied_embeddings`` that of the tokens: then one parameter.

    Between layers, values have the dtype of the norms' weights; matrices may be narrower. On a CPU
    that is float32 over bfloat16: the matrices' bytes are what generation waits for, while rounding
    the residual stream would change answers.

    Source: Touvron et al. 2023, "LLaMA", section 2.2; Yang et al. 2024, "Qwen2", section 2.2.
    """

    def __init__(self, config: LlamaConfig, attend: Attend = attention) -> None:
        """Make the model, with the weights that torch's layers start with (see `draw_weights`).

        Args:
            config: its shape.
            attend: how it attends. `fused_attention` trains faster. Where the config has a window,
                it is `sliding_window_attention` in any case.
        """
        super().__init__()
        self.config = config
        if config.window is not None:
            attend = partial(sliding_window_attention, window=config.window)
        self.embed_tokens = nn.Embedding(config.vocabulary, config.dim)
        self.layers = nn.ModuleList(Block(config, layer, attend) for layer in range(config.layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.lm_head = Linear(config.dim, config.vocabulary, bias=False)
        if config.tied_embeddings:
            self.lm_head.weight = self.embed_tokens.weight
        with torch.device("cpu"):  # also where the model itself is made without memory ("meta")
            frequencies = rotary_frequencies(config.head_dim, config.rotary_base)
            if config.rotary_scaling is not None:
                frequencies = scale_frequencies(frequencies, config.rotary_scaling)
        self.register_buffer("frequencies", frequencies, persistent=False)

    @classmethod
    def from_state(cls, config: LlamaConfig, state: dict[str, Tensor], source: Path) -> "Llama":
        """A model with these weights, which it takes over, ready to generate.

        Raises:
            GroundupError: weights are missing, unknown or of another shape; names ``source``.
        """
        model = model_from_state(lambda: cls(config), state, source)
        return model.requires_grad_(False)

    @torch.no_grad()
    def draw_weights(self, std: float = 0.02) -> None:
        """Draw every matrix from a normal distribution, to train from nothing; biases become 0."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=std)
            elif name.endswith(".bias"):
                parameter.zero_()

    @property
    def dtype(self) -> torch.dtype:
        """Of the values between layers, and so of a cache's keys and values."""
        return self.norm.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.embed_tokens.weight.device

    def hidden(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        *,
        outputs: int | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """The last layer's normalised output for token ids (B, T); returns (B, outputs, dim).

        With a cache, the ids continue the positions that it holds, and it takes up theirs. Only the
        last ``outputs`` positions are returned, or all T for None: where one is wanted, as before
        the next token, the last layer has little to compute. ``positions`` (T,) are the ids' own
        where they do not simply follow one another: in rows of several texts, each from 0.
        """
        start = 0 if cache is None else cache.length
        T = ids.shape[1]
        outputs = T if outputs is None else outputs
        assert isinstance(self.frequencies, Tensor)
        if positions is None:
            positions = torch.arange(start, start + T, device=ids.device)
        cos, sin = rotary_table(positions, self.frequencies.float())
        x = self.embed_tokens(ids).to(self.dtype)
        for layer, block in enumerate(self.layers, start=1):
            x = block(x, cos, sin, cache, outputs if layer == len(self.layers) else T)
        if cache is not None:
            cache.advance(T)
        normalised: Tensor = self.norm(x)
        return normalised

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token for hidden states (B, T, dim); returns (B, T, vocabulary)."""
        scores: Tensor = self.lm_head(hidden)
        return scores

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """`logits` of `hidden`: token ids (B, T) to (B, T, vocabulary)."""
        return self.logits(self.hidden(ids, cache))
