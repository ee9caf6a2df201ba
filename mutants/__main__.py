"""The command line: see the package."""

import argparse
import hashlib
import sys
from pathlib import Path

from mbtref.files import write_whole
from mutants.gallery import MUTANTS
from mutants.page import page, table
from mutants.run import Failed, ask_all
from mutants.verdict import About, Verdict


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mutants", description="Ask the suite about wrong implementations."
    )
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument(
        "--sample", metavar="TEXT", help="only COUNT mutants, chosen by this text, such as a commit"
    )
    parser.add_argument("--count", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--everything", action="store_true", help="ask all cases, also after a mutant is caught")
    parser.add_argument("--jobs", type=int, default=2, help="processes; default: %(default)s")
    parser.add_argument("--messages", action="store_true", help="print the first message about each")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PAGE.md", help="write the page, and PAGE.csv beside it"
    )
    args = parser.parse_args()
    if args.output and (args.names or args.sample):
        parser.error("--output is the page of all mutants: leave out names and --sample")
    if unknown := [name for name in args.names if name not in MUTANTS]:
        parser.error(f"no mutant {', '.join(unknown)}")
    chosen = [MUTANTS[name] for name in args.names or MUTANTS]
    if args.sample:
        chosen.sort(key=lambda mutant: hashlib.sha256(f"{args.sample} {mutant.name}".encode()).digest())
        chosen = chosen[: args.count]
    verdicts: list[Verdict] = []

    def tell(question: About, failed: Failed) -> None:
        verdict = Verdict(question.mutant, failed)
        verdicts.append(verdict)
        if args.messages:
            print(f"{question.name}: {verdict.requirements}\n{verdict.message}")
        if verdict.fault:
            print(f"{question.name}: {verdict.fault} ({question.mutant.wrong})", flush=True)

    ask_all([About(mutant, args.everything) for mutant in chosen], args.jobs, tell)
    verdicts.sort(key=lambda verdict: list(MUTANTS).index(verdict.mutant.name))
    if args.output:
        write_whole(args.output, page(verdicts).encode())
        write_whole(args.output.with_suffix(".csv"), table(verdicts).encode())
    faults = sum(verdict.fault is not None for verdict in verdicts)
    print(f"{len(chosen)} mutants, {faults} not caught as they should be")
    return 1 if faults or len(verdicts) < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
