"""Checks of `groundup.serving.semantic_cache`. Oracle: every cosine, one by one in float64."""

import math
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from groundup.course.grader.clock import Clock
from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises

D = 8


def new(part: ModuleType, clock: Clock | None = None, **options: Any) -> Any:
    options = {"threshold": 0.9, "max_entries": 100, "ttl": 60.0} | options
    return part.SemanticCache(D, **options, clock=clock or Clock())


def axis(i: int, length: float = 1.0) -> Any:
    return length * np.eye(D)[i]


def turned(cosine: float, i: int = 0, j: int = 1) -> Any:
    """A vector at this cosine from axis i, towards axis j."""
    return cosine * np.eye(D)[i] + math.sqrt(1 - cosine**2) * np.eye(D)[j]


def found(cache: Any, partition: str, embedding: Any, want: bytes | None, what: str) -> None:
    hit = cache.get(partition, embedding)
    assert_equal(None if hit is None else hit.answer, want, what)


def check_threshold(part: ModuleType) -> None:
    """A question is answered from the cosine of the threshold on, and told how similar it was"""
    cache = new(part, threshold=0.9)
    found(cache, "p", axis(0), None, "the answer of an empty cache")
    cache.put("p", axis(0), b"answer")
    for cosine in (1.0, 0.95, 0.9001):
        hit = cache.get("p", turned(cosine))
        if hit is None:
            raise CheckFailure(f"a cosine of {cosine} finds nothing at the threshold 0.9")
        assert_equal(hit.answer, b"answer", f"the answer at the cosine {cosine}")
        assert_equal(type(hit.similarity), float, "the type of the similarity")
        if not cosine - 1e-5 <= hit.similarity <= min(1.0, cosine + 1e-5):
            raise CheckFailure(f"the similarity is {hit.similarity!r}: expected {cosine}")
    for cosine in (0.8999, 0.5, 0.0, -1.0):
        found(cache, "p", turned(cosine), None, f"the answer at the cosine {cosine}")
    exact = new(part, threshold=1.0)
    rng = np.random.default_rng(0)
    for number, vector in enumerate(rng.normal(size=(100, D))):
        exact.put("p", vector, b"%d" % number)
        found(exact, "p", vector, b"%d" % number, "the answer to the same vector, threshold 1,")


def check_length_does_not_count(part: ModuleType) -> None:
    """Cosine is of the direction: embeddings may have any length, and come as lists or float32"""
    cache = new(part)
    cache.put("p", axis(0, 1e-30), b"short")
    cache.put("p", axis(1, 1e30).astype(np.float32), b"long")
    cache.put("p", axis(2).tolist(), b"list")
    found(cache, "p", axis(0, 1e30), b"short", "the answer along the axis of the short one")
    found(cache, "p", axis(1, 1e-30), b"long", "the answer along the axis of the long one")
    found(cache, "p", [3 * x for x in axis(2)], b"list", "the answer along the axis of the list")
    found(cache, "p", axis(3, 1e30), None, "the answer along another axis")
    found(cache, "p", -axis(0), None, "the answer in the opposite direction")


def check_nearest(part: ModuleType) -> None:
    """Of several, the nearest answers, against every cosine in float64"""
    rng = np.random.default_rng(1)
    stored = rng.normal(size=(60, D))
    asked = rng.normal(size=(100, D))
    names = ["a", "b", "c"]
    expected = []
    for number, question in enumerate(asked):
        rows = [i for i in range(60) if i % 3 == number % 3]
        cosines = [
            float(stored[i] @ question / np.linalg.norm(stored[i]) / np.linalg.norm(question))
            for i in rows
        ]
        best = int(np.argmax(cosines))
        clear = abs(cosines[best] - 0.6) > 1e-4
        expected.append((b"%d" % rows[best] if cosines[best] >= 0.6 else None) if clear else b"?")
    cache = new(part, threshold=0.6)
    for i, vector in enumerate(stored):
        cache.put(names[i % 3], vector, b"%d" % i)
    for number, (question, want) in enumerate(zip(asked, expected, strict=True)):
        if want != b"?":
            what = f"question {number}, in partition {names[number % 3]!r}: the answer"
            found(cache, names[number % 3], question, want, what)


