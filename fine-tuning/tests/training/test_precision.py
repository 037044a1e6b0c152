from __future__ import annotations

import pytest
from fine_tuning.training.precision import Device

TURING, AMPERE = Device("cuda", (7, 5)), Device("cuda", (8, 6))


@pytest.mark.parametrize(
    ("device", "dtype"),
    [
        (TURING, "fp16"),
        (AMPERE, "bf16"),
        (Device("cpu", fast_bf16=True), "bf16"),
        (Device("cpu"), "fp32"),
        (Device("mps"), "fp32"),
    ],
)
def test_the_dtype_is_one_the_device_multiplies_in_hardware(device, dtype):
    assert device.dtype() == dtype
    assert device.dtype("fp32") == "fp32"


def test_optimiser_states_are_paged_where_there_is_a_gpu():
    assert TURING.optimizer() == "paged_adamw_8bit"
    assert Device("cpu").optimizer() == "adamw_torch"
    assert TURING.optimizer("adamw_torch") == "adamw_torch"
