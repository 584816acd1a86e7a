"""A landing directory: what `landing.yml` declares, and which files belong to which table.

Nothing is read here but `landing.yml` and the directory itself.
"""

from __future__ import annotations

import codecs
import difflib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import yaml

from contract import Table

# Delimiters a CSV file may use, in the order they are tried; names are for landing.yml.
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
FORMATS_TEXT = "a table's files end in .csv, .tsv, .jsonl, .ndjson (each also .gz) or .parquet"

# Python calls these codecs text encodings; no export is written in them.
CODECS_NOT_TEXT = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}


class LandingError(Exception):
    """Something landed cannot be loaded; the text is one sentence that says what to do."""


@dataclass(frozen=True)
class Declared:
    """What `landing.yml` says about the files of a table; None where it says nothing."""

    time_zone: str | None = None
    encoding: str | None = None
    delimiter: str | None = None


@dataclass(frozen=True)
class Source:
    """A database a platform writes itself, read in place; `url` may hold a password."""

    url: str
    platform: str = "rasa"
    table: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True)
class LandingConfig:
    """`landing.yml`, checked: declarations by table folder, and databases to read."""

    by_folder: Mapping[str, Declared]
    sources: tuple[Source, ...] = ()


def suggestion(name: str, known: Iterable[str]) -> str:
    """End of a sentence about an unknown name: the known one it may have been meant for."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else "."


def check_time_zone(value: Any, where: str) -> str:
    """Return the IANA time zone named, or refuse; `where` says who named it."""
    try:
        return ZoneInfo(value).key
    except (LookupError, ValueError, TypeError, AttributeError, OSError):
        raise LandingError(
            f"{where} declares a time_zone that is no IANA time zone; write one such as "
            "Europe/Berlin."
        ) from None


def _check_encoding(value: Any, where: str) -> str:
    try:
        codec = codecs.lookup(value)
        is_text = codec._is_text_encoding and codec.name.replace("-", "_") not in CODECS_NOT_TEXT
    except (LookupError, TypeError, ValueError):
        is_text = False
    if not is_text:
        raise LandingError(
            f"{where} declares an encoding that is not known; write one such as gb18030 or cp1252."
        )
    return codec.name


def _check_delimiter(value: Any, where: str) -> str:
    delimiter = DELIMITERS.get(value, value) if isinstance(value, str) else value
    if delimiter not in DELIMITERS.values():
        raise LandingError(
            f"{where} declares a delimiter that is not one of comma, semicolon, tab or pipe."
        )
    return str(delimiter)


_DECLARATIONS = {
    "time_zone": check_time_zone,
    "encoding": _check_encoding,
    "delimiter": _check_delimiter,
}


def _declared(content: Mapping[str, Any], where: str) -> dict[str, str]:
    return {
        key: check(content[key], where)
        for key, check in _DECLARATIONS.items()
        if content.get(key) is not None
    }


def _check_keys(content: Any, allowed: Iterable[str], where: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise LandingError(f"{where} must be a mapping of names to values.")
    for key in content:
        if key not in allowed:
            raise LandingError(
                f"{where} has the unknown key {str(key)[:40]!r}{suggestion(str(key), allowed)}"
            )
    return content


def _declared_source(content: Any, landing: Path, platforms: set[str], where: str) -> Source:
    entry = _check_keys(content, ("platform", "url", "url_env", "table", "time_zone"), where)
    if str(entry.get("platform")) not in platforms:
        raise LandingError(
            f"{where} must name a platform whose exports are known: "
            f"{', '.join(sorted(platforms)) or 'there is none'}."
        )
    if ("url" in entry) == ("url_env" in entry):
        raise LandingError(f"{where} must have either url or url_env.")
    if "url_env" in entry:
        url = os.environ.get(str(entry["url_env"]), "")
        if not url:
            raise LandingError(f"{where}: the environment variable {entry['url_env']} is not set.")
    else:
        url = str(entry["url"])
        if "://" not in url:
            url = f"sqlite:///{landing / url}"
        try:
            has_password = bool(urlsplit(url).password)
        except ValueError:
            raise LandingError(f"{where} has a url that is none.") from None
        if has_password:
            raise LandingError(
                f"{where} holds a password; put the URL into an environment variable and name "
                "that one with url_env."
            )
    zone = entry.get("time_zone")
    return Source(
        url=url,
        platform=str(entry["platform"]),
        table=str(entry["table"]) if entry.get("table") is not None else None,
        time_zone=check_time_zone(zone, where) if zone is not None else None,
    )


def read_landing_config(landing: Path, tables: Mapping[str, Table]) -> LandingConfig:
    """Read `<landing>/landing.yml`, if there is one.

    Args:
        landing: the landing directory.
        tables: the contract, by folder.

    Raises:
        LandingError: the file is no YAML, or declares a key, table, time zone, encoding or
            delimiter that does not exist.
    """
    path = landing / "landing.yml"
    content: Any = {}
    if path.exists():
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
        except Exception as error:  # PyYAML raises a dozen others for values it cannot make
            mark = getattr(error, "problem_mark", None)
            line = f" (line {mark.line + 1})" if mark is not None else ""
            raise LandingError(f"landing.yml is not readable as YAML{line}.") from None
    _check_keys(content, (*_DECLARATIONS, "tables", "sources"), "landing.yml")
    for_all = _declared(content, "landing.yml")

    per_table: Mapping[str, Any] = content.get("tables") or {}
    _check_keys(per_table, tables, "tables in landing.yml")
    by_folder = {}
    for folder in tables:
        where = f"{folder} in landing.yml"
        own = _check_keys(per_table.get(folder) or {}, _DECLARATIONS, where)
        by_folder[folder] = Declared(**{**for_all, **_declared(own, where)})

    platforms = {table.platform for table in tables.values() if table.platform}
    sources = content.get("sources", [])
    if not isinstance(sources, list):
        raise LandingError("sources in landing.yml must be a list.")
    return LandingConfig(
        by_folder,
        tuple(
            _declared_source(source, landing, platforms, f"source {number} in landing.yml")
            for number, source in enumerate(sources, start=1)
        ),
    )


# ------------------------------------------------------------------------------ finding files


@dataclass(frozen=True)
class LandedFile:
    """One file to load; `name` is relative to the landing directory, with forward slashes."""

    path: Path
    name: str
    format: str
    is_gzip: bool


class LandingFiles:
    """Walks a landing directory: what is a table's file, what is not, what is refused."""

    def __init__(self, landing: Path, tables: Mapping[str, Table]) -> None:
        self.landing = landing.resolve()
        self.tables = tables
        self.platforms = {table.platform for table in tables.values() if table.platform}
        self.files: dict[str, list[LandedFile]] = {}
        self.warnings: list[str] = []

    @property
    def all_files(self) -> Iterator[LandedFile]:
        """Every file that was found."""
        return (file for files in self.files.values() for file in files)

    def find(self) -> None:
        """Fill `files` by table folder, each list by name, and `warnings`."""
        known = [table.name for table in self.tables.values() if not table.platform]
        for name, path, is_directory in self._entries(self.landing):
            if is_directory and name in self.tables:
                self._table(path, name)
            elif is_directory and name in self.platforms:
                self._platform(path, name)
            elif name != "landing.yml":
                self._warn_top(name, is_directory, [*known, *self.platforms])

    def _platform(self, folder: Path, platform: str) -> None:
        known = [table.name for table in self.tables.values() if table.platform == platform]
        for name, path, is_directory in self._entries(folder):
            if is_directory and name in known:
                self._table(path, f"{platform}/{name}")
            else:
                self.warnings.append(
                    f"{platform}/{name} is no table of {platform} and was not read"
                    f"{suggestion(name, known)}"
                )

    def _table(self, folder: Path, table: str) -> None:
        found = []
        for name, path, is_directory in self._entries(folder):
            stem = name.lower()
            is_gzip = stem.endswith(".gz")
            file_format = FORMATS.get(Path(stem.removesuffix(".gz")).suffix)
            if is_directory:
                self.warnings.append(
                    f"{table}/{name} is a folder inside a table's folder and was not read; "
                    f"put its files into {table}/ itself."
                )
            elif file_format is None or (is_gzip and file_format == "parquet"):
                self.warnings.append(f"{table}/{name} was not read: {FORMATS_TEXT}.")
            else:
                found.append(LandedFile(path, f"{table}/{name}", file_format, is_gzip))
        self.files[table] = found

    def _warn_top(self, name: str, is_directory: bool, known: Sequence[str]) -> None:
        table = name.split(".")[0]
        if not is_directory and table in known:
            text = f"{name} was not read; put it into the folder {table}/."
        else:
            text = f"{name} is no table of the landing contract and was not read"
            text += suggestion(table, [*known, *([] if is_directory else ["landing.yml"])])
        self.warnings.append(text)

    def _entries(self, folder: Path) -> Iterator[tuple[str, Path, bool]]:
        """Yield name, resolved path and whether it is a directory, by name, hidden ones left out.

        Raises:
            LandingError: an entry is a link out of the landing directory or to nothing, or
                neither a file nor a directory, or not readable.
        """
        shown = folder.relative_to(self.landing).as_posix() if folder != self.landing else "."
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError:
            raise LandingError(f"The folder {shown} cannot be read; check permissions.") from None
        for name in names:
            if name.startswith("."):
                continue
            where = name if shown == "." else f"{shown}/{name}"
            if any("\udc80" <= character <= "\udcff" for character in where):
                raise LandingError(
                    f"The folder {shown} has a file whose name is not UTF-8; rename it."
                )
            if not where.isprintable():
                raise LandingError(
                    f"The folder {shown} has a file with control characters in its name; rename it."
                )
            try:
                path = (folder / name).resolve(strict=True)
                mode = path.stat().st_mode
            except (OSError, RuntimeError):
                raise LandingError(
                    f"{where} is a link to nothing; remove it or put the file there."
                ) from None
            if not path.is_relative_to(self.landing):
                raise LandingError(
                    f"{where} is a link out of the landing directory; put the file itself there."
                )
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise LandingError(
                    f"{where} is neither a file nor a folder; remove it from the landing."
                )
            yield name, folder / name, stat.S_ISDIR(mode)
