import threading
from itertools import count

import pytest

from wkconvert_core.engine.threads import in_threads


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_task_is_run_once_and_as_many_at_a_time_as_there_are_jobs(jobs):
    together, most, lock = [], [], threading.Lock()

    def call(number, task):
        with lock:
            together.append(number)
            most.append(len(together))
        with lock:
            together.remove(number)
        return number, task * 2

    assert sorted(in_threads(call, enumerate(range(50)), jobs)) == [(n, 2 * n) for n in range(50)]
    assert max(most) <= jobs


@pytest.mark.parametrize(("jobs", "ahead"), [(1, 0), (3, 5)])
def test_tasks_are_taken_lazily_and_those_that_wait_are_forgotten_when_nobody_asks_on(jobs, ahead):
    taken, began, may_end = [], [], threading.Event()
    may_end.set()

    def numbered():
        for number in count():
            taken.append(number)
            yield number, number

    def call(number, task):
        began.append(number)
        may_end.wait(30)
        return number

    results = in_threads(call, numbered(), jobs)
    next(results)
    assert len(taken) == 1 + ahead
    may_end.clear()
    results.close()
    may_end.set()
    assert set(began) <= set(taken)
    assert len(taken) == 1 + ahead


def test_an_error_is_raised_here():
    def call(number, task):
        return number // task

    with pytest.raises(ZeroDivisionError):
        list(in_threads(call, enumerate([1, 0, 2]), 2))
