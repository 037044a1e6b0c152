import pytest
from support.vps_app import vps_app


@pytest.fixture
def vps(tmp_path):
    with vps_app(tmp_path) as found:
        yield found
