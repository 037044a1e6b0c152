import pytest
from support.desktop import listening
from support.openai_calls import KEY
from support.scripted import Reply, ScriptedBackend


@pytest.fixture
def serve(tmp_path):
    """Starts a server with a key that gives these replies; its backend and the server."""
    running = []

    def start(*replies, **options):
        backend = ScriptedBackend(replies, otherwise=Reply(text="More."), **options)
        context = listening(tmp_path, backend, api_key=KEY)
        running.append(context)
        return backend, context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)
