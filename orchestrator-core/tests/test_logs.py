"""Where log lines go."""

import logging

import pytest
from orchestrator_core.errors import ConfigurationError
from orchestrator_core.logs import FILE_NAME, configure_logging, stop_logging
from orchestrator_core.settings import LogSettings

log = logging.getLogger("orchestrator.test")


@pytest.fixture(autouse=True)
def clean():
    level = logging.getLogger().level
    yield
    stop_logging()
    logging.getLogger().setLevel(level)


def test_lines_go_to_the_data_folder_and_the_console(tmp_path, capsys):
    configure_logging(LogSettings(), tmp_path / "data")
    log.info("Hello 🦜")
    log.debug("not wanted")
    stop_logging()
    text = (tmp_path / "data" / FILE_NAME).read_text("utf-8")
    assert "INFO" in text and "Hello 🦜" in text and "not wanted" not in text
    assert "Hello 🦜" in capsys.readouterr().err


def test_the_level_decides(tmp_path):
    configure_logging(LogSettings(level="ERROR"), tmp_path, console=False)
    log.warning("quiet")
    log.error("loud")
    assert "quiet" not in (tmp_path / FILE_NAME).read_text() and "loud" in (tmp_path / FILE_NAME).read_text()


def test_the_file_rotates_and_old_ones_go(tmp_path):
    configure_logging(LogSettings(max_bytes=10_000, backups=2), tmp_path, console=False)
    for number in range(1000):
        log.info("line %d %s", number, "x" * 100)
    stop_logging()
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == [FILE_NAME, f"{FILE_NAME}.1", f"{FILE_NAME}.2"]
    assert all(file.stat().st_size <= 10_000 for file in tmp_path.iterdir())


def test_configuring_twice_writes_each_line_once(tmp_path):
    configure_logging(LogSettings(), tmp_path, console=False)
    configure_logging(LogSettings(), tmp_path, console=False)
    log.info("once")
    assert (tmp_path / FILE_NAME).read_text().count("once") == 1


def test_a_file_that_cannot_be_written_is_told_in_words(tmp_path):
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(ConfigurationError) as caught:
        configure_logging(LogSettings(), tmp_path / "data", console=False)
    assert "orchestrator.log" in caught.value.message and "--data" in caught.value.hint


def test_a_full_disk_is_said_once_and_not_with_every_line(tmp_path, capsys):
    (tmp_path / FILE_NAME).symlink_to("/dev/full")
    configure_logging(LogSettings(), tmp_path, console=False)
    for number in range(50):
        log.warning("line %d", number)
    said = capsys.readouterr().err
    assert said.count("cannot be written: No space left on device") == 1
    assert "Traceback" not in said
