"""The queue before the engine: order, bound, deadline, places given back."""

import asyncio

import pytest

from groundup.serving.admission import Admission
from groundup.serving.api_error import ApiError


async def test_first_come_first_served() -> None:
    admission = Admission(2, 10, 10)
    order: list[int] = []

    async def work(i: int, answers: int) -> None:
        size = await admission.enter(answers)
        order.append(i)
        assert admission.running <= 2
        await asyncio.sleep(0.01)
        admission.leave(size)

    # The third needs both places, and the fourth does not pass it; a fifth asks for more than all.
    await asyncio.gather(work(0, 1), work(1, 1), work(2, 2), work(3, 1), work(4, 9))
    assert order == [0, 1, 2, 3, 4]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_small_request_does_not_pass_a_large_one() -> None:
    admission = Admission(2, 10, 10)
    await admission.enter(1)
    large = asyncio.create_task(admission.enter(2))
    await asyncio.sleep(0)
    small = asyncio.create_task(admission.enter(1))  # there would be a place for it
    await asyncio.sleep(0)
    assert (admission.running, admission.waiting) == (1, 2)
    admission.leave(1)
    assert await large == 2
    assert not small.done()
    admission.leave(2)
    assert await small == 1


async def test_too_many_are_refused_at_once_and_those_that_wait_too_long_later() -> None:
    admission = Admission(1, 1, 0.05)
    await admission.enter(1)
    waiting = asyncio.create_task(admission.enter(1))
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as full:
        await admission.enter(1)
    assert (full.value.status, full.value.code) == (429, "queue_full")
    assert full.value.retry_after
    with pytest.raises(ApiError) as late:
        await waiting
    assert (late.value.status, late.value.code) == (503, "queue_timeout")
    assert late.value.retry_after
    admission.leave(1)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_who_leaves_the_queue_takes_no_place() -> None:
    admission = Admission(2, 10, 10)
    await admission.enter(2)
    large = asyncio.create_task(admission.enter(2))
    small = asyncio.create_task(admission.enter(1))
    await asyncio.sleep(0)
    admission.leave(1)
    large.cancel()
    assert await small == 1  # nothing stands before it any more
    admission.leave(1)
    admission.leave(1)
    # Its turn and its cancellation at the same moment: the place is given back.
    await admission.enter(2)
    unlucky = asyncio.create_task(admission.enter(1))
    await asyncio.sleep(0)
    admission.leave(2)
    unlucky.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unlucky
    assert (admission.running, admission.waiting) == (0, 0)
