"""What every test can rely on, wherever it was started from."""

import signal

from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and their children inherit that: tests that press it would wait.
    signal.signal(signal.SIGINT, signal.default_int_handler)
