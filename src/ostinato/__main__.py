"""`python -m ostinato` is the command `ostinato`."""

import sys

from ostinato.cli.main import main

sys.exit(main())
