"""Errors of the workbench that the command line must know without loading what raises them."""


class EngineError(Exception):
    """The processes or the cluster that should do the work can't be had, or have ended."""
