"""Simulated processors: environment variables that make a process compute like an older or another machine.

A numerical library chooses its loops, and so the order of its sums, by the processor's instructions and the number
of threads. Each library has its own variables, so a setting names them all. Measured with g_a of lite-q4 and with
matrix products (AVX-512, 2 cores):

- ONEDNN_MAX_CPU_ISA changes PyTorch's float32 convolutions, by up to three times as much as threads do;
- MKL_CBWR and MKL_ENABLE_INSTRUCTIONS change its matrix products, and with them convolutions in float64;
- ATEN_CPU_CAPABILITY changes its element-wise functions (softplus, tanh), and no convolution;
- NPY_DISABLE_CPU_FEATURES changes NumPy's functions, OPENBLAS_CORETYPE its matrix products;
- the number of threads changes everything except the element-wise functions.

A library that doesn't know a variable ignores it, so the settings work for a subject in any language.
"""

import os
from collections.abc import Mapping

Environment = Mapping[str, str]
"""Variables added to the environment of a process."""

AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
"""NumPy's names of the features newer than AVX2."""

ALONE: Environment = {
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What a subject has unless the user's environment says otherwise: one thread, since workers take the cores, and
no thread that waits by spinning, which takes them from others."""
PROCESSORS: Mapping[str, Environment] = {
    "sse4": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NPY_DISABLE_CPU_FEATURES": f"AVX2 FMA3 {AVX512}",
        "OMP_NUM_THREADS": "1",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": AVX512,
        "MKL_NUM_THREADS": "2",
        "OMP_NUM_THREADS": "2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "OPENBLAS_NUM_THREADS": "2",
    },
    "three-threads": {
        "MKL_DYNAMIC": "FALSE",
        "MKL_NUM_THREADS": "3",
        "OMP_NUM_THREADS": "3",
        "OPENBLAS_NUM_THREADS": "3",
    },
}
"""By name: an old processor on one thread, a common one on two, and this one on three."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
