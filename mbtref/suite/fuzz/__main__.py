"""Differential fuzzing: three decoders must agree on damaged input.

    python -m mbtref.suite.fuzz --seconds 60 --seed 0

The reference, the one-file decoder and, where Node is, the JavaScript codec must give the same answer to the
last bit, or refuse with the same kind. Everything else is a finding, including any other exception, a crash, and
an answer that takes too long. For a stream only the latents are compared, since its picture is computed in floats.
The first two inflate with zlib. `inflaters` says what the third may answer where the kind depends on the inflater
(specification, §8). Time and count limit how many inputs of a sequence (`damage`) are run: 100,000 take some
minutes on one core. A POSIX system is needed: its timer stops an answer that takes too long.
"""

import argparse
import functools
import itertools
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from mbtref import codec
from mbtref.errors import Kind
from mbtref.files import write_whole
from mbtref.suite.difference import first_difference
from mbtref.suite.fuzz import inflaters
from mbtref.suite.fuzz.damage import TARGETS, Question, questions, seeds
from mbtref.suite.operations import Values, fault
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.loading import JAVASCRIPT, isolated, node
from mbtref.suite.subjects.protocol import Rejected, Subject
from mbtref.suite.subjects.reference import Reference, load
from mbtref.suite.subjects.tensors import single

SECONDS_MAX = 10.0
"""Processor time that an answer may take."""
FINDINGS_MAX = 100
"""A run ends after this many findings."""
MEMORY = "/dev/shm"
"""A folder in memory, on Linux. On a disk an input takes four times as long."""
TAKEN, FINDING = "taken", "finding"


class Latents(Reference):
    """The reference, whose decoder stops before the picture."""

    def decode(self, model: str, stream: bytes) -> Values:
        return {"y_hat": single(codec.decode_latents(self.model(model), [stream]))}


class Decoder(NamedTuple):
    """One of those that must agree."""

    name: str
    subject: Subject
    inflates: bool = False
    """Whether it has an inflater of its own."""


def decoders() -> list[Decoder]:
    """All that are here. The first is right. Without Node the third isn't: this is printed."""
    two = [Decoder("the reference", Latents()), Decoder("the one-file decoder", one_file.OneFile())]
    try:
        node()
    except ValueError as why:
        print(f"two decoders alone: the JavaScript codec {why}")
        return two
    return [*two, Decoder("the JavaScript codec", isolated(JAVASCRIPT, SECONDS_MAX), inflates=True)]


def stop(*_: object) -> None:
    raise TimeoutError(f"no answer after {SECONDS_MAX:g} seconds of processor time")


def verdict(subject: Subject, question: Question) -> tuple[str, Values]:
    """TAKEN and the answer; or the kind of the refusal, or the text of any other exception."""
    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_MAX)
    try:
        return TAKEN, subject.call(question.operation, question.model, question.inputs)
    except Rejected as rejected:
        return rejected.kind, {}
    except Exception as error:
        return f"{type(error).__name__}: {error}", {}
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def compare(question: Question, first: Decoder, *others: Decoder) -> tuple[str, str]:
    """The verdict of all and an empty text; or FINDING and what differs."""
    ours, right = verdict(first.subject, question)
    outcome = ours
    if ours not in (TAKEN, *Kind):
        return FINDING, f"{first.name} says {ours}"
    for other in others:
        theirs, answer = verdict(other.subject, question)
        if theirs != ours:
            if not (other.inflates and either_is_right(question, first, other)):
                return FINDING, f"{first.name} says {ours}, {other.name} {theirs}"
            outcome = f"{ours} or {theirs}"
        elif ours == TAKEN:
            wrong = fault(question.operation, question.inputs, answer) or first_difference(answer, right, {})
            if wrong:
                return FINDING, f"{other.name}'s {wrong}"
    return outcome, ""


def either_is_right(question: Question, first: Decoder, other: Decoder) -> bool:
    """Whether two different verdicts are both right, since they depend on the inflater."""

    def says(decoder: Decoder, buffer: bytes) -> str:
        return verdict(decoder.subject, question._replace(inputs={"buffer": buffer}))[0]

    two = (functools.partial(says, decoder) for decoder in (first, other))
    return question.operation == "unpack_zlib" and inflaters.either_is_right(question.data, *two)


def load_models() -> None:
    """Reads the models of the vectors, so that no input has to wait for them."""
    for question in seeds("decode", False):
        load(str(question.model))
        one_file.load(str(question.model))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table, and writes each finding: its bytes, and a line about it. Returns 1 if there are any."""
    parser = argparse.ArgumentParser(description="Give damaged input to all decoders.")
    parser.add_argument("--seconds", type=float, default=60, help="end after this time (default: 60)")
    parser.add_argument("--count", type=int, help="end after this many inputs")
    parser.add_argument("--seed", type=int, default=0, help="names the sequence of inputs (default: 0)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="default: fuzz-findings")
    args = parser.parse_args(arguments)
    load_models()
    asked = decoders()
    verdicts, sizes = {name: Counter[str]() for name in TARGETS}, Counter[str]()
    longest, found, begin = (0.0, 0), 0, time.perf_counter()
    inputs = itertools.islice(questions(args.seed), args.count)
    for number, (target, question) in enumerate(tqdm(inputs, total=args.count, leave=False, disable=None)):
        start = time.process_time()
        outcome, difference = compare(question, *asked)
        longest = max(longest, (time.process_time() - start, number))
        verdicts[target][outcome] += 1
        sizes[target] += len(question.data)
        if difference:
            found += 1
            name = f"{target}-{args.seed}-{number}"
            line = f"{name}: {question.operation} of {question.vector}, edited: {difference}\n"
            args.findings.mkdir(parents=True, exist_ok=True)
            write_whole(args.findings / f"{name}.bin", question.data)
            write_whole(args.findings / f"{name}.txt", line.encode())
            tqdm.write(line, end="")
        if time.perf_counter() - begin > args.seconds or found == FINDINGS_MAX:
            break
    print(f"{'target':10}{'inputs':>8}{'bytes':>11}  verdicts")
    for name, counts in verdicts.items():
        shown = ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))
        print(f"{name:10}{counts.total():8}{sizes[name]:11}  {shown}")
    count = sum(counts.total() for counts in verdicts.values())
    print(f"{len(asked)} decoders, {count} inputs, {sizes.total()} bytes, {time.perf_counter() - begin:.1f} s")
    print(f"the longest input, number {longest[1]}, took {longest[0]:.3f} s of processor time")
    print(f"{found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    torch.set_num_threads(1)  # more cost more than they save: the pictures are small
    if Path(MEMORY).is_dir():
        tempfile.tempdir = MEMORY  # a program gets each input as files
    sys.exit(main())
