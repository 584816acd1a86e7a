"""What a load did, and how it is shown while it runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


@dataclass
class TableLoad:
    """What one run did to one table; `rows` and `files` count what was added."""

    table: str
    files: int = 0
    rows: int = 0
    skipped: int = 0
    missing_columns: set[str] = field(default_factory=set)
    unknown_columns: set[str] = field(default_factory=set)


@dataclass
class LoadReport:
    """What one run did: per table, in load order, with notices and warnings as sentences."""

    landing: str
    load_id: int | None = None
    tables: dict[str, TableLoad] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def files(self) -> int:
        """Files added by this run."""
        return sum(table.files for table in self.tables.values())

    @property
    def rows(self) -> int:
        """Rows added by this run."""
        return sum(table.rows for table in self.tables.values())

    @property
    def skipped(self) -> int:
        """Files whose content had been loaded before."""
        return sum(table.skipped for table in self.tables.values())


class Reporter(Protocol):
    """Shows a run while it goes on; context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def file(self, name: str, size: int, rows: int) -> None:
        """One file of `size` bytes is done and added `rows` rows."""

    def table(self, load: TableLoad) -> None:
        """All files of a table are done."""


class _Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def file(self, name: str, size: int, rows: int) -> None:
        """Ignore."""

    def table(self, load: TableLoad) -> None:
        """Ignore."""


class _Lines(_Quiet):
    """Prints one line per table that had files."""

    def table(self, load: TableLoad) -> None:
        """Print what the table gained."""
        print(_table_line(load), file=sys.stderr)


class _Bar(_Quiet):
    """Draws a progress bar over the bytes to load, with files and rows so far."""

    def __init__(self, console: Console, total: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]:,} rows, {task.fields[files]:,} files"),
            TimeElapsedColumn(),
            console=console,
        )
        self._total = total
        self._rows = 0
        self._files = 0
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._task = self._progress.add_task("load", total=self._total, rows=0, files=0)
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def file(self, name: str, size: int, rows: int) -> None:
        """Advance by one file."""
        assert self._task is not None
        self._rows += rows
        self._files += 1
        self._progress.update(
            self._task, advance=size, description=name, rows=self._rows, files=self._files
        )

    def table(self, load: TableLoad) -> None:
        """Print what the table gained above the bar."""
        self._progress.console.print(_table_line(load), markup=False, highlight=False)


def count_text(number: int, noun: str) -> str:
    """Number and noun, in the plural unless it is one: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table_line(load: TableLoad) -> str:
    line = f"{load.table}: {count_text(load.rows, 'row')} from {count_text(load.files, 'file')}"
    if load.skipped:
        line += f", {count_text(load.skipped, 'file')} already loaded"
    return line


def reporter_for(progress: bool, total: int) -> Reporter:
    """Return what shows a run: on a terminal a bar over `total` bytes, elsewhere lines."""
    if not progress:
        return _Quiet()
    console = Console(stderr=True)
    return _Bar(console, total) if console.is_terminal else _Lines()
