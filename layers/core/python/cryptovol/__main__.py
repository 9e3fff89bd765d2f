"""`python -m cryptovol`."""

import sys

from cryptovol.cli import main

sys.exit(main())
