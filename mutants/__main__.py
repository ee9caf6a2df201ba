"""The command line: see the package."""

import argparse
import hashlib
import sys
from pathlib import Path

from mbtref.files import write_whole
from mbtref.suite.subjects.loading import node
from mutants.controls import CONTROLS, Control, Judged
from mutants.gallery import MUTANTS
from mutants.javascript import Program
from mutants.mutant import Codec
from mutants.page import page, table
from mutants.run import Failed, ask_all, requirement_of
from mutants.verdict import About, Verdict


def needs_node(name: str) -> bool:
    """Whether a mutant or a control is one of the JavaScript codec."""
    return MUTANTS[name].of is Codec.JAVASCRIPT if name in MUTANTS else CONTROLS[name].codec is Program


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mutants", description="Ask the suite about wrong implementations, and about right ones."
    )
    parser.add_argument("names", nargs="*", help="of mutants and controls; default: all")
    parser.add_argument("--controls", action="store_true", help="no mutants")
    parser.add_argument(
        "--sample", metavar="TEXT", help="only COUNT mutants and 2 controls, chosen by this text, such as a commit"
    )
    parser.add_argument("--count", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--everything", action="store_true", help="ask all cases, also after a mutant is caught")
    parser.add_argument("--jobs", type=int, default=2, help="processes; default: %(default)s")
    parser.add_argument("--messages", action="store_true", help="print the first message about each")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PAGE.md", help="write the page, and PAGE.csv beside it"
    )
    args = parser.parse_args()
    if args.output and (args.names or args.sample or args.controls):
        parser.error("--output is the page of all: leave out names, --sample and --controls")
    if unknown := [name for name in args.names if name not in {**MUTANTS, **CONTROLS}]:
        parser.error(f"no mutant or control {', '.join(unknown)}")
    names = args.names or [*CONTROLS, *MUTANTS]
    try:
        node()
    except ValueError as why:
        if args.output:
            parser.error(f"--output is the page of all: the JavaScript codec {why}")
        if absent := list(filter(needs_node, names)):
            print(f"not run: {', '.join(absent)}: the JavaScript codec {why}")
        names = [name for name in names if name not in absent]
    if args.sample:
        names.sort(key=lambda name: hashlib.sha256(f"{args.sample} {name}".encode()).digest())
    # controls take longest, so they come first
    controls = [CONTROLS[name] for name in names if name in CONTROLS]
    mutants = [MUTANTS[name] for name in names if name in MUTANTS and not args.controls]
    if args.sample:
        controls, mutants = controls[:2], mutants[: args.count]
    verdicts: list[Verdict] = []
    judged: list[Judged] = []

    def tell(question: About | Control, failed: Failed, passed: int) -> None:
        if isinstance(question, Control):
            judged.append((question, failed, passed))
            message = "\n".join(failed.values())
            fault = f"a false alarm in {', '.join(failed)}" if failed else None
        else:
            verdicts.append(verdict := Verdict(question.mutant, failed))
            message, fault = verdict.message, verdict.fault and f"{verdict.fault} ({verdict.mutant.wrong})"
        if args.messages:
            requirements = list(dict.fromkeys(map(requirement_of, failed)))
            print(f"{question.name}: {requirements}, {passed} cases passed\n{message}")
        if fault:
            print(f"{question.name}: {fault}", flush=True)

    questions: list[About | Control] = [*controls, *(About(mutant, args.everything) for mutant in mutants)]
    ask_all(questions, args.jobs, tell)
    verdicts.sort(key=lambda verdict: list(MUTANTS).index(verdict.mutant.name))
    judged.sort(key=lambda each: list(CONTROLS).index(each[0].name))
    if args.output:
        write_whole(args.output, page(verdicts, judged).encode())
        write_whole(args.output.with_suffix(".csv"), table(verdicts).encode())
    faults = sum(verdict.fault is not None for verdict in verdicts)
    alarms = sum(bool(failed) for _, failed, _ in judged)
    if mutants:
        print(f"{len(mutants)} mutants, {faults} not caught as they should be")
    if controls:
        print(f"{len(controls)} controls, {alarms} alarms")
    return 1 if faults or alarms or len(verdicts) + len(judged) < len(questions) else 0


if __name__ == "__main__":
    sys.exit(main())
