"""`wkconvert` as a process: in a fresh interpreter, or forked from one that has imported all of it.

A fresh interpreter takes a second to import numpy and the plugins; tests that run many commands fork instead. The child
has its own pid, signals, open files and exit code, and ends as any interpreter does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

FRESH = [sys.executable, "-c", "from wkconvert_core.cli.app import main; main()"]
"""The command in an interpreter of its own, as `subprocess` takes it; the arguments follow."""
SECONDS = 120
"""A command that takes longer hangs."""


class Forked:
    """A process forked from a warm interpreter: of `subprocess.Popen`, what tests use."""

    def __init__(self, talk: socket.socket, args: list[str], stderr: IO[str] | None) -> None:
        self.args, self.stderr, self.returncode = args, stderr, None
        self._talk = talk
        self.pid = self._answer(SECONDS)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float = SECONDS) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(self._answer(timeout))
            self._talk.close()
        return self.returncode

    def communicate(self, timeout: float = SECONDS) -> tuple[None, str]:
        """Wait for its end, and read what it has written to stderr; no more than fits a pipe."""
        self.wait(timeout)
        with self.stderr:
            return None, self.stderr.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _answer(self, timeout: float) -> int:
        if not select.select([self._talk], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return int(self._talk.recv(64))


class WarmInterpreter:
    """Forks for one command after the other, with these modules imported and these variables in its own environment."""

    def __init__(self, *modules: str, **environment: str) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # numpy's threads may be there when it forks; the folder of this file holds no modules for the command
        line = [sys.executable, "-P", "-W", "ignore:This process:DeprecationWarning", __file__, *modules]
        with theirs:
            self._process = subprocess.Popen(line, stdin=theirs, env={**os.environ, **environment})

    def start(
        self,
        *args: object,
        module: str = "wkconvert_core.cli.app",
        stdout: IO | None = None,
        stderr: IO | None = None,
        before: Callable[[int], object] = lambda pid: None,
        new_session: bool = False,
        **environment: str,
    ) -> Forked:
        """Start `main()` of a module; it waits until `before(pid)` returns. Without `stderr`, a pipe leads there."""
        line, piped = [str(arg) for arg in args], None
        request = [module, line, str(Path.cwd()), {**os.environ, **environment}, new_session]
        with contextlib.ExitStack() as closed:
            if stderr is None:
                reading, writing = os.pipe()
                piped, stderr = open(reading), closed.enter_context(open(writing, "wb"))  # noqa: PTH123, SIM115
            stdout = stdout or closed.enter_context(Path(os.devnull).open("wb"))
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            closed.enter_context(theirs)
            waits, go = os.pipe()
            closed.callback(os.close, waits)
            handed = [theirs.fileno(), stdout.fileno(), stderr.fileno(), waits]
            socket.send_fds(self._control, [json.dumps(request).encode()], handed)
        with open(go, "wb", 0) as started:  # noqa: PTH123
            process = Forked(ours, line, piped)
            before(process.pid)
            with contextlib.suppress(BrokenPipeError):  # killed by now
                started.write(b"go")
        return process

    def run(self, *args: object, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as `subprocess.run` with both outputs captured; for `more`, see `start`."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = self.start(*args, stdout=out, stderr=err, **more)
            try:
                process.wait()
            except BaseException:
                process.kill()
                raise
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(process.args, process.returncode, out.read(), err.read())

    def close(self) -> None:
        self._control.close()
        self._process.wait(10)


@functools.cache
def interpreter(*modules: str, **environment: str) -> WarmInterpreter:
    made = WarmInterpreter(*modules, **environment)
    atexit.register(made.close)
    return made


def wkconvert(*args: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `wkconvert` with these arguments in a process of its own; as `subprocess.run` with both outputs captured."""
    return interpreter().run(*args, **more)


def peak_of(*args: object) -> int:
    """Largest resident memory of `wkconvert` with these arguments, in bytes, as the system counts it."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    run = [sys.executable, "-c", code, *FRESH, *map(str, args)]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


def _serve() -> str:
    """Fork for each request that comes in; returns, in the child, the module to run.

    One process waits for all that it has forked, so that forking costs no more than it must.
    """
    control = socket.socket(fileno=os.dup(0))
    ended, end = os.pipe()
    os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(end)
    running: dict[int, int] = {}  # by its pid, the socket of who waits for it
    while True:
        if ended in select.select([control, ended], [], [])[0]:
            os.read(ended, 4096)
            while running and (done := os.waitpid(-1, os.WNOHANG))[0]:
                with contextlib.suppress(BrokenPipeError), open(running.pop(done[0]), "wb", 0) as talk:  # noqa: PTH123
                    talk.write(b"%d" % done[1])
            continue
        request, handed, *_ = socket.recv_fds(control, 1 << 20, 4)
        if not request:
            sys.exit()
        if pid := os.fork():
            running[pid] = handed[0]
            os.write(handed[0], b"%d" % pid)
            for number in handed[1:]:
                os.close(number)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        module, args, folder, environment, new_session = json.loads(request)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(handed[number], number)
            old = getattr(sys, name)  # which takes what it writes to for a file that can be sought in
            setattr(sys, name, open(number, "w", 1, errors=old.errors, closefd=False))  # noqa: SIM115  # until its end
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if new_session:
            os.setsid()
        if os.read(handed[3], 64) != b"go":
            os._exit(1)
        for number in (ended, end, *handed, *running.values()):
            os.close(number)
        sys.argv = ["wkconvert", *args]
        return module


if __name__ == "__main__":
    import gc
    import importlib
    import pkgutil

    import typer

    import wkconvert_core
    from wkconvert_core.cli.app import app
    from wkconvert_core.registry.plugins import plugins

    for module in pkgutil.walk_packages(wkconvert_core.__path__, "wkconvert_core."):
        if not module.name.startswith(("wkconvert_core.testing", "wkconvert_core.cluster", "wkconvert_core.__main__")):
            importlib.import_module(module.name)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    plugins()
    typer.main.get_command = functools.cache(typer.main.get_command)  # made once here, not in every child
    typer.main.get_command(app)
    gc.freeze()  # a child that collects, as each does at its end, would copy the memory of all these modules
    module = importlib.import_module(_serve())
    if "dask" in sys.modules:
        sys.modules["dask"].config.refresh()  # it has read the variables of this environment
    module.main()
