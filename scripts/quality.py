"""Data quality at both borders: what landed before it is built, marts before they are published.

`make quality` looks at the newest load and at the marts as they are built now, changes and
publishes nothing, and ends with 1 if an expectation of severity error is not met. `make build`
does the same by way of checkpoints.py, in a process of its own.

Great Expectations judges counts that DuckDB has made (expectations.py); no value of a row is in
them, so none can reach its results, the pages (data_docs.py) or a log.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from contract import ROOT, ContractError
from data_docs import page_of, write_docs
from expectations import (
    Expectation,
    Suite,
    landing_suites,
    marts_suites,
    released_rows,
    unchecked_loads,
)
from load import default_warehouse
from resources import ResourceError, duckdb_settings

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

# Great Expectations gives counts by column of the table looked at, which is what its frame holds.
RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["column"],
    "include_unexpected_rows": False,
}
PR_SET_PDEATHSIG = 1


class QualityError(Exception):
    """Data quality could not be judged; one sentence."""


@dataclass
class Verdict:
    """What a checkpoint found: sentences by severity, and which loads it was about."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    passed_loads: list[int] = field(default_factory=list)
    refused_loads: list[int] = field(default_factory=list)


# ------------------------------------------------------------------------- Great Expectations


class _Judge:
    """Great Expectations with a context in memory; importing it takes seconds."""

    def __init__(self) -> None:
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        self.version: str = gx.__version__
        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas("parley")
        self._runs = 0

    def failed(self, suite: Suite) -> dict[Expectation, set[str]]:
        """Run the checkpoint of a suite; return the columns that fail each expectation.

        Raises:
            QualityError: Great Expectations could not tell.
        """
        import pandas as pd
        from great_expectations.expectations.core.expect_column_values_to_be_between import (
            ExpectColumnValuesToBeBetween,
        )
        from great_expectations.expectations.metadata_types import FailureSeverity

        self._runs += 1
        name = f"{suite.border}.{suite.table}.{self._runs}"
        frame = pd.DataFrame(
            [{"column": column, **measures} for column, measures in suite.profile.items()]
        )
        asked = [one for one in suite.expectations if one.measure in frame.columns]
        expected = [
            ExpectColumnValuesToBeBetween(
                column=one.measure,
                min_value=one.low,
                max_value=one.high,
                severity=FailureSeverity.CRITICAL if one.is_error else FailureSeverity.WARNING,
            )
            for one in asked
        ]
        batch = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        definition = self._context.validation_definitions.add(
            self._gx.ValidationDefinition(
                name=name,
                data=batch,
                suite=self._context.suites.add(
                    self._gx.ExpectationSuite(name=name, expectations=expected)
                ),
            )
        )
        checkpoint = self._gx.Checkpoint(
            name=name, validation_definitions=[definition], result_format=RESULT_FORMAT
        )
        outcome = checkpoint.run(batch_parameters={"dataframe": frame})
        (validation,) = outcome.run_results.values()
        failed: dict[Expectation, set[str]] = {}
        for one, result in zip(asked, self._in_order(validation.results, asked), strict=True):
            if not result.success:
                places = result.result.get("unexpected_index_list")
                if not places:
                    raise QualityError(
                        f"Great Expectations could not judge {one.measure} of {suite.table}."
                    )
                failed[one] = {place["column"] for place in places}
        return failed

    @staticmethod
    def _in_order(results: Iterable[Any], asked: Sequence[Expectation]) -> list[Any]:
        """The results of expectations, which come in an order of their own."""
        found = {
            (
                result.expectation_config.kwargs["column"],
                result.expectation_config.kwargs.get("min_value"),
                result.expectation_config.kwargs.get("max_value"),
            ): result
            for result in results
        }
        return [found[one.measure, one.low, one.high] for one in asked]


# --------------------------------------------------------------------------------- checkpoints


def _checks(suite: Suite, failed: dict[Expectation, set[str]]) -> list[dict[str, Any]]:
    """One entry per column and measure; the severest expectation that fails names its status."""
    checks: dict[tuple[str, str], dict[str, Any]] = {}
    for one in suite.expectations:
        for column, measures in suite.profile.items():
            if one.measure not in measures:
                continue
            status = "passed"
            if column in failed.get(one, set()):
                status = "error" if one.is_error else "warning"
            known = checks.get((column, one.measure))
            if known is None or known["status"] == "passed":
                checks[column, one.measure] = {
                    "column": column,
                    "measure": one.measure,
                    "wanted": suite.words.get((column, one.measure), one.wanted),
                    "found": one.found_text(measures[one.measure]),
                    "status": status,
                }
    return list(checks.values())


