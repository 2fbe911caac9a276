"""Checks of `groundup.models.span_corruption`. Oracles: the paper's example, invariants, counts."""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises

SENTINELS = [99, 98, 97, 96]
EOS = 1


def check_the_example_of_the_paper(part: ModuleType) -> None:
    """Thank you for inviting me to your party last week"""
    words = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    # Thank you <X> me to your party <Y> week. -> <X> for inviting <Y> last <Z>
    found = part.corrupt_spans(words, [(2, 4), (8, 9)], SENTINELS, EOS)
    source = [10, 11, 99, 14, 15, 16, 17, 98, 19, 1]
    target = [99, 12, 13, 98, 18, 97, 1]
    assert_equal(found, (source, target), "source and target")


def check_spans_at_the_ends(part: ModuleType) -> None:
    """Spans at the beginning, at the end, next to one another, and none"""
    words = [10, 11, 12, 13]
    cases: dict[str, tuple[list[tuple[int, int]], tuple[list[int], list[int]]]] = {
        "at the beginning": ([(0, 2)], ([99, 12, 13, 1], [99, 10, 11, 98, 1])),
        "at the end": ([(3, 4)], ([10, 11, 12, 99, 1], [99, 13, 98, 1])),
        "next to one another": ([(1, 2), (2, 3)], ([10, 99, 98, 13, 1], [99, 11, 98, 12, 97, 1])),
        "of everything": ([(0, 4)], ([99, 1], [99, 10, 11, 12, 13, 98, 1])),
        "none": ([], ([10, 11, 12, 13, 1], [99, 1])),
    }
    for where, (spans, want) in cases.items():
        got = part.corrupt_spans(words, spans, SENTINELS, EOS)
        assert_equal(got, want, f"source and target with spans {where}")


def check_the_text_can_be_restored(part: ModuleType) -> None:
    """Source and target together hold the text, for random spans"""
    rng = random.Random(5)
    sentinels = list(range(1000, 1100))
    for tokens in (2, 3, 10, 57, 300):
        words = [rng.randrange(2, 900) for _ in range(tokens)]
        spans = part.random_spans(tokens, rng)
        source, target = part.corrupt_spans(words, spans, sentinels, EOS)
        pieces: dict[int, list[int]] = {}
        for token in target[:-1]:
            if token >= 1000:
                last = pieces.setdefault(token, [])
            else:
                last.append(token)
        restored: list[int] = []
        for token in source[:-1]:
            restored += pieces[token] if token >= 1000 else [token]
        assert_equal(restored, words, f"the text of {tokens} tokens, put together again,")
        assert_equal(target[-2:], [sentinels[len(spans)], EOS], "the target's end")


def check_input_unchanged(part: ModuleType) -> None:
    """The ids, spans and sentinels are not changed"""
    words, spans, sentinels = [10, 11, 12, 13], [(1, 2)], list(SENTINELS)
    part.corrupt_spans(words, spans, sentinels, EOS)
    assert_equal((words, spans, sentinels), ([10, 11, 12, 13], [(1, 2)], SENTINELS), "the inputs")


def spans_of(part: ModuleType, tokens: int, rng: random.Random, **options: Any) -> list[Any]:
    spans = part.random_spans(tokens, rng, **options)
    if not isinstance(spans, list) or not all(isinstance(s, tuple) and len(s) == 2 for s in spans):
        raise CheckFailure(f"the spans are {spans!r}: expected a list of pairs (start, stop)")
    return spans


