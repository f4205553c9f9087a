"""`wkconvert` as a process: in a fresh interpreter, or forked from one that has imported all of it.

A fresh interpreter takes a second to import numpy and the plugins; tests that run many commands fork instead. The child
has its own pid, signals, open files and exit code, and ends as any interpreter does.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

FRESH = [sys.executable, "-c", "from wkconvert_core.cli.app import main; main()"]
"""The command in an interpreter of its own, as `subprocess` takes it; the arguments follow."""
SECONDS = 120
"""A command that takes longer hangs."""


class WarmInterpreter:
    """Forks for one command at a time, with these modules imported and these variables in its own environment."""

    def __init__(self, *modules: str, **environment: str) -> None:
        # numpy's threads may be there when it forks; the folder of this file holds no modules for the command
        line = [sys.executable, "-P", "-W", "ignore:This process:DeprecationWarning", __file__, *modules]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(line, **pipes, text=True, env={**os.environ, **environment})

    def run(
        self, *args: object, before: Callable[[int], object] | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; it waits at its start until `before(pid)` returns."""
        line = [str(arg) for arg in args]
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            self._send([line, str(out), str(err), str(Path.cwd()), {**os.environ, **environment}])
            pid = self._answer()
            try:
                if before:
                    before(pid)
                self._send("go")
                status = self._answer()
            except BaseException:
                os.kill(pid, signal.SIGKILL)
                raise
            return subprocess.CompletedProcess(
                line, os.waitstatus_to_exitcode(status), out.read_text(), err.read_text()
            )

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)

    def _send(self, message: object) -> None:
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> int:
        assert select.select([self._process.stdout], [], [], SECONDS)[0], f"the command took more than {SECONDS} s"
        return int(self._process.stdout.readline())


@functools.cache
def interpreter(*modules: str) -> WarmInterpreter:
    made = WarmInterpreter(*modules)
    atexit.register(made.close)
    return made


def wkconvert(*args: object, before: Callable[[int], object] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `wkconvert` with these arguments in a process of its own; as `subprocess.run` with both outputs captured."""
    return interpreter().run(*args, before=before)


def peak_of(*args: object) -> int:
    """Largest resident memory of `wkconvert` with these arguments, in bytes, as the system counts it."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    run = [sys.executable, "-c", code, *FRESH, *map(str, args)]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


def _serve() -> list[str]:
    """Fork for each line that comes in; returns, in the child, the arguments of the command."""
    replies = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        if line == '"go"\n':  # for a child that was killed before it read this
            continue
        args, out, err, folder, environment = json.loads(line)
        if pid := os.fork():
            print(pid, file=replies, flush=True)
            print(os.waitpid(pid, 0)[1], file=replies, flush=True)
            continue
        replies.close()
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdin.readline()  # "go"
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        return args
    sys.exit()


if __name__ == "__main__":
    import gc
    import importlib
    import pkgutil

    import typer

    import wkconvert_core
    from wkconvert_core.cli.app import app, main
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
    sys.argv = ["wkconvert", *_serve()]
    main()
