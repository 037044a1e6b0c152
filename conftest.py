"""What every test can rely on, wherever it was started from."""

import signal
from pathlib import PurePosixPath

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

STORY = "tests/deployment/machine"
"""One machine boots for all its files."""

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and their children inherit that: tests that press it would wait.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class WholeFiles(LoadFileScheduling):
    """A process takes a file at a time, so that its fixtures are made once, and the files of a story together."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return STORY if PurePosixPath(file).parent == PurePosixPath(STORY) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WholeFiles:
    return WholeFiles(config, log)
