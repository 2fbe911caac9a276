"""What drafts copied from the text (prompt lookup) gain or lose, on a task that copies and one that
does not.

The engine alone, greedy, with and without drafts in turns, each chat by itself and then all at
once. Prints for each task the tokens per second of both, their ratio (the median of the rounds'
ratios), and the share of drafted tokens that were accepted.

    python benchmarks/speculative.py [--model smollm2-135m-instruct] [--draft-tokens 4 8]
                                     [--tokens 96] [--rounds 3] [--together 4] [--cpu-time]

With --cpu-time one thread computes, and its own seconds count: on a busy machine, the clock's say
nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from numba import set_num_threads

from groundup.engine.engine import Engine
from groundup.engine.request import Request
from groundup.models.load import LoadedModel, load_model

TEXT = """The harbour master keeps a list of every boat that enters the bay. Each morning at six she
walks along the eastern pier with a notebook, writes down the names of the boats that arrived in the
night, and compares them with the permits that the office has issued. A boat without a permit may
stay until noon. After noon the crane moves it to the northern basin, where the owner can fetch it
for a fee of forty crowns. In the winter of 1987 the northern basin froze, and for eleven days no
boat could be moved; the list of that month has a page that says only: ice."""

TASKS = {
    "copying": [
        f"Repeat this text word for word, and replace 'boat' by 'ship':\n\n{TEXT}",
        f"Correct the spelling of this text, and write all of it again:\n\n{TEXT}",
        f"Quote the sentences of this text that speak of the northern basin:\n\n{TEXT}",
        f"Write this text as a list, one sentence on each line:\n\n{TEXT}",
    ],
    "free": [
        "Tell a story about a lighthouse keeper who finds a letter.",
        "Why is the sky blue in the day and red in the evening?",
        "Write a friendly e-mail that invites colleagues to a picnic.",
        "What should I think of when I buy a used bicycle?",
    ],
}


def answer(
    engine: Engine, prompts: list[tuple[int, ...]], tokens: int, now: Callable[[], float]
) -> tuple[float, list[int]]:
    """Seconds for the answers, all asked at once, and all their ids in the order of the prompts."""
    texts: list[list[int]] = [[] for _ in prompts]
    for key, prompt in enumerate(prompts):
        engine.add(key, Request(prompt, max_tokens=tokens))
    engine.step()  # the prompts are read: what is measured is generation
    start = now()
    while engine.busy:
        for key, token in engine.step():
            texts[key].append(token.id)
    return now() - start, [id for text in texts for id in text]


def measure(loaded: LoadedModel, arguments: argparse.Namespace) -> None:
    engines: dict[int, Engine] = {
        most: Engine(loaded.model, positions=8192, token_budget=4096, speculate="ngram",
                     draft_tokens=most) if most
        else Engine(loaded.model, positions=8192, token_budget=4096)
        for most in (0, *arguments.draft_tokens)
    }  # fmt: skip
    now = time.process_time if arguments.cpu_time else time.perf_counter
    for task, texts in TASKS.items():
        prompts = [
            tuple(loaded.tokenizer.encode_chat([{"role": "user", "content": text}]))
            for text in texts
        ]
        for together in sorted({1, arguments.together}):
            groups = [prompts[i : i + together] for i in range(0, len(prompts), together)]
            rates: dict[int, list[float]] = {most: [] for most in engines}
            answers: dict[int, list[list[int]]] = {}
            counts = {}
            for round in range(arguments.rounds + 1):  # the first one warms up
                for most, engine in engines.items():
                    before = counted(engine)
                    done = [answer(engine, group, arguments.tokens, now) for group in groups]
                    counts[most] = [b - a for a, b in zip(before, counted(engine), strict=True)]
                    answers[most] = [ids for _, ids in done]
                    if round:
                        tokens = sum(len(ids) for _, ids in done)
                        rates[most].append(tokens / sum(seconds for seconds, _ in done))
            print(f"{task}, {together} at a time: {statistics.median(rates[0]):.1f} tokens/s")
            for most in arguments.draft_tokens:
                ratios = [new / old for new, old in zip(rates[most], rates[0], strict=True)]
                drafted, accepted = counts[most]
                same = sum(a == b for a, b in zip(answers[most], answers[0], strict=True))
                print(
                    f"  up to {most} drafted: {statistics.median(rates[most]):.1f} tokens/s, "
                    f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
                    f"{max(ratios):.2f}); {accepted} of {drafted} drafted tokens accepted; "
                    f"{same} of {len(groups)} answers or groups are the same"
                )


def counted(engine: Engine) -> tuple[int, int]:
    speculation = engine.speculation
    return (speculation.drafted_tokens, speculation.accepted_tokens) if speculation else (0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(".")[0] if __doc__ else "")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--draft-tokens", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--together", type=int, default=4)
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    if arguments.cpu_time:
        torch.set_num_threads(1)
        set_num_threads(1)
    loaded = load_model(arguments.model)
    print(f"{arguments.model}, {torch.get_num_threads()} threads, {arguments.tokens} tokens each")
    measure(loaded, arguments)


if __name__ == "__main__":
    main()
