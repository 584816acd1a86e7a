"""Who was erased, and how rows lose what leads to a person.

Beside the warehouse stands `erasures.jsonl`, append-only and readable by its owner only: requests,
and for each identifier of an erased person its keyed hash (HMAC-SHA-256 under the salt) with the
random name that took its place. The loader asks it about every row it appends, so a person who is
exported again stays erased.

Rows are kept and names replaced, one for one, so that every count stays what it was.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

import personal_data
from contract import Table
from landed_file import name_sql
from salt import keyed_hash, salt_beside

JOURNAL = "erasures.jsonl"
ERASED = "[erased]"

CONTACT_COLUMNS = ("contact_id", "merged_into")
# Columns that lead to a person without being marked as personal in the contract.
LEADING_COLUMNS = {"tickets": ("url",)}
# Ids of whoever wrote or did something, and the kinds of actor that are not the person.
ACTORS = {"messages": ("sender_id", "sender_type"), "events": ("actor_id", "actor_type")}
STAFF = ("bot", "agent", "system", "automation")
# Column of a platform's table that names the thread and with it the person.
THREADS = {"rasa__events": "sender_id", "rasa__conversation_event": "conversation_id"}
# What the models read of a Rasa event; everything else of it goes.
RASA_FIELDS = (
    ("event",),
    ("timestamp",),
    ("name",),
    ("input_channel",),
    ("flow_id",),
    ("step_id",),
    ("parse_data", "intent", "name"),
    ("parse_data", "intent", "confidence"),
    ("metadata", "is_external"),
    ("metadata", "utter_action"),
)

# The digits of a number as `phone_key` has them, in SQL.
DIGITS = "ltrim(regexp_replace({}, '[^0-9]', '', 'g'), '0')"

_SEPARATOR = "[ ()./-]{0,2}"
_NUMBER = re.compile(rf"[+]?[0-9](?:{_SEPARATOR}[0-9]){{6,16}}")


def pending_file(warehouse: Path) -> Path:
    """Where a request under way is kept, identifiers included, until it is done."""
    return warehouse.with_name(f".{warehouse.name}.erasing")


def email_key(text: str) -> str:
    """An e-mail address as it is compared."""
    return text.strip().lower()


def phone_key(text: str) -> str:
    """A telephone number as it is compared: its digits without zeros in front."""
    return personal_data.digits(text).lstrip("0")


def phone_keys(text: str) -> set[str]:
    """A number's keys with and without a country code of up to three digits."""
    key = phone_key(text)
    return {key[cut:] for cut in range(4) if cut == 0 or len(key) - cut >= 9} - {""}


def new_name(former: str = "") -> str:
    """A random name for somebody nobody knows; a Rasa sender keeps the channel in front."""
    prefix = "whatsapp:" if former.startswith("whatsapp:") else ""
    return f"{prefix}erased-{secrets.token_hex(8)}"


