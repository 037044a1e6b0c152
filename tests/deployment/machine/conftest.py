"""One booted Debian for all files of this folder: its story, told in order.

It boots once. First deploy_vps.sh is asked for what cannot work, on a machine on which nothing was installed;
then it installs, and what it installed lives through upgrades to its removal; last comes the desktop.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.container import Container
from support.debian_machine import debian_machine
from support.vps_machine import BUILD_S, INSTALL, ask

FOLDER = Path(__file__).parent
STORY = (
    *("refusals", "killed_apt", "installation", "front", "running", "releases", "interrupted", "backups"),
    *("removal", "own_proxy", "domain", "desktop"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of this folder in the order of the story; what else is collected stays where it is."""
    places = [place for place, item in enumerate(items) if item.path.parent == FOLDER]
    chapters = [f"test_{name}" for name in STORY]
    told = sorted((items[place] for place in places), key=lambda item: chapters.index(item.path.stem))
    for place, item in zip(places, told, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def bare(tmp_path_factory) -> Iterator[Container]:
    """The machine, before anything is installed on it."""
    with debian_machine(tmp_path_factory.mktemp("machine")) as container:
        yield container


@pytest.fixture(scope="session")
def vps(bare) -> Container:
    """The machine, once deploy_vps.sh has run on it."""
    bare.report = bare.output(INSTALL, BUILD_S)
    return bare


@pytest.fixture(scope="session")
def remembered(vps) -> str:
    """Words that were said to this VPS, and are not lost from then on."""
    words = "Remember the blue door."
    ask(vps, words)
    return words
