"""Ids and timestamps, the same everywhere in the memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import uuid6

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def new_id() -> str:
    """A UUIDv7: unique everywhere, sorts by the time it was made."""
    return str(uuid6.uuid7())


def now() -> str:
    """The time in UTC as ISO 8601 with microseconds: of fixed width, so text order is time order."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_FORMAT)


def just_after(stamp: str) -> str:
    """The next representable moment."""
    return after(stamp, timedelta(microseconds=1))


def after(stamp: str, span: timedelta) -> str:
    """The moment `span` later."""
    return timestamp(datetime.strptime(stamp, _FORMAT).replace(tzinfo=UTC) + span)


def in_utc(text: str) -> str:
    """Any ISO 8601 time in this package's form; a time without zone is taken as UTC.

    Raises:
        ValueError: it is no time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return timestamp(moment)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error


def ago(*, days: float) -> str:
    """The moment so many days before now."""
    return timestamp(datetime.now(UTC) - timedelta(days=days))
