"""The one table of parts. In which week each is built, the roadmap says."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from groundup.errors import GroundupError

__all__ = ["PARTS", "Part", "part_named"]


@dataclass(frozen=True)
class Part:
    """A module of the library that a learner rebuilds.

    What belongs to it lies in ``groundup/course/parts/<stem>/``: ``lesson.md``, ``checks.py``,
    ``hints.md`` and the planted ``mistakes.py``, where the stem is the module's own name.
    """

    id: str
    module: str  # the reference, and the name under which a passed file is swapped in
    minutes: int  # a practised programmer's first time, reading included
    summary: str
    needs: tuple[str, ...] = ()  # ids of parts that are better done before
    forbidden: frozenset[str] = field(default=frozenset())  # torch operations that do it all

    @property
    def stem(self) -> str:
        """The file's name without ``.py``, as in the library."""
        return self.module.rpartition(".")[2]

    @property
    def numpy_only(self) -> bool:
        """Whether it is to be written without a framework: the grader refuses to import torch."""
        return self.module.startswith("groundup.scratch.")

    @property
    def folder(self) -> Path:
        """Where its lesson, checks, hints and mistakes lie."""
        return Path(__file__).parent / self.stem

    @property
    def checks_module(self) -> str:
        return f"groundup.course.parts.{self.stem}.checks"

    @property
    def reference(self) -> Path:
        """The reference's source, found without importing it."""
        return Path(__file__).parents[2].joinpath(*self.module.split(".")[1:]).with_suffix(".py")


# Torch operations that are attention.
FUSED_ATTENTION = frozenset(
    {
        "scaled_dot_product_attention",
        "_scaled_dot_product_attention_math",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_fused_attention_overrideable",
        "multi_head_attention_forward",
        "_native_multi_head_attention",
        "flex_attention",
    }
)

