import pytest
from orchestrator_core.backends.scripted import Reply, ScriptedBackend
from support.desktop import desk


@pytest.fixture
def here(tmp_path):
    """The desktop's app with a few replies."""
    backend = ScriptedBackend(["Hello 🦜 there.", "Second."], otherwise=Reply(text="More."))
    with desk(tmp_path, backend) as found:
        yield found
