"""``python -m ingest FILE --name NAME``: write a model file into the store."""

from __future__ import annotations

import sys

from ingest.commands import ingest_command
from store.commandline import application, run


def main() -> int:
    """Runs the command line of ingest; its exit status."""
    app = application("Write a trained network into the store.")
    app.command()(ingest_command)
    return run(app, "python -m ingest")


if __name__ == "__main__":
    sys.exit(main())
