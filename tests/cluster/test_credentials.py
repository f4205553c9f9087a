"""A cluster of a run's own takes part only with who can read its key."""

import os
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import psutil
import pytest
from helpers.dask_clusters import wait

from wkconvert_core.cluster import credentials
from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.cluster.session import _connected
from wkconvert_core.cluster.slurm import Queue
from wkconvert_core.contract.errors import ResourceError, TargetError

pytest.importorskip("dask_jobqueue")
from distributed import Client, Security


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A scheduler that waits for jobs, where Slurm takes none."""
    for name in ("sbatch", "scancel", "squeue"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    made = Queue(JobResources.of({"mem": "1G"}), 1, "0" * 32, tmp_path / "the 'logs'")
    before = listening(os.getpid())
    made.address = made.start(lambda: 0)
    made.ports = listening(os.getpid()) - before
    yield made
    made.close(at_once=False)
    assert list(made._logs.glob("*")) == [], "the key has gone"


def key_of(queue) -> Path:
    (file,) = queue._logs.glob("*.key")
    return file


def listening(pid):
    sockets = psutil.Process(pid).net_connections("tcp")
    return {each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN}


def greeting(port, context=None):
    """What one hears who connects and asks for a web page; nothing if the line goes dead."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            line = context.wrap_socket(plain) if context else plain
            with line:
                line.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return line.recv(100)
    except OSError:  # ssl's are some, too
        return b""


def contexts_of_strangers():
    nobody = ssl.create_default_context()
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    other = Security.temporary().get_connection_args("client")["ssl_context"]
    other.verify_mode = ssl.CERT_NONE
    return {"without TLS": None, "without a certificate": nobody, "with a certificate of their own": other}


@pytest.mark.parametrize("mask", [0, 0o077])
def test_nobody_else_can_read_the_key(tmp_path, mask):
    before = os.umask(mask)
    try:
        credentials.issue(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(TargetError):  # nobody has put a file there beforehand
        credentials.issue(tmp_path / "key")


def test_a_file_system_without_permissions_is_refused_and_gets_no_key(tmp_path, monkeypatch):
    touch = Path.touch
    monkeypatch.setattr(Path, "touch", lambda path, mode, exist_ok: touch(path) or path.chmod(0o777))
    with pytest.raises(ResourceError, match="its mode is 777"):
        credentials.issue(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == b""


def test_strangers_hear_nothing_from_the_scheduler(queue):
    assert queue.address.startswith("tls://")
    (port,) = queue.ports  # there is no other way in
    ours = credentials.held(key_of(queue)).get_connection_args("client")["ssl_context"]
    assert greeting(port, ours)
    for who, context in contexts_of_strangers().items():
        assert greeting(port, context) == b"", who
    for security in (None, Security.temporary()):
        address = queue.address if security else queue.address.replace("tls", "tcp")
        with pytest.raises((OSError, TypeError)):
            Client(address, security=security, timeout=1)


@pytest.mark.slow
def test_a_job_joins_with_the_key_and_listens_to_nobody_else(queue):
    script = queue._cluster.job_script()
    with (
        subprocess.Popen(["bash", "-c", script], stderr=subprocess.DEVNULL) as job,
        _connected(queue.address, queue.security) as client,
    ):
        try:
            wait(client.nthreads, 30, "the worker")
            ((address, _),) = client.nthreads().items()
            port = int(address.rsplit(":", 1)[1])
            assert listening(job.pid) == {port}
            for who, context in contexts_of_strangers().items():
                assert greeting(port, context) == b"", who
            assert client.submit(abs, -3).result(10) == 3
        finally:
            job.terminate()


@pytest.mark.slow
def test_a_job_that_does_not_see_the_key_says_so(queue):
    key_of(queue).unlink()
    done = subprocess.run(["bash", "-c", queue._cluster.job_script()], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"does not see the key of the run, {queue._logs}" in done.stderr
