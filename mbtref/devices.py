"""Where networks can run: the devices whose float64 exact arithmetic can rest on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DEVICES = ("cpu", "cuda")
"""Kinds of devices whose float64 follows IEEE 754. Apple's GPUs (mps) have no float64; others emulate it."""


def check_kind(name: str) -> str:
    """The name of a device, such as cuda or cuda:1. Raises ValueError if it is of another kind."""
    if name.partition(":")[0] not in DEVICES:
        raise ValueError(f"device {name!r} isn't one of {', '.join(DEVICES)}, whose float64 follows IEEE 754")
    return name


def usable(name: str) -> "torch.device":
    """A device by its name. Raises ValueError unless the codec can run on it."""
    import torch

    check_kind(name)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} can't be used here ({reason}); leave it out, or take 'cpu'") from error
    return device
