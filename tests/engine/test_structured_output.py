"""Masks over tokens: against every token tried byte by byte, ``jsonschema``, and llguidance."""

import json
import re
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray

from groundup.engine import token_mask
from groundup.engine.json_schema import compile_json_schema
from groundup.engine.request import Constraint
from groundup.engine.structured_output import Matcher, StructuredOutput
from groundup.engine.token_trie import token_trie
from groundup.errors import GroundupError
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.tokenizer import Tokenizer

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b c", None, 1.5]}, "maxItems": 3},
        "friend": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "born": {"type": "string", "format": "date"},
        "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"},
    },
    "required": ["name", "friend"],
    "additionalProperties": False,
}
WALKED = [
    {"type": "object"},
    PERSON,
    {"type": ["string", "null", "boolean"]},
    {"type": "array", "items": {"type": "integer", "minimum": -70, "maximum": 1200}, "minItems": 2},
    {"type": "array", "prefixItems": [{"type": "number"}, {"const": {"k": [1, {}]}}],
     "items": False},
    {"type": "object", "properties": {"a": {"type": "integer"}},
     "additionalProperties": {"type": "null"}},
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tokenizer_from_gguf(read_gguf(fetch("smollm2-135m-instruct")).metadata)


@pytest.fixture(scope="module")
def output(tokenizer: Tokenizer) -> StructuredOutput:
    return StructuredOutput(tokenizer)


def schema(definition: Any) -> Constraint:
    return Constraint("json_schema", json.dumps(definition))


class Words:
    """As much of a tokenizer as is needed, over a few tokens."""

    eos_ids = frozenset({300})
    special_ids = frozenset({300, 301, 302})
    size = 305

    def __init__(self) -> None:
        self.tokens = {byte: bytes([byte]) for byte in range(256)}
        self.tokens |= {256: b'":', 257: b'"}', 258: b'{"', 259: b"12", 260: b', "', 261: b"true"}
        self.tokens |= {
            262: "é".encode(),
            263: b"\xc3",
            264: b"12",
            265: b"]]]]",
            266: b'"a": 1, "',
        }
        self.tokens |= {300: b"<end>", 301: b"1", 302: b"<other>", 303: b"", 304: b'\\u00"'}

    def bytes_of(self, token_id: int) -> bytes:
        return self.tokens.get(token_id, b"")


def synthetic() -> StructuredOutput:
    return StructuredOutput(Words())  # type: ignore[arg-type]


def walk(matcher: Matcher, tokens: Any, rng: np.random.Generator, steps: int) -> str | None:
    """What random choices of allowed tokens write; None where they come to no end."""
    state, written = matcher.start(), b""
    for _ in range(steps):
        mask = matcher.mask(state)
        allowed = np.flatnonzero(mask)
        assert len(allowed), written
        ends = [i for i in tokens.eos_ids if mask[i]]
        assert (len(ends) == len(tokens.eos_ids)) == matcher.accepts(state)
        if ends and (rng.random() < 0.3 or len(allowed) == len(ends)):
            return written.decode()
        allowed = allowed[~np.isin(allowed, ends)]
        closing = [
            i for i in allowed[:5000] if tokens.bytes_of(int(i)) in (b'"', b"}", b"]", b'"}')
        ]
        chosen = int(rng.choice(closing if closing and rng.random() < 0.5 else allowed))
        written += tokens.bytes_of(chosen)
        state = matcher.advance(state, chosen)
    return None


@pytest.mark.parametrize("definition", WALKED, ids=range(len(WALKED)))
def test_what_tokens_write_validates(
    definition: Any, output: StructuredOutput, tokenizer: Tokenizer
) -> None:
    rng = np.random.default_rng(0)
    matcher = output.compile(schema(definition))
    found = [text for _ in range(40) if (text := walk(matcher, tokenizer, rng, 120)) is not None]
    assert len(found) >= 20
    for text in found:
        jsonschema.validate(json.loads(text), definition)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(WALKED), st.integers(0, 2**32))
