"""Times a question speaks of: months, years, dates, "last week"."""

from __future__ import annotations

import re
from calendar import monthrange
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = re.compile(
    r"\b(?:(\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?)?(" + "|".join(MONTHS) + r")\b"
    r"(?:\s+(\d{1,2})(?:st|nd|rd|th)?\b(?!\d))?(?:,?\s+(?:of\s+)?(\d{4}))?",
    re.IGNORECASE,
)
_ISO = re.compile(r"\b(\d{4})-(\d\d)(?:-(\d\d))?(?!\d)")
_YEAR = re.compile(r"\b(?:in|of|during|since|year)\s+((?:19|20)\d\d)\b", re.IGNORECASE)
_RELATIVE = re.compile(r"\b(yesterday|today|(?:last|this|past) (?:week|month|year))\b", re.IGNORECASE)
_SEASON = re.compile(
    r"\b(?:in|last|this|of|during)(?: the)? (spring|summer|autumn|fall|winter)\b", re.IGNORECASE
)
_SEASONS = {"spring": (3, 5), "summer": (6, 8), "autumn": (9, 11), "fall": (9, 11), "winter": (12, 2)}


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, inclusive, as ISO dates; without a year, `month_day` pairs.

    Args:
        yearless: the same days of any year are meant.
    """

    first: str
    last: str
    yearless: bool = False

    def holds(self, at: str) -> bool:
        """Whether an ISO 8601 time lies in it."""
        if not self.yearless:
            return self.first <= at[:10] <= self.last
        day = at[5:10]
        if self.first <= self.last:
            return self.first <= day <= self.last
        return bool(day) and (day >= self.first or day <= self.last)


def periods_in(text: str, asked_at: str = "") -> tuple[Period, ...]:
    """All times named in the text; "last week" only when `asked_at` says from when."""
    periods: list[Period] = []
    rest = text
    for match in _ISO.finditer(text):
        year, month, day = (int(part) if part else 0 for part in match.groups())
        periods += _days(year, month, day)
        rest = rest.replace(match.group(), " ")
    for match in _MONTH.finditer(rest):
        before, name, after, spelled_year = match.groups()
        if name in ("may", "march"):  # the verbs; the months have a capital
            continue
        month, day = MONTHS.index(name.lower()) + 1, int(before or after or 0)
        periods += _days(int(spelled_year or 0), month, day)
    if not periods:
        periods += [
            Period(f"{match.group(1)}-01-01", f"{match.group(1)}-12-31") for match in _YEAR.finditer(rest)
        ]
        periods += [_season(match.group(1).lower()) for match in _SEASON.finditer(rest)]
    periods += _relative(rest, asked_at)
    return tuple(periods)


def day_in(text: str) -> str:
    """The first full date in a text as an ISO date, or "": `8 May, 2023` is `2023-05-08`."""
    for period in periods_in(text):
        if not period.yearless and period.first == period.last:
            return period.first
    return ""


def _days(year: int, month: int, day: int) -> list[Period]:
    """One day, or the whole month when `day` is 0; any year when `year` is 0."""
    if not 1 <= month <= 12 or not 0 <= year <= 9999:
        return []
    last = monthrange(year or 2024, month)[1]
    if day > last:
        return []
    first_day, last_day = (day, day) if day else (1, last)
    if not year:
        return [Period(f"{month:02}-{first_day:02}", f"{month:02}-{last_day:02}", yearless=True)]
    return [Period(f"{year:04}-{month:02}-{first_day:02}", f"{year:04}-{month:02}-{last_day:02}")]


def _season(name: str) -> Period:
    first, last = _SEASONS[name]
    return Period(f"{first:02}-01", f"{last:02}-{monthrange(2024, last)[1]:02}", yearless=True)


def _relative(text: str, asked_at: str) -> list[Period]:
    try:
        today = date.fromisoformat(asked_at[:10])
    except ValueError:
        return []
    periods = []
    for match in _RELATIVE.finditer(text):
        with suppress(ValueError, OverflowError):  # before the first day of the calendar
            periods.append(_period_of(" ".join(match.group(1).lower().split()), today))
    return periods


def _period_of(words: str, today: date) -> Period:
    day = timedelta(days=1)
    if words == "today":
        return Period(str(today), str(today))
    if words == "yesterday":
        return Period(str(today - day), str(today - day))
    which, unit = words.split()
    if unit == "week":
        monday = today - today.weekday() * day
        return (
            Period(str(monday), str(today))
            if which == "this"
            else Period(str(today - 13 * day), str(today - day))
        )
    if unit == "month":
        first = today.replace(day=1)
        if which == "this":
            return Period(str(first), str(today))
        before = first - day
        return Period(str(before.replace(day=1)), str(before))
    year = today.year - (which != "this")
    return Period(f"{year:04}-01-01", f"{year:04}-12-31")
