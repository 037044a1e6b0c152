"""Device, number format and quantisation for Hugging Face models: decisions over a snapshot.

Everything here is pure; `transformers_load.look_at_hardware` takes the snapshot. The decisions for
CUDA and MPS are tested as tables. They have not been run on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator_core.backends.choice import Choice
from orchestrator_core.errors import ConfigurationError
from orchestrator_core.settings import QuantizationSettings

Device = Literal["cuda", "mps", "cpu"]
Dtype = Literal["bfloat16", "float16", "float32"]

BF16_CAPABILITY = (8, 0)
"""Compute capability from which tensor cores do bfloat16 (Ampere). Turing (7.5), as in an RTX 2080,
only emulates it; CUDA C++ Programming Guide, "Compute Capabilities"."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What torch finds on this machine.

    Args:
        cuda_devices: number of CUDA (or ROCm) devices.
        cuda_name: name of the first.
        cuda_capability: its compute capability.
        mps: whether Apple's Metal backend is available.
    """

    cuda_devices: int = 0
    cuda_name: str = ""
    cuda_capability: tuple[int, int] = (0, 0)
    mps: bool = False


@dataclass(frozen=True, slots=True)
class Quantization:
    """How bitsandbytes packs the weights.

    Args:
        bits: 4 (NF4) or 8 (LLM.int8).
        double: whether the scales are quantised too; 4 bits only.
        compute: number format of the multiplications; 4 bits only.
    """

    bits: Literal[4, 8]
    double: bool
    compute: Dtype

    def __str__(self) -> str:
        return "int8" if self.bits == 8 else f"nf4{' double' if self.double else ''}"


def choose_device(wanted: str, hardware: Hardware) -> Choice[Device]:
    """The device for `model.device`.

    Raises:
        ConfigurationError: one was named that torch does not find.
    """
    cuda = f"{hardware.cuda_name or 'a CUDA GPU'} (sm_{hardware.cuda_capability[0]}{hardware.cuda_capability[1]})"
    match wanted:
        case "cuda" if hardware.cuda_devices:
            return Choice("cuda", f"model.device is cuda: {cuda}")
        case "mps" if hardware.mps:
            return Choice("mps", "model.device is mps")
        case "cpu":
            return Choice("cpu", "model.device is cpu")
        case "cuda" | "mps":
            raise ConfigurationError(
                f"model.device is {wanted}, but torch finds no such device here.",
                hint="Set model.device to auto or cpu, or install the torch build for this GPU.",
            )
    if hardware.cuda_devices:
        return Choice("cuda", f"auto: {cuda} is available")
    if hardware.mps:
        return Choice("mps", "auto: Apple's Metal is available")
    return Choice("cpu", "auto: torch finds no GPU")


def choose_dtype(device: Device, hardware: Hardware) -> Choice[Dtype]:
    """The number format of weights and activations that are not quantised.

    cuda, sm_80 and later   bfloat16: native, and cannot overflow where float32 does not
    cuda, earlier           float16: bfloat16 is not native there
    mps                     float16
    cpu                     float32: half precision is slower there and less exact
    """
    if device == "cpu":
        return Choice("float32", "a CPU computes float32 fastest")
    if device == "mps":
        return Choice("float16", "Metal computes float16 natively")
    major, minor = hardware.cuda_capability
    if (major, minor) >= BF16_CAPABILITY:
        return Choice("bfloat16", f"sm_{major}{minor} computes bfloat16 natively")
    return Choice("float16", f"sm_{major}{minor} has no native bfloat16")


def choose_quantization(
    settings: QuantizationSettings, device: Device, dtype: Dtype
) -> Choice[Quantization | None]:
    """How the weights are packed, if they are.

    Raises:
        ConfigurationError: quantisation was asked for on a device that bitsandbytes does not serve here.
    """
    if not settings.enabled:
        return Choice(None, "quantization.enabled is off")
    if device == "mps":
        raise ConfigurationError(
            "quantization.enabled is on, but it is not supported on mps.",
            hint="Switch it off, set model.device to cpu, or use a quantised GGUF model.",
        )
    bits = settings.load_in_bits
    quantization = Quantization(bits, settings.double_quantization and bits == 4, dtype)
    note = "; on a CPU it saves memory, not time" if device == "cpu" else ""
    return Choice(quantization, f"quantization.load_in_bits is {bits}{note}")


def choose_placement(device: Device, hardware: Hardware) -> Choice[str]:
    """accelerate's device map: one device, or `auto` to spread a model over several GPUs."""
    if device == "cuda" and hardware.cuda_devices > 1:
        return Choice("auto", f"spread over {hardware.cuda_devices} GPUs")
    return Choice("cuda:0" if device == "cuda" else device, "one device")
