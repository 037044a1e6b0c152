import pytest
from support.desktop import desk
from support.scripted import Reply, ScriptedBackend


@pytest.fixture
def here(tmp_path):
    """The desktop's app with a few replies."""
    backend = ScriptedBackend(["Hello 🦜 there.", "Second."], otherwise=Reply(text="More."))
    with desk(tmp_path, backend) as found:
        yield found
