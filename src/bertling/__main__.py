"""``python -m bertling`` is ``bertling``."""

from __future__ import annotations

import sys

from bertling.cli import main

if __name__ == "__main__":
    sys.exit(main())
