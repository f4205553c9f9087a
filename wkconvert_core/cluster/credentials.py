"""The key of a run's own cluster, made for that run: who can read it may take part.

dask runs what it is sent, and listens on the whole network: so command, scheduler and jobs take no connection but from
each other, encrypted, and each shows the run's certificate. Its key lies in a file that only the user can read, among
the logs, where every machine sees it.
"""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wkconvert_core.cluster.worker_check import wait_until
from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.toolkit.atomic import writing

if TYPE_CHECKING:
    from distributed import Security

PROTOCOL = "tls://"


def issue(file: Path) -> Security:
    """Make a key and its certificate, write them to a new file, and return what a cluster needs of them.

    Raises TargetError, and ResourceError where the file system lets others read the file.
    """
    from distributed import Security

    made = Security.temporary()
    with writing(file):
        file.touch(mode=0o600, exist_ok=False)
        if (mode := stat.S_IMODE(file.stat().st_mode)) & 0o077:
            raise ResourceError(
                f"{file} cannot be hidden from other users: its mode is {mode:o}, not 600",
                why="with the key of the run, they could run programs as you on every machine of the cluster",
                fix="write to a file system that knows permissions",
            )
        file.write_text(f"{made.tls_client_key}{made.tls_client_cert}")
    return held(file)


def held(file: Path) -> Security:
    """Credentials from a key that was issued. Raises ResourceError if it does not appear on this machine."""
    from distributed import Security

    if not wait_until(file.exists):
        raise ResourceError(
            f"the machine {socket.gethostname()} does not see the key of the run, {file}",
            why="the run has ended, or this machine does not mount its folder",
            fix="write to a file system that all machines mount at the same place",
        )
    roles = ("client", "scheduler", "worker")
    pairs = {f"tls_{role}_{half}": str(file) for role in roles for half in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=str(file), **pairs)


def unserved(server: Any) -> Any:
    """A Scheduler or Worker of dask without its HTTP server, which would answer everybody, dashboard or not."""
    return type(server.__name__, (server,), {"start_http_server": lambda *_, **__: None})
