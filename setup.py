"""What `pyproject.toml` cannot say: the starter documents are kept once, in `shared-context/`,
where people see them, and are copied into the installed package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithStarters(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "shared_context", "starters")
            target.mkdir(parents=True, exist_ok=True)
            for starter in sorted(Path("shared-context").glob("*_*.md")):
                self.copy_file(str(starter), str(target / starter.name))


setup(cmdclass={"build_py": BuildWithStarters})
