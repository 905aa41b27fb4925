"""The command ``weightome``: mounts the command lines of all rooms, and holds nothing else."""

from __future__ import annotations

import sys

from store.commandline import application, run


def main() -> int:
    """Runs the command line; its exit status."""
    from ingest import commands as ingest_commands
    from queries import commands as query_commands
    from service import commands as service_commands
    from store.local import commands as server_commands

    app = application("A trained neural network, every neuron and weighted link of it, in Neo4j.")
    ingest_commands.mount(app)
    query_commands.mount(app)
    service_commands.mount(app)
    server_commands.mount(app)
    return run(app, "weightome")


if __name__ == "__main__":
    sys.exit(main())
