"""``python -m service``: questions over HTTP."""

from __future__ import annotations

import sys

from service.commands import serve_command
from store.commandline import application, run


def main() -> int:
    """Runs the command line of the service; its exit status."""
    app = application("Answer questions to the networks in the store over HTTP.")
    app.command()(serve_command)
    return run(app, "python -m service")


if __name__ == "__main__":
    sys.exit(main())
