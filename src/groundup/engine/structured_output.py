"""Answers in a form: which tokens may come next, so that the text has the form at its end.

The engine keeps a state for each sequence, masks the scores before it samples, and moves the state
on by the token. States are values: a look-ahead (speculative decoding) just keeps the old one.
"""

import json
from collections import OrderedDict
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.engine.json_schema import compile_json_schema
from groundup.engine.pushdown_automaton import Grammar, PushdownAutomaton, State
from groundup.engine.regular_expression import Dfa, compile_regex
from groundup.engine.token_mask import TokenMask
from groundup.engine.token_trie import token_trie
from groundup.engine.word_automaton import word_automaton
from groundup.errors import GroundupError
from groundup.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:  # requests bring torch, which nothing here needs
    from groundup.engine.request import Constraint

__all__ = ["Matcher", "StructuredOutput"]

MAX_COMPILED = 64
MAX_CHOICES_TEXT = 256_000  # characters of the JSON list of choices


class Matcher:
    """A compiled constraint. Made by `StructuredOutput`; to be used by one thread."""

    def __init__(
        self, automaton: PushdownAutomaton, tokens: TokenMask, written: dict[int, bytes],
        end_ids: Collection[int],
    ) -> None:  # fmt: skip
        self._automaton = automaton
        self._tokens = tokens
        self._written = written
        self._end_ids = frozenset(end_ids)

    def start(self) -> State:
        """The state of an empty answer."""
        return self._automaton.start()

    def mask(self, state: State) -> NDArray[np.bool_]:
        """Shape (V,), read only: True for the tokens that may come next.

        The ids that end an answer may come exactly where the answer may end. At least one token
        may always come, if the vocabulary can write every byte.
        """
        return self._tokens.mask(state)

    def advance(self, state: State, token_id: int) -> State:
        """The state after a token. An id that ends the answer leaves it as it is.

        Raises: ValueError: the token may not come here.
        """
        if token_id in self._end_ids:
            after = state if self.accepts(state) else None
        else:
            written = self._written.get(token_id)
            after = self._tokens.advance(state, written) if written else None
        if after is None:
            raise ValueError(
                f"the token {token_id} may not come here, expected one that mask() allows"
            )
        return after

    def accepts(self, state: State) -> bool:
        """Whether the answer may end here."""
        return self._automaton.accepts(state)


class StructuredOutput:
    """Compiles constraints for one tokenizer. To be used by one thread."""

    def __init__(self, tokenizer: Tokenizer, end_ids: Collection[int] | None = None) -> None:
        """Arguments:
        tokenizer: its special tokens stand for no text, and are never part of an answer.
        end_ids: what ends an answer; by default, the tokenizer's ``eos_ids``.
        """
        self._end_ids = frozenset(tokenizer.eos_ids if end_ids is None else end_ids)
        silent = tokenizer.special_ids | self._end_ids
        self._written = {
            i: token for i in range(tokenizer.size)
            if i not in silent and (token := tokenizer.bytes_of(i))
        }  # fmt: skip
        self._trie = token_trie(self._written, tokenizer.size)
        self._compiled: OrderedDict[Constraint, Matcher] = OrderedDict()

    def compile(self, constraint: "Constraint") -> Matcher:
        """The matcher of a constraint; the last ones compiled are kept.

        Work and memory are bounded, whatever the definition says.

        Raises: GroundupError: the definition is malformed, not supported, impossible or too large.
        """
        known = self._compiled.get(constraint)
        if known is None:
            automaton = _automaton(constraint)
            tokens = TokenMask(automaton, self._trie, self._end_ids)
            known = Matcher(automaton, tokens, self._written, self._end_ids)
            self._compiled[constraint] = known
            if len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(constraint)
        return known


def _automaton(constraint: "Constraint") -> PushdownAutomaton:
    definition = constraint.definition
    match constraint.kind:
        case "json_object":
            return compile_json_schema()
        case "json_schema":
            return compile_json_schema(definition)
        case "regex":
            return _of_dfa(compile_regex(definition))
        case "choice":
            return _of_dfa(word_automaton(_choices(definition)))
    raise GroundupError(
        f"the constraint has the kind {constraint.kind!r}, expected json_object, json_schema, "
        "regex or choice; use one of these"
    )


def _of_dfa(dfa: Dfa) -> PushdownAutomaton:
    """The same automaton, which never calls anything."""
    grammar = Grammar()
    rule = grammar.state()
    grammar.returns.add(grammar.automaton(rule, dfa))
    return PushdownAutomaton(grammar, rule)


def _choices(definition: str) -> list[bytes]:
    try:
        if len(definition) > MAX_CHOICES_TEXT:
            raise ValueError(f"more than {MAX_CHOICES_TEXT:,} characters")
        choices = json.loads(definition)
        if not isinstance(choices, list) or not choices:
            raise ValueError("not a list with members")
        for choice in choices:
            if not isinstance(choice, str) or not choice:
                raise ValueError(f"a choice is {json.dumps(choice)[:60]}")
        return [choice.encode() for choice in choices]
    except (ValueError, RecursionError) as reason:
        raise GroundupError(
            f"the choices are {definition[:60]!r} ({reason}), expected a JSON list of texts, none "
            'of them empty; give one such as ["yes", "no"]'
        ) from None
