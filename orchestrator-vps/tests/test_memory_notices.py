"""What a desktop was told of the memory and has answered."""

import threading

from orchestrator_relay.errors import SocketClosed
from orchestrator_vps.memory_notices import MAX_UNANSWERED, MemoryNotices


def test_one_answer_answers_all_notices_before_it():
    sent = []
    notices = MemoryNotices(sent.append)
    assert not notices.begun
    numbers = [notices.tell(digest) for digest in ("a", "b", "b", "c")]
    assert (sent, numbers, notices.begun) == (["a", "b", "c"], [1, 2, 2, 3], True)
    notices.answered("c")
    assert notices.settle("c", 0)
    assert not notices.settle("d", 0) and sent[-1] == "d"


def test_who_waits_is_woken_by_the_answer_and_by_the_end():
    notices = MemoryNotices(lambda digest: threading.Thread(target=notices.answered, args=(digest,)).start())
    assert notices.settle("a", 30)
    ending = MemoryNotices(lambda digest: threading.Thread(target=ending.end).start())
    assert not ending.settle("a", 30)


def test_a_state_that_was_not_taken_in_is_waited_for_once():
    sent = []
    notices = MemoryNotices(sent.append)
    notices.catch_up("a", 0)
    notices.tell("b")
    notices.catch_up("a", 30)
    assert sent == ["a", "b"]


def test_a_desktop_that_never_answers_or_has_gone_fills_nothing():
    def closed(digest):
        raise SocketClosed("It is closed.")

    notices = MemoryNotices(closed)
    for number in range(MAX_UNANSWERED + 50):
        assert notices.tell(str(number)) == number + 1
    notices.answered("0")
    assert not notices.settle("0x", 0), "that notice was let go"
