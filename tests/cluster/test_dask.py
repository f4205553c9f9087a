"""A real dask scheduler with processes as workers: the same bytes, and what happens when one of them goes away."""

import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice, pairwise, takewhile

import numpy as np
import pytest
from helpers.dask_clusters import (
    Dask,
    clean,
    cluster,
    command,
    dataset,
    deadly,
    different,
    double,
    fails,
    place,
    run,
    started,
    wait,
    warm,
)
from helpers.npy_volumes import FileSink, FileSource

from wkconvert_core.cluster import session as cluster_module
from wkconvert_core.cluster.credentials import issue
from wkconvert_core.cluster.session import Sought
from wkconvert_core.cluster.spec import ClusterSpec
from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.engine.loop import run as run_step
from wkconvert_core.engine.workers import at_work
from wkconvert_core.planning.costs import Budget, Costs
from wkconvert_core.planning.step import Step

__all__ = ["clean", "cluster"]  # fixtures

pytest.importorskip("distributed")
from distributed import LocalCluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Enough for a run to be disturbed by what is there already; what has to start first needs the size of others."""
    return dataset(tmp_path_factory.mktemp("source"), (256, 192, 160))


def test_every_strategy_writes_the_same_bytes(tmp_path, cluster):
    source, clean = dataset(tmp_path, (140, 120, 160)), tmp_path / "clean"  # nothing is disturbed here: less will do
    assert run(source, clean, "--distribution-strategy", "sequential").returncode == 0
    for name, options in [
        ("threads", ()),
        ("processes", ("--distribution-strategy", "multiprocessing")),
        ("dask", cluster.options),
    ]:
        told = run(source, tmp_path / name, *options)
        assert told.returncode == 0, told.stderr
        assert different(tmp_path / name, clean) == [], name
    assert re.search(r"2 workers, \d+ tasks?", told.stderr)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_or_killed_goes_on_with_the_same_command(tmp_path, source, clean, cluster, number, code):
    target = tmp_path / "ds"
    process = started(source, target, *cluster.options)
    process.send_signal(number)
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert "Warning" not in stderr
    assert not (target / "datasource-properties.json").exists()
    again = run(source, target, *cluster.options)
    assert again.returncode == 0, again.stderr
    assert "were there from an earlier run" in again.stderr
    assert different(target, clean) == []


def test_the_tasks_of_a_worker_that_dies_run_elsewhere(tmp_path, source, clean):
    with Dask(tmp_path) as cluster:
        process = started(source, tmp_path / "ds", *cluster.options)
        cluster.workers[0].kill()
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 0, stderr
    assert different(tmp_path / "ds", clean) == []


def test_a_scheduler_that_dies_is_told_and_the_run_goes_on_with_another(tmp_path, source, clean, cluster):
    with Dask(tmp_path) as doomed:
        process = started(source, tmp_path / "ds", *doomed.options)
        doomed.scheduler.kill()
        stderr = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert f"the dask scheduler at {doomed.address} is gone" in stderr
    assert "Traceback" not in stderr
    assert "Warning" not in stderr
    again = run(source, tmp_path / "ds", *cluster.options)
    assert again.returncode == 0, again.stderr
    assert "were there from an earlier run" in again.stderr
    assert different(tmp_path / "ds", clean) == []


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_no_scheduler_is_told_before_anything_is_written(tmp_path, source, monkeypatch, protocol):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 0.5)
    settings = Settings(strategy="dask", scheduler=f"{protocol}://127.0.0.1:9")
    with pytest.raises(ResourceError, match=rf"no dask scheduler answers at {protocol}://127\.0\.0\.1:9"):
        convert(source, tmp_path / "ds", settings)
    assert not (tmp_path / "ds").exists()


def test_a_damaged_source_is_told_as_on_one_machine(tmp_path, source, cluster):
    broken = shutil.copytree(source, tmp_path / "src")
    shard = next(broken.glob("*/1/z*/y*/x*.wkw"))
    shard.write_bytes(shard.read_bytes()[:-10])
    told = run(broken, tmp_path / "ds", *cluster.options)
    assert told.returncode == 1
    assert str(shard) in told.stderr
    assert "Traceback" not in told.stderr


# --- what is checked before the work ---------------------------------------------------------------------------------

LACKING = "import sys; sys.modules['wkconvert_core'] = None"
OTHER = """
import importlib.metadata as metadata
known = metadata.version
metadata.version = lambda name: "1.0" if name == "lz4" else known(name)
"""
BLIND = """
import pathlib
there = pathlib.Path.exists
pathlib.Path.exists = lambda self, **more: "{hidden}" not in str(self) and there(self, **more)
import wkconvert_core.cluster.worker_check as check
check.PATIENCE = 0.2
"""


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (LACKING, "cannot do the work: Exception: ModuleNotFoundError"),
        (OTHER, "has other packages: lz4 1.0, here"),
        (BLIND.format(hidden="/src"), "does not see the source"),
        (BLIND.format(hidden="/ds/"), "does not see the target"),
    ],
)
def test_a_worker_that_cannot_do_the_work_is_told_before_the_work(tmp_path, source, code, told):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(code)
    with Dask(tmp_path, workers=0) as cluster:
        cluster.add_worker(PYTHONPATH=str(tmp_path / "site"))
        cluster.wait_for(1)
        stderr = run(source, tmp_path / "ds", *cluster.options).stderr
    assert told in stderr
    assert "Traceback" not in stderr
    assert "Warning" not in stderr
    assert not any((tmp_path / "ds").rglob("*"))


def started_waiting(source, cluster, target, *options, stdout=None):
    """A run that has said that no worker is there yet."""
    process = warm().start(*command(source, target, *cluster.options, *options), stdout=stdout)
    said = f"waiting for workers: {cluster.address} has none\n"
    lines = list(takewhile(lambda line: line != said, process.stderr))
    assert process.poll() is None, lines
    return process


def test_the_first_worker_is_waited_for_and_its_memory_is_that_of_the_plan(tmp_path, source):
    with Dask(tmp_path, workers=0, threads=2) as cluster:
        with (tmp_path / "plan").open("w") as plan:
            process = started_waiting(source, cluster, tmp_path / "ds", "--dry-run", stdout=plan)
        cluster.add_worker()
        process.communicate(60)
        assert "per worker" in (tmp_path / "plan").read_text()
        offered = cluster_module.offer(ClusterSpec(scheduler=cluster.address))
    assert process.returncode == 0
    assert (offered.threads, offered.memory, offered.usable(None)) == (2, 2 << 30, int(0.6 * (2 << 30)))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_waiting_can_be_stopped_and_leaves_nothing(tmp_path, source, options):
    with Dask(tmp_path, workers=0) as cluster:
        process = started_waiting(source, cluster, tmp_path / "ds", *options)
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=20)[1]
        with cluster_module._connected(cluster.address) as client:
            assert client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)) == []
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert not (tmp_path / "ds").exists()


def test_a_scheduler_that_dies_before_any_worker_came_is_told(tmp_path, source):
    with Dask(tmp_path, workers=0) as cluster:
        process = started_waiting(source, cluster, tmp_path / "ds")
        cluster.scheduler.kill()
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert f"the dask scheduler at {cluster.address} is gone" in stderr
    assert "Traceback" not in stderr


def test_a_scheduler_that_starts_workers_when_there_is_work_is_asked_for_some(tmp_path, source, clean):
    with LocalCluster(n_workers=0, threads_per_worker=1, memory_limit="1GiB", dashboard_address=":0") as cluster:
        cluster.adapt(minimum=0, maximum=2, interval="200ms")
        told = run(source, tmp_path / "ds", "--distribution-strategy", "dask", "--scheduler", cluster.scheduler_address)
    assert told.returncode == 0, told.stderr
    assert f"waiting for workers: {cluster.scheduler_address} has none" in told.stderr
    assert different(tmp_path / "ds", clean) == []


def test_workers_that_come_later_are_checked(tmp_path, source):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(OTHER)
    with Dask(tmp_path, workers=0) as cluster:
        process = started_waiting(source, cluster, tmp_path / "ds")
        cluster.add_worker(PYTHONPATH=str(tmp_path / "site"))
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "has other packages: lz4 1.0" in stderr


def test_workers_that_join_later_check_themselves(tmp_path):
    source = dataset(tmp_path)  # one worker is at it for longer than another one takes to start
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(OTHER)
    with Dask(tmp_path, workers=1) as cluster:
        process = started(source, tmp_path / "ds", *cluster.options)
        cluster.add_worker(PYTHONPATH=str(tmp_path / "site"))
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "has other packages: lz4 1.0" in stderr


def test_a_worker_that_joins_later_and_cannot_even_take_a_task_is_told(tmp_path):
    source = dataset(tmp_path)
    (tmp_path / "lacks.py").write_text("import sys\nsys.modules['wkconvert_core'] = None\n")
    with Dask(tmp_path, workers=1) as cluster:
        process = started(source, tmp_path / "ds", *cluster.options)
        cluster.add_worker("--preload", str(tmp_path / "lacks.py"))
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "the worker that joined later cannot do the work: ModuleNotFoundError" in stderr
    assert "Traceback" not in stderr


# --- tasks, without the command --------------------------------------------------------------------------------------


@pytest.fixture
def workers(tmp_path, cluster, monkeypatch):
    sought = Sought(ClusterSpec(scheduler=cluster.address), [], [], [tmp_path], tmp_path / "logs", writes=True)
    with at_work("dask", 2, sought, print) as there:
        yield there


def test_tasks_are_taken_as_they_are_needed_and_answered_once(workers):
    taken = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield number

    answers = workers.map(double, tasks(), 2)
    first = next(answers)
    assert len(taken) <= cluster_module.AHEAD * cluster_module.ROOM + 50
    assert sorted([first, *answers]) == [2 * number for number in range(1000)]
    assert workers.cluster.backend.load == 0
    assert workers.cluster._client.futures == {}


def test_a_worker_does_no_more_tasks_at_a_time_than_fit_its_memory(workers):
    spans = sorted(workers.map(place, range(12), 1))
    assert len({pid for pid, *_ in spans}) == 2
    for (pid, _, end), (other, begun, _) in pairwise(spans):
        assert pid != other or begun >= end


def test_an_error_that_a_task_raises_is_that_of_the_task(workers):
    with pytest.raises(FileNotFoundError, match="the task's own"):
        list(workers.map(fails, range(10), 2))
    assert sorted(workers.map(double, range(3), 2)) == [0, 2, 4]


def test_a_slab_that_several_workers_fill_holds_what_was_decoded(tmp_path, workers):
    voxels = np.random.default_rng(0).integers(0, 1000, (2, 70, 50, 40)).astype("uint16")
    source = FileSource.make(tmp_path / "source.npy", voxels, chunk_shape=(70, 50, 1))
    step = Step(source, (WriteShards(FileSink.make(tmp_path / "sink", source, (32, 32, 32), (10, 0, 5))),))
    route = Costs(step, Budget(10**12, 2, False, 10**12, 0, machines=2), 2).spool()
    list(run_step(step, route, workers, tmp_path / "scratch", ()))
    np.testing.assert_array_equal(step.finest.sink.read(source.info.box), voxels)
    assert not (tmp_path / "scratch").exists()


def test_a_job_at_its_time_limit_is_no_death_of_its_task(tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    security = issue(key := tmp_path / "key")
    with Dask(tmp_path, workers=0, key=key) as cluster, cluster_module._connected(cluster.address, security) as client:
        future = client.submit(time.sleep, 60)
        line = [sys.executable, "-m", "wkconvert_core.cluster.slurm_worker", cluster.address, "--key", str(key)]
        line += ["--local-directory", str(tmp_path)]
        job = subprocess.Popen(line, stderr=subprocess.DEVNULL)
        try:
            wait(lambda: any(client.processing().values()), 30, "the task at work")
            job.terminate()
            assert job.wait(10) == 0
        finally:
            job.kill()
            job.wait()
        wait(lambda: not client.scheduler_info()["workers"], 10, "the worker's leave")
        assert future.status == "pending"
        blamed = lambda dask_scheduler: [task.suspicious for task in dask_scheduler.tasks.values()]  # noqa: E731
        assert client.run_on_scheduler(blamed) == [0]


def test_a_scheduler_without_the_workers_leaves_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(Dask, "wait_for", lambda self, workers: wait(lambda: False, 0, "the workers"))
    waiting = Dask(tmp_path, workers=1)
    with pytest.raises(AssertionError, match="did not come"):
        waiting.__enter__()
    assert [process.poll() is not None for process in waiting._processes] == [True, True]


def test_a_task_that_kills_its_workers_is_named_after_the_rest_is_done(tmp_path):
    with Dask(tmp_path, workers=1, nanny=True) as cluster:
        sought = Sought(ClusterSpec(scheduler=cluster.address), [], [], [], tmp_path / "logs")
        with at_work("dask", 1, sought, print) as there:
            answers = there.map(deadly, range(6), 1)
            assert sorted(islice(answers, 5)) == [0, 1, 2, 4, 5]
            with pytest.raises(ResourceError, match="1 task"):
                next(answers)
