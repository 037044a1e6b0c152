from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fine_tuning.errors import ReleaseRefused
from fine_tuning.evaluation.evaluate import Answered, Item
from fine_tuning.evaluation.metrics import Scores
from fine_tuning.tiny.parity import Parity
from fine_tuning.tiny.release import Measured, _gate, release, spread
from fine_tuning.tiny.training import RUN_FILE, train
from support.micro_model import MICRO

GOOD = Scores(10, 0.8, 0.9, 20.0)
MEASURED = Measured(
    settings={"bare": GOOD, "server": GOOD, "documents": GOOD},
    topics={},
    wordings={},
    sampled=GOOD,
    f32=Parity(5, 0.0001, 1.0),
    q8_0=Parity(5, 0.05, 0.98),
    transcript=[],
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return path


def test_a_good_model_passes_the_gate(file):
    _gate(MEASURED, file)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settings": {"bare": GOOD, "documents": replace(GOOD, f1=0.59)}}, r"0\.590 \(documents\)"),
        ({"f32": Parity(5, 0.5, 1.0)}, "differs"),
        ({"f32": Parity(5, 0.0001, 0.9)}, "differs"),
        ({"q8_0": Parity(5, 0.05, 0.5)}, "differs"),
    ],
)
def test_a_bad_model_is_refused_with_the_number(file, changes, reason):
    with pytest.raises(ReleaseRefused, match=reason):
        _gate(replace(MEASURED, **changes), file)


def test_too_large_a_file_is_refused(file):
    with file.open("r+b") as stream:
        stream.truncate(16_000_001)
    with pytest.raises(ReleaseRefused, match="16,000,001"):
        _gate(MEASURED, file)


def test_a_transcript_is_spread_over_questions_by_hand():
    items = [Item(str(number), "", wording="written" if number % 2 else "varied") for number in range(60)]
    chosen = [int(item.question) for item in spread(items, 10)]
    assert len(chosen) == 10
    assert all(number % 2 for number in chosen)
    assert max(chosen) - min(chosen) > 40


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ReleaseRefused, match="no finished run"):
        release(tmp_path, tmp_path / "out")


def test_a_run_of_other_facts_is_refused(tmp_path):
    claim = {"recipe": MICRO.as_dict(), "dataset_sha256": "0" * 64}
    (tmp_path / RUN_FILE).write_text(json.dumps(claim), "utf-8")
    with pytest.raises(ReleaseRefused, match="facts have changed"):
        release(tmp_path, tmp_path / "out")


@pytest.mark.slow
def test_an_unfinished_or_bad_run_ships_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("fine_tuning.tiny.release.run", lambda model, items, *_, **__: wrong(items))
    train(MICRO, tmp_path / "run", stop_after=4)
    with pytest.raises(ReleaseRefused, match="not finished"):
        release(tmp_path / "run", tmp_path / "out")
    train(MICRO, tmp_path / "run")
    with pytest.raises(ReleaseRefused, match="F1 on held-out"):
        release(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def wrong(items):
    return [Answered(item, "nonsense") for item in items[:3]]


@pytest.mark.slow
def test_a_release_writes_file_metadata_and_card_that_agree(tmp_path, monkeypatch):
    right = lambda model, items, *_, **__: [Answered(item, item.truth) for item in items]  # noqa: E731
    monkeypatch.setattr("fine_tuning.tiny.release.run", right)
    monkeypatch.setattr("fine_tuning.tiny.parity.Q8_AGREEMENT", 0.0)
    train(MICRO, tmp_path / "run")
    shipped = release(tmp_path / "run", tmp_path / "out")
    about = json.loads((tmp_path / "out" / "orchestrator-tiny.json").read_text("utf-8"))
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "MODEL_CARD.md",
        "orchestrator-tiny.gguf",
        "orchestrator-tiny.json",
    ]
    assert about["bytes"] == shipped.stat().st_size
    assert about["sha256"] in card
    assert about["parameters"] < 200_000
    assert "| question alone |" in card
    assert str(tmp_path) not in card
