"""Run a command and measure what it takes: time, memory of all its processes, disk.

Memory is sampled ten times a second as the proportional set size (PSS) of the process and all its
children, so pages they share count once; where the system knows no PSS, resident sizes are added.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

INTERVAL = 0.1  # seconds between two samples


class CommandError(Exception):
    """A measured command failed; the text ends with what it said."""


@dataclass
class Measured:
    """What a command took. Bytes are peaks of samples but for the largest process's."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0  # all processes at one moment
    largest_process_bytes: int = 0  # most any one process ever held, by the kernel's own count
    peak_spill_bytes: int = 0
    peak_disk_bytes: int = 0  # all places and the spill directory at one moment
    output: str = ""

    def figures(self) -> dict[str, Any]:
        """All of it by name, but the output."""
        return {name: figure for name, figure in asdict(self).items() if name != "output"}


def size_of(path: Path) -> int:
    """Bytes a file or the files below a directory occupy; files may vanish meanwhile.

    A file that is linked twice counts once.
    """
    sizes: dict[int, int] = {}
    paths = [path]
    if path.is_dir():
        paths = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    for each in paths:
        with suppress(OSError):
            found = each.lstat()
            sizes[found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def _memory_of(process: psutil.Process) -> int:
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    for member in family:
        try:
            memory = member.memory_full_info()
        except (psutil.Error, OSError):
            continue
        total += getattr(memory, "pss", 0) or memory.rss
    return total


def run_measured(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    log: Path,
    spill: Path,
    places: Sequence[Path] = (),
    cwd: Path | None = None,
) -> Measured:
    """Run a command to its end and sample it.

    Args:
        command: program and arguments.
        environment: all of its environment variables.
        log: file that gets what it prints; also returned.
        spill: directory it spills to; need not exist.
        places: files and directories it grows, for the peak of disk.
        cwd: directory it runs in.

    Raises:
        CommandError: it did not end with 0.
    """
    measured = Measured()
    started = time.monotonic()
    with log.open("w+", encoding="utf-8") as stream:
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            process = psutil.Process(child.pid)
            while True:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                spilled = size_of(spill)
                disk = spilled + sum(size_of(place) for place in places)
                measured.peak_spill_bytes = max(measured.peak_spill_bytes, spilled)
                measured.peak_disk_bytes = max(measured.peak_disk_bytes, disk)
                measured.peak_memory_bytes = max(measured.peak_memory_bytes, _memory_of(process))
                time.sleep(INTERVAL)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        measured.seconds = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here
        stream.seek(0)
        measured.output = stream.read()
    measured.cpu_seconds = usage.ru_utime + usage.ru_stime
    measured.largest_process_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    measured.peak_disk_bytes = max(
        measured.peak_disk_bytes, sum(size_of(place) for place in places)
    )
    if child.returncode != 0:
        said = "\n".join(measured.output.strip().splitlines()[-10:])
        raise CommandError(f"{Path(command[1]).name} failed ({child.returncode}):\n{said}")
    return measured
