"""What leading many workers through a huge volume costs this process: nothing that grows with the volume, but bits."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

WORKERS, SIDES, MAGS = 100, (4096, 8192), 2


@pytest.fixture(scope="module")
def led(tmp_path_factory):
    """The figures of a volume, and of one eight times as large."""
    from helpers.simulated_cluster import traced

    found = []
    for side in SIDES:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            folder = tmp_path_factory.mktemp("fleet")
            found.append(fresh.submit(traced, folder, side, mags=MAGS, workers=WORKERS).result())
    return found


def test_every_shard_is_written_although_workers_die(tmp_path, led):
    from helpers.simulated_cluster import steps

    for figures, side in zip(led, SIDES, strict=True):
        sinks = [sink for made in steps(tmp_path, side, MAGS, WORKERS) for sink in made.step.sinks]
        assert figures.shards == sum(sink.spec.box.count_tiles(sink.shard_shape) for sink in sinks)
    assert led[1].fleet.deaths > 0
    assert led[1].fleet.killed > 0


def test_tasks_in_the_hands_of_the_scheduler_are_a_few_for_each_worker(led):
    assert max(figures.fleet.most_open for figures in led) <= 3 * WORKERS + 10


def test_what_is_sent_does_not_grow_with_the_volume(led):
    assert led[1].fleet.largest_task <= 1.05 * led[0].fleet.largest_task < 10_000
    assert all(figures.fleet.largest_answer < 800 for figures in led), "a task makes nine shards at most"


def test_of_a_shard_hardly_anything_is_kept(led):
    small, large = led
    assert large.kept - small.kept < 20 * (large.shards - small.shards)
    assert large.memory < 5_000_000


def test_the_journal_takes_a_line_for_each_shard(led):
    assert all(figures.journal_bytes < 100 * figures.shards for figures in led)