PARTS: dict[str, Part] = {
    part.id: part
    for part in (
        Part(
            "autograd",
            "groundup.scratch.tensor",
            minutes=240,
            summary="A tensor that records operations and differentiates them",
        ),
        Part(
            "linear",
            "groundup.scratch.linear",
            minutes=45,
            summary="An affine layer, forward and backward",
            needs=("autograd",),
        ),
        Part(
            "cross-entropy",
            "groundup.scratch.cross_entropy",
            minutes=45,
            summary="Softmax cross-entropy that is stable for large logits",
            needs=("autograd",),
        ),
        Part(
            "softmax",
            "groundup.scratch.softmax",
            minutes=30,
            summary="Scores to probabilities, and to their logarithms, for scores of any size",
            needs=("autograd",),
        ),
        Part(
            "gradient-check",
            "groundup.scratch.gradient_check",
            minutes=45,
            summary="Central finite differences against backward's gradients",
        ),
        Part(
            "sgd-momentum",
            "groundup.scratch.sgd",
            minutes=30,
            summary="Gradient descent with momentum, also Nesterov's",
        ),
        Part(
            "rms-prop",
            "groundup.scratch.rms_prop",
            minutes=20,
            summary="Gradients divided by their own running size",
            needs=("sgd-momentum",),
        ),
        Part(
            "adam",
            "groundup.scratch.adam",
            minutes=45,
            summary="Adaptive moments with bias correction",
            needs=("sgd-momentum",),
        ),
        Part(
            "adamw",
            "groundup.scratch.adamw",
            minutes=20,
            summary="Adam with weight decay apart from the gradient",
            needs=("adam",),
        ),
        Part(
            "kaiming-init",
            "groundup.scratch.kaiming",
            minutes=30,
            summary="Weights drawn so that ReLU layers keep the variance",
        ),
        Part(
            "layer-norm",
            "groundup.scratch.layer_norm",
            minutes=60,
            summary="Normalisation over the features, forward and backward",
            needs=("autograd",),
        ),
        Part(
            "batch-norm",
            "groundup.scratch.batch_norm",
            minutes=75,
            summary="Normalisation over the batch, and what is used after training",
            needs=("layer-norm",),
        ),
        Part(
            "conv2d",
            "groundup.scratch.conv2d",
            minutes=120,
            summary="The convolution as a matrix product, forward and backward",
            needs=("linear",),
        ),
        Part(
            "max-pool",
            "groundup.scratch.max_pool2d",
            minutes=45,
            summary="Of each window the largest value, and where its gradient goes",
            needs=("conv2d",),
        ),
        Part(
            "embedding",
            "groundup.scratch.embedding",
            minutes=30,
            summary="A learned vector for each id, whose gradients add up",
            needs=("autograd",),
        ),
        Part(
            "self-attention",
            "groundup.scratch.self_attention",
            minutes=60,
            summary="Several heads in NumPy, out of simpler operations",
            needs=("softmax", "linear"),
        ),
        Part(
            "dropout",
            "groundup.scratch.dropout",
            minutes=30,
            summary="Activations that are missing at random, in training alone",
            needs=("autograd",),
        ),
        Part(
            "attention",
            "groundup.models.attention",
            minutes=90,
            summary="Causal scaled dot-product attention with grouped queries",
            forbidden=FUSED_ATTENTION,
        ),
        Part(
            "rms-norm",
            "groundup.models.rms_norm",
            minutes=30,
            summary="Root-mean-square normalisation",
            forbidden=frozenset(
                {"rms_norm", "_fused_rms_norm", "layer_norm", "native_layer_norm", "normalize"}
            ),
        ),
        Part(
            "rotary",
            "groundup.models.rotary",
            minutes=60,
            summary="Rotary position embeddings",
        ),
        Part(
            "swiglu",
            "groundup.models.swiglu",
            minutes=30,
            summary="The gated feed-forward layer",
            forbidden=frozenset({"silu", "silu_", "glu"}),
        ),
        Part(
            "sinusoidal-positions",
            "groundup.models.sinusoidal_positions",
            minutes=30,
            summary="The first transformer's sines and cosines",
        ),
        Part(
            "multi-head-attention",
            "groundup.models.multi_head_attention",
            minutes=75,
            summary="Heads, projections and masks, over itself or an encoder's output",
            needs=("attention",),
            forbidden=FUSED_ATTENTION,
        ),
        Part(
            "transformer-layers",
            "groundup.models.transformer_layers",
            minutes=60,
            summary="The layers of 2017: attention, feed-forward, and a norm after each addition",
            needs=("multi-head-attention",),
            forbidden=FUSED_ATTENTION,
        ),
        Part(
            "transformer",
            "groundup.models.transformer",
            minutes=75,
            summary="The encoder that reads a source, the decoder that writes the target",
            needs=("transformer-layers", "sinusoidal-positions"),
            forbidden=FUSED_ATTENTION,
        ),
        Part(
            "bert",
            "groundup.models.bert",
            minutes=75,
            summary="The encoder with a head for masked words and one for labels",
            needs=("transformer-layers", "masked-language-model"),
            forbidden=FUSED_ATTENTION,
        ),
        Part(
            "relative-position-bias",
            "groundup.models.relative_position_bias",
            minutes=45,
            summary="T5's learned bias for buckets of distances",
            needs=("multi-head-attention",),
        ),
        Part(
            "t5",
            "groundup.models.t5",
            minutes=90,
            summary="The encoder-decoder with relative positions and a norm before each sublayer",
            needs=("relative-position-bias", "rms-norm", "span-corruption"),
            forbidden=FUSED_ATTENTION,
        ),
        Part(
            "gpt-2",
            "groundup.models.gpt2",
            minutes=90,
            summary="The decoder with learned positions and norms before each sublayer",
            needs=("attention", "kv-cache"),
        ),
        Part(
            "llama",
            "groundup.models.llama",
            minutes=120,
            summary="The decoder with RMSNorm, rotary positions and SwiGLU",
            needs=("gpt-2", "rms-norm", "rotary", "swiglu"),
        ),
        Part(
            "masked-language-model",
            "groundup.models.masked_language_model",
            minutes=30,
            summary="BERT's corruption of the input, and its labels",
        ),
        Part(
            "span-corruption",
            "groundup.models.span_corruption",
            minutes=45,
            summary="T5's spans, replaced by sentinels and written by the decoder",
        ),
        Part(
            "flash-attention",
            "groundup.models.flash_attention",
            minutes=150,
            summary="Attention in tiles with a running softmax, and its gradient",
            needs=("attention",),
            forbidden=FUSED_ATTENTION,
        ),
        Part(
            "sliding-window",
            "groundup.models.sliding_window",
            minutes=60,
            summary="Attention to the last few positions alone",
            needs=("attention",),
            forbidden=FUSED_ATTENTION,
        ),
        Part(
            "mixture-of-experts",
            "groundup.models.mixture_of_experts",
            minutes=75,
            summary="Experts of which each token visits a few, kept in balance",
            needs=("swiglu",),
        ),
        Part(
            "beam-search",
            "groundup.engine.beam_search",
            minutes=75,
            summary="The likeliest texts, sought side by side",
        ),
        Part(
            "kv-cache",
            "groundup.engine.kv_cache",
            minutes=60,
            summary="Keys and values kept, so that a token costs one step",
            needs=("attention",),
        ),
        Part(
            "block-allocator",
            "groundup.engine.block_allocator",
            minutes=30,
            summary="Blocks of the cache, and how many hold each",
        ),
        Part(
            "prefix-cache",
            "groundup.engine.prefix_cache",
            minutes=60,
            summary="Blocks found again by what they hold and what came before",
            needs=("block-allocator",),
        ),
        Part(
            "continuous-batching",
            "groundup.engine.scheduler",
            minutes=120,
            summary="A scheduler that fills the batch anew at every step",
            needs=("block-allocator", "prefix-cache"),
        ),
        Part(
            "sampling",
            "groundup.engine.sampling",
            minutes=75,
            summary="Repetition penalty, top-k, top-p, min-p and the draw",
        ),
        Part(
            "speculative-verification",
            "groundup.engine.speculative_verification",
            minutes=45,
            summary="Drafted tokens that leave no trace in the text",
            needs=("sampling",),
        ),
        Part(
            "byte-pair-encoding",
            "groundup.tokenizers.byte_pair_encoding",
            minutes=75,
            summary="Byte-level byte-pair encoding",
        ),
        Part(
            "byte-pair-training",
            "groundup.tokenizers.byte_pair_training",
            minutes=90,
            summary="Which pairs of symbols are joined, and in which order",
            needs=("byte-pair-encoding",),
        ),
        Part(
            "normalization",
            "groundup.tokenizers.normalization",
            minutes=75,
            summary="One way of writing for what has several, and where each character came from",
        ),
        Part(
            "pre-tokenization",
            "groundup.tokenizers.word_scanner",
            minutes=90,
            summary="The split into words, numbers and spaces, as loops",
        ),
        Part(
            "wordpiece",
            "groundup.tokenizers.wordpiece",
            minutes=30,
            summary="The longest tokens that fit, from a word's beginning on",
        ),
        Part(
            "unigram",
            "groundup.tokenizers.unigram",
            minutes=90,
            summary="The likeliest segmentation, the n likeliest, or a random one",
        ),
        Part(
            "unigram-training",
            "groundup.tokenizers.unigram_training",
            minutes=120,
            summary="Expectation maximisation over segmentations, and pruning",
            needs=("unigram",),
            forbidden=frozenset({"digamma", "special_digamma", "special_psi", "polygamma"}),
        ),
        Part(
            "chat-template",
            "groundup.tokenizers.chat_template",
            minutes=45,
            summary="Messages with roles, rendered by a program that is not trusted",
        ),
        Part(
            "regular-expression",
            "groundup.engine.regular_expression",
            minutes=180,
            summary="A pattern compiled to an automaton over bytes",
        ),
        Part(
            "pushdown-automaton",
            "groundup.engine.pushdown_automaton",
            minutes=180,
            summary="A grammar such as JSON's, run over bytes with a stack",
            needs=("regular-expression",),
        ),
        Part(
            "token-bucket",
            "groundup.serving.token_bucket",
            minutes=45,
            summary="A rate limit that allows bursts",
        ),
        Part(
            "consistent-hashing",
            "groundup.serving.consistent_hashing",
            minutes=75,
            summary="Keys on a ring that few changes move, also with bounded loads",
        ),
        Part(
            "circuit-breaker",
            "groundup.serving.circuit_breaker",
            minutes=60,
            summary="A failing replica is left alone, and then tried with care",
        ),
        Part(
            "response-cache",
            "groundup.serving.response_cache",
            minutes=90,
            summary="Answers kept by the request that made them, each computed once",
        ),
        Part(
            "semantic-cache",
            "groundup.serving.semantic_cache",
            minutes=60,
            summary="Answers to questions that mean nearly the same",
            needs=("response-cache",),
        ),
        Part(
            "latency-histogram",
            "groundup.serving.latency_histogram",
            minutes=45,
            summary="Quantiles from buckets, as Prometheus estimates them",
        ),
        Part(
            "cosine-schedule",
            "groundup.training.cosine_schedule",
            minutes=30,
            summary="A learning rate with warm-up and cosine decay",
        ),
        Part(
            "gradient-clipping",
            "groundup.training.gradient_clipping",
            minutes=45,
            summary="A limit on the norm over all gradients",
        ),
        Part(
            "gradient-accumulation",
            "groundup.training.gradient_accumulation",
            minutes=45,
            summary="The gradient of a large batch from several small ones",
        ),
        Part(
            "data-order",
            "groundup.training.data_order",
            minutes=75,
            summary="A shuffled order that is computed, not stored",
        ),
        Part(
            "packing",
            "groundup.training.packing",
            minutes=60,
            summary="Documents of different lengths in rows of one length, none cut",
        ),
        Part(
            "wsd-schedule",
            "groundup.training.wsd_schedule",
            minutes=30,
            summary="A learning rate that warms up, stays, and decays at the end",
            needs=("cosine-schedule",),
        ),
        Part(
            "muon",
            "groundup.training.muon",
            minutes=90,
            summary="Momentum for matrices, made orthogonal before it is applied",
            forbidden=frozenset(
                {"linalg_svd", "_linalg_svd", "linalg_qr", "linalg_eigh", "_linalg_eigh"}
            ),
        ),
        Part(
            "int8",
            "groundup.quantization.absmax",
            minutes=30,
            summary="8-bit integers with one scale for each row",
        ),
        Part(
            "dynamic-code",
            "groundup.quantization.dynamic_code",
            minutes=30,
            summary="An 8-bit code that is fine near zero and coarse near one",
        ),
        Part(
            "group-quantization",
            "groundup.quantization.grouped_int4",
            minutes=60,
            summary="4-bit weights with a scale and a minimum for each small group",
            needs=("int8",),
        ),
        Part(
            "nf4",
            "groundup.quantization.nf4",
            minutes=90,
            summary="Sixteen levels at quantiles of the normal distribution, and scales in 8 bits",
            needs=("dynamic-code",),
        ),
        Part(
            "llm-int8",
            "groundup.quantization.llm_int8",
            minutes=60,
            summary="8-bit products that leave the few large columns out of it",
            needs=("int8",),
        ),
        Part(
            "smooth-quant",
            "groundup.quantization.smooth_quant",
            minutes=30,
            summary="Outliers moved from the inputs into the weights",
            needs=("int8",),
        ),
        Part(
            "gptq",
            "groundup.quantization.gptq",
            minutes=120,
            summary="Rounding errors that the columns still to come make good",
            needs=("group-quantization",),
        ),
        Part(
            "awq",
            "groundup.quantization.awq",
            minutes=45,
            summary="Columns that meet large inputs are rounded more finely",
            needs=("group-quantization",),
        ),
        Part(
            "loss-masking",
            "groundup.tuning.loss_mask",
            minutes=60,
            summary="A loss over the assistant's tokens alone",
        ),
        Part(
            "sequence-packing",
            "groundup.tuning.sequence_packing",
            minutes=75,
            summary="Texts in one row that cannot see one another",
            needs=(
                "packing",
                "attention",
            ),
        ),
        Part(
            "dpo",
            "groundup.tuning.dpo",
            minutes=60,
            summary="A preference loss on the log ratios of policy and reference",
            needs=("reward-model",),
        ),
        Part(
            "reward-model",
            "groundup.tuning.reward_model",
            minutes=60,
            summary="One number for an answer, learned from pairs",
        ),
        Part(
            "kl-estimators",
            "groundup.tuning.kl_estimators",
            minutes=30,
            summary="Three estimates of a divergence from samples",
        ),
        Part(
            "grpo",
            "groundup.tuning.grpo",
            minutes=75,
            summary="Policy gradients with advantages relative to a group",
            needs=("kl-estimators",),
        ),
        Part(
            "lora",
            "groundup.tuning.lora",
            minutes=60,
            summary="A trained product of two narrow matrices beside a frozen one",
        ),
        Part(
            "dora",
            "groundup.tuning.dora",
            minutes=60,
            summary="LoRA for the directions of a matrix's rows, their lengths apart",
            needs=("lora",),
        ),
        Part(
            "ia3",
            "groundup.tuning.ia3",
            minutes=30,
            summary="A trained number for each key, value and hidden feature",
        ),
        Part(
            "prefix-tuning",
            "groundup.tuning.prefix_tuning",
            minutes=75,
            summary="Trained keys and values before those of every layer",
            needs=("kv-cache",),
        ),
        Part(
            "prompt-tuning",
            "groundup.tuning.prompt_tuning",
            minutes=30,
            summary="Trained vectors before those of the text",
        ),
        Part(
            "qlora",
            "groundup.tuning.nf4_linear",
            minutes=60,
            summary="A frozen layer in four bits that gradients pass through",
            needs=(
                "nf4",
                "lora",
            ),
        ),
        Part(
            "perplexity",
            "groundup.evaluation.perplexity",
            minutes=60,
            summary="How well a text is predicted that is longer than the context",
        ),
        Part(
            "bootstrap",
            "groundup.evaluation.bootstrap",
            minutes=40,
            summary="An interval for a mean, from resampled items",
        ),
        Part(
            "pass-at-k",
            "groundup.evaluation.pass_at_k",
            minutes=20,
            summary="The chance that one of k answers is right, from n of them",
        ),
    )
}


def part_named(name: str) -> Part:
    """The part of this id, also when written with underscores.

    Raises:
        GroundupError: there is none; the message suggests the nearest.
    """
    wanted = name.strip().lower().replace("_", "-").removesuffix(".py")
    if wanted in PARTS:
        return PARTS[wanted]
    near = difflib.get_close_matches(wanted, PARTS, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]!r}?" if near else f"the parts are {', '.join(PARTS)}"
    raise GroundupError(f"there is no part {name!r}: {advice}")
