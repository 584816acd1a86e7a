"""One process at a time: a lock on a file that ends with the process holding it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any


class LockHeldError(Exception):
    """Another process holds the lock; the text says which and since when."""


def holder_of(path: Path) -> dict[str, Any] | None:
    """Who holds a lock file: `pid` and `since`; None when it is free.

    The lock is tried only if the process that wrote the file lives, so that looking does not get
    in the way of one that is about to take it.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        stream = path.open("r", encoding="utf-8")
    except FileNotFoundError:
        return None
    with stream:
        try:
            holder = json.loads(stream.read())
            pid = int(holder["pid"])
            named = {"pid": pid, "since": str(holder["since"])}
            os.kill(pid, 0)
        except (ValueError, KeyError, TypeError, OverflowError, ProcessLookupError):
            return None
        except PermissionError:  # it lives and is somebody else's
            pass
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return named
    return None


def _holder(stream: IO[str]) -> str:
    """What the holder wrote about itself, in words."""
    stream.seek(0)
    try:
        holder = json.loads(stream.read())
        since = datetime.fromisoformat(holder["since"])
        return f"process {int(holder['pid'])}, since {since:%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, KeyError, TypeError):  # it has not come to write yet
        return "another process"


@contextmanager
def only_one(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, creating it and its directory if need be.

    The operating system gives the lock back when its holder ends, however it ends, so there are
    no stale locks. The file itself stays; it names the last holder.

    Args:
        path: the lock file.
        wait: wait for the holder instead of refusing.

    Raises:
        LockHeldError: another process holds it, and `wait` is False.
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockHeldError(_holder(stream)) from None
        stream.truncate(0)
        now = datetime.now(UTC).replace(tzinfo=None)
        json.dump({"pid": os.getpid(), "since": now.isoformat(timespec="seconds")}, stream)
        stream.flush()
        yield