def check_partitions(part: ModuleType) -> None:
    """A question never gets the answer of another partition"""
    cache = new(part)
    cache.put("one", axis(0), b"1")
    cache.put("two", axis(0), b"2")
    cache.put("two", turned(0.95), b"near")
    found(cache, "one", axis(0), b"1", "the answer in the partition one")
    found(cache, "two", axis(0), b"2", "the answer in the partition two")
    found(cache, "one", turned(0.95), b"1", "the nearest answer in the partition one")
    found(cache, "three", axis(0), None, "the answer in a partition without entries")
    found(cache, "", axis(0), None, "the answer in the partition with the empty name")
    assert_equal(len(cache), 3, "the number of answers")


def check_time_to_live(part: ModuleType) -> None:
    """An answer ends after ttl seconds, and the next nearest is then found"""
    clock = Clock(50.0)
    cache = new(part, clock, ttl=10.0, max_entries=2)
    cache.put("p", axis(0), b"old")
    clock.now = 55.0
    cache.put("p", turned(0.95), b"new")
    found(cache, "p", axis(0), b"old", "the answer after 5 s")
    clock.now = 59.75
    found(cache, "p", axis(0), b"old", "the answer after 9.75 s")
    clock.now = 60.0
    found(cache, "p", axis(0), b"new", "the answer after 10 s, the nearest being over,")
    assert_equal(len(cache), 1, "the number of answers then")
    clock.now = 65.0
    found(cache, "p", axis(0), None, "the answer when both are over")
    assert_equal(len(cache), 0, "the number of answers then")
    cache.put("p", axis(0), b"again")
    found(cache, "p", axis(0), b"again", "the answer put again")


def check_least_recently_used(part: ModuleType) -> None:
    """When it is full the least recently used leaves, over all partitions"""
    cache = new(part, max_entries=3)
    for i, partition in enumerate("aba"):
        cache.put(partition, axis(i), b"%d" % i)
    found(cache, "a", axis(0), b"0", "the first answer, used")
    found(cache, "b", axis(5), None, "a question that finds nothing (and uses nothing)")
    cache.put("c", axis(3), b"3")
    assert_equal(len(cache), 3, "the number of answers, of 4 put, with max_entries=3")
    found(cache, "b", axis(1), None, "the answer least recently used")
    found(cache, "a", axis(0), b"0", "the answer used before")
    cache.put("b", axis(4), b"4")
    found(cache, "a", axis(2), None, "the answer least recently used then")
    found(cache, "c", axis(3), b"3", "the third answer")
    for round in range(200):
        cache.put("abc"[round % 3], axis(round % D), b"%d" % round)
        found(cache, "abc"[round % 3], axis(round % D), b"%d" % round, "the answer just put")
        assert_equal(len(cache), 3, f"the number of answers after {round} more")
    for round in range(197, 200):
        what = f"the answer of round {round} of 200"
        found(cache, "abc"[round % 3], axis(round % D), b"%d" % round, what)


def check_replacing(part: ModuleType) -> None:
    """The same question put again replaces its answer, and takes no second place"""
    clock = Clock()
    cache = new(part, clock, max_entries=5, ttl=10.0)
    cache.put("p", axis(0), b"first")
    cache.put("p", axis(1), b"other")
    clock.now = 6.0
    cache.put("p", axis(0, 5.0), b"second")
    assert_equal(len(cache), 2, "the number of answers to two questions")
    found(cache, "p", axis(0), b"second", "the answer put last")
    found(cache, "p", axis(1), b"other", "the answer to the other question")
    clock.now = 12.0
    found(cache, "p", axis(0), b"second", "the answer, 6 s after it was put anew")
    cache.put("q", axis(0), b"third")
    found(cache, "p", axis(0), b"second", "the answer in p, after the same question in q")
    near = new(part, threshold=0.9)
    near.put("p", axis(0), b"one")
    near.put("p", turned(0.99), b"two")
    assert_equal(len(near), 2, "the number of answers to two similar questions")