def check_how_much_is_cut_out(part: ModuleType) -> None:
    """Exactly the rate's share of tokens, in spans of the mean length"""
    rng = random.Random(1)
    cases: dict[tuple[int, float, float], tuple[int, int]] = {  # tokens lost, spans
        (100, 0.15, 3.0): (15, 5),
        (512, 0.15, 3.0): (77, 26),
        (100, 0.5, 10.0): (50, 5),
        (20, 0.15, 3.0): (3, 1),
        (3, 0.15, 3.0): (1, 1),
        (2, 0.9, 1.0): (1, 1),
        (10, 0.9, 1.0): (9, 1),
        (10, 0.5, 1.0): (5, 5),
    }
    for (tokens, rate, mean), want in cases.items():
        for _ in range(5):
            spans = spans_of(part, tokens, rng, rate=rate, mean_length=mean)
            got = (sum(stop - start for start, stop in spans), len(spans))
            when = f"of {tokens} at rate={rate}, mean_length={mean}, (tokens lost, spans)"
            assert_equal(got, want, when)
    got = (len(spans_of(part, 100, rng)), sum(b - a for a, b in spans_of(part, 100, rng)))
    assert_equal(got, (5, 15), "(spans, tokens lost) of 100 by default")


def check_spans_do_not_touch(part: ModuleType) -> None:
    """A gap of at least one token before each span; the last one ends the text"""
    rng = random.Random(2)
    for _ in range(300):
        tokens = rng.randrange(2, 60)
        rate, mean = rng.choice((0.15, 0.5, 0.8)), rng.choice((1.0, 2.0, 3.0))
        spans, position = spans_of(part, tokens, rng, rate=rate, mean_length=mean), 0
        for start, stop in spans:
            if not position < start < stop:
                raise CheckFailure(f"the spans {spans} of {tokens} tokens touch or are empty")
            position = stop
        assert_equal(position, tokens, f"the end of the last of the spans {spans}")


def check_every_division_is_equally_likely(part: ModuleType) -> None:
    """All ways to divide tokens among spans and gaps come equally often"""
    rng = random.Random(3)
    n = 6000
    seen = Counter(
        tuple(spans_of(part, 9, rng, rate=0.45, mean_length=2.0)) for _ in range(n)
    )  # 4 lost in 2 spans: 3 divisions; 5 kept before 2 spans: 4 divisions
    assert_equal(len(seen), 12, "how many different choices of spans there are for 9 tokens")
    expected = n / 12
    chi = sum((count - expected) ** 2 / expected for count in seen.values())
    if chi > 50:  # for 11 degrees of freedom, one in two million
        raise CheckFailure(f"the 12 choices come unequally often: {sorted(seen.values())} of {n}")


def check_the_generator_decides(part: ModuleType) -> None:
    """The same seed gives the same spans, another one others"""
    seeded = [spans_of(part, 200, random.Random(seed)) for seed in (1, 1, 2)]
    assert_equal(seeded[1], seeded[0], "the spans of the same seed")
    if seeded[0] == seeded[2]:
        raise CheckFailure("two seeds give the same spans")


def check_bad_input(part: ModuleType) -> None:
    """Spans, sentinels and rates that do not fit raise ValueError"""
    words = [10, 11, 12, 13]
    for spans in ([(1, 1)], [(2, 1)], [(3, 5)], [(-1, 2)], [(2, 3), (0, 1)], [(0, 2), (1, 3)]):
        call = lambda s=spans: part.corrupt_spans(words, s, SENTINELS, EOS)  # noqa: E731
        assert_raises(ValueError, call, f"the spans are {spans}")
    few = lambda: part.corrupt_spans(words, [(1, 2)], [99], EOS)  # noqa: E731
    assert_raises(ValueError, few, "one sentinel is given for one span")
    for tokens, rate, mean in ((1, 0.5, 3.0), (9, 0.0, 3.0), (9, 1.0, 3.0), (9, 0.5, 0.5)):
        call = partial(part.random_spans, tokens, random.Random(0), rate=rate, mean_length=mean)
        assert_raises(ValueError, call, f"tokens={tokens}, rate={rate}, mean_length={mean}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one text of ``size`` tokens."""
    rng, words, sentinels = random.Random(0), list(range(size)), list(range(size, 2 * size))
    return lambda: part.corrupt_spans(words, part.random_spans(size, rng), sentinels, EOS)


SIZE = 512
