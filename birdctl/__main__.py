"""`python -m birdctl`."""

import sys

from birdctl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
