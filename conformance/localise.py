"""Where a decoder that went astray first went wrong: which symbol, and which stage fed it.

Free-running, one wrong latent spoils the context of all that follow, so the last stages show nothing. Here the
subject is asked again, teacher-forced: with the right latents as context. What is wrong then is a network; if
nothing is, then the networks are right and the free run fed them something else.
"""

from conformance.cases import Verdict, ask
from conformance.compare import Difference, first_difference
from conformance.operations import OPERATIONS, Values
from conformance.subjects.protocol import Rejected, Subject

TEACHER = "exact_parameters"


def explain(subject: Subject, model: str, difference: Difference, inputs: Values, expected: Values) -> str:
    """What teacher-forcing tells of a difference in latents.

    inputs, expected: of the golden vector of `exact_parameters` for the same model and picture.
    """
    place = f"position (row, column) {difference.where[1:]}, channel {difference.where[0]}"
    first = f"the first wrong value in coding order is {difference.stage} at {place}"
    if OPERATIONS[TEACHER].capability not in subject.capabilities:
        return f"{first}; {subject.name} doesn't declare entropy-exact, so its stages can't be asked one by one"
    try:
        forced = first_difference(ask(subject, TEACHER, model, inputs), expected, {})
    except (Verdict, Rejected) as reason:
        return f"{first}; teacher-forced, {reason}"
    if forced is None:
        return (
            f"{first}; teacher-forced, every stage is right: look at what the free run feeds them, that is the "
            f"order of the symbols, y_hat = saturate(k + mu), and which neighbours the context takes"
        )
    return f"{first}; teacher-forced, the first wrong stage is {forced.stage}: {forced}"
