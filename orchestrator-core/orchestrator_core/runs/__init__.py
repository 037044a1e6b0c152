"""Runs: answers being produced, which outlive the requests that asked for them.

`manager.RunManager` starts, finds and recovers them; `run.Run` is one of them, to be watched
from any offset and stopped from anywhere. Knows nothing of conversations, prompts or HTTP.
"""
