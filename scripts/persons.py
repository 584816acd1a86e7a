"""Find one person in what landed: by contact id, visitor id, e-mail address or telephone number."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

import personal_data
from contract import Table
from erasures import (
    DIGITS,
    THREADS,
    Person,
    email_key,
    new_name,
    phone_key,
    set_names,
    telling_ids,
)
from landed_file import name_sql


class PersonError(Exception):
    """The person cannot be told from others; one sentence without the identifier."""


class _Finder:
    """One search; `raw` is read as it is now."""

    def __init__(self, con: duckdb.DuckDBPyConnection, tables: Mapping[str, Table]) -> None:
        self.con = con
        self.tables = {table.raw_name: table for table in tables.values()}
        self.person = Person()

    def _values(self, sql: str, **parameters: object) -> list[str]:
        found = self.con.execute(sql, parameters).fetchall()
        return [value for (value,) in found if value is not None]

    def seeds(self, wanted: str) -> tuple[set[str], set[str]]:
        """Contact and visitor ids that `wanted` names directly."""
        contacts = set(
            self._values(
                " union ".join(
                    f"select {name} from raw.{table} where {name} = $wanted"
                    for table, name in self._columns("contact_id")
                ),
                wanted=wanted,
            )
        )
        visitors = set(
            self._values(
                " union ".join(
                    f"select {name} from raw.{table} where {name} = $wanted"
                    for table, name in self._visitor_columns()
                ),
                wanted=wanted,
            )
        )
        if contacts or visitors:
            return contacts, visitors
        if "@" in wanted:
            self.person.emails.add(email_key(wanted))
            return self._by_email(email_key(wanted)), self._visitors_like(email=email_key(wanted))
        number = phone_key(wanted)
        if len(number) < 7 or personal_data.digits(wanted) == "":
            return set(), set()
        if any(character.isalpha() for character in wanted):
            return set(), set()
        return self._by_phone(number), self._visitors_like(number=number)

    def _columns(self, column: str) -> list[tuple[str, str]]:
        return [
            (name_sql(name), column)
            for name, table in self.tables.items()
            if not table.platform and column in [one.name for one in table.columns]
        ]

    def _visitor_columns(self) -> list[tuple[str, str]]:
        threads = [(name_sql(t), c) for t, c in THREADS.items() if t in self.tables]
        return [*self._columns("visitor_id"), *threads]

    def _by_email(self, email: str) -> set[str]:
        found = self._values(
            "select contact_id from raw.contacts where lower(trim(email)) = $email "
            "union select conversations.contact_id from raw.answers as answers inner join "
            "raw.conversations as conversations using (conversation_id) "
            "where lower(trim(answers.value)) = $email",
            email=email,
        )
        return set(found)

    def _by_phone(self, number: str) -> set[str]:
        def same(column: str) -> str:
            digits = DIGITS.format(column)
            return (
                f"(length({digits}) >= 7 and ({digits} = $number or length($number) >= 9 and "
                f"ends_with({digits}, $number) or length({digits}) >= 9 and "
                f"ends_with($number, {digits})))"
            )

        found = self.con.execute(
            f"select contact_id, phone from raw.contacts where {same('phone')} union "
            "select conversations.contact_id, answers.value from raw.answers as answers inner "
            "join raw.conversations as conversations using (conversation_id) "
            f"where not regexp_matches(answers.value, '[A-Za-z@]') and {same('answers.value')}",
            {"number": number},
        ).fetchall()
        self.person.phones |= {number, *(phone_key(phone) for _, phone in found)}
        return {contact for contact, _ in found if contact is not None}

    def _visitors_like(self, *, email: str = "", number: str = "") -> set[str]:
        """Visitor ids and senders that are the address: `whatsapp:+4915123456789`."""
        found: set[str] = set()
        for table, column in self._visitor_columns():
            if email:
                condition = f"lower({column}) = $key or ends_with(lower({column}), ':' || $key)"
            else:
                condition = (
                    f"regexp_matches({column}, '^([a-z]+:)?[+0-9 ().-]+$') "
                    f"and {DIGITS.format(column)} = $key"
                )
            found.update(
                self._values(
                    f"select distinct {column} from raw.{table} where {condition}",
                    key=email or number,
                )
            )
        return found

    # -- closures

    def merged(self, seeds: set[str]) -> set[str]:
        """All contacts merged with the seeds, in whatever direction, as the newest rows say."""
        links = self.con.execute(
            "select contact_id, max_by(merged_into, _row_id) from raw.contacts "
            "where contact_id is not null group by contact_id "
            "having max_by(merged_into, _row_id) is not null"
        ).fetchall()
        neighbours: dict[str, set[str]] = {}
        for one, other in links:
            neighbours.setdefault(one, set()).add(other)
            neighbours.setdefault(other, set()).add(one)
        found, queue = set(seeds), list(seeds)
        while queue:
            for other in neighbours.get(queue.pop(), set()) - found:
                found.add(other)
                queue.append(other)
        return found

    def users_of(self, visitors: set[str]) -> set[str]:
        """Contacts with a conversation under one of the visitor ids."""
        found = self._values(
            "select distinct contact_id from raw.conversations "
            "where visitor_id in (select unnest($visitors)) and contact_id is not null",
            visitors=list(visitors),
        )
        return set(found)

    def visitors_of(self, contacts: set[str]) -> set[str]:
        """Visitor ids of the contacts' conversations."""
        found = self._values(
            "select distinct visitor_id from raw.conversations "
            "where contact_id in (select unnest($contacts)) and visitor_id is not null",
            contacts=list(contacts),
        )
        return set(found)

    def conversations(self, contacts: set[str], visitors: set[str]) -> set[str]:
        """Conversations of the contacts, and anonymous ones that lead to them."""
        linked = " union ".join(
            f"select conversation_id from raw.{table} where contact_id in (select unnest($c))"
            for table in ("leads", "meetings", "tickets")
        )
        found = self._values(
            "select distinct conversation_id from raw.conversations where contact_id in "
            "(select unnest($c)) or contact_id is null and (visitor_id in (select unnest($v)) "
            f"or conversation_id in ({linked}))",
            c=list(contacts),
            v=list(visitors),
        )
        return set(found)

    def addresses(self, contacts: set[str], conversations: set[str]) -> None:
        """Collect names, addresses and numbers nobody else has."""
        rows = self.con.execute(
            "select name, email, phone from raw.contacts "
            "where contact_id in (select unnest($contacts))",
            {"contacts": list(contacts)},
        ).fetchall()
        answers = self._values(
            "select value from raw.answers where conversation_id in (select unnest($c)) "
            "and value is not null",
            c=list(conversations),
        )
        person = self.person
        person.names |= {name.strip() for name, _, _ in rows if name and name.strip()}
        emails = {email_key(email) for _, email, _ in rows if email and "@" in email}
        emails |= {email_key(email) for value in answers for email in personal_data.emails(value)}
        phones = {phone_key(phone) for _, _, phone in rows if phone}
        phones |= {
            phone_key(value)
            for value in answers
            if {"phone_international", "mobile_cn"} & set(personal_data.find(value))
            and not any(character.isalpha() for character in value)
        }
        others = "from raw.contacts where contact_id not in (select unnest($contacts))"
        ours = {"contacts": list(contacts)}
        person.emails |= emails - set(self._values(f"select lower(trim(email)) {others}", **ours))
        person.phones |= {phone for phone in phones if len(phone) >= 7} - set(
            self._values(f"select {DIGITS.format('phone')} {others}", **ours)
        )

    def find(self, wanted: str) -> Person:
        """See `find_person`."""
        person = self.person
        contacts, visitors = self.seeds(wanted)
        if not contacts and visitors:
            users = self.users_of(visitors)
            if users and self.merged({next(iter(users))}) < users:
                raise PersonError(
                    "Several contacts used this visitor id; name one of them by contact id, "
                    "e-mail address or telephone number."
                )
            contacts = users
        contacts = self.merged(contacts)
        visitors |= self.visitors_of(contacts)
        shared = {one for one in visitors if self.users_of({one}) - contacts}
        own = visitors - shared
        conversations = self.conversations(contacts, own)
        anonymous = self._values(
            "select distinct visitor_id from raw.conversations where contact_id is null and "
            "conversation_id in (select unnest($c)) and visitor_id is not null",
            c=list(conversations),
        )
        own |= {one for one in anonymous if not self.users_of({one}) - contacts}
        conversations |= self.conversations(contacts, own)
        self.addresses(contacts, conversations)
        person.contacts = {name: new_name() for name in sorted(contacts)}
        person.visitors = {name: new_name(name) for name in sorted(own)}
        person.shared_visitors = {name: new_name(name) for name in sorted(shared)}
        person.conversations = {name: name for name in sorted(conversations)}
        self._rename_conversations()
        set_names(self.con, person)
        for table in self.tables.values():
            relation = f"raw.{name_sql(table.raw_name)}"
            for name in telling_ids(self.con, relation, table, person):
                person.ids.setdefault(name, new_name())
        return person

    def _rename_conversations(self) -> None:
        """Give conversations whose id tells a new one, other people's with an address too."""
        person = self.person
        for name in person.conversations:
            if person.tells(name):
                person.conversations[name] = new_name()


def find_person(con: duckdb.DuckDBPyConnection, tables: Mapping[str, Table], wanted: str) -> Person:
    """Everything in the schema `raw` that leads to the person `wanted` names.

    Args:
        con: a connection to the warehouse.
        tables: the landing contract.
        wanted: a contact id, visitor id, e-mail address or telephone number.

    Returns:
        The person, with new names for all ids; empty when nobody is found. An address that only
        stands in texts is in it by itself.

    Raises:
        PersonError: a visitor id several contacts used.
    """
    return _Finder(con, tables).find(wanted.strip())
