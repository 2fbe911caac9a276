"""A training step, and beam search, of each family, beside `transformers` on the same weights.

python benchmarks/families.py [--rounds 9]

Both compute the same thing (checked first), by turns; the figure is the median of the ratios of
neighbouring runs, in processor time: below 1, ours is faster.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from groundup.engine.sequence_to_sequence import generate_target
from groundup.models.attention import attention
from groundup.models.bert_hugging_face import bert_masked_lm_from_hugging_face
from groundup.models.flash_attention import flash_attention
from groundup.models.fused_attention import fused_attention
from groundup.models.gpt2_hugging_face import gpt2_from_hugging_face
from groundup.models.t5_hugging_face import t5_from_hugging_face
from groundup.models.transformer_hugging_face import transformer_from_hugging_face

V, C, LAYERS, HEADS = 2048, 256, 4, 4
B, T, S = 4, 128, 64
Step = Callable[[], object]


def configs() -> dict[str, Any]:
    decoder = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
    return {
        "GPT-2": transformers.GPT2Config(
            vocab_size=V, n_positions=T, n_embd=C, n_layer=LAYERS, n_head=HEADS, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        ),
        "BERT": transformers.BertConfig(
            vocab_size=V, hidden_size=C, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
            intermediate_size=4 * C, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        ),
        "Transformer": transformers.MarianConfig(
            vocab_size=V, d_model=C, encoder_layers=LAYERS, decoder_layers=LAYERS, dropout=0.0,
            encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=4 * C,
            decoder_ffn_dim=4 * C, scale_embedding=True, activation_function="relu",
            forced_eos_token_id=None, init_std=0.1, **decoder,
        ),
        "T5": transformers.T5Config(
            vocab_size=V, d_model=C, d_kv=C // HEADS, d_ff=4 * C, num_layers=LAYERS,
            num_heads=HEADS, dropout_rate=0.0, **decoder,
        ),
    }  # fmt: skip


def loss(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def steps(name: str, theirs: Any, folder: Path) -> dict[str, tuple[Step, Step]]:
    """What is compared: ours and theirs, each a forward and a backward pass, and more."""
    ids, targets = torch.randint(2, V, (B, T)), torch.randint(2, V, (B, S))
    mask = torch.ones(B, T, dtype=torch.bool)

    def pair(ours: Any, own: tuple[Any, ...], kwargs: dict[str, Any], labels: Tensor) -> Any:
        def step(model: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Tensor:
            model.zero_grad()
            out = model(*args, **options)
            logits: Tensor = out if isinstance(out, Tensor) else out.logits
            loss(logits, labels).backward()
            return logits.detach()

        mine, their = (lambda: step(ours, own, {})), (lambda: step(theirs, (), kwargs))
        torch.testing.assert_close(mine(), their(), rtol=1e-3, atol=1e-3)
        return mine, their

    if name == "GPT-2":
        kinds = {"": attention, ", fused": fused_attention, ", flash": flash_attention}
        return {
            f"GPT-2 step{kind}": pair(
                gpt2_from_hugging_face(folder, attend=attend), (ids,), {"input_ids": ids}, ids
            )
            for kind, attend in kinds.items()
        }
    if name == "BERT":
        kwargs = {"input_ids": ids, "attention_mask": mask.long()}
        return {
            "BERT step": pair(bert_masked_lm_from_hugging_face(folder), (ids, mask), kwargs, ids)
        }
    load = t5_from_hugging_face if name == "T5" else transformer_from_hugging_face
    model, source = load(folder), ids[0].tolist()
    kwargs = {"input_ids": ids, "attention_mask": mask.long(), "decoder_input_ids": targets}
    options = {"num_beams": 4, "max_new_tokens": 24, "do_sample": False}

    def searched() -> list[int]:
        return list(generate_target(model, source, beams=4, max_tokens=24)[0].tokens)

    def theirs_searched() -> list[int]:
        found = theirs.generate(ids[:1], attention_mask=mask[:1].long(), **options)
        text: list[int] = found[0, 1:].tolist()
        return text

    assert searched() == theirs_searched()
    return {
        f"{name} step": pair(model, (ids, targets, mask), kwargs, targets),
        f"{name}, beam search": (searched, theirs_searched),
    }


def seconds(step: Step) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start  # other processes do not count in it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    kinds = {
        "GPT-2": transformers.GPT2LMHeadModel,
        "BERT": transformers.BertForMaskedLM,
        "Transformer": transformers.MarianMTModel,
        "T5": transformers.T5ForConditionalGeneration,
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {rounds} rounds")
    for name, config in configs().items():
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            theirs = kinds[name](config).eval()
            theirs.save_pretrained(folder)
            for what, (ours, other) in steps(name, theirs, Path(folder)).items():
                ratios = [seconds(ours) / seconds(other) for _ in range(rounds)]
                low, high = min(ratios), max(ratios)
                middle = statistics.median(ratios)
                print(f"{what:26} {middle:.2f} of transformers' time ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
