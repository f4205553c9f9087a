"""What is decided before any cluster is asked: options and resources that fit together, the budget, the plan."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from helpers.processes import wkconvert

from wkconvert_core import OptionError
from wkconvert_core.cluster import spec as cluster_spec
from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.cluster.session import WORKER_BYTES
from wkconvert_core.cluster.slurm import Queue
from wkconvert_core.cluster.spec import ClusterSpec, Offer
from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.prepare import prepare_conversion as prepare
from wkconvert_core.conversion.settings import HOW, Settings
from wkconvert_core.engine.resources import budget_of

pytest.importorskip("dask_jobqueue")

JOB = {"mem": "4G", "time": "02:00:00", "cpus-per-task": 4}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strategy": "dask"}, "needs --scheduler"),
        ({"strategy": "dask", "scheduler": "no host"}, "is no address"),
        ({"strategy": "threads", "scheduler": "tcp://host:8786"}, "for --distribution-strategy dask"),
        (
            {"strategy": "slurm", "job_resources": JOB, "scheduler": "tcp://host:8786"},
            "for --distribution-strategy dask",
        ),
        ({"strategy": "slurm"}, "needs --job-resources"),
        ({"strategy": "threads", "job_resources": JOB}, "for --distribution-strategy slurm"),
        ({"strategy": "slurm", "job_resources": {"time": "1:00"}}, "how much memory"),
        ({"strategy": "slurm", "job_resources": {"mem": "lots"}}, "mem cannot be 'lots'"),
        ({"strategy": "slurm", "job_resources": {"mem": "0"}}, "mem cannot be '0'"),
        ({"strategy": "slurm", "job_resources": {**JOB, "cpus-per-task": "two"}}, "cpus-per-task cannot be"),
        ({"strategy": "slurm", "job_resources": {**JOB, "p": "short"}}, "p cannot be"),
        ({"strategy": "slurm", "job_resources": {**JOB, "output": "x"}}, "output cannot be"),
        ({"strategy": "slurm", "job_resources": {**JOB, "comment": "a\n#SBATCH --wrap=b"}}, "comment cannot be"),
        *(
            ({"strategy": "slurm", "job_resources": {**JOB, name: True}}, f"{name} cannot be")
            for name in ("test-only", "wait", "clusters", "help", "version", "ntasks-per-node", "parsable", "quiet")
        ),
        ({"strategy": "dask", "scheduler": "nonsense"}, "is no address"),
        ({"strategy": "dask", "scheduler": "tcp://host"}, "is no address"),
        ({"strategy": "dask", "scheduler": "tcp://host:٨٧٨٦"}, "is no address"),
        ({"strategy": "dask", "scheduler": "tcp://host:878600"}, "is no address"),
        ({"strategy": "slurm", "job_resources": {**JOB, "job-na": "x"}}, "job-na cannot be"),
        ({"strategy": "slurm", "job_resources": {**JOB, "comment": ["a"]}}, "comment cannot be"),
        ({"strategy": "slurm", "job_resources": JOB, "memory": 5 << 30}, "more than a job's mem"),
    ],
)
def test_what_does_not_fit_together_is_refused(given, told):
    with pytest.raises(OptionError, match=told):
        Settings(**given).check()


@pytest.mark.parametrize("address", ["tcp://host:8786", "tls://10.0.0.1:8786", "host:8786", "tcp://[::1]:8786"])
def test_addresses_of_schedulers_are_taken(address):
    given = Settings(strategy="dask", scheduler=address)
    given.check()
    assert given.cluster.scheduler == address


@pytest.mark.parametrize(
    ("strategy", "module"), [("dask", "distributed"), ("slurm", "dask_jobqueue"), ("slurm", "cryptography")]
)
def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch, strategy, module):
    find = cluster_spec.importlib.util.find_spec
    hidden = lambda name: None if name == module else find(name)  # noqa: E731
    monkeypatch.setattr(cluster_spec.importlib.util, "find_spec", hidden)
    more = {"scheduler": "tcp://h:1"} if strategy == "dask" else {"job_resources": JOB}
    with pytest.raises(OptionError) as caught:
        Settings(strategy=strategy, **more).check()
    assert caught.value.fix == 'pip install "wkconvert[cluster]"'


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--job-resources", "mem=4G"], "cannot be read"),
        (["--job-resources", "[1]"], "it is no object"),
        (["--scheduler", "tcp://host:8786"], "for --distribution-strategy dask"),
    ],
)
def test_the_command_refuses_before_it_writes(tmp_path, options, told):
    done = wkconvert("auto", tmp_path, tmp_path / "ds", *options)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "ds").exists()


def test_where_a_run_works_does_not_make_it_another_run():
    asked = Settings(strategy="slurm", job_resources=JOB, jobs=3)
    assert asked.plan() == Settings().plan()
    assert {"scheduler", "job_resources", "strategy"} <= HOW


def test_a_budget_is_that_of_one_job():
    budget = budget_of(Settings(strategy="slurm", job_resources=JOB, jobs=50), 10**12)
    assert (budget.workers, budget.machines, budget.shared) == (4, 50, False)
    assert budget.memory == int(0.8 * (4 << 30))
    assert budget_of(Settings(strategy="slurm", job_resources=JOB, memory=1 << 30), 0).memory == 1 << 30


def test_memory_of_workers_that_nobody_knows_has_to_be_said():
    with pytest.raises(OptionError, match="memory of a worker is unknown"):
        Offer(1, 1, None, 0.5).usable(None)
    assert Offer(1, 1, None, 0.5).usable(7) == 7
    with pytest.raises(OptionError, match="more than a worker has"):
        Offer(1, 1, 10, 0.5).usable(11)


def test_a_plan_for_jobs_holds_for_one_job_and_tells_how_many_make_sense(tmp_path, reader):
    source = reader(tmp_path / "src", np.zeros((1, 128, 128, 128), "uint8"))
    job = {"mem": "1G", "cpus-per-task": 2}
    asked = Settings(VoxelSize((4.0, 4.0, 4.0)), strategy="slurm", job_resources=job, file_len=1, downsample=False)
    conversion = prepare(source, tmp_path / "ds", asked)
    (planned,) = conversion.steps
    assert planned.route.workers == 2
    assert conversion.useful_workers == math.ceil(planned.route.tasks / 2) == 32
    assert WORKER_BYTES < conversion.memory < 0.8 * (1 << 30)


def test_slurm_that_is_not_here_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceError, match="sbatch is not found"):
        Queue(JobResources.of(JOB), 1, "0" * 32, tmp_path / "logs")


def test_the_spec_of_a_cluster_needs_no_cluster_package():
    code = "import sys, wkconvert_core.cluster.session, wkconvert_core.conversion.prepare; print([*sys.modules])"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"distributed", "dask", "dask_jobqueue", "joblib"} & set(json.loads(listed.replace("'", '"')))


def test_no_strategy_on_this_machine_has_a_cluster():
    assert ClusterSpec().check("threads", None) is None
