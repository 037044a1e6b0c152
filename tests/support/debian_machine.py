"""A booted Debian with a copy of this repository in root's home, and this project's packages beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.container import Container
from support.debian_image import NoImage, image, unpack
from support.source_copy import copy_source

SOURCE = "/root/orchestrator"
WHEELS = "/wheelhouse"


@contextmanager
def debian_machine(folder: Path) -> Iterator[Container]:
    """Booted for the length of the block.

    Where no container can boot, the test is skipped on a person's machine, and fails in CI.
    """
    root = folder / "root"
    with _explained():
        debian = image()
    unpack(debian.archive, root)
    copy_source(root / SOURCE.lstrip("/"))
    with _explained():
        container = Container(root, {debian.wheels: WHEELS})
        container.__enter__()
    try:
        yield container
    finally:
        container.__exit__(None, None, None)
        shutil.rmtree(root)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except NoImage as reason:
        if os.environ.get("CI"):
            pytest.fail(f"CI must boot a container, but {reason}")
        pytest.skip(f"{reason}; CI, where it must boot, would fail here")