@dataclass
class Person:
    """What leads to one person: ids with the names that replace them, and addresses."""

    contacts: dict[str, str] = field(default_factory=dict)
    visitors: dict[str, str] = field(default_factory=dict)
    conversations: dict[str, str] = field(default_factory=dict)
    shared_visitors: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    emails: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def as_json(self) -> dict[str, Any]:
        """For the file that survives a kill."""
        return {k: sorted(v) if isinstance(v, set) else v for k, v in vars(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Person:
        """The reverse of `as_json`."""
        person = cls()
        for name, value in values.items():
            setattr(person, name, set(value) if isinstance(value, list) else dict(value))
        return person

    @property
    def replaced(self) -> dict[str, dict[str, str]]:
        """Old to new name, by kind."""
        return {
            "contact": self.contacts,
            "visitor": self.visitors | self.shared_visitors,
            "conversation": self.conversations,
            "id": self.ids,
        }

    def addresses(self, *, is_re2: bool = False) -> str | None:
        """A pattern that finds the addresses and numbers in text; None when there are none.

        For RE2, which cannot look around, it finds a little more.
        """
        before, after = ("", "") if is_re2 else ("(?<![0-9])", "(?![0-9])")
        parts = [re.escape(email).replace("\\-", "-") for email in sorted(self.emails)]
        for phone in sorted({key for number in self.phones for key in phone_keys(number)}):
            parts.append(f"{before}(?:[+]|0)*{_SEPARATOR.join(phone)}{after}")
        return f"(?i)(?:{'|'.join(parts)})" if parts else None

    def redact(self, text: str) -> str:
        """The text without the person's addresses; masks come out as they do in the marts."""
        pattern = self.addresses()
        if pattern is None or not re.search(pattern, text):
            return text
        return re.sub(pattern, "***", personal_data.mask(text))

    def tells(self, name: str) -> bool:
        """Whether an id leads to the person: an address, or one that holds another id."""
        if name in self.contacts or name in self.visitors:
            return True
        if {"email", "phone_international"} & set(personal_data.find(name)):
            return True
        pattern = self.addresses()
        if pattern and re.search(pattern, name):
            return True
        return any(
            len(known) >= 6 and re.search(rf"(?<!\w){re.escape(known)}(?!\w)", name)
            for known in (*self.contacts, *self.visitors)
        )


class Journal:
    """The file of erasures beside a warehouse."""

    def __init__(self, directory: Path, salt: str) -> None:
        self.path = directory / JOURNAL
        self._salt = salt
        self.names: dict[str, str] = {}
        self.requests: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                self._take(line)

    @classmethod
    def beside(cls, warehouse: Path) -> Journal | None:
        """The journal of a warehouse; None where nobody was ever erased."""
        if not (warehouse.parent / JOURNAL).exists():
            return None
        return cls(warehouse.parent, salt_beside(warehouse))

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except ValueError:  # the end of a line that a kill cut off
            return
        if "hash" in entry:
            self.names[entry["hash"]] = entry["name"]
        elif entry.get("event") == "requested":
            self.requests[entry["request"]] = entry

    def hash(self, kind: str, key: str) -> str:
        """Keyed hash of one identifier."""
        return keyed_hash(self._salt, f"erased {kind}:{key}")

    def name(self, kind: str, key: str) -> str | None:
        """The name that took an identifier's place; None when it is not an erased person's."""
        return self.names.get(self.hash(kind, key))

    def append(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write entries to the disk, whole lines, before anything is done about them."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        lines = [json.dumps({"at": now, **entry}, sort_keys=True) for entry in entries]
        if not lines:
            return
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as stream:
            size = os.fstat(stream.fileno()).st_size
            cut_off = size and os.pread(stream.fileno(), 1, size - 1) != b"\n"
            stream.write(("\n" if cut_off else "") + "\n".join(lines) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        for line in lines:
            self._take(line)

    def suppress(self, request: str, person: Person) -> None:
        """Note a person's identifiers, those not noted yet."""
        keyed = {
            (kind, key): name
            for kind, names in person.replaced.items()
            for key, name in names.items()
        }
        keyed |= {("shared", key): name for key, name in person.shared_visitors.items()}
        keyed |= {("email", key): "" for key in person.emails}
        keyed |= {("phone", key): "" for number in person.phones for key in phone_keys(number)}
        hashed = {self.hash(*key): (key[0], name) for key, name in keyed.items()}
        self.append(
            {"request": request, "kind": kind, "hash": digest, "name": name}
            for digest, (kind, name) in hashed.items()
            if digest not in self.names
        )


# ------------------------------------------------------------------------------- rewriting rows


@dataclass(frozen=True)
class _Shape:
    """Which columns of a landed table mean what."""

    table: Table

    @cached_property
    def names(self) -> list[str]:
        return [column.name for column in self.table.columns]

    @property
    def thread(self) -> str | None:
        return THREADS.get(self.table.raw_name)

    @property
    def contacts(self) -> list[str]:
        return [name for name in CONTACT_COLUMNS if name in self.names]

    @property
    def ids(self) -> list[str]:
        """Columns of ids, those of persons and conversations included."""
        return [name for name in self.names if name.endswith("_id") or name == "merged_into"]

    def kind(self, column: str) -> str:
        if column == self.thread or column == "visitor_id":
            return "visitor"
        if column in CONTACT_COLUMNS:
            return "contact"
        return "conversation" if column == "conversation_id" else "id"

    @property
    def blanked(self) -> list[str]:
        """Columns of the person's rows that are blanked."""
        marked = [
            column.name
            for column in self.table.columns
            if column.meta.get("personal")
            and column.name not in self.ids
            and not (self.table.platform and column.name == "data")
        ]
        return [*marked, *LEADING_COLUMNS.get(self.table.raw_name, ())]

    @property
    def theirs(self) -> str:
        """Condition that a row is about the person, over the table `erased_names`."""

        def among(column: str, kind: str) -> str:
            return f"{column} in (select old from erased_names where kind = '{kind}')"

        if self.thread:
            return among(self.thread, "visitor")
        conditions = []
        if "contact_id" in self.names:
            conditions.append(among("contact_id", "contact"))
        if "conversation_id" in self.names:
            known = among("conversation_id", "conversation")
            if "contact_id" in self.names and self.table.name != "conversations":
                known = f"(contact_id is null and {known})"
            conditions.append(known)
        if self.table.raw_name == "contacts":  # a row that was rejected for want of its id
            by_email = among("lower(trim(email))", "email")
            by_phone = among(DIGITS.format("phone"), "phone")
            conditions.append(f"(contact_id is null and ({by_email} or {by_phone}))")
        return " or ".join(conditions) or "false"


def rows_about(table: Table) -> str:
    """Condition that a row of a landed table is about the person of `set_names`."""
    return _Shape(table).theirs


def _pruned(text: str) -> str:
    """A Rasa event with only what the models read of it."""
    try:
        event = json.loads(text)
    except ValueError:
        return ERASED
    if not isinstance(event, dict):
        return ERASED
    kept: dict[str, Any] = {}
    for path in RASA_FIELDS:
        source: Any = event
        for key in path:
            source = source.get(key) if isinstance(source, dict) else None
        if source is None or isinstance(source, dict | list):
            continue
        target = kept
        for key in path[:-1]:
            target = target.setdefault(key, {})
        target[path[-1]] = source
    return json.dumps(kept, ensure_ascii=False)


def _replace_values(
    con: duckdb.DuckDBPyConnection, relation: str, column: str, changed: Mapping[str, str]
) -> int:
    """Replace values of a column one by one; return the number of rows."""
    if not changed:
        return 0
    con.execute(
        "create or replace temp table erased_values as "
        "select unnest($old) as old, unnest($new) as new",
        {"old": list(changed), "new": list(changed.values())},
    )
    row = con.execute(
        f"update {relation} set {name_sql(column)} = erased_values.new from erased_values "
        f"where {relation}.{name_sql(column)} = erased_values.old"
    ).fetchone()
    return int(row[0]) if row else 0


def set_names(con: duckdb.DuckDBPyConnection, person: Person) -> None:
    """Put a person's old and new names, and addresses, into the temporary table `erased_names`."""
    rows = [(k, old, new) for k, names in person.replaced.items() for old, new in names.items()]
    rows += [("email", key, key) for key in person.emails]
    rows += [("phone", key, key) for number in person.phones for key in phone_keys(number)]
    con.execute("create or replace temp table erased_names (kind text, old text, new text)")
    if rows:
        kinds, old, new = map(list, zip(*rows, strict=True))
        con.execute(
            "insert into erased_names select unnest($kinds), unnest($old), unnest($new)",
            {"kinds": kinds, "old": old, "new": new},
        )


class Rewritten(NamedTuple):
    """Rows of one relation: how many are about a person, and whether any was changed."""

    about: int
    is_changed: bool


def rewrite(
    con: duckdb.DuckDBPyConnection, relation: str, table: Table, person: Person
) -> Rewritten:
    """Take a person out of one relation with the columns of a landed table.

    `set_names` was called before; the caller holds the transaction.

    Returns:
        The number of rows about the person, and whether any row changed.
    """
    shape = _Shape(table)
    counted = con.execute(f"select count(*) from {relation} where {shape.theirs}").fetchone()
    rows = int(counted[0]) if counted else 0
    if rows:
        _blank(con, relation, shape)
    changed_rows = rows
    pattern = person.addresses(is_re2=True)
    for column in [*shape.names, "_extra", "_file"] if pattern else []:
        if column in shape.ids or column == shape.thread:
            continue
        found = con.execute(
            f"select distinct {name_sql(column)} from {relation} "
            f"where regexp_matches({name_sql(column)}, $pattern)",
            {"pattern": pattern},
        ).fetchall()
        changed = {text: person.redact(text) for (text,) in found}
        differing = {k: v for k, v in changed.items() if k != v}
        changed_rows += _replace_values(con, relation, column, differing)
    for column in dict.fromkeys([*shape.ids, *filter(None, [shape.thread])]):
        name = name_sql(column)
        renamed = con.execute(
            f"update {relation} set {name} = erased_names.new from erased_names "
            f"where {relation}.{name} = erased_names.old and erased_names.kind = $kind "
            "and erased_names.old <> erased_names.new",
            {"kind": shape.kind(column)},
        ).fetchone()
        changed_rows += int(renamed[0]) if renamed else 0
    return Rewritten(rows, changed_rows > 0)


def _blank(con: duckdb.DuckDBPyConnection, relation: str, shape: _Shape) -> None:
    settings = [
        f"{name_sql(column)} = case when {name_sql(column)} is not null then '{ERASED}' end"
        for column in shape.blanked
    ]
    settings.append("_extra = null")
    if shape.table.raw_name in ACTORS:
        actor, kind = ACTORS[shape.table.raw_name]
        staff = ", ".join(f"'{name}'" for name in STAFF)
        settings.append(f"{actor} = case when {kind} in ({staff}) then {actor} end")
    con.execute(f"update {relation} set {', '.join(settings)} where {shape.theirs}")
    if shape.thread and "data" in shape.names:
        events = con.execute(
            f"select distinct data from {relation} where ({shape.theirs}) and data is not null"
        ).fetchall()
        pruned = {text: _pruned(text) for (text,) in events}
        _replace_values(con, relation, "data", {k: v for k, v in pruned.items() if k != v})


def telling_ids(
    con: duckdb.DuckDBPyConnection, relation: str, table: Table, person: Person
) -> set[str]:
    """Ids of things, not of persons or conversations, that lead to a person.

    Those of the person's own rows that tell, and those anywhere that hold an address. `set_names`
    was called before.
    """
    shape, found = _Shape(table), set()
    pattern = person.addresses()
    for column in shape.ids:
        if shape.kind(column) != "id":
            continue
        name = name_sql(column)
        for value, is_theirs in con.execute(
            f"select {name}, bool_or({shape.theirs}) from {relation} where {name} is not null and "
            f"(contains({name}, '@') or regexp_matches({name}, '[0-9]{{7}}') or {shape.theirs}) "
            f"group by {name}"
        ).fetchall():
            if (is_theirs and person.tells(value)) or (pattern and re.search(pattern, value)):
                found.add(value)
    return found


# --------------------------------------------------------------------------- what loads again


def _distinct(con: duckdb.DuckDBPyConnection, relation: str, column: str) -> list[str]:
    return [
        value
        for (value,) in con.execute(
            f"select distinct {name_sql(column)} from {relation} "
            f"where {name_sql(column)} is not null"
        ).fetchall()
    ]


def _known(journal: Journal, kind: str, keys: Iterable[str]) -> dict[str, str]:
    named = ((key, journal.name(kind, key)) for key in keys)
    return {key: name for key, name in named if name is not None}


def recognised(
    con: duckdb.DuckDBPyConnection, relation: str, table: Table, journal: Journal
) -> tuple[Person, Person]:
    """Whom of those erased the rows of a relation name, and of that what was not known before."""
    shape, person, late = _Shape(table), Person(), Person()
    for column in shape.contacts:
        person.contacts |= _known(journal, "contact", _distinct(con, relation, column))
    for column in [name for name in (shape.thread, "visitor_id") if name in shape.names]:
        found = _known(journal, "visitor", _distinct(con, relation, str(column)))
        shared = _known(journal, "shared", found)
        person.shared_visitors |= shared
        person.visitors |= {key: name for key, name in found.items() if key not in shared}
    if "conversation_id" in shape.names and not shape.thread:
        ids = _distinct(con, relation, "conversation_id")
        person.conversations = _known(journal, "conversation", ids)
    _recognise_addresses(con, relation, shape, journal, person)
    if table.raw_name == "contacts":
        _recognise_contacts(con, relation, journal, person, late)
    if table.raw_name == "conversations":
        set_names(con, person)
        for (name,) in con.execute(
            f"select distinct conversation_id from {relation} where conversation_id is not null "
            "and (contact_id in (select old from erased_names where kind = 'contact') or "
            "contact_id is null and visitor_id in (select unnest($own)))",
            {"own": list(person.visitors)},
        ).fetchall():
            if name not in person.conversations:
                late.conversations[name] = new_name() if person.tells(name) else name
        person.conversations |= late.conversations
    set_names(con, person)
    for name in telling_ids(con, relation, table, person):
        known = journal.name("id", name)
        if known is None:
            late.ids[name] = known = new_name()
        person.ids[name] = known
    return person, late


def _recognise_addresses(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    shape: _Shape,
    journal: Journal,
    person: Person,
) -> None:
    """Add the erased addresses and numbers that stand anywhere in the rows."""
    for column in [*shape.names, "_extra", "_file"]:
        for (text,) in con.execute(
            f"select distinct {name_sql(column)} from {relation} where "
            f"regexp_matches({name_sql(column)}, '@|[0-9]([ ()./-]{{0,2}}[0-9]){{6}}')"
        ).fetchall():
            keys = map(email_key, personal_data.emails(text))
            person.emails |= {key for key in keys if journal.name("email", key) is not None}
            numbers = map(phone_key, _NUMBER.findall(text))
            person.phones |= {key for key in numbers if journal.name("phone", key) is not None}


def _recognise_contacts(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    journal: Journal,
    person: Person,
    late: Person,
) -> None:
    """Add contacts that are new under their id and yet an erased person's."""
    rows = con.execute(
        f"select contact_id, email, phone, merged_into from {relation} where contact_id is not null"
    ).fetchall()
    is_growing = True
    while is_growing:
        is_growing = False
        for contact, email, phone, merged_into in rows:
            if contact not in person.contacts and (
                (email and journal.name("email", email_key(email)) is not None)
                or (phone and journal.name("phone", phone_key(phone)) is not None)
                or merged_into in person.contacts
            ):
                late.contacts[contact] = person.contacts[contact] = new_name()
                is_growing = True


def keep_erased(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    table: Table,
    journal: Journal,
    raw: str,
    tables: Sequence[Table],
) -> bool:
    """Take everybody who was erased out of rows about to be appended.

    `relation` holds the rows; `raw` is the schema they go to, with the landed `tables`. The caller
    holds the transaction.

    Returns:
        Whether rows that were loaded earlier had to change too.
    """
    person, late = recognised(con, relation, table, journal)
    if not person:
        return False
    journal.suppress("load", late)
    set_names(con, person)
    rewrite(con, relation, table, person)
    is_changed = False
    if late.contacts or late.conversations:
        linked = _linked_conversations(con, raw, late)
        journal.suppress("load", linked)
        late.conversations |= linked.conversations
        set_names(con, late)
        for other in tables:
            target = f"{raw}.{name_sql(other.raw_name)}"
            is_changed = rewrite(con, target, other, late).is_changed or is_changed
    return is_changed


def _linked_conversations(con: duckdb.DuckDBPyConnection, raw: str, late: Person) -> Person:
    """Conversations loaded earlier of contacts known only now."""
    found = con.execute(
        f"select distinct conversation_id from {raw}.conversations where conversation_id is not "
        "null and contact_id in (select unnest($contacts))",
        {"contacts": list(late.contacts)},
    ).fetchall()
    return Person(
        conversations={
            name: new_name() if late.tells(name) else name
            for (name,) in found
            if name not in late.conversations
        }
    )
