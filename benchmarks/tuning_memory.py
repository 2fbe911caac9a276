"""Peak memory of full fine-tuning, LoRA and QLoRA, each in a process of its own.

    python benchmarks/tuning_memory.py [--model smollm2-135m-instruct] [--tokens 256]

Each process loads the model, takes two steps of AdamW on a row of tokens, and says the most memory
that it ever held (its peak resident set, with Python, torch and loading in it). Full fine-tuning
trains in float32; LoRA and QLoRA over a base that is loaded in bfloat16.
"""

import argparse
import json
import resource
import subprocess
import sys

METHODS = ("full", "lora", "qlora")


def measure(model_name: str, method: str, tokens: int) -> None:
    """Train two steps, and print the peak in MB."""
    import torch

    from groundup.models.load import load_model
    from groundup.training.adamw import AdamW
    from groundup.tuning.adapt import adapt
    from groundup.tuning.adapter_config import AdapterConfig
    from groundup.tuning.supervised import supervised_loss_sum

    torch.manual_seed(0)
    full = method == "full"
    model = load_model(model_name, torch.float32 if full else torch.bfloat16).model
    loaded = peak()
    if full:
        parameters = list(model.requires_grad_(True).parameters())
    else:
        adapted = adapt(model, AdapterConfig(method))  # type: ignore[arg-type]
        parameters = list(adapted.trained_parameters().values())
    optimizer = AdamW(parameters, learning_rate=1e-4)
    ids = torch.randint(0, model.config.vocabulary, (1, tokens + 1))
    inputs = torch.stack((ids[:, :-1], torch.arange(tokens)[None]), dim=1)
    for _ in range(2):
        loss = supervised_loss_sum(model, inputs, ids[:, 1:], not full) / tokens
        loss.backward()
        optimizer.step()
        for parameter in parameters:
            parameter.grad = None
    print(json.dumps({"peak": peak(), "loaded": loaded, "loss": loss.item()}))


def peak() -> float:
    """The most memory that this process held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--method", choices=METHODS, help="one of them, in this process")
    arguments = parser.parse_args()
    if arguments.method:
        measure(arguments.model, arguments.method, arguments.tokens)
        return
    peaks: dict[str, float] = {}
    for method in METHODS:
        options = ["--model", arguments.model, "--tokens", str(arguments.tokens)]
        command = [sys.executable, __file__, *options, "--method", method]
        found = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
        peaks[method] = found["peak"]
        print(f"{method}: {found['peak']:,.0f} MB at the peak, {found['loaded']:,.0f} of them once "
              f"loaded; {found['peak'] / peaks['full']:.0%} of full fine-tuning; loss "
              f"{found['loss']:.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
