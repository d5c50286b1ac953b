"""`python -m exporter` is the command `virt-upgrade-exporter`."""

import sys

from exporter.cli import main

sys.exit(main())
