"""Work spread over processes whose results come back in order, with no more of it under way than fits into little memory."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_BATCH = 16
_AHEAD = 4  # batches for each worker


def in_order(work: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """`work` of each item, in their order. With more than one worker in processes of their own: both must be picklable.

    At most four batches of sixteen items for each worker are under way or wait to be taken, whatever there is to do.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    rest = iter(items)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        waiting = deque(pool.map_async(work, batch) for batch in islice(_batches(rest), _AHEAD * workers))
        while waiting:
            yield from waiting.popleft().get()
            waiting.extend(pool.map_async(work, batch) for batch in islice(_batches(rest), 1))


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, _BATCH)):
        yield batch
