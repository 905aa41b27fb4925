"""``python -m queries``: questions to the graph."""

from __future__ import annotations

import sys

from queries.commands import mount
from store.commandline import application, run


def main() -> int:
    """Runs the command line of the questions; its exit status."""
    app = application("Questions to the networks in the store.")
    mount(app)
    return run(app, "python -m queries")


if __name__ == "__main__":
    sys.exit(main())
