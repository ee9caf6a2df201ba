"""Wrong implementations, each in one way: the proof that the suite sees what it claims.

    python -m mutants                      all of them, side by side
    python -m mutants slope open_loop      some
    pytest conformance --subject mutants.subjects:slope

A mutant is one replacement in one file of the reference or of the one-file decoder (`gallery`). `run` asks the
suite about each. A mutant must fail the requirement that is about it, and the message must name the wrong stage.
"""
