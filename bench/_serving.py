"""A service of a database, for measurements that ask one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from store.settings import Settings

_ANSWERS_AT = re.compile(r"Weightome answers at (\S+) ")


@contextmanager
def service(settings: Settings) -> Iterator[str]:
    """Starts it in a process of its own, and stops it at the end.

    Yields
    ------
    str
        Its URL.
    """
    environment = {
        **os.environ,
        "WEIGHTOME_HOME": str(settings.home),
        "WEIGHTOME_CACHE": str(settings.cache_folder),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "service", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            found = _ANSWERS_AT.match(process.stdout.readline())
            if found is None:
                sys.exit("The service did not start.")
            yield found[1]
        finally:
            process.terminate()
