import sys
from pathlib import Path

import pytest
from orchestrator_core.errors import MissingExtra
from support.tiny_hf_backend import answer, backend_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("bits", "words"), [(4, "nf4 double"), (8, "int8")])
def test_quantised_models_answer_on_a_cpu(folder: Path, bits: int, words: str) -> None:
    import bitsandbytes

    backend = backend_of(folder, quantization={"enabled": True, "load_in_bits": bits})
    assert answer(backend, max_new_tokens=4)
    assert backend.describe().quantization == words
    layer = backend._loaded.weights._model.model.layers[0].mlp.up_proj  # type: ignore[union-attr]
    assert isinstance(layer, bitsandbytes.nn.Linear4bit if bits == 4 else bitsandbytes.nn.Linear8bitLt)


def test_four_bits_use_nf4_with_double_quantisation(folder: Path) -> None:
    backend = backend_of(folder, quantization={"enabled": True})
    backend.load()
    state = backend._loaded.weights._model.model.layers[0].mlp.up_proj.weight.quant_state  # type: ignore[union-attr]
    assert (state.quant_type, state.nested) == ("nf4", True)


def test_without_bitsandbytes_the_pip_command_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match="bitsandbytes"):
        backend_of(folder, quantization={"enabled": True}).load()
