"""``python -m pytest_tokenbudget`` is ``tokenbudget``."""

from __future__ import annotations

import sys

from pytest_tokenbudget.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
