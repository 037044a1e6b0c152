"""One version of a model as it lies on the disk: a folder with its files and a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.errors import InvalidRequest, ModelUnusable
from orchestrator_core.models.files import Progress, nothing, sha256_of
from orchestrator_core.models.manifest import MANIFEST_FILE, ModelManifest, parse_manifest


@dataclass(frozen=True, slots=True)
class Version:
    """One version and where it lies."""

    manifest: ModelManifest
    folder: Path

    @property
    def reference(self) -> str:
        return self.manifest.reference

    @property
    def evaluations(self) -> Path:
        """Folder of results that were kept of this version; not part of it."""
        return self.folder / "evaluations"

    @property
    def path(self) -> Path:
        """What a backend loads: a GGUF file or the folder."""
        main = self.manifest.main_file
        return self.folder if main is None else self.folder / main

    @property
    def age(self) -> tuple[int, str]:
        """Sorts the newest first."""
        number = self.manifest.version
        return (-int(number) if number.isdecimal() and len(number) < 18 else 0, number)

    def verify(self, progress: Progress = nothing) -> None:
        """Whether all files are what the manifest says.

        Raises:
            ModelUnusable: one is missing or has changed.
        """
        for name, file in self.manifest.files.items():
            path = self.folder / name
            if not path.is_file():
                problem = "is missing"
            elif path.stat().st_size != file.size:
                problem = f"has {path.stat().st_size} bytes instead of {file.size}"
            elif sha256_of(path, progress) != file.sha256:
                problem = "is not what its hash says"
            else:
                continue
            raise ModelUnusable(
                f"{name} of {self.reference} {problem}.", code="model_damaged",
                hint=f"Remove it and add it again: `orchestrator models remove {self.reference}`",
            )  # fmt: skip


def read_version(folder: Path) -> Version | None:
    """None: there is no manifest, or a damaged one."""
    try:
        return Version(parse_manifest((folder / MANIFEST_FILE).read_bytes()), folder)
    except (OSError, InvalidRequest):
        return None
