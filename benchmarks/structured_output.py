"""Masks of structured output: ours against llguidance (Rust), in turn on the same texts.

Run: ``python benchmarks/structured_output.py``. For each form, both walk along the same text with
SmolLM2's vocabulary of 49,152 tokens, and the mask before each token is timed. A cold mask is of a
state that was never seen: the form is compiled anew in each round, and states that a text comes to
again are left out. A new mask is of a state whose moves are known, but not its mask, as for a
second text of another course. A kept one is of a state whose mask is known. llguidance's matcher is
made anew in each round too. Medians over all masks of all rounds.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from groundup.engine.json_schema import compile_json_schema
from groundup.engine.request import Constraint
from groundup.engine.structured_output import StructuredOutput
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.tokenizer import Tokenizer

ROUNDS = 15
POLICY = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "json_allow_general_unicode_escapes": True,
}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "email": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"enum": ["new", "old", "vip"]}},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "zip": {"type": "string", "maxLength": 8}},
            "required": ["street"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
ANY = '{"id": 17, "title": "A day in the life", "scores": [1.5, -2e3, null], "more": {"a": [[]]}}'
ANN = (
    '{"name": "Ann Example", "age": 42, "tags": ["new", "vip"], '
    '"address": {"street": "12 Long Road", "zip": "AB1 2CD"}}'
)
FORMS: list[tuple[str, Constraint, str, str]] = [
    ("any JSON object", Constraint("json_object"), '{"type": "object"}', ANY),
    ("a schema of 7 properties", Constraint("json_schema", json.dumps(PERSON)), "", ANN),
    ("a pattern", Constraint("regex", "[A-Z][a-z]+( [a-z]{1,12}){2,8}[.!]"), "",
     "The quick brown fox jumps over."),
]  # fmt: skip


class Wrapped:
    """SmolLM2's tokenizer as llguidance wants it."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.eos_token_id = min(tokenizer.eos_ids)
        self.tokens = [tokenizer.bytes_of(i) for i in range(tokenizer.size)]
        self.special_token_ids = sorted(tokenizer.special_ids)
        self.encode = tokenizer.encode

    def __call__(self, text: str | bytes) -> list[int]:
        return self.encode(text if isinstance(text, str) else text.decode())


def microseconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return (time.perf_counter() - start) * 1e6, result


def main() -> None:
    tokenizer = tokenizer_from_gguf(read_gguf(fetch("smollm2-135m-instruct")).metadata)
    size = tokenizer.size
    peer = LLTokenizer(TokenizerWrapper(Wrapped(tokenizer)), eos_token=sorted(tokenizer.eos_ids))
    took, output = microseconds(lambda: StructuredOutput(tokenizer))
    print(f"the trie of {size:,} tokens: {took / 1e6:.2f} s")
    output.compile(Constraint("regex", "a|b")).mask(
        output.compile(Constraint("regex", "a|b")).start()
    )  # Numba compiles the walk once on a machine
    print("microseconds, medians (90th percentile)")
    print("| form | states | cold | new | kept | llguidance | cold / theirs | new / theirs |")
    print("|---|---|---|---|---|---|---|---|")
    compiling = []
    for name, constraint, schema, text in FORMS:
        times: dict[str, list[float]] = {key: [] for key in ("cold", "new", "kept", "theirs")}
        compile_times: dict[str, list[float]] = {"ours": [], "theirs": []}
        grammar = (
            LLMatcher.grammar_from_regex(constraint.definition)
            if constraint.kind == "regex"
            else LLMatcher.grammar_from_json_schema(schema or constraint.definition, POLICY)
        )
        bits = allocate_token_bitmask(1, size)
        for _ in range(ROUNDS):
            output._compiled.clear()
            took, matcher = microseconds(lambda: output.compile(constraint))  # noqa: B023
            compile_times["ours"].append(took)
            took, theirs = microseconds(lambda: LLMatcher(peer, grammar))  # noqa: B023
            compile_times["theirs"].append(took)
            state, seen = matcher.start(), set()
            for token in tokenizer.encode(text):
                took, _ = microseconds(lambda: fill_next_token_bitmask(theirs, bits))  # noqa: B023
                if state not in seen:
                    seen.add(state)
                    times["theirs"].append(took)
                    for key in ("cold", "kept"):
                        took, _ = microseconds(lambda: matcher.mask(state))  # noqa: B023
                        times[key].append(took)
                    matcher._tokens._masks.clear()
                    took, _ = microseconds(lambda: matcher.mask(state))  # noqa: B023
                    times["new"].append(took)
                state = matcher.advance(state, token)
                theirs.consume_token(token)
        median = {key: statistics.median(found) for key, found in times.items()}
        tail = {key: statistics.quantiles(found, n=10)[-1] for key, found in times.items()}
        shown = [f"{median[key]:.0f} ({tail[key]:.0f})" for key in ("cold", "new")]
        print(
            f"| {name} | {len(times['cold']) // ROUNDS} | {' | '.join(shown)} | "
            f"{median['kept']:.1f} | {median['theirs']:.0f} ({tail['theirs']:.0f}) | "
            f"{median['cold'] / median['theirs']:.1f} | {median['new'] / median['theirs']:.1f} |"
        )
        ours, peers = (statistics.median(found) for found in compile_times.values())
        compiling.append(f"compiling {name}: ours {ours:.0f}, llguidance {peers:.0f} microseconds")
    print("\n".join(compiling))
    big = json.dumps({"properties": {f"p{i}": PERSON for i in range(60)}, "type": "object"})
    took, _ = microseconds(lambda: compile_json_schema(big))
    print(f"compiling a schema of {len(big):,} characters: {took / 1e3:.0f} ms")


if __name__ == "__main__":
    main()
