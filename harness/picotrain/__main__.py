"""`python3 -m picotrain`."""

import sys

from picotrain.cli import main

sys.exit(main())
