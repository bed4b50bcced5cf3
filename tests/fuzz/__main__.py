"""`python tests/fuzz SECONDS [TARGET...]`: see `every.py`."""

import sys

from every import main

sys.exit(main(sys.argv[1:]))
