"""`python -m hlo_count` is `hlo-count`."""

from hlo_count.cli import main

raise SystemExit(main())
