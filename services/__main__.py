"""`python -m services`: the command line, for a process that knows its interpreter but no PATH."""

import sys

from services.command import main

sys.exit(main())