def test_what_a_small_vocabulary_writes_validates(definition: Any, seed: int) -> None:
    matcher = synthetic().compile(schema(definition))
    text = walk(matcher, Words(), np.random.default_rng(seed), 150)
    if text is not None:
        jsonschema.validate(json.loads(text), definition)


@pytest.mark.parametrize(
    "pattern", ["[a-z]{2,5}( [0-9]+)?", "(yes|no|é日)+", "[^\n]{0,20}!", "a.c"]
)
def test_what_tokens_write_matches_the_pattern(
    pattern: str, output: StructuredOutput, tokenizer: Tokenizer
) -> None:
    rng = np.random.default_rng(1)
    matcher = output.compile(Constraint("regex", pattern))
    found = [text for _ in range(20) if (text := walk(matcher, tokenizer, rng, 60)) is not None]
    assert len(found) >= 5
    assert all(re.fullmatch(pattern, text) for text in found)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(WALKED), st.integers(0, 2**32))
def test_a_mask_is_what_the_bytes_of_every_token_say(definition: Any, seed: int) -> None:
    """The oracle runs each token alone, without the trie and without the table."""
    words, rng = Words(), np.random.default_rng(seed)
    automaton = compile_json_schema(json.dumps(definition))
    matcher = synthetic().compile(schema(definition))
    state = matcher.start()
    for _ in range(12):
        expected = np.zeros(words.size, np.bool_)
        for token_id, token in words.tokens.items():
            after: Any = state if token else None
            for byte in token:
                after = after and automaton.step(after, byte)
            expected[token_id] = after is not None and token_id not in words.special_ids
        expected[list(words.eos_ids)] = automaton.accepts(state)
        mask = matcher.mask(state)
        assert mask.tolist() == expected.tolist()
        allowed = [i for i in np.flatnonzero(mask).tolist() if i not in words.eos_ids]
        if not allowed:
            break
        state = matcher.advance(state, int(rng.choice(allowed)))


def test_choices(output: StructuredOutput, tokenizer: Tokenizer) -> None:
    choices = ["yes", "yesterday", "no", "日本"]
    matcher = output.compile(Constraint("choice", json.dumps(choices)))
    rng = np.random.default_rng(2)
    assert {walk(matcher, tokenizer, rng, 20) for _ in range(80)} == set(choices)


def test_states_are_values(output: StructuredOutput, tokenizer: Tokenizer) -> None:
    matcher = output.compile(schema(PERSON))
    start = matcher.start()
    before = matcher.mask(start).copy()
    state = start
    for token in tokenizer.encode('{"name":"Ann","friend":null}'):
        after = matcher.advance(state, token)
        assert after == matcher.advance(state, token)
        state = after
    assert matcher.accepts(state)
    assert np.flatnonzero(matcher.mask(state)).tolist() == sorted(tokenizer.eos_ids)
    assert matcher.advance(state, min(tokenizer.eos_ids)) == state
    assert (matcher.mask(start) == before).all()
    assert matcher.mask(start) is matcher.mask(start)
    with pytest.raises(ValueError, match="read-only"):
        matcher.mask(start)[0] = True


def test_what_may_not_come_is_refused(output: StructuredOutput, tokenizer: Tokenizer) -> None:
    matcher = output.compile(schema(PERSON))
    for token in (tokenizer.encode("x")[0], min(tokenizer.eos_ids), 5, -1, 10**9):
        with pytest.raises(ValueError, match="may not come here"):
            matcher.advance(matcher.start(), token)


def test_special_tokens_never_come(output: StructuredOutput, tokenizer: Tokenizer) -> None:
    matcher = output.compile(Constraint("regex", r"[\s\S]*"))
    mask = matcher.mask(matcher.start())
    assert set(np.flatnonzero(~mask)) >= tokenizer.special_ids - tokenizer.eos_ids
    assert mask[list(tokenizer.eos_ids)].all()


