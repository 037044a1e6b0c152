"""The first run of deploy_vps.sh, killed while dpkg unpacks: the next one, which all other tests need, ends well."""

from support.vps_machine import BOOTED, INSTALL

pytestmark = BOOTED


def test_dpkg_is_left_half_done(bare):
    half = "dpkg-query -W -f '${db:Status-Status}\\n' | grep -qE 'unpacked|half'"
    bare.output(
        f"({INSTALL} >/dev/null 2>&1 & echo $! >/tmp/pid); until {half}; do sleep 0.05; done; "
        "kill -KILL $(cat /tmp/pid) $(grep -lx -e deploy_vps.sh -e apt-get -e dpkg /proc/[0-9]*/comm | cut -d/ -f3)"
    )
    assert bare.run(half).returncode == 0
    assert bare.run("systemctl cat orchestrator-vps").returncode != 0
