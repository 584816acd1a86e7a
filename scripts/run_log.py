"""What each run of `make build` did: one JSON line per run in `<warehouse>.runs.jsonl`.

The run that is going on stands in `<warehouse>.run.json`. A run that is killed leaves it there;
the next run moves it into the log, with outcome `killed` and without an end. The log holds names
and numbers, never a value of a row. See docs/operate.md for the keys.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from locking import LockHeldError
from personal_data import mask

# A log of this size becomes `<name>.1`, in place of the former one: a year of nightly runs is kept.
LIMIT_BYTES = 2_000_000

Record = dict[str, Any]


def log_file(warehouse: Path) -> Path:
    """The log of a warehouse's runs; its predecessor carries `.1` at the end."""
    return warehouse.with_name(f"{warehouse.name}.runs.jsonl")


def open_run_file(warehouse: Path) -> Path:
    """The file that describes the run going on, or one that was killed."""
    return warehouse.with_name(f"{warehouse.name}.run.json")


def instant_text(moment: datetime | None = None) -> str:
    """`2026-07-05T18:00:00Z`; the clock's instant by default."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def peak_memory_bytes() -> int:
    """Most memory this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def open_run(warehouse: Path) -> Record | None:
    """The run that has begun and not ended, whether it lives or was killed."""
    try:
        record = json.loads(open_run_file(warehouse).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "run" in record else None


def read_runs(warehouse: Path) -> list[Record]:
    """All runs in the log, oldest first; lines a full disk has cut off are left out."""
    runs = []
    log = log_file(warehouse)
    for path in (log.with_name(f"{log.name}.1"), log):
        lines: list[str] = []
        with suppress(OSError):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            with suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and "run" in record:
                    runs.append(record)
    return runs


def _append(warehouse: Path, record: Record) -> None:
    """Add a line in one write; several processes may do so at once."""
    path = log_file(warehouse)
    line = json.dumps(record, ensure_ascii=False) + "\n"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = "\n" + line  # what stands there was cut off
        os.write(handle, line.encode())
        is_newest = os.fstat(handle).st_ino == path.stat().st_ino
        if size + len(line) > LIMIT_BYTES and is_newest:
            path.replace(path.with_name(f"{path.name}.1"))
    finally:
        os.close(handle)


def _reason(error: BaseException) -> str:
    """Why a run ended, without a value of the data: those are in texts of the database alone."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, duckdb.Error):
        return f"DuckDB: {type(error).__name__}"
    if isinstance(error, OSError):
        return f"{error.filename or 'the disk'}: {error.strerror}"
    return str(error)[:1000]


class Run:
    """One run: what it did, kept on disk while it goes on."""

    def __init__(self, warehouse: Path) -> None:
        self._warehouse = warehouse
        self._started = time.monotonic()
        self._is_open = False
        self.record: Record = {
            "run": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}",
            "pid": os.getpid(),
            "started_at": instant_text(),
            "ended_at": None,
            "outcome": "ok",
            "reason": None,
            "step": None,
            "seconds": {},
        }

    def begin(self) -> None:
        """From here on the run is seen while it goes on; the caller holds the build's lock."""
        with self._forgiving():
            if killed := open_run(self._warehouse):
                _append(self._warehouse, killed | {"outcome": "killed", "ended_at": None})
        self._is_open = True
        self._save()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; a step that is taken twice is timed in sum."""
        self.note(step=name)
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = self.record["seconds"]
            seconds[name] = round(seconds.get(name, 0) + time.monotonic() - started, 2)

    def note(self, **values: Any) -> None:
        """Add to what the log will say: names and numbers, never a value of a row."""
        self.record.update(values)
        self._save()

    def end(self, error: BaseException | None) -> None:
        """Write the run's line."""
        record = self.record
        if error is not None:
            kinds = {LockHeldError: "refused", KeyboardInterrupt: "interrupted"}
            record["outcome"] = kinds.get(type(error), "failed")
            # A file may be named after a person.
            record["reason"] = mask(record["reason"] or _reason(error))
        record["ended_at"] = instant_text()
        record["seconds"]["total"] = round(time.monotonic() - self._started, 2)
        record["peak_memory_bytes"] = peak_memory_bytes()
        with self._forgiving():
            _append(self._warehouse, record)
            if self._is_open:
                open_run_file(self._warehouse).unlink(missing_ok=True)

    def _save(self) -> None:
        if not self._is_open:
            return
        path = open_run_file(self._warehouse)
        draft = path.with_suffix(".draft")
        with self._forgiving():
            draft.unlink(missing_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(self.record, stream, ensure_ascii=False)
            draft.replace(path)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """A log that cannot be written stops no build; it is said once."""
        try:
            yield
        except OSError as error:
            if not getattr(self, "_is_told", False):
                self._is_told = True
                print(
                    f"The run log {log_file(self._warehouse)} cannot be written: {error.strerror}.",
                    file=sys.stderr,
                )


@contextmanager
def logged_run(warehouse: Path) -> Iterator[Run]:
    """A run that leaves its line in the log however it ends, unless it is killed."""
    run = Run(warehouse)
    try:
        yield run
    except BaseException as error:
        run.end(error)
        raise
    run.end(None)