def check_embeddings_are_copied(part: ModuleType) -> None:
    """Changing the array after put changes nothing, and get and put leave it as it is"""
    cache = new(part)
    vector = axis(0, 3.0)
    cache.put("p", vector, b"answer")
    cache.get("p", vector)
    assert_equal(vector.tolist(), axis(0, 3.0).tolist(), "the embedding, after put and get")
    vector[:] = axis(1)
    found(cache, "p", axis(0), b"answer", "the answer after the array was changed")


def check_question_of(part: ModuleType) -> None:
    """question_of: everything but the last user message must be equal"""
    system = {"role": "system", "content": "Be brief."}
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    ask = {"role": "user", "content": "How high is Everest?"}
    other = {"role": "user", "content": "What is Everest's height?"}
    base: dict[str, Any] = {"model": "m", "temperature": 0, "messages": [system, *turns, ask]}
    variants: dict[str, dict[str, Any]] = {
        "another model": base | {"model": "n"},
        "no system prompt": base | {"messages": [*turns, ask]},
        "no earlier turns": base | {"messages": [system, ask]},
        "an earlier turn changed": base | {"messages": [system, ask, turns[1], ask]},
        "a limit": base | {"max_tokens": 5},
        "a name in the last message": base | {"messages": [system, *turns, ask | {"name": "x"}]},
    }
    got = part.question_of(base)
    if not isinstance(got, tuple) or len(got) != 2:
        raise CheckFailure(f"question_of gives {got!r}: expected a tuple partition, question")
    partition, question = got
    assert_equal(question, "How high is Everest?", "the question")
    again = part.question_of(base | {"messages": [system, *turns, other], "user": "u"})
    want = (partition, "What is Everest's height?")
    assert_equal(again, want, "the partition and question of another wording")
    for what, request in variants.items():
        changed = part.question_of(request)
        if changed is None or changed[0] == partition:
            raise CheckFailure(f"with {what} the result is {changed}: expected another partition")
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    assert_equal(base["messages"][-1], {"role": "user", "content": question}, "the last message")
    for why, request in {
        "it draws": {"model": "m", "messages": [ask]},
        "the last message is the assistant's": base | {"messages": turns},
        "the last message holds an image": base | {"messages": [image]},
        "there are no messages": base | {"messages": []},
        "there is no field messages": {"model": "m", "temperature": 0, "prompt": "x"},
    }.items():
        assert_equal(part.question_of(request), None, f"the result of a request where {why}")


def check_bad_input(part: ModuleType) -> None:
    """Embeddings of another shape, zero or not finite, and bad numbers raise ValueError"""
    cache = new(part, max_entries=1)
    cache.put("p", axis(0), b"answer")
    bad = {
        "is too short": np.ones(D - 1),
        "is a matrix": np.ones((1, D)),
        "is zero": np.zeros(D),
        "holds NaN": np.full(D, math.nan),
        "holds infinity": np.full(D, math.inf),
    }
    for why, vector in bad.items():
        assert_raises(ValueError, partial(cache.get, "p", vector), f"the embedding to get {why}")
        call = partial(cache.put, "p", vector, b"")
        assert_raises(ValueError, call, f"the embedding to put {why}")
        call = partial(cache.put, "an empty one", vector, b"")
        assert_raises(ValueError, call, f"the embedding to put first {why}")
    found(cache, "p", axis(0), b"answer", "the answer after calls that raised")
    cases: dict[str, tuple[float, ...]] = {
        "threshold": (0.0, -0.5, 1.1, math.nan),
        "max_entries": (0, -1),
        "ttl": (0.0, -1.0, math.nan),
    }
    for name, values in cases.items():
        for value in values:
            changed: dict[str, Any] = {name: value}
            assert_raises(ValueError, partial(new, part, **changed), f"{name} is {value}")
    options: dict[str, Any] = {"threshold": 0.9, "max_entries": 1, "ttl": 1.0}
    assert_raises(ValueError, partial(part.SemanticCache, 0, **options), "dimensions is 0")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a search among as many embeddings of MiniLM's size."""
    rng = np.random.default_rng(0)
    cache = part.SemanticCache(384, threshold=0.99, max_entries=size, ttl=math.inf, clock=Clock())
    for number in range(size):
        cache.put(f"{number % 4}", rng.normal(size=384), b"answer")
    question = rng.normal(size=384)
    return lambda: [cache.get(f"{number}", question) for number in range(4)]


SIZE = 2000
