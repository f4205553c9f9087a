"""A cache of bounded weight, for what a process knows of the files that it reads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """Values by key; the least recently used are dropped once all together weigh more than the limit.

    >>> cache = Cache(limit=10, weigh=len)
    >>> [cache.get(n, lambda n=n: n * "a") for n in (4, 5, 6)][-1]
    'aaaaaa'
    >>> cache.get(6, lambda: "made again"), cache.get(4, lambda: "made again")
    ('aaaaaa', 'made again')
    """

    def __init__(self, limit: int, weigh: Callable[[T], int] = lambda value: 1) -> None:
        """`weigh` returns the weight of a value, in the unit of `limit`."""
        self._limit = limit
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made by `make` if it is missing; two threads may both make it."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            if key not in self._values:
                self._weight += self._weigh(value)
            self._values[key] = value
            while self._weight > self._limit and len(self._values) > 1:
                self._weight -= self._weigh(self._values.popitem(last=False)[1])
        return value
