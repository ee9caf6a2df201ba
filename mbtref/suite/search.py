"""How hypothesis looks for pictures. These are settings of single tests: a port's own tests keep theirs."""

from hypothesis import Phase, settings

from mbtref.suite.options import THOROUGH


def search() -> settings:
    """Few pictures, and none is shrunk, which asks a slow subject a hundred times more. Many with THOROUGH."""
    brief = settings(
        settings.get_profile("default"),
        max_examples=25,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
    )
    if settings.get_current_profile_name().startswith(THOROUGH):
        return settings(brief, max_examples=500, phases=(*brief.phases, Phase.shrink))
    return brief
