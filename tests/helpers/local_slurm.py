"""A Slurm of one machine, for tests: its own key, sockets, ports and folders; nothing of the system's is changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
SEARCHED = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
PARTITION = "loop"


def missing() -> str:
    """Why there can be no Slurm here; empty if there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "Slurm's daemons need root here"
    absent = [name for name in PROGRAMS if not shutil.which(name, path=SEARCHED)]
    return f"not installed: {', '.join(absent)}" if absent else ""


class Slurm:
    """munged, slurmctld and one slurmd on loopback, with as many processors as are asked for."""

    def __init__(self, cpus: int = 2, memory: int = 4000) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short: the paths of sockets are limited
        self.folder.chmod(0o755)
        self.config = self.folder / "slurm.conf"
        self._cpus, self._memory = cpus, memory
        self._daemons: list[subprocess.Popen] = []

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.config)}

    def __enter__(self) -> Slurm:
        try:
            self._start_munge()
            self.config.write_text(self._text())
            self._daemon("slurmctld", "-D", "-c", "-f", str(self.config))
            self._daemon("slurmd", "-D", "-f", str(self.config), "-N", _host())
            _wait(lambda: self.ask("sinfo", "-h", "-o", "%T") == ["idle"], 30, "an idle node")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self.cancel_all()
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *command: str) -> list[str]:
        """The lines that one of Slurm's commands prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout.splitlines()

    def jobs(self) -> list[str]:
        """What is in the queue: `12 RUNNING`."""
        return self.ask("squeue", "-h", "-o", "%i %T")

    def cancel_all(self) -> None:
        for job in self.jobs():
            self.ask("scancel", job.split()[0])
        _wait(lambda: not self.jobs(), 30, "an empty queue")

    def set_partition(self, state: str) -> None:
        """UP, or DOWN: jobs are taken, and none begins."""
        self.ask("scontrol", "update", f"PartitionName={PARTITION}", f"State={state}")

    def _start_munge(self) -> None:
        place = self.folder / "munge"
        place.mkdir(mode=0o755)
        key = place / "key"
        key.touch(0o400)
        key.write_bytes(os.urandom(128))
        files = {"pid": "pid", "log": "log", "seed": "seed"}
        options = [f"--{name}-file={place / file}" for name, file in files.items()]
        self._daemon("munged", "--foreground", f"--socket={self._socket}", f"--key-file={key}", *options)
        _wait(self._socket.exists, 10, "munged")

    @property
    def _socket(self) -> Path:
        return self.folder / "munge" / "socket"

    def _daemon(self, name: str, *options: str) -> None:
        program = shutil.which(name, path=SEARCHED)
        assert program
        with (self.folder / f"{name}.out").open("wb") as out:
            self._daemons.append(subprocess.Popen([program, *options], env=self.environment, stdout=out, stderr=out))

    def _text(self) -> str:
        where, host = self.folder, _host()
        for name in ("state", "spool"):
            (where / name).mkdir(exist_ok=True)
        settings = {
            "ClusterName": "loop",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": _free_port(),
            "SlurmdPort": _free_port(),
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self._socket}",
            "CredType": "cred/munge",
            "StateSaveLocation": where / "state",
            "SlurmdSpoolDir": where / "spool",
            "SlurmctldPidFile": where / "slurmctld.pid",
            "SlurmdPidFile": where / "slurmd.pid",
            "SlurmdParameters": "config_overrides",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SchedulerParameters": "sched_interval=1,bf_interval=1,sched_min_interval=0",
            "AccountingStorageType": "accounting_storage/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "MpiDefault": "none",
            "SwitchType": "switch/none",
            "MailProg": "/bin/true",
            "ReturnToService": 2,
            "KillWait": 5,
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        shape = f"CPUs={self._cpus} Sockets=1 CoresPerSocket={self._cpus} ThreadsPerCore=1 RealMemory={self._memory}"
        lines.append(f"NodeName={host} NodeAddr=127.0.0.1 {shape} State=UNKNOWN")
        lines.append(f"PartitionName={PARTITION} Nodes={host} Default=YES MaxTime=INFINITE State=UP")
        return "\n".join(lines) + "\n"


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(done, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.1)


if __name__ == "__main__":  # python tests/helpers/local_slurm.py: a Slurm to try things with, until Ctrl-C
    with Slurm() as slurm:
        print(f"export SLURM_CONF={slurm.config}", flush=True)  # noqa: T201
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
