"""Checks of `groundup.tuning.loss_mask`. Oracle: token ids written by hand, turn by turn."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from types import ModuleType
from typing import Any

import groundup.tokenizers.tokenizer  # noqa: F401 (imported once, before processes are forked)
from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.errors import GroundupError

END_OF_TEXT, BEGIN, END, LINE_END, BEGIN_OF_TEXT = range(5)
ROLES = {"system": 5, "user": 6, "assistant": 7}
Turns = list[dict[str, str]]


class Letters:
    """Stands for a tokenizer: a token for each character, and ``<role ... >`` around turns.

    As ChatML: BEGIN, the role, the content, END, and a line end that no model has to write. What a
    content has before a bar, ``|``, is left out of turns that others follow.
    """

    eos_ids = frozenset({END_OF_TEXT, END})

    def __init__(self, *, ends: bool = True, text_ends: bool = True) -> None:
        self.ends, self.text_ends = ends, text_ends

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return [BEGIN_OF_TEXT] * special + [ord(character) for character in text]

    def token_of(self, token: int) -> str:
        named = {END_OF_TEXT: "<|endoftext|>" if self.text_ends else "<|pause|>", END: "<|im_end|>"}
        return named.get(token, chr(token))

    def opening(self, role: str) -> list[int]:
        return [BEGIN, ROLES[role]]

    def turn(self, message: Mapping[str, Any], last: bool) -> list[int]:
        content = message["content"]
        shown = content if last else content.rpartition("|")[2]
        ids = [END if character == "#" else ord(character) for character in shown]
        return [*self.opening(message["role"]), *ids, *([END, LINE_END] if self.ends else [])]

    def whole(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        return [i for n, m in enumerate(messages, 1) for i in self.turn(m, n == len(messages))]

    def encode_answer(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
        if messages[-1]["content"] == "!":
            raise GroundupError("the template refuses this conversation")
        before = [i for m in messages[:-1] for i in self.turn(m, False)]
        prompt = before + self.opening("assistant")
        return prompt, self.whole(messages)[len(prompt) :]


def turns(*contents: str, system: bool = False) -> Turns:
    """The user's and the assistant's in turn."""
    roles = ["system"] * system + ["user", "assistant"] * len(contents)
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]


def compare(got: object, expected: list[tuple[list[int], list[bool]]], what: str) -> None:
    if not isinstance(got, list):
        raise CheckFailure(f"the result for {what} is {got!r:.60}: expected a list of sequences")
    assert_equal(len(got), len(expected), f"the number of sequences for {what}")
    for number, (sequence, (ids, counts)) in enumerate(zip(got, expected, strict=True)):
        assert_equal(sequence.ids, ids, f"the ids of sequence {number} for {what}")
        assert_equal(sequence.counts, counts, f"which tokens of sequence {number} count, {what},")


def by_hand(letters: Letters, conversation: Turns) -> tuple[list[int], list[bool]]:
    """One sequence up to the end of the last answer, where the template leaves nothing out."""
    ids: list[int] = []
    counts: list[bool] = []
    last = max(n for n, m in enumerate(conversation) if m["role"] == "assistant")
    for number, message in enumerate(conversation[: last + 1]):
        own = letters.turn(message, last=True)
        if number == last and letters.ends:
            own = own[:-1]  # nothing needs the line end
        answer = message["role"] == "assistant"
        written = len(own) - 2 - (letters.ends and number < last)  # of which the model writes
        ids += own
        counts += [False, False] + [answer] * written
        counts += [False] * (len(ids) - len(counts))
    return ids, counts


def check_one_answer(part: ModuleType) -> None:
    """One answer: it counts with its end; the question, the opening and the line end do not"""
    letters = Letters()
    a, b = ord("a"), ord("b")
    ids = [BEGIN, ROLES["user"], a, END, LINE_END, BEGIN, ROLES["assistant"], b, b, END]
    counts = [False] * 7 + [True] * 3
    compare(part.mask_conversation(letters, turns("a", "bb")), [(ids, counts)], "'a', 'bb'")


def check_several_answers(part: ModuleType) -> None:
    """Several answers in one sequence, each of which counts"""
    letters = Letters()
    for conversation in (turns("ab", "c", "d", "efg"), turns("s", "a", "b", "c", "d", system=True)):
        expected = by_hand(letters, conversation)
        compare(part.mask_conversation(letters, conversation), [expected], f"{conversation}")


def check_what_follows(part: ModuleType) -> None:
    """What stands behind the last answer is left out"""
    letters = Letters()
    conversation = turns("ab", "c", "d")
    expected = by_hand(letters, conversation[:2])
    compare(part.mask_conversation(letters, conversation), [expected], "an unanswered question")


def check_ends_within(part: ModuleType) -> None:
    """An answer counts up to the last token that ends a turn, not only to the first"""
    letters = Letters()
    conversation = turns("a", "b#c", "d", "e#")
    expected = by_hand(letters, conversation)
    compare(part.mask_conversation(letters, conversation), [expected], "answers with ends within")


def check_no_ends(part: ModuleType) -> None:
    """Where a template writes no end, all of an answer counts"""
    letters = Letters(ends=False)
    conversation = turns("a", "bc", "d", "e")
    expected = by_hand(letters, conversation)
    compare(part.mask_conversation(letters, conversation), [expected], "a template without ends")


def check_changed_turns(part: ModuleType) -> None:
    """A turn that is written differently once others follow has a sequence of its own"""
    letters = Letters()
    conversation = turns("a", "why|b", "c", "d")
    first, second = (
        by_hand(letters, turns("a", "why|b")),
        by_hand(letters, turns("a", "b", "c", "d")),
    )
    place = second[0].index(ord("b"))
    counts = [c and i > place + 2 for i, c in enumerate(second[1])]  # what it was given, there
    expected = [first, (second[0], counts)]
    compare(part.mask_conversation(letters, conversation), expected, "reasoning that is left out")


def check_long(part: ModuleType) -> None:
    """Random conversations of up to sixty turns"""
    random, letters = Random(0), Letters()
    for count in (2, 9, 30, 60):
        contents = ["".join(random.choices("abc", k=random.randint(0, 5))) for _ in range(count)]
        conversation = turns(*contents, system=bool(count % 2))
        expected = by_hand(letters, conversation)
        what = f"a conversation of {count} turns"
        compare(part.mask_conversation(letters, conversation), [expected], what)


def check_text(part: ModuleType) -> None:
    """A plain text: all of it counts, and the token that ends a text, if there is one"""
    plain = [ord(character) for character in "abc"]
    for letters, ids in ((Letters(), [*plain, END_OF_TEXT]), (Letters(text_ends=False), plain)):
        got = part.mask_text(letters, "abc")
        compare([got], [(ids, [True] * len(ids))], "the text 'abc'")


def check_bad_input(part: ModuleType) -> None:
    """No answer raises ValueError; what the template refuses passes through"""
    letters = Letters()
    for conversation in ([], turns("a"), [{"role": "system", "content": "a"}]):
        call = partial(part.mask_conversation, letters, conversation)
        assert_raises(ValueError, call, f"it is {conversation}")
    refused = turns("a", "!")
    assert_raises(GroundupError, lambda: part.mask_conversation(letters, refused),
                  "the template refuses it", "refuses")  # fmt: skip


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a conversation of ``size`` turns."""
    letters, conversation = Letters(), turns(*["a word or two"] * size)
    return lambda: part.mask_conversation(letters, conversation)


SIZE = 40
