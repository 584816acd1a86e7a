"""The landing contract as Python sees it: which tables may land, with which columns.

The contract is written once, in YAML that dbt reads too. The neutral tables are the models
`conformed_<table>` of `models/conformed/_conformed__models.yml`; the tables of a platform's own
export are the sources of `models/staging/<platform>/_<platform>__sources.yml`. This module only
reads them; it judges no values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent

# The same loader in C, where PyYAML has it: ten times as fast.
_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Roles of a column (`config.meta.role`) that every file of the table must bring.
REQUIRED_ROLES = frozenset({"primary_key", "required", "parent"})

# Columns the warehouse computes, beside those whose names begin with `_`; nobody lands them.
COMPUTED = frozenset({"conversation_key"})

# The one column in which an empty string is a value: a message may have an empty text.
KEEPS_EMPTY_TEXT = ("messages", "text")


@dataclass(frozen=True)
class Column:
    """One column of the contract; `meta` is its `config.meta` as written."""

    name: str
    data_type: str
    meta: Mapping[str, Any]
    keeps_empty_text: bool = False

    @property
    def is_required(self) -> bool:
        """True when a file without this column is refused."""
        return self.meta.get("role") in REQUIRED_ROLES

    @property
    def is_id(self) -> bool:
        """True for a column that names a row of this or another table."""
        return (
            self.meta.get("role") in ("primary_key", "parent")
            or self.name == "merged_into"
            or self.name.endswith("_id")
        )


@dataclass(frozen=True)
class Table:
    """One table that may land.

    `platform` is None for a neutral table; `side` is `conversation`, `crm` or `reference` for a
    neutral table and `platform` for a platform's own.
    """

    name: str
    platform: str | None
    side: str
    columns: tuple[Column, ...]

    @property
    def folder(self) -> str:
        """Folder inside the landing directory: `messages`, `rasa/events`."""
        return f"{self.platform}/{self.name}" if self.platform else self.name

    @property
    def raw_name(self) -> str:
        """Name of the table in the schema `raw`: `messages`, `rasa__events`."""
        return f"{self.platform}__{self.name}" if self.platform else self.name

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Names of the columns every file must bring, in contract order."""
        return tuple(column.name for column in self.columns if column.is_required)


class ContractError(Exception):
    """The contract's own YAML cannot be read; one sentence."""


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return a YAML file's mapping, empty where it holds none.

    Raises:
        ContractError: the file cannot be read.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_SafeLoader)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(f"{path} cannot be read: {type(error).__name__}.") from None
    return content if isinstance(content, dict) else {}


def _columns(described: list[Mapping[str, Any]], table: str) -> tuple[Column, ...]:
    """Columns of one model or source table, without those the warehouse computes."""
    return tuple(
        Column(
            name=column["name"],
            data_type=str(column.get("data_type", "string")),
            meta=((column.get("config") or {}).get("meta") or column.get("meta") or {}),
            keeps_empty_text=(table, column["name"]) == KEEPS_EMPTY_TEXT,
        )
        for column in described
        if not column["name"].startswith("_") and column["name"] not in COMPUTED
    )


def _neutral_tables(root: Path) -> Iterator[Table]:
    path = root / "models" / "conformed" / "_conformed__models.yml"
    for model in read_yaml(path).get("models") or []:
        if not model["name"].startswith("conformed_"):
            continue
        name = model["name"].removeprefix("conformed_")
        meta = (model.get("config") or {}).get("meta") or {}
        if "side" in meta:
            yield Table(name, None, meta["side"], _columns(model.get("columns") or [], name))


def _platform_tables(root: Path) -> Iterator[Table]:
    for path in sorted((root / "models" / "staging").glob("*/_*__sources.yml")):
        for source in read_yaml(path).get("sources") or []:
            if source["name"] != path.parent.name:
                continue
            for table in source.get("tables") or []:
                name = table["name"].removeprefix(f"{source['name']}__")
                columns = _columns(table.get("columns") or [], f"{source['name']}__{name}")
                yield Table(name, source["name"], "platform", columns)


def read_contract(root: Path = ROOT) -> dict[str, Table]:
    """Return every table that may land, by folder, neutral tables first.

    Args:
        root: the repository's root directory.

    Returns:
        `{"conversations": Table, ..., "rasa/events": Table, ...}` in load order: contract order,
        then platforms by name.

    Raises:
        ContractError: the YAML is missing, unreadable or describes a table without columns.
    """
    tables: dict[str, Table] = {}
    for table in (*_neutral_tables(root), *_platform_tables(root)):
        if not table.columns:
            raise ContractError(f"The contract describes no columns for {table.folder}.")
        tables[table.folder] = table
    if not tables:
        raise ContractError("The contract describes no table at all.")
    return tables
