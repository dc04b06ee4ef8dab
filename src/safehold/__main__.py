"""`python -m safehold`."""

from __future__ import annotations

import sys

from safehold.cli.main import main

sys.exit(main())
