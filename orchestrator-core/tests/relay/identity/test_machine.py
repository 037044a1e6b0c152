from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_relay.errors import IdentityUnusable, InvalidIdentity
from orchestrator_relay.identity.machine import FILE, Identity, PublicIdentity

LOAD = """
import sys; from pathlib import Path
from orchestrator_relay.identity.machine import Identity
sys.stdin.readline()
print(Identity.load_or_create(Path(sys.argv[1])).public.text())
"""


def test_the_same_keys_come_back_and_nobody_else_may_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    made = Identity.load_or_create(folder)
    assert Identity.load_or_create(folder).public == made.public
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_processes_that_start_at_once_have_one_identity(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
    printed = {child.communicate()[0] for child in children}
    assert len(printed) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"signing": 1}', b"\xff", b'"x"', b"[" * 5000]
)
def test_a_damaged_file_is_told_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(IdentityUnusable, match=FILE):
        Identity.load_or_create(tmp_path)
    assert path.read_bytes() == content


def test_half_a_key_is_a_damaged_file(tmp_path: Path) -> None:
    Identity.load_or_create(tmp_path)
    content = json.loads((tmp_path / FILE).read_text())
    content["sealing"] = content["sealing"][:20]
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(IdentityUnusable, match="damaged") as raised:
        Identity.load_or_create(tmp_path)
    assert content["signing"] not in str(raised.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_may_read_is_refused_with_the_command_that_helps(
    tmp_path: Path, mode: int
) -> None:
    Identity.load_or_create(tmp_path)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(IdentityUnusable) as raised:
        Identity.load_or_create(tmp_path)
    assert "chmod 600" in str(raised.value.hint)


def test_no_secret_can_be_seen_or_copied() -> None:
    identity = Identity.create()
    assert repr(identity) == f"Identity({identity.id})"
    for take in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            take(identity)


def test_an_id_is_of_the_signing_key_and_of_an_unambiguous_alphabet() -> None:
    one, other = Identity.create().public, Identity.create().public
    assert len(one.id) == 32
    assert not set(one.id) - set("abcdefghijklmnopqrstuvwxyz234567")
    assert PublicIdentity(one.signing, other.sealing).id == one.id != other.id
    assert PublicIdentity.parse(one.text()) == one


@given(st.text(max_size=100))
def test_any_text_is_an_identity_or_an_error_that_does_not_repeat_it(text: str) -> None:
    try:
        assert PublicIdentity.parse(text).text() == text
    except InvalidIdentity as error:
        assert len(text) < 10 or text not in str(error)
