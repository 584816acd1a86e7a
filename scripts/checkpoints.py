"""The two checkpoints of a build, run by scripts/quality.py in a process of its own.

Great Expectations takes seconds to import; so it is imported once for both borders, while this
process is busy with something else, and its memory is given back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from contract import ROOT
from load import opened_warehouse, settle_loads


class CheckpointError(Exception):
    """An expectation of severity error is not met, or could not be judged; ready to print."""


class Checkpoints:
    """Runs checkpoints on a warehouse nobody has open; context manager.

    The landing checkpoint begins at once, so `landing` only waits for what is left of it.
    """

    SHOWN = 20

    def __init__(self, warehouse: Path, published: Path) -> None:
        self._warehouse = warehouse
        self._published = published

    def __enter__(self) -> Self:
        script = ROOT / "scripts" / "quality.py"
        self._process = subprocess.Popen(
            [sys.executable, script, "--serve", self._warehouse, self._published],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._ask(border="landing")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def landing(self) -> list[str]:
        """Wait for the landing checkpoint; loads it refuses are taken out of `raw` again.

        Returns:
            Warnings, as sentences.

        Raises:
            CheckpointError: a load is refused; nothing is to be built.
        """
        verdict = self._answer()
        if verdict["passed_loads"] or verdict["refused_loads"]:
            with opened_warehouse(self._warehouse) as con:
                settle_loads(con, verdict["passed_loads"], verdict["refused_loads"])
        if verdict["errors"]:
            raise CheckpointError(
                self._text("Refused at the landing border, and taken out again:", verdict)
            )
        return list(verdict["warnings"])

    def begin_marts(self, tables: Collection[str], written: Collection[str] = ()) -> None:
        """Begin the checkpoint of the marts that are to be published; `marts` waits for its end.

        Args:
            tables: names of the marts.
            written: those of which only the rows the last run wrote are looked at; the others
                have passed before.

        Raises:
            CheckpointError: nothing is to be published.
        """
        self._ask(border="marts", tables=sorted(tables), written=sorted(written))

    def marts(self) -> list[str]:
        """Wait for the checkpoint that `begin_marts` began, the last one; its process ends.

        Returns:
            Warnings, as sentences.

        Raises:
            CheckpointError: nothing is to be published.
        """
        verdict = self._answer()
        self._end()
        if verdict["errors"]:
            raise CheckpointError(self._text("Refused at the border of the marts:", verdict))
        return list(verdict["warnings"])

    def _text(self, title: str, verdict: dict[str, Any]) -> str:
        errors = verdict["errors"]
        lines = [f"  {text}" for text in errors[: self.SHOWN]]
        if len(errors) > self.SHOWN:
            lines.append(f"  and {len(errors) - self.SHOWN} more")
        return "\n".join([title, *lines, "Nothing was published."])

    def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()

    def _ask(self, **request: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise CheckpointError(self._ENDED) from None

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CheckpointError(self._ENDED)
        answer: dict[str, Any] = json.loads(line)
        if "failure" in answer:
            raise CheckpointError(f"{answer['failure']} Nothing was published.")
        return answer

    _ENDED = "The data quality checks ended before they were done; nothing was published."
