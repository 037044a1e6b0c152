"""A booted Debian with a copy of this repository in root's home, and this project's packages beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.container import Container
from support.debian_image import ROOT, NoImage, image, unpack

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


def copy_source(target: Path) -> None:
    """What somebody who cloned the repository has, and what is about to be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    there = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    target.mkdir()
    subprocess.run(
        f"tar -C {ROOT} --null -T - -cf - | tar -C {target} -xf -",
        shell=True, input="\0".join(there), text=True, check=True,
    )  # fmt: skip


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except NoImage as reason:
        if os.environ.get("CI"):
            pytest.fail(f"CI must boot a container, but {reason}")
        pytest.skip(f"{reason}; CI, where it must boot, would fail here")
