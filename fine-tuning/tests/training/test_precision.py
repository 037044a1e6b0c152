from __future__ import annotations

import pytest
from fine_tuning.training.precision import ComputeDevice

TURING, AMPERE = ComputeDevice("cuda", (7, 5)), ComputeDevice("cuda", (8, 6))


@pytest.mark.parametrize(
    ("device", "dtype"),
    [
        (TURING, "fp16"),
        (AMPERE, "bf16"),
        (ComputeDevice("cpu", fast_bf16=True), "bf16"),
        (ComputeDevice("cpu"), "fp32"),
        (ComputeDevice("mps"), "fp32"),
    ],
)
def test_the_dtype_is_one_the_device_multiplies_in_hardware(device, dtype):
    assert device.dtype() == dtype
    assert device.dtype("fp32") == "fp32"


def test_optimiser_states_are_paged_where_there_is_a_gpu():
    assert TURING.optimizer() == "paged_adamw_8bit"
    assert ComputeDevice("cpu").optimizer() == "adamw_torch"
    assert TURING.optimizer("adamw_torch") == "adamw_torch"
