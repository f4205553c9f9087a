"""How jobs are submitted, watched and ended, without any Slurm: what stubs of its commands and of dask say."""

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from wkconvert_core.cluster import session as cluster
from wkconvert_core.cluster import slurm
from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.cluster.slurm import Queue
from wkconvert_core.cluster.slurm_commands import QueueState
from wkconvert_core.cluster.spec import ClusterSpec
from wkconvert_core.contract.errors import ResourceError, TargetError

pytest.importorskip("dask_jobqueue")
import dask

JOB = {"mem": "4G", "time": "02:00:00", "cpus-per-task": 4}


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """With a squeue that fails, and no jobs."""
    for name, code in (("sbatch", 0), ("scancel", 0), ("squeue", 1)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(slurm, "wait_until", lambda there: there())
    made = Queue(JobResources.of(JOB), 1, "0" * 32, tmp_path / "logs")
    made._cluster = SimpleNamespace(scheduler_info={"workers": {}}, workers={}, worker_spec={})
    return made


def with_jobs(queue, *ids, working=()):
    """Jobs by their ids; those in `working` have a worker."""
    queue._cluster.workers = {number: SimpleNamespace(job_id=number, refused=False) for number in ids}
    queue._cluster.worker_spec = dict.fromkeys(ids)
    queue._cluster.scheduler_info = {"workers": {number: {"name": number} for number in working}}


def failures(queue, looks):
    return [queue.failure(queue.submitted(), QueueState(frozenset(), 0, 0, ())) for _ in range(looks)]


def test_a_queue_that_does_not_answer_is_not_taken_for_an_empty_one(queue, tmp_path):
    with pytest.raises(OSError, match="squeue failed: exit code 1"):
        queue.state()
    (tmp_path / "squeue").write_text("#!/bin/sh\necho slurm_load_jobs error: Unable to contact >&2\nexit 1\n")
    with pytest.raises(OSError, match="squeue failed: slurm_load_jobs error: Unable to contact"):
        queue.state()


def test_jobs_that_all_end_at_once_are_told_at_the_third_look(queue):
    with_jobs(queue, "1", "2")
    assert [error and error.what for error in failures(queue, 3)] == [
        *(None, None),
        "2 job(s) ended before any work was done, the last one 2",
    ]


def test_what_slurm_calls_the_end_of_a_job_is_told(queue, tmp_path):
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho JobId=$4 JobName=a UserId=u JobState=CANCELLED Reason=None\n")
    (tmp_path / "scontrol").chmod(0o755)
    with_jobs(queue, "7")
    why = failures(queue, 3)[2].why
    assert why.startswith("Slurm calls it CANCELLED; it left no log in ")


def test_the_last_of_several_jobs_is_that_of_the_highest_number_and_its_text_may_be_in_any_encoding(queue, tmp_path):
    (tmp_path / "scontrol").write_bytes(b"#!/bin/sh\necho JobId=$4 Comment=caf\xe9 JobState=FAILED_$4\n")
    (tmp_path / "scontrol").chmod(0o755)
    with_jobs(queue, "999", "1000")
    error = failures(queue, 3)[2]
    assert error.what == "2 job(s) ended before any work was done, the last one 1000"
    assert error.why.startswith("Slurm calls it FAILED_1000; ")


def test_logs_that_cannot_be_written_are_told(queue, tmp_path):
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(TargetError, match="logs cannot be written"):
        queue.start(lambda: 1)


@pytest.mark.parametrize(
    ("reasons", "lasting"),
    [
        ((), None),
        (("Priority", "Resources"), None),
        (("PartitionNodeLimit",), None),
        (("QOSMaxCpuPerUserLimit",), None),
        (("Priority", "PartitionTimeLimit"), "PartitionTimeLimit"),
        (("QOSMaxWallDurationPerJobLimit",), "QOSMaxWallDurationPerJobLimit"),
    ],
)
def test_waiting_names_the_reasons_and_says_which_does_not_pass(reasons, lasting):
    text = QueueState(frozenset("1"), 1, 0, reasons).text()
    named = f" ({', '.join(reasons)})" if reasons else ""
    advice = f"; {lasting} does not pass by itself: change --job-resources, or ask who runs Slurm" if lasting else ""
    assert text == f"waiting for the queue: 1 job pending{named}{advice}"


def test_a_refusal_or_a_death_of_long_ago_does_not_end_a_run_whose_jobs_ended(queue):
    with_jobs(queue, "1", "2", working=["1"])
    queue._refusals.append("QOSMaxSubmitJobPerUserLimit")
    assert queue.workers() == 1
    with_jobs(queue, "2")  # the one that worked has reached its time limit
    assert failures(queue, 4) == [None] * 4
    with_jobs(queue, "2", "3")
    assert "the last one 3" in failures(queue, 1)[0].what


def test_jobs_that_never_worked_although_others_did_are_submitted_anew(queue):
    calls = []
    with_jobs(queue, "1", "2", "3", working=["1"])
    queue._cluster.loop = SimpleNamespace(add_callback=lambda *call: calls.append(call))
    queue.workers()
    queue.forget(queue.submitted(), QueueState(frozenset("13"), 1, 1, ()))
    ((function, *arguments),) = calls
    asyncio.run(function(*arguments))
    assert sorted(queue._cluster.worker_spec) == sorted(queue._cluster.workers) == ["1", "3"]


def test_a_signal_in_the_farewell_does_not_keep_the_jobs(queue, monkeypatch):
    class Stop(BaseException):
        pass

    def close(timeout):
        raise Stop

    calls = []
    monkeypatch.setattr(slurm, "cancel", lambda *options: calls.append(options))
    queue._config = contextlib.ExitStack()
    queue._config.callback(calls.append, "restored")
    queue._cluster.close = close
    with pytest.raises(Stop):
        queue.close(at_once=False)
    assert calls == [(queue._name,), "restored"]


def test_a_silent_controller_is_waited_for_once_and_how_to_end_the_jobs_is_told(queue, tmp_path, monkeypatch, caplog):
    (tmp_path / "scancel").write_text(f"#!/bin/sh\necho >>{tmp_path}/asked; exec sleep 5\n")
    monkeypatch.setattr("wkconvert_core.cluster.slurm_commands.CANCEL_SECONDS", 0.1)
    queue._cluster.close = lambda timeout: None
    queue.close(at_once=True)
    assert len((tmp_path / "asked").read_text().splitlines()) == 1
    assert "scancel did not answer within 0.1 s: pending jobs may be left" in caplog.text
    assert f"End them with: scancel --name={queue._name}" in caplog.text
    assert len(caplog.records) == 1


def test_what_dask_cannot_start_is_told(queue):
    with (
        dask.config.set({"jobqueue.slurm.interface": "none9"}),
        pytest.raises(ResourceError, match="cannot be started") as told,
    ):
        queue.start(lambda: 1)
    assert "none9" in told.value.why


def test_a_configuration_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "broken.yaml").write_text("jobqueue: [")
    code = "from wkconvert_core.cluster.session import _check_configuration; _check_configuration()"
    environment = {**os.environ, "DASK_CONFIG": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "ResourceError: dask's configuration cannot be read" in told.stderr


def job_of(tmp_path, monkeypatch, script, refusals=None, closing=False):
    """A started job, where `sbatch` is this script."""
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\n{script}\n")
    closes = threading.Event()
    if closing:
        closes.set()
    made = slurm._job_class(["--mem=1G", "--comment=a b"], [] if refusals is None else refusals, closes)
    job = made("tcp://h:1", name="0", cores=1, memory="1GB", processes=1)
    asyncio.run(job.start())
    return job


def test_a_job_is_submitted_with_arguments_and_without_the_options_of_the_environment(queue, tmp_path, monkeypatch):
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    told = tmp_path / "told"
    script = f'printf \'%s|\' "$@" >{told}; grep -c SBATCH "$3" >>{told}; env | grep -c SBATCH >>{told}; echo job 7'
    assert job_of(tmp_path, monkeypatch, script).job_id == "7"
    first, second = told.read_text().splitlines()
    assert first.startswith("--mem=1G|--comment=a b|")
    assert first.endswith("|0")
    assert second == "0"


def test_whatever_sbatch_says_is_a_refusal_and_nothing_is_submitted_in_the_end(queue, tmp_path, monkeypatch):
    refusals = []
    assert job_of(tmp_path, monkeypatch, "echo sbatch: no number", refusals).refused
    assert "no number" in refusals[0]
    assert job_of(tmp_path, monkeypatch, "echo job 7", closing=True).job_id is None


def watched(look, tell, monkeypatch):
    """What the watcher does until it is told to end."""
    monkeypatch.setattr(cluster, "WATCH_SECONDS", 0.001)
    watcher = object.__new__(cluster.Cluster)
    watcher._ended, watcher._tell = threading.Event(), tell
    looks = itertools.count(1)

    def counted():
        if next(looks) == 6:
            watcher._ended.set()
        return look()

    watcher._poll = counted
    watcher._watch()


def test_the_watch_outlives_a_listener_that_fails(monkeypatch):
    told = []

    def tell(text):
        told.append(text)
        raise SystemExit

    watched(lambda: "waiting", tell, monkeypatch)
    assert told == ["waiting"]


def test_a_cluster_that_cannot_be_asked_is_told(monkeypatch):
    def look():
        raise OSError("squeue failed")

    told = []
    watched(look, told.append, monkeypatch)
    assert told == ["waiting: squeue failed"]


def test_a_job_that_does_fewer_tasks_at_a_time_than_it_has_processors_counts_as_a_whole_one():
    leading = object.__new__(cluster.Cluster)
    leading._spec, leading.queue, leading._slots = ClusterSpec(jobs=50), object(), 4
    leading.backend = SimpleNamespace(load=leading.in_flight(1))
    assert leading._wanted_jobs() == 150
