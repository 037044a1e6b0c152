"""Scripts named in the settings: words or a file."""

from pathlib import Path

import pytest
from orchestrator_core.errors import ConfigurationError, ContextLengthExceeded, ModelNotFound
from orchestrator_core.settings import Settings
from support.generations import said
from support.scripted import BACKEND, ScriptedBackend
from support.scripted_answers import ASK, asking, config, until_error


def scripted(path: str, **model: object) -> ScriptedBackend:
    return ScriptedBackend.from_settings(
        Settings.model_validate({"model": {"backend": BACKEND, "path": path, **model}})
    )


def test_echo_and_say_need_no_file() -> None:
    assert said(scripted("echo").generate(asking("hello"), config())) == "hello"
    assert said(scripted("builtin").generate(asking("hello"), config())) == "hello"
    backend = scripted("say:Always this.", context_length=128)
    assert [said(backend.generate(ASK, config())) for _ in range(2)] == ["Always this."] * 2
    assert backend.context_length == 128


def test_a_script_file_says_what_happens(tmp_path: Path) -> None:
    file = tmp_path / "play.yaml"
    file.write_text(
        """
        context_length: 100
        replies:
          - {text: "one two", crash_after: [1]}
          - {when: "too long", refuse: context_length_exceeded}
        otherwise: {text: "nothing more"}
        """
    )
    backend = scripted(str(file))
    assert (backend.describe().model, backend.context_length) == ("play", 100)
    shown, _ = until_error(backend.generate(ASK, config()))
    assert said(backend.generate(ASK, config(), continue_from=shown)) == " two"
    with pytest.raises(ContextLengthExceeded):
        backend.generate(asking("this is too long"), config())
    assert said(backend.generate(ASK, config())) == "nothing more"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("replies: [{txet: hello}]", "replies.0.txet.*Extra inputs"),
        ("replies: 5", "at replies.*given: 5"),
        ("- just\n- a list", "at the file"),
        ("a: [", "Cannot read the script"),
    ],
)
def test_a_wrong_script_is_named_with_its_fault(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "play.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        scripted(str(file))


def test_a_missing_script_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no script at .*absent\.yaml"):
        scripted(str(tmp_path / "absent.yaml"))
