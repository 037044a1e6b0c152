"""What `pyproject.toml` cannot say: some files are kept once, where people look for them, and
are copied into the installed package. Editable installs read the originals."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

COPIED = {
    "shared_context/starters": ("shared-context", "*_*.md"),
    "fine_tuning/builtin": ("fine-tuning/builtin", "orchestrator-tiny.*"),
}
"""Folder in the package to where its files come from."""


class BuildWithCopies(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for package, (folder, pattern) in COPIED.items():
                self._copy(Path(self.build_lib, package), sorted(Path(folder).glob(pattern)))

    def _copy(self, target: Path, files: list[Path]) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            self.copy_file(str(file), str(target / file.name))


setup(cmdclass={"build_py": BuildWithCopies})
