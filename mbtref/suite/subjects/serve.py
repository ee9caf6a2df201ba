"""A Python subject as a program of its own: `python -m mbtref.suite.subjects.serve module:attribute`.

It speaks the protocol of `command`. So a subject that hangs, crashes or prints doesn't disturb the suite.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbtref.suite.operations import not_a_mapping
from mbtref.suite.subjects.command import PROTOCOL, value_in, write
from mbtref.suite.subjects.loading import in_process
from mbtref.suite.subjects.protocol import Rejected, Subject, Unsupported, account


def answer(subject: Subject, request: Mapping[str, Any]) -> dict[str, object]:
    """The answer to a request: one of result, unsupported, rejected and error."""
    try:
        inputs = {name: value_in(Path(path)) for name, path in request["inputs"].items()}
        values: object = subject.call(request["operation"], request["model"], inputs)
        if not isinstance(values, Mapping):
            return {"error": not_a_mapping(request["operation"], values)}
        return {"result": {name: path.name for name, path in write(Path(request["folder"]), values).items()}}
    except Unsupported as reason:
        return {"unsupported": str(reason)}
    except Rejected as rejected:
        return {"rejected": rejected.kind}
    except Exception as error:
        return {"error": account(error)}


def main(given: str) -> None:
    """Answers requests until the input ends."""
    # the subject's own output goes to standard error: the pipe is for the protocol
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        subject = in_process(given)
    except ValueError as error:
        print(json.dumps({"protocol": PROTOCOL, "error": str(error)}), file=answers, flush=True)
        return
    greeting = {
        "protocol": PROTOCOL,
        "name": subject.name,
        "version": subject.version,
        "capabilities": sorted(subject.capabilities),
    }
    for line in sys.stdin:
        request = json.loads(line)
        reply = greeting if "hello" in request else {"id": request["id"], **answer(subject, request)}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
