"""scripts/spark_dbt.py as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from engines import ROOT, settings


def test_java_has_ended_when_the_command_has(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    environment = settings(tmp_path, "2026-01-01", tmp_path) | {
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "PARLEY_MEMORY_LIMIT": "512MB",
        "PARLEY_SPARK": str(tmp_path / "spark"),
    }
    with (
        (tmp_path / "said").open("wb") as said,
        subprocess.Popen(
            [
                sys.executable,
                "scripts/spark_dbt.py",
                "list",
                "--quiet",
                "--resource-type",
                "model",
                "--select",
                "dim_bots",
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as command,
    ):
        assert command.stdout is not None
        assert command.wait() == 0, (tmp_path / "said").read_text()
        # Java writes to the same pipe: as long as it lives, reading says there may be more.
        os.set_blocking(command.stdout.fileno(), False)
        assert os.read(command.stdout.fileno(), 1_000) == b"parley.marts.core.dim_bots\n"
        assert os.read(command.stdout.fileno(), 1_000) == b""
