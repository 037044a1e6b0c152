"""A minimal Debian for containers, made once and kept: a root folder as an archive, the packages a VPS
installs in its apt cache, and the Python packages beside it. A container made from it needs no network.

Made with debootstrap from the mirror this machine's own apt uses; for the same release.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "deployment/vps/source-requirements.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orchestrator"

BASE = ("systemd", "systemd-sysv", "dbus", "ca-certificates")
INSTALLED_LATER = (
    "certbot",
    "curl",
    "libgomp1",
    "logrotate",
    "nginx",
    "openssl",
    "python3",
    "python3-venv",
    "ufw",
)
"""What deploy_vps.sh, or a test of it, asks apt for: fetched, not installed."""

NEEDED = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}
GENTLE = ("nice", "-n", "10")


class NoImage(Exception):
    """Why there can be no container here."""


@dataclass(frozen=True)
class Image:
    archive: Path
    wheels: Path


def image() -> Image:
    """The image, made if need be (some minutes, the first time).

    Raises:
        NoImage: this machine cannot make or run one.
    """
    _check_machine()
    mirror, release = _mirror()
    folder = CACHE / "container"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{release}-{_digest(release, *BASE, *INSTALLED_LATER)}.tar"
    requirements, engine = _requirements(), engine_wheel()
    wheels = (
        folder / f"wheels-{_digest(release, engine.name, *requirements, _constraints(), SOURCES.read_text())}"
    )
    if not archive.is_file() or not wheels.is_dir():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as work:
            root = Path(work, "root")
            if archive.is_file():
                unpack(archive, root)
            else:
                _bootstrap(root, release, mirror)
                _pack(root, archive)
            if not wheels.is_dir():
                _download(root, requirements, engine, wheels)
    return Image(archive, wheels)


def unpack(archive: Path, root: Path) -> None:
    root.mkdir()
    _run(*GENTLE, "tar", "-C", root, "--numeric-owner", "-xf", archive)


def _check_machine() -> None:
    if os.name != "posix" or os.geteuid() != 0:
        raise NoImage("booting a container needs root")
    for command, package in NEEDED.items():
        if shutil.which(command) is None:
            raise NoImage(f"{command} is missing (Debian's package {package})")


def _mirror() -> tuple[str, str]:
    """Where this machine's apt gets its own release from; and the release (CONTAINER_RELEASE: another one)."""
    os_release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    release = os_release.get("VERSION_CODENAME", "").strip('"')
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listed.stdout.splitlines():
        uri, _, name = line.partition(" ")
        if release and name == release:
            return uri, os.environ.get("CONTAINER_RELEASE", release)
    raise NoImage("this machine's apt names no mirror of its own release")


def _bootstrap(root: Path, release: str, mirror: str) -> None:
    _run(*GENTLE, "debootstrap", "--variant=minbase", f"--include={','.join(BASE)}", release, root, mirror)
    for source in Path("/etc/apt/apt.conf.d").iterdir():
        if "Acquire" in source.read_text(errors="replace"):
            shutil.copy(source, root / "etc/apt/apt.conf.d")
    _inside(root, "apt-get -qq update && apt-get -qq install --download-only --no-install-recommends "
            f"--yes {' '.join(INSTALLED_LATER)}")  # fmt: skip
    # systemd writes a fresh one at each boot of a copy.
    (root / "etc/machine-id").write_text("")


def _pack(root: Path, archive: Path) -> None:
    partial = archive.with_suffix(".part")
    _run(*GENTLE, "tar", "-C", root, "--numeric-owner", "--exclude=./dev/*", "-cf", partial, ".")
    partial.replace(archive)


def _download(root: Path, requirements: list[str], engine: Path, wheels: Path) -> None:
    """Wheels for the container's own Python, with this machine's configuration of pip."""
    for config in (
        Path("/etc/pip.conf"),
        *(Path.home() / name for name in (".pip/pip.conf", ".config/pip/pip.conf")),
    ):
        if config.is_file():
            target = root / config.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(config, target)
    authorities = Path("etc/ssl/certs/ca-certificates.crt")
    shutil.copy("/" / authorities, root / authorities)
    for file in (ROOT / "constraints.txt", SOURCES):
        shutil.copy(file, root / "root")
    (root / "root/requirements.txt").write_text("\n".join(requirements))
    (root / "wheels").mkdir()
    shutil.copy(engine, root / "wheels")
    _inside(
        root,
        "apt-get -qq install --no-install-recommends --yes python3-venv && python3 -m venv /venv && "
        "/venv/bin/pip wheel --quiet --use-pep517 --wheel-dir /wheels --find-links /wheels -c /root/constraints.txt "
        "-r /root/requirements.txt && /venv/bin/pip download --quiet --use-pep517 --dest /wheels --no-deps --no-binary :all: "
        "--require-hashes -r /root/source-requirements.txt",
    )
    partial = wheels.with_name(f".{wheels.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(root / "wheels", partial)
    partial.replace(wheels)


def _inside(root: Path, command: str) -> None:
    """Run a command in the root folder, with this machine's network."""
    settings = [f"--setenv={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
    _run(
        *(*GENTLE, "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2"),
        *("--resolv-conf=copy-host", "--setenv=DEBIAN_FRONTEND=noninteractive", *settings),
        *("-D", root, "sh", "-c", command),
    )


def _requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"], "wheel"]
    for extra in ("vps", "desktop", "mcp", "gguf"):
        needed += project["project"]["optional-dependencies"][extra]
    return needed


def engine_wheel() -> Path:
    """The llama.cpp build that proved itself here, else any that was built."""
    record = ROOT / ".venv" / "engine.json"
    proved = json.loads(record.read_text())["build"] if record.is_file() else "portable"
    for pattern in (f"{proved}-*", "portable-*", "*"):
        for wheel in sorted((CACHE / "wheels").glob(f"{pattern}/llama_cpp_python-*.whl")):
            return wheel
    raise NoImage("no llama-cpp-python wheel is in the cache; `make setup-dev` builds one")


def _constraints() -> str:
    return (ROOT / "constraints.txt").read_text()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        output = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise RuntimeError(f"{' '.join(map(str, command))}\n{output}")
