"""The command line: see the package."""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

from mbtref.files import write_whole
from mutants.gallery import MUTANTS
from mutants.page import page
from mutants.run import verdicts


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
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE.md", help="write the page of all mutants")
    args = parser.parse_args()
    if args.output and (args.names or args.sample):
        parser.error("--output is the page of all mutants: leave out names and --sample")
    if unknown := [name for name in args.names if name not in MUTANTS]:
        parser.error(f"no mutant {', '.join(unknown)}")
    chosen = [MUTANTS[name] for name in args.names or MUTANTS]
    if args.sample:
        chosen.sort(key=lambda mutant: hashlib.sha256(f"{args.sample} {mutant.name}".encode()).digest())
        chosen = chosen[: args.count]
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for verdict in verdicts(chosen, args.everything, args.jobs, Path(folder)):
            if args.messages:
                print(f"{verdict.mutant.name}: {verdict.requirements}\n{verdict.message}")
            told.append(verdict)
            if verdict.fault:
                print(f"{verdict.mutant.name}: {verdict.fault} ({verdict.mutant.wrong})")
    faults = sum(verdict.fault is not None for verdict in told)
    if args.output:
        write_whole(args.output, page(told).encode())
    print(f"{len(chosen)} mutants, {faults} not caught as they should be")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
