import pytest
from orchestrator_core.backends.hardware import (
    Hardware,
    Quantization,
    choose_device,
    choose_dtype,
    choose_placement,
    choose_quantization,
)
from orchestrator_core.errors import ConfigurationError
from orchestrator_core.settings import QuantizationSettings

NONE = Hardware()
RTX_2080 = Hardware(1, "NVIDIA GeForce RTX 2080", (7, 5))
RTX_3090 = Hardware(1, "NVIDIA GeForce RTX 3090", (8, 6))
TWO_H100 = Hardware(2, "NVIDIA H100", (9, 0))
MAC = Hardware(mps=True)


@pytest.mark.parametrize(
    ("wanted", "hardware", "device", "reason"),
    [
        ("auto", NONE, "cpu", "auto: torch finds no GPU"),
        ("auto", RTX_2080, "cuda", "auto: NVIDIA GeForce RTX 2080 (sm_75) is available"),
        ("auto", MAC, "mps", "auto: Apple's Metal is available"),
        ("cpu", RTX_2080, "cpu", "model.device is cpu"),
        ("cuda", RTX_3090, "cuda", "model.device is cuda: NVIDIA GeForce RTX 3090 (sm_86)"),
        ("mps", MAC, "mps", "model.device is mps"),
    ],
)
def test_the_device_and_its_reason(wanted: str, hardware: Hardware, device: str, reason: str) -> None:
    choice = choose_device(wanted, hardware)
    assert (choice.value, choice.reason) == (device, reason)


@pytest.mark.parametrize(
    ("wanted", "hardware"), [("cuda", NONE), ("cuda", MAC), ("mps", RTX_2080), ("mps", NONE)]
)
def test_a_device_that_is_not_there_is_refused(wanted: str, hardware: Hardware) -> None:
    with pytest.raises(ConfigurationError, match=f"model.device is {wanted}, but torch finds no such device"):
        choose_device(wanted, hardware)


@pytest.mark.parametrize(
    ("device", "hardware", "dtype", "reason"),
    [
        ("cpu", RTX_3090, "float32", "a CPU computes float32 fastest"),
        ("mps", MAC, "float16", "Metal computes float16 natively"),
        ("cuda", RTX_2080, "float16", "sm_75 has no native bfloat16"),
        ("cuda", Hardware(1, "V100", (7, 0)), "float16", "sm_70 has no native bfloat16"),
        ("cuda", Hardware(1, "A100", (8, 0)), "bfloat16", "sm_80 computes bfloat16 natively"),
        ("cuda", RTX_3090, "bfloat16", "sm_86 computes bfloat16 natively"),
        ("cuda", TWO_H100, "bfloat16", "sm_90 computes bfloat16 natively"),
    ],
)
def test_the_number_format_and_its_reason(device: str, hardware: Hardware, dtype: str, reason: str) -> None:
    choice = choose_dtype(device, hardware)  # type: ignore[arg-type]
    assert (choice.value, choice.reason) == (dtype, reason)


@pytest.mark.parametrize(
    ("settings", "device", "dtype", "quantization", "words"),
    [
        ({"enabled": False}, "cuda", "float16", None, "None"),
        ({"enabled": True}, "cuda", "float16", Quantization(4, True, "float16"), "nf4 double"),
        ({"enabled": True}, "cuda", "bfloat16", Quantization(4, True, "bfloat16"), "nf4 double"),
        (
            {"enabled": True, "double_quantization": False},
            "cuda",
            "float16",
            Quantization(4, False, "float16"),
            "nf4",
        ),
        ({"enabled": True, "load_in_bits": 8}, "cuda", "float16", Quantization(8, False, "float16"), "int8"),
        ({"enabled": True}, "cpu", "float32", Quantization(4, True, "float32"), "nf4 double"),
    ],
)
def test_quantisation(
    settings: dict[str, object], device: str, dtype: str, quantization: Quantization | None, words: str
) -> None:
    choice = choose_quantization(QuantizationSettings.model_validate(settings), device, dtype)  # type: ignore[arg-type]
    assert choice.value == quantization
    assert str(choice.value) == words


def test_quantisation_on_a_cpu_says_what_it_is_worth() -> None:
    choice = choose_quantization(QuantizationSettings(enabled=True), "cpu", "float32")
    assert choice.reason == "quantization.load_in_bits is 4; on a CPU it saves memory, not time"


def test_quantisation_on_mps_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not supported on mps"):
        choose_quantization(QuantizationSettings(enabled=True), "mps", "float16")


@pytest.mark.parametrize(
    ("device", "hardware", "placement"),
    [("cpu", NONE, "cpu"), ("mps", MAC, "mps"), ("cuda", RTX_2080, "cuda:0"), ("cuda", TWO_H100, "auto")],
)
def test_a_model_is_spread_only_over_several_gpus(device: str, hardware: Hardware, placement: str) -> None:
    assert choose_placement(device, hardware).value == placement  # type: ignore[arg-type]
