"""`python -m mbtref` is the command `mbtref`."""

import sys

from mbtref.workbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
