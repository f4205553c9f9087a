"""What a job asks Slurm for: names and values as sbatch takes them."""

from pathlib import Path

import pytest

from wkconvert_core import OptionError
from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.contract.errors import ResourceError

JOB = {"mem": "4G", "time": "02:00:00", "cpus-per-task": 4}


def test_a_job_asks_for_what_was_said_and_for_nothing_else():
    given = {**JOB, "partition": "long", "gres": "gpu:1", "exclusive": True, "verbose": False, "mail-user": "a@b"}
    assert JobResources.of(given).arguments("name", Path('/logs "of"/100%')) == [
        "--job-name=name",
        "--ntasks=1",
        "--no-requeue",
        '--output=/logs "of"/100%%/%j.log',
        "--mem=4G",
        "--time=02:00:00",
        "--cpus-per-task=4",
        "--partition=long",
        "--gres=gpu:1",
        "--exclusive",
        "--mail-user=a@b",
    ]


@pytest.mark.parametrize("name", ["new\nline", "back\\slash"])
def test_logs_that_slurm_would_write_elsewhere_are_refused(name):
    with pytest.raises(ResourceError, match="cannot lie in") as caught:
        JobResources.of(JOB).arguments("name", Path("/logs", name))
    assert repr(str(Path("/logs", name))) in str(caught.value)


@pytest.mark.parametrize(
    ("given", "memory"),
    [
        ({"mem": "4G"}, 4 << 30),
        ({"mem": "1500"}, 1500 << 20),
        ({"mem": "500m"}, 500 << 20),
        ({"mem": 2048}, 2 << 30),
        ({"mem-per-cpu": "1G", "cpus-per-task": 3}, 3 << 30),
        ({"mem_per_cpu": "1G", "cpus_per_task": "3"}, 3 << 30),
    ],
)
def test_memory_is_read_as_slurm_reads_it(given, memory):
    assert JobResources.of(given).memory == memory


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"mem": "1G", "mem-per-cpu": "1G"}, "exclude each other"),
        ({"mem": "1G", "array": "1-3"}, "array cannot be given"),
        ({"mem": "1G", "no-requeue": True}, "no-requeue cannot be given"),
    ],
)
def test_what_excludes_each_other_or_is_ours_is_refused(resources, message):
    with pytest.raises(OptionError, match=message):
        JobResources.of(resources).memory  # noqa: B018


@pytest.mark.parametrize("text", ["0", "65534", 10**12, "9" * 5000, "٣", "4_0", "-4", "4.0", 4.5, " 4", "²"])
def test_processors_are_a_whole_number_that_slurm_can_count(text):
    with pytest.raises(OptionError, match=r"cpus-per-task cannot be .* a number of processors from 1 to 65533"):
        JobResources.of({"mem": "1G", "cpus-per-task": text}).memory  # noqa: B018


@pytest.mark.parametrize("text", ["٤G", "4_0G", "²", "9" * 13, "9" * 5000 + "T", "-1G", "1.5G"])
def test_memory_is_a_whole_number_with_a_unit(text):
    with pytest.raises(OptionError, match="mem cannot be"):
        JobResources.of({"mem": text}).memory  # noqa: B018


def test_as_many_processors_as_slurm_counts_are_taken():
    assert JobResources.of({"mem-per-cpu": "1G", "cpus-per-task": "65533"}).memory == 65533 << 30
