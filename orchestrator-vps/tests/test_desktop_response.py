from __future__ import annotations

import pytest
from orchestrator_core.errors import InvalidRequest, TierLost, TierUnreachable
from orchestrator_relay.errors import AnswerLost, HeadTooLarge, RelayError, RequestNotSent
from orchestrator_vps.desktop_response import DesktopResponse, translated


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (HeadTooLarge("too large"), InvalidRequest),
        (RequestNotSent("too many", code="tier_busy"), TierUnreachable),
        (AnswerLost("too late", code="tier_timeout"), TierLost),
    ],
)
def test_an_error_of_the_wire_keeps_its_words_and_its_code_in_the_house(wire: RelayError, kind: type):
    with pytest.raises(kind) as caught, translated():
        raise wire
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.code) == (wire.message, wire.code)


def test_an_answer_that_breaks_off_is_a_lost_tier():
    class Stream:
        def chunks(self):
            yield b"begun"
            raise AnswerLost("gone")

    chunks = DesktopResponse(Stream()).chunks()
    assert next(chunks) == b"begun"
    with pytest.raises(TierLost, match="gone"):
        next(chunks)
