"""The desktop's answer to a relayed request, with the wire's errors in this house's words.

The one place where errors of `orchestrator_relay` become `TierUnreachable` and `TierLost`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from orchestrator_core.errors import InvalidRequest, TierLost, TierUnreachable
from orchestrator_core.tiers.remote import RemoteResponse
from orchestrator_relay.client_stream import RelayStream
from orchestrator_relay.errors import AnswerLost, HeadTooLarge, RequestNotSent


@contextmanager
def translated() -> Iterator[None]:
    """
    Raises:
        InvalidRequest: the request's head is too large.
        TierUnreachable: it was not sent; nothing happened there.
        TierLost: it was sent, and its answer was lost.
    """
    try:
        yield
    except HeadTooLarge as error:
        raise InvalidRequest(error.message, code=error.code) from None
    except RequestNotSent as error:
        raise TierUnreachable(error.message, code=error.code) from None
    except AnswerLost as error:
        raise TierLost(error.message, code=error.code) from None


class DesktopResponse(RemoteResponse):
    """

    Args:
        stream: its head has come.
    """

    def __init__(self, stream: RelayStream) -> None:
        self._stream = stream

    @property
    def status(self) -> int:
        return self._stream.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._stream.headers

    @property
    def header_list(self) -> tuple[tuple[str, str], ...]:
        """As they came; a name may be there several times."""
        return self._stream.header_list

    def chunks(self) -> Iterator[bytes]:
        """
        Raises:
            TierLost: the desktop was lost, or its answer broke off, before the end.
        """
        with translated():
            yield from self._stream.chunks()

    def close(self) -> None:
        self._stream.close()
