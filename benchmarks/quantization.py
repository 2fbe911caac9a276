"""What narrower numbers cost a model: its perplexity on a text, beside float32's.

python benchmarks/quantization.py TEXT_FILE [--tokens 8192] [--model smollm2-135m-instruct]
"""

import argparse
from pathlib import Path

import torch

from groundup.engine.fused_llama import FusedLlama
from groundup.engine.paged_cache import PagedCache
from groundup.engine.scheduler import Chunk
from groundup.engine.sequence import Sequence
from groundup.models.load import LoadedModel, load_model

WINDOW = 512


def loss(loaded: LoadedModel, ids: list[int], *, int8: bool) -> float:
    """Mean negative log-likelihood of a token, in windows that each begin anew."""
    model = loaded.model
    cache = PagedCache(model.config, WINDOW // 16, 16, model.embed_tokens.weight.dtype)
    reader = FusedLlama(model, cache, int8=int8)
    losses = []
    for start in range(0, len(ids) - WINDOW + 1, WINDOW):
        window = ids[start : start + WINDOW]
        sequence = Sequence(window, WINDOW, WINDOW, blocks=list(range(WINDOW // 16)))
        logits = reader.read([Chunk(sequence, WINDOW, outputs=WINDOW)])
        losses.append(torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(window[1:])))
    return float(torch.stack(losses).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    options = parser.parse_args()
    exact = 0.0
    for form, dtype, int8 in (
        ("float32", torch.float32, False),
        ("bfloat16", torch.bfloat16, False),
        ("int8", torch.bfloat16, True),
    ):
        loaded = load_model(options.model, dtype)
        ids = loaded.tokenizer.encode(options.text.read_text(), special=False)[: options.tokens]
        mean = torch.tensor(loss(loaded, ids, int8=int8))
        perplexity = float(mean.exp())
        exact = exact or perplexity
        print(f"{form:9} perplexity {perplexity:8.3f}   {perplexity / exact - 1:+.2%}")


if __name__ == "__main__":
    main()