class Quality:
    """Runs checkpoints on one warehouse, which it opens for reading only, and writes Data Docs."""

    def __init__(self, warehouse: Path, published: Path) -> None:
        self.warehouse = warehouse
        self.published = published
        self._judge = _Judge()

    def landing(self, *, unchecked: bool) -> Verdict:
        """Check loads: those no checkpoint has passed yet, or else the newest one.

        Raises:
            QualityError, duckdb.Error, OSError: it could not be told or written.
        """
        with self._opened() as con:
            loads = unchecked_loads(con) if unchecked else None
            suites = list(landing_suites(con, loads))
        verdict = self._check("landing", suites)
        verdict.passed_loads = sorted(set(loads or ()) - set(verdict.refused_loads))
        return verdict

    def marts(self, tables: Sequence[str] | None, written: Collection[str] = ()) -> Verdict:
        """Check the marts about to be published, all that are built when None.

        Of the tables `written` only the rows the last run of dbt wrote are looked at.

        Raises:
            QualityError, duckdb.Error, OSError: it could not be told or written.
        """
        with self._opened() as con:
            former = released_rows(self.published / "current" / "parley.duckdb")
            suites = list(marts_suites(con, tables, former, written))
        return self._check("marts", suites)

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if not self.warehouse.is_file():
            raise QualityError(f"There is no warehouse {self.warehouse}; run make build first.")
        try:
            # Half: dbt's process is alive beside this one, and may be writing a release.
            settings = duckdb_settings(self.warehouse, share=0.5)
        except ResourceError as error:
            raise QualityError(str(error)) from None
        con = duckdb.connect(str(self.warehouse), read_only=True, config=settings)
        con.execute("set TimeZone = 'UTC'")
        return con

    def _check(self, border: str, suites: Sequence[Suite]) -> Verdict:
        verdict, tables, refused = Verdict(), [], set()
        page = page_of(self.published, border)
        schema = "raw" if border == "landing" else "marts"
        for suite in suites:
            checks = _checks(suite, self._judge.failed(suite))
            tables.append({"table": suite.table, "scope": suite.scope, "checks": checks})
            for check in checks:
                sentence = (
                    f"{schema}.{suite.table} {check['column']}: expected {check['wanted']}, "
                    f"found {check['found']}"
                )
                if check["status"] == "error":
                    verdict.errors.append(f"{sentence}; see {page}#{suite.table}")
                    refused.add(suite.load_id)
                elif check["status"] == "warning":
                    verdict.warnings.append(sentence)
        verdict.refused_loads = sorted(load for load in refused if load is not None)
        write_docs(
            self.published,
            {
                "border": border,
                "checked_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
                "great_expectations": self._judge.version,
                "tables": tables,
            },
        )
        return verdict


# ------------------------------------------------------------------------------- command line


def _serve(warehouse: Path, published: Path) -> None:
    """Answer the requests of the build that started this process, a line of JSON each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build tells, by closing the pipe
    with suppress(AttributeError, OSError):  # Linux: end with the build, also when it is killed
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    quality = Quality(warehouse, published)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["border"] == "landing":
                answer = asdict(quality.landing(unchecked=True))
            else:
                answer = asdict(quality.marts(request["tables"], request["written"]))
        except (QualityError, ContractError, OSError, duckdb.Error) as error:
            answer = {"failure": _sentence(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _sentence(error: Exception) -> str:
    """What went wrong, without the engine's text, which may quote a value."""
    if isinstance(error, OSError):
        return f"{error.filename or 'The disk'}: {error.strerror}."
    if isinstance(error, duckdb.Error):
        if "lock" in str(error).lower():
            return "The warehouse is in use by another process; close that one and try again."
        return f"Data quality could not be judged: DuckDB failed ({type(error).__name__})."
    return str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 with what failed on stderr."""
    parser = argparse.ArgumentParser(
        prog="quality.py",
        description=(
            "Check the newest load and the marts of a warehouse as they are now; nothing is "
            "changed or published. The report is <PUBLISHED>/quality/index.html. Settings are "
            "PARLEY_LANDING, PARLEY_WAREHOUSE, PARLEY_PUBLISHED and PARLEY_AS_OF; see "
            "docs/operate.md."
        ),
    )
    parser.add_argument("--serve", nargs=2, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    os.chdir(ROOT)
    if chosen.serve:
        _serve(*chosen.serve)
        return 0
    warehouse = default_warehouse(os.environ.get("PARLEY_LANDING") or None)
    published = Path(os.environ.get("PARLEY_PUBLISHED") or "published")
    try:
        if not warehouse.is_file():
            raise QualityError(f"There is no warehouse {warehouse}; run make build first.")
        quality = Quality(warehouse, published)
        verdicts = [quality.landing(unchecked=False), quality.marts(None)]
    except (QualityError, ContractError, OSError, duckdb.Error) as error:
        print(_sentence(error), file=sys.stderr)
        return 1
    warnings = [text for verdict in verdicts for text in verdict.warnings]
    errors = [text for verdict in verdicts for text in verdict.errors]
    if warnings:
        print("\n".join(["To look at:", *(f"  {text}" for text in warnings)]))
    if errors:
        print("\n".join(["Not as expected:", *(f"  {text}" for text in errors)]), file=sys.stderr)
        return 1
    print(f"Data quality is as expected; the report is {published}/quality/index.html.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