def test_a_table_that_is_begun_anew_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_mask, "MAX_TABLE_ROWS", 3)
    monkeypatch.setattr(token_mask, "MAX_CACHED_BYTES", 2 * Words.size)
    small = synthetic().compile(schema(PERSON))
    monkeypatch.undo()
    large = synthetic().compile(schema(PERSON))
    state = small.start()
    monkeypatch.setattr(token_mask, "MAX_TABLE_ROWS", 3)
    for byte in b'{"name": "\xc3\xa9\\u00e9", "tags":["b c",1.5], "friend":{"name":"x"':
        masks = [matcher.mask(state).tolist() for matcher in (small, large)]
        assert masks[0] == masks[1]
        state = small.advance(state, byte)


def test_a_definition_is_compiled_once(output: StructuredOutput) -> None:
    constraint = schema(PERSON)
    assert output.compile(constraint) is output.compile(schema(PERSON))
    for number in range(70):
        output.compile(Constraint("regex", f"a{{{number}}}"))
    assert output.compile(constraint) is output.compile(constraint)


BAD = [
    Constraint("choice", ""),
    Constraint("choice", "[]"),
    Constraint("choice", '{"a": 1}'),
    Constraint("choice", '["a", 3]'),
    Constraint("choice", '["a", ""]'),
    Constraint("choice", '["\\ud800"]'),
    Constraint("choice", "[" * 100_000),
    Constraint("choice", json.dumps(["x" * 300_000])),
    Constraint("regex", "("),
    Constraint("regex", "a{1,1000000}"),
    Constraint("regex", "(a|b)*a(a|b){30}"),
    Constraint("json_schema", ""),
    Constraint("json_schema", '{"not": {}}'),
    Constraint("grammar", "x"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("constraint", BAD, ids=lambda c: f"{c.kind} {c.definition[:20]}")
def test_a_bad_definition_is_refused_plainly(
    constraint: Constraint, output: StructuredOutput
) -> None:
    with pytest.raises(GroundupError):
        output.compile(constraint)


@given(st.dictionaries(st.integers(0, 30), st.binary(max_size=4), min_size=1))
def test_a_trie_holds_every_token_at_its_node(tokens: dict[int, bytes]) -> None:
    trie = token_trie(tokens, 31)
    for node in range(1, len(trie.byte)):  # a depth-first walk: each branch lies in one piece
        assert all(trie.depth[node + 1 : trie.end[node]] > trie.depth[node])
        assert trie.end[node] == len(trie.byte) or trie.depth[trie.end[node]] <= trie.depth[node]
    for token_id in range(31):
        node, found = int(trie.node_of[token_id]), b""
        for ancestor in range(1, node + 1):
            if trie.end[ancestor] > node:
                found += bytes([trie.byte[ancestor]])
        assert found == tokens.get(token_id, b"")
    for node in range(len(trie.byte)):
        below = set(trie.byte[node + 1 : trie.end[node]].tolist())
        bits = np.unpackbits(trie.below[node].view(np.uint8), bitorder="little")
        assert set(np.flatnonzero(bits).tolist()) == below
    assert len(trie.byte) == len(
        {t[:i] for t in [*tokens.values(), b""] for i in range(len(t) + 1)}
    )


# ---- against llguidance

# As ours: compact, with an optional space behind separators (they are patterns there), any escape.
POLICY = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "json_allow_general_unicode_escapes": True,
}


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


@pytest.fixture(scope="module")
def theirs(tokenizer: Tokenizer) -> LLTokenizer:
    wrapped = TokenizerWrapper(Wrapped(tokenizer))
    return LLTokenizer(wrapped, eos_token=sorted(tokenizer.eos_ids))


def their_mask(matcher: LLMatcher, size: int) -> NDArray[np.bool_]:
    bits = allocate_token_bitmask(1, size)
    fill_next_token_bitmask(matcher, bits)
    return np.unpackbits(bits.view(np.uint8), bitorder="little")[:size].astype(np.bool_)


AGREED: list[tuple[Any, list[str]]] = [
    ({"type": "object"}, ['{"a":12,"b":"x\\n é日","c":[1, -2.5e3,null,{}],"":{"d":[[true]]}}']),
    (PERSON, ['{"name":"Ann","age":42,"tags":["b c", null],"friend":{"name":"x","friend":null}}',
              '{"name": "é", "friend": null, "born": "2024-0',
              '{"name":"A","friend":null,"code":"AB12"}']),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}, ["[1,-20, 3]"]),
    ({"enum": ["red", "green", 5, None, {"a": [1]}]}, ['"green"', "null", '{"a": [1]}']),
    ({"type": "string", "maxLength": 4}, ['"abc"', '"éé日"']),
    ({"type": "integer", "minimum": 3, "exclusiveMaximum": 1234}, ["11", "1033", "9"]),
    ({"type": "integer", "minimum": -120, "maximum": -7}, ["-115", "-8"]),
    ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#"}}]}, ['[["a"], "b"]']),
    ({"type": "object", "properties": {"ab": {"type": "null"}, "a": {"type": "boolean"}},
      "additionalProperties": {"type": "integer"}}, ['{"ab":null,"abc": 3}', '{"b":1,"c":2}']),
    ({"type": "array", "prefixItems": [{"type": "null"}, {"type": "number"}], "items": False},
     ["[null,0.5]"]),
]  # fmt: skip


