"""scripts/spark_dbt.py as a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engines import ROOT, settings

# Runs the command and says as what its Java ended: None until somebody has waited for it.
COMMAND = """
import spark_dbt
from pyspark import SparkContext

print(spark_dbt.main(), SparkContext._gateway.proc.returncode)
"""


def test_java_has_ended_when_the_command_has(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    environment = settings(tmp_path, "2026-01-01", tmp_path) | {
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "PARLEY_MEMORY_LIMIT": "512MB",
        "PARLEY_SPARK": str(tmp_path / "spark"),
        "PYTHONPATH": str(ROOT / "scripts"),
    }
    dbt = ["list", "--quiet", "--resource-type", "model", "--select", "dim_bots"]
    command = subprocess.run(
        [sys.executable, "-c", COMMAND, *dbt],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert command.returncode == 0, command.stderr
    assert command.stdout.split() == ["parley.marts.core.dim_bots", "0", "0"]
