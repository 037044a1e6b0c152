"""What every test can rely on, wherever it was started from."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and their children inherit that: tests that press it would wait.
    signal.signal(signal.SIGINT, signal.default_int_handler)
