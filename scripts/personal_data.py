"""What personal data looks like: addresses and numbers that lead to a person, as patterns.

Known are e-mail addresses, international telephone numbers, Chinese mobile numbers, Chinese
identity numbers (18 digits, checksum) and payment cards (issuer's prefix, Luhn's checksum). A
number must stand alone, so the 64 hexadecimal digits of a person id are none, whatever is in them.
Names cannot be known by a pattern.
"""

from __future__ import annotations

import re

EMAIL = r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z][A-Za-z0-9-]+"
INTERNATIONAL_PHONE = r"(?<![0-9A-Za-z])\+[1-9](?:[ ().-]{0,2}[0-9]){7,14}(?![0-9A-Za-z])"
CHINESE_MOBILE = r"(?<![0-9A-Za-z])1[3-9][0-9](?:[ -]?[0-9]{4}){2}(?![0-9A-Za-z])"
CHINESE_ID = (
    r"(?<![0-9A-Za-z])[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])"
    r"(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx](?![0-9A-Za-z])"
)
PAYMENT_CARD = r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])"

# Issuers: Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay.
CARD_ISSUERS = (
    r"4|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|3[47]|30[0-5]|3[689]|6011|64[4-9]|65|35|62"
)

# A cheap test in any engine that every value with one of the patterns passes, and few others.
CANDIDATE = r"@|[0-9](?:[ ().-]{0,2}[0-9]){7}"
CANDIDATE_IN_ID = r"@|\+"

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"

_EMAIL = re.compile(EMAIL)
_PHONE = re.compile(INTERNATIONAL_PHONE)
_MOBILE = re.compile(CHINESE_MOBILE)
_IDENTITY = re.compile(CHINESE_ID)
_CARD = re.compile(PAYMENT_CARD)
_ISSUER = re.compile(CARD_ISSUERS)


def is_chinese_id(digits: str) -> bool:
    """Whether 18 characters carry the checksum of a Chinese identity number (GB 11643)."""
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, digits[:17], strict=True))
    return _ID_CHECKS[total % 11] == digits[17].upper()


def is_payment_card(digits: str) -> bool:
    """Whether 13 to 19 digits begin like a card's and pass Luhn's checksum (ISO/IEC 7812)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0 and _ISSUER.match(digits) is not None


def holds_personal_data(text: str, *, is_id: bool = False) -> bool:
    """Whether a text holds one of the patterns.

    Args:
        text: any text.
        is_id: the text is an identifier; long numbers are usual there, so that only e-mail
            addresses and international telephone numbers count.
    """
    if _EMAIL.search(text) or _PHONE.search(text):
        return True
    if is_id:
        return False
    return (
        _MOBILE.search(text) is not None
        or any(is_chinese_id(found.group()) for found in _IDENTITY.finditer(text))
        or any(
            is_payment_card(re.sub(r"[ -]", "", found.group())) for found in _CARD.finditer(text)
        )
    )
