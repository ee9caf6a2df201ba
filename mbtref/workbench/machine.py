"""The machine that times belong to."""

import platform
import re
from pathlib import Path

import torch


def processor() -> str:
    """The processor's name, or its architecture where the system doesn't tell the name."""
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return named[1].strip() if named else platform.processor() or platform.machine()


def setting(device: torch.device) -> str:
    """Processor, threads and version of PyTorch, after the GPU if that is where the networks run, the device."""
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    threads = torch.get_num_threads()
    return f"{gpu}{processor()}, {threads} thread{'s' * (threads > 1)}, PyTorch {torch.__version__}"
