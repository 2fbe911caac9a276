"""What LoRA adapters cost the engine: requests a second with some in each batch against none.

The model of `benchmarks/engine.py`, and adapters of random matrices for all its layers. 16 tokens
in, 16 out, greedy, all requests there at once, every prompt another; requests take the adapters in
turn. Every round measures all counts, one after the other; prints medians, and the median of the
rounds' ratios to none.

    python benchmarks/lora.py [--requests 512] [--rounds 5] [--rank 16] [--batch 64] [--int8]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from groundup.engine.engine import Engine
from groundup.engine.request import Request
from groundup.models.linear import Linear
from groundup.models.llama import Llama, LlamaConfig

CONFIG = LlamaConfig(
    vocabulary=8192, dim=256, hidden_dim=704, layers=5, heads=4, kv_heads=2, head_dim=64,
    context=512, tied_embeddings=True,
)  # fmt: skip
COUNTS = (0, 1, 4, 16)


def save_random_adapter(model: Llama, folder: Path, rank: int) -> None:
    """In PEFT's layout, for every linear layer but the output."""
    weights = {}
    for name, layer in model.named_modules():
        if isinstance(layer, Linear) and name != "lm_head":
            full = f"base_model.model.model.{name}"
            weights[f"{full}.lora_A.weight"] = 0.05 * torch.randn(rank, layer.in_features)
            weights[f"{full}.lora_B.weight"] = 0.05 * torch.randn(layer.out_features, rank)
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank}
    (folder / "adapter_config.json").write_text(
        json.dumps(config | {"target_modules": "all-linear"})
    )


def rate(engine: Engine, adapters: int, requests: int) -> float:
    """Requests a second."""
    prompts = torch.randint(0, CONFIG.vocabulary, (requests, 16)).tolist()
    start = time.perf_counter()
    for key, prompt in enumerate(prompts):
        adapter = str(key % adapters) if adapters else None
        engine.add(key, Request(tuple(prompt), max_tokens=16, adapter=adapter))
    while engine.busy:
        engine.step()
    return requests / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64, help="sequences at a time")
    parser.add_argument("--int8", action="store_true", help="8-bit products")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = Llama(CONFIG).requires_grad_(False).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.bfloat16()
    batch = arguments.batch
    engine = Engine(
        model,
        positions=batch * 64,
        token_budget=1024,
        max_sequences=batch,
        weight_bits=8 if arguments.int8 else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        for number in range(max(COUNTS)):
            save_random_adapter(model, Path(folder, str(number)), arguments.rank)
            engine.load_adapter(str(number), Path(folder, str(number)))
    rounds = []
    for round in range(arguments.rounds + 1):  # the first one compiles and warms up
        rates = [rate(engine, count, arguments.requests) for count in COUNTS]
        if round:
            rounds.append(rates)
    print(f"{torch.get_num_threads()} threads, {batch} at a time, rank {arguments.rank}, "
          f"{'int8' if arguments.int8 else 'bfloat16'}")  # fmt: skip
    for column, count in enumerate(COUNTS):
        median = statistics.median(rates[column] for rates in rounds)
        ratio = statistics.median(rates[column] / rates[0] for rates in rounds)
        print(f"{count:2} adapters: {median:5.0f} requests/s, {ratio:.2f} of none")


if __name__ == "__main__":
    main()
