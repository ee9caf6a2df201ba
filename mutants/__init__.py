"""Wrong implementations, each in one way: the proof that the suite sees what it claims.

    python -m mutants                      all of them, side by side
    python -m mutants slope open_loop      some
    pytest conformance --subject mutants.subjects:slope

A mutant replaces a function, a method or a constant of the codec, or of the one-file decoder, or a line of the
JavaScript codec, by a wrong one (`gallery`). `run` asks the suite about each. A mutant must fail the requirement
that is about it, and the message must name the wrong stage. `automatic` makes every other small change.
"""

import os

# Compiled loops would keep the constants that they were compiled with, and numba would store them on disk.
os.environ["NUMBA_DISABLE_JIT"] = "1"