def difference(
    ours: NDArray[np.bool_], theirs: LLMatcher, tokenizer: Tokenizer
) -> tuple[list[bytes], list[bytes]]:
    """The tokens that only ours allows and only theirs, without the differences that are meant."""
    mask = their_mask(theirs, tokenizer.size)
    only_theirs = [tokenizer.bytes_of(int(i)) for i in np.flatnonzero(mask & ~ours)]
    only_ours = [tokenizer.bytes_of(int(i)) for i in np.flatnonzero(ours & ~mask)]
    if forced := theirs.compute_ff_bytes():
        # Theirs then allows only the longest token, lest the model writes an unusual split.
        only_ours = [t for t in only_ours if not forced.startswith(t) and not t.startswith(forced)]
    return only_ours, only_theirs


def meant(token: bytes, before: bytes) -> bool:
    """JSON allows DEL and \\/, and theirs does not; theirs allows half of a surrogate pair."""
    return b"\x7f" in token or (before.endswith(b"\\") and token[:1] in b"/u")


@pytest.mark.parametrize(("definition", "texts"), AGREED, ids=range(len(AGREED)))
def test_masks_of_schemas_are_llguidances(
    definition: Any, texts: list[str], output: StructuredOutput, theirs: Any, tokenizer: Tokenizer
) -> None:
    grammar = LLMatcher.grammar_from_json_schema(definition, POLICY)
    matcher = output.compile(schema(definition))
    for text in texts:
        peer, state, before = LLMatcher(theirs, grammar), matcher.start(), b""
        assert not peer.is_error(), peer.get_error()
        for token in tokenizer.encode(text):
            only_ours, only_theirs = difference(matcher.mask(state), peer, tokenizer)
            assert [t for t in only_ours + only_theirs if not meant(t, before)] == [], before
            assert matcher.mask(state)[token], (before, tokenizer.bytes_of(token))
            state = matcher.advance(state, token)
            assert peer.consume_token(token)
            before += tokenizer.bytes_of(token)
        assert matcher.accepts(state) == peer.is_accepting()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("[a-z]{3,8}( [0-9]+)?", "hello 12"),
        ("(foo|bar)+é", "foobaré"),
        ("[^x]*", "hey \n éé日本 😀"),
        (".{2,4}", "日本a"),
        ("(a|b)*c[0-9]{2}", "abbac12"),
        ("[α-ω]+|[\\x00-\\x7f]{3}", "λόγος"[:1]),
    ],
)
def test_masks_of_patterns_are_llguidances(
    pattern: str, text: str, output: StructuredOutput, theirs: Any, tokenizer: Tokenizer
) -> None:
    matcher = output.compile(Constraint("regex", pattern))
    peer, state = LLMatcher(theirs, LLMatcher.grammar_from_regex(pattern)), matcher.start()
    for token in tokenizer.encode(text):
        assert difference(matcher.mask(state), peer, tokenizer) == ([], [])
        state = matcher.advance(state, token)
        assert peer.consume_token(token)
    assert matcher.accepts(state) == peer.is_accepting()
