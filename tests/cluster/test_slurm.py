"""Jobs of a real Slurm on this machine: the same bytes, the resources asked for, and an empty queue in the end."""

import json
import re
import shutil
import signal

import pytest
from helpers.dask_clusters import clean, command, different, run, source, started, wait, warm, workers_of
from helpers.local_slurm import Slurm, missing

__all__ = ["clean", "source"]  # fixtures

pytest.importorskip("dask_jobqueue")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"no Slurm can be started: {missing()}"),
]

RESOURCES = {"mem": "1G", "time": "00:10:00", "cpus-per-task": 1}


def asking(jobs=2, **more):
    return (
        *("--distribution-strategy", "slurm", "--jobs", str(jobs)),
        *("--job-resources", json.dumps({**RESOURCES, **more})),
    )


@pytest.fixture(scope="module")
def slurm():
    with Slurm() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(running.config))
        yield running


def assert_empty(slurm, seconds=10):
    """A job is listed as completing for a moment after its end."""
    wait(lambda: not slurm.jobs() and not workers_of(str(slurm.config)), seconds, "an empty queue")


def test_jobs_write_the_same_bytes_although_one_is_killed(tmp_path, slurm, source, clean):
    target = tmp_path / "ds"
    process = started(source, target, *asking())
    wait(lambda: len(workers_of(str(slurm.config))) == 2, 30, "two workers")
    victim = workers_of(str(slurm.config))[0]
    victim.kill()
    stderr = process.communicate(timeout=90)[1]
    assert process.returncode == 0, stderr
    assert different(target, clean) == []
    assert_empty(slurm)
    assert not (target / ".wkconvert" / "logs").exists()  # they tell of machines, and the dataset may be published
    assert re.search(r"\d workers?, \d+ tasks?", stderr)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_jobs_and_the_same_command_goes_on(tmp_path, slurm, source, clean, number, code):
    target = tmp_path / "ds"
    process = started(source, target, *asking())
    process.send_signal(number)
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == code
    assert "the same command again goes on" in stderr
    assert "Traceback" not in stderr
    assert "Warning" not in stderr
    assert_empty(slurm)
    assert list(target.rglob(".*.tmp")) == []
    assert not (target / "datasource-properties.json").exists()
    assert run(source, target).returncode == 0  # on this machine: where a run goes on does not matter
    assert different(target, clean) == []


def test_jobs_whose_client_is_killed_end_by_themselves(tmp_path, slurm, source, clean):
    target = tmp_path / "ds"
    process = started(source, target, *asking(jobs=1))  # one that starts after the kill waits longer
    process.kill()
    process.communicate()
    assert_empty(slurm, 60)
    again = run(source, target, *asking())
    assert again.returncode == 0, again.stderr
    assert "were there from an earlier run" in again.stderr
    assert different(target, clean) == []
    assert_empty(slurm)


def test_an_error_in_the_work_ends_the_jobs(tmp_path, slurm, source):
    broken = shutil.copytree(source, tmp_path / "src")
    shard = next(broken.glob("*/1/z*/y*/x*.wkw"))
    shard.write_bytes(shard.read_bytes()[:-10])
    told = run(broken, tmp_path / "ds", *asking())
    assert told.returncode == 1
    assert str(shard) in told.stderr
    assert "Traceback" not in told.stderr
    assert_empty(slurm)


def test_a_job_gets_what_was_asked_for(tmp_path, slurm, source):
    more = {"partition": "loop", "account": "lab", "comment": "two words", "cpus-per-task": 2, "nice": 5}
    process = started(source, tmp_path / "ds", *asking(jobs=1, **more))
    (job,) = slurm.jobs()
    shown = " ".join(slurm.ask("scontrol", "show", "job", job.split()[0]))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    for fact in ("CPUs/Task=2", "mem=1G", "TimeLimit=00:10:00", "Partition=loop", "Account=lab", "Nice=5"):
        assert fact in shown, shown
    assert "Comment=two words" in shown


def test_what_the_environment_tells_sbatch_does_not_count(tmp_path, slurm, source, monkeypatch):
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    monkeypatch.setenv("SBATCH_TIMELIMIT", "5")
    monkeypatch.setenv("SQUEUE_STATES", "SUSPENDED")
    process = started(source, tmp_path / 'a "quoted" folder' / "ds", *asking(jobs=1))
    monkeypatch.delenv("SQUEUE_STATES")
    (job,) = slurm.ask("squeue", "-h", "-o", "%j %l")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert re.fullmatch("wkconvert-[0-9a-f]{12} 10:00", job)
    assert_empty(slurm)
    assert len(list(tmp_path.glob("a */ds/.wkconvert/logs/*.log"))) == 1


def test_a_queue_that_grants_nothing_is_waited_for_and_told(tmp_path, slurm, source):
    slurm.set_partition("DOWN")
    try:
        process = started_waiting(source, tmp_path / "ds")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
        assert_empty(slurm)
    finally:
        slurm.set_partition("UP")


def started_waiting(source, target):
    process = warm().start(*command(source, target, *asking()))
    for line in process.stderr:
        if re.match(r"waiting for the queue: 1 job pending \(PartitionDown\)", line):
            return process
    raise AssertionError("it did not say that it waits")


def test_jobs_that_end_at_once_are_told_with_their_own_words(tmp_path, slurm, source, monkeypatch):
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__JOB_SCRIPT_PROLOGUE", '["echo there is no such module; exit 3"]')
    told = run(source, tmp_path / "ds", *asking())
    assert told.returncode == 1
    assert "ended before any work was done" in told.stderr
    assert "there is no such module" in told.stderr
    assert_empty(slurm)


def test_a_refusal_of_slurm_is_told_in_its_own_words(tmp_path, slurm, source):
    told = run(source, tmp_path / "ds", *asking(partition="nowhere"))
    assert told.returncode == 1
    assert "nvalid partition" in told.stderr
    assert "Traceback" not in told.stderr
