"""What personal data looks like in text, and masks that keep its form: `138****5678`.

The same in SQL is macros/engine/mask.sql; tests/python/test_privacy.py compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:[.][A-Za-z0-9-]+)+"
PHONE_INTERNATIONAL = r"[+][1-9](?:[ ().-]{0,2}[0-9]){6,14}"
MOBILE_CN = r"1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}"
ID_CARD_CN = (
    r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    r"[0-9]{3}[0-9Xx]"
)
PAYMENT_CARD = (
    r"(?:(?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|3[0568][0-9]{2}|6[0-9]{3})"
    r"[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}|3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5})"
)

# A cheap test in any engine that every value with one of the patterns passes, and few others.
CANDIDATE = r"@|[0-9](?:[ ().-]{0,2}[0-9]){6}"
MARKS_IN_ID = ("@", "+")  # one of which stands in what counts as personal in an id

_BEFORE, _AFTER = r"(?<![0-9])", r"(?![0-9])"
_EMAIL = re.compile(EMAIL)
_PHONE = re.compile(PHONE_INTERNATIONAL)
_MOBILE = re.compile(_BEFORE + MOBILE_CN + _AFTER)
_ID_CARD = re.compile(_BEFORE + ID_CARD_CN + _AFTER)
_CARD = re.compile(_BEFORE + PAYMENT_CARD + _AFTER)
_CANDIDATE = re.compile(CANDIDATE)

_ID_CARD_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CARD_DIGITS = "10X98765432"

_ID_CARD_MASK = re.compile(_BEFORE + r"([0-9]{6})[0-9]{8}([0-9]{3}[0-9Xx])" + _AFTER)
_CARD_MASK = re.compile(
    _BEFORE + r"([2-6][0-9]{3})[ -]?(?:[0-9]{4,6}[ -]?){1,2}[0-9]{0,3}([0-9]{4})" + _AFTER
)
_MOBILE_MASK = re.compile(_BEFORE + r"(1[3-9][0-9])[ -]?[0-9]{4}[ -]?([0-9]{4})" + _AFTER)
_PHONE_MASK = re.compile(r"([+][1-9][0-9]{0,2})(?:[ ().-]{0,2}[0-9]){2,10}([ ().-]{0,2}[0-9]{4})")


def digits(text: str) -> str:
    """The digits of a text."""
    return re.sub(r"[^0-9]", "", text)


def is_id_card_cn(number: str) -> bool:
    """Whether the last of 18 characters is the checksum of the others (GB 11643)."""
    total = sum(
        int(digit) * weight for digit, weight in zip(number[:17], _ID_CARD_WEIGHTS, strict=True)
    )
    return number[17].upper() == _ID_CARD_DIGITS[total % 11]


def is_luhn(number: str) -> bool:
    """Whether a number, digits only, passes the check of payment cards (ISO/IEC 7812)."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        double = int(digit) * (1 + place % 2)
        total += double - 9 * (double > 9)
    return total % 10 == 0


def emails(text: str) -> Iterator[str]:
    """E-mail addresses as they stand in a text."""
    return (match.group() for match in _EMAIL.finditer(text))


def phones_international(text: str) -> Iterator[str]:
    """Telephone numbers with a plus sign and country code, as they stand in a text."""
    return (match.group() for match in _PHONE.finditer(text))


def mobiles_cn(text: str) -> Iterator[str]:
    """Chinese mobile numbers without a country code, as they stand in a text."""
    return (match.group() for match in _MOBILE.finditer(text))


def id_cards_cn(text: str) -> Iterator[str]:
    """Numbers of Chinese identity cards, checksum right."""
    return (match.group() for match in _ID_CARD.finditer(text) if is_id_card_cn(match.group()))


def payment_cards(text: str) -> Iterator[str]:
    """Numbers of payment cards by an issuer's first digits, checksum right."""
    return (match.group() for match in _CARD.finditer(text) if is_luhn(digits(match.group())))


KINDS = {
    "email": emails,
    "phone_international": phones_international,
    "mobile_cn": mobiles_cn,
    "id_card_cn": id_cards_cn,
    "payment_card": payment_cards,
}


def find(text: str) -> list[str]:
    """The kinds of personal data a text holds, none twice."""
    if not _CANDIDATE.search(text):
        return []
    return [kind for kind, matches in KINDS.items() if any(matches(text))]


def holds_personal_data(text: str, *, is_id: bool = False) -> bool:
    """Whether a text holds personal data that `find` knows.

    Args:
        text: any text.
        is_id: the text is an identifier; long numbers are usual there, so that only e-mail
            addresses and international telephone numbers count.
    """
    kinds = find(text)
    return bool({"email", "phone_international"} & set(kinds) if is_id else kinds)


def mask(text: str) -> str:
    """The text with what `find` knows masked; a masked text stays as it is."""
    if not _CANDIDATE.search(text):
        return text
    if any(id_cards_cn(text)) or any(payment_cards(text)):
        text = _ID_CARD_MASK.sub(r"\1********\2", text)
        text = _CARD_MASK.sub(r"\1********\2", text)
    text = _MOBILE_MASK.sub(r"\1****\2", text)
    text = _PHONE_MASK.sub(r"\1****\2", text)
    return _EMAIL.sub("***@***", text)
