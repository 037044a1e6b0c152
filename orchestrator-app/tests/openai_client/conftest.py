import openai
import pytest
from support.desktop import listening
from support.openai_calls import KEY
from support.scripted import Reply, ScriptedBackend


@pytest.fixture
def serve(tmp_path):
    """Starts a server that gives these replies; returns a client, its backend and the server."""
    running = []

    def start(*replies, **options):
        backend = ScriptedBackend(replies, otherwise=Reply(text="More."), **options)
        context = listening(tmp_path, backend, api_key=KEY)
        running.append((context, context.__enter__()))
        server = running[-1][1]
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
        running[-1] += (client,)
        return client, backend, server

    yield start
    for context, _, client in running:
        client.close()
        context.__exit__(None, None, None)
