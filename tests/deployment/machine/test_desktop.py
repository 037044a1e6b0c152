"""The desktop as a service of one user: set up by deploy_local.sh, run by that user's own systemd."""

import shlex
import shutil
from collections.abc import Callable

import pytest
from support.container import Container
from support.debian_image import engine_wheel
from support.debian_machine import WHEELS
from support.source_copy import copy_source
from support.vps_machine import BOOTED, BUILD_S

pytestmark = BOOTED

HOME = "/home/ada"
PORT = 5055


@pytest.fixture
def as_ada(bare: Container) -> Callable[..., str]:
    """Runs what a person types who has logged in; she has a clone of the repository and compiled the engine."""
    bare.output("apt-get -qq install --no-install-recommends --yes curl libgomp1 python3-venv")
    # What pam_systemd does on every machine that people log in to; this one is smaller.
    bare.output(
        "mkdir -p /run/systemd/system/user@.service.d && "
        "printf '[Service]\\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\\n' "
        "> /run/systemd/system/user@.service.d/runtime.conf && systemctl daemon-reload"
    )
    bare.output("useradd --create-home --shell /bin/bash ada && loginctl enable-linger ada")
    bare.output("until test -S /run/user/$(id -u ada)/systemd/private; do sleep 0.2; done")
    home = bare.root / HOME.lstrip("/")
    copy_source(home / "orchestrator")
    cached = engine_wheel().parent
    shutil.copytree(cached, home / ".cache/orchestrator/wheels" / cached.name)
    bare.output(f"chown -R ada: {HOME}")
    engine = cached.name.partition("-")[0]

    def typed(command: str, timeout: float = 60) -> str:
        setting = f"HOME={HOME} XDG_RUNTIME_DIR=/run/user/$(id -u) ENGINE_BUILD={engine}"
        packages = f"PIP_NO_INDEX=1 PIP_FIND_LINKS={WHEELS}"
        line = f"cd {HOME}/orchestrator && export {setting} {packages}; {command}"
        return bare.output(f"runuser -u ada -- bash -c {shlex.quote(line)}", timeout)

    return typed


def test_the_unit_that_was_written_serves_now_and_after_every_boot(bare: Container, as_ada) -> None:
    healthy = f"until curl --silent --fail http://127.0.0.1:{PORT}/health; do sleep 0.2; done"
    said = as_ada(f"deployment/deploy_local.sh --yes --port {PORT}", BUILD_S)
    assert "To start it now and at every login: systemctl --user enable --now orchestrator-desktop" in said
    as_ada("systemctl --user enable --now orchestrator-desktop")
    assert '"ok"' in as_ada(healthy)
    former = as_ada("systemctl --user show -P MainPID orchestrator-desktop")
    # All that a boot does of this.
    bare.output("systemctl restart user@$(id -u ada)")
    assert '"ok"' in as_ada(healthy)
    assert as_ada("systemctl --user show -P MainPID orchestrator-desktop") != former
    as_ada("systemctl --user stop orchestrator-desktop")
    assert as_ada("systemctl --user show -P Result orchestrator-desktop") == "success"
