"""The jars of the local server: their coordinates and checksums, read from the lock files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SERVER = "server"
GDS = "gds"

_PROCEDURES = "procedures"

_COORDINATE = re.compile(r"[\w.-]+(:[\w.-]+){2,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Artifact:
    """One jar: where it comes from, what it must contain, and where it lies in the cache.

    Example
    -------
    >>> jar = Artifact("server", "org.neo4j", "neo4j", "2026.08.1", "", "0" * 64)
    >>> jar.file
    'server/org.neo4j-neo4j-2026.08.1.jar'
    """

    lock: str
    group: str
    name: str
    version: str
    classifier: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """``group:artifact:version[:classifier]``."""
        parts = [self.group, self.name, self.version, self.classifier]
        return ":".join(part for part in parts if part)

    @property
    def file(self) -> str:
        """Path below the cache folder.

        The group is part of the name: ``annotations`` and ``neo4j-values`` exist in two groups.
        """
        folder = _PROCEDURES if self.holds_procedures else self.lock
        return f"{folder}/{self.coordinate.replace(':', '-')}.jar"

    @property
    def holds_procedures(self) -> bool:
        """Whether Neo4j must look for procedures in it.

        Neo4j loads every class of every jar in its plugin folder to look. With only these jars
        there, of GDS's 143, a start takes 14 s of processor time in place of 21 s.
        """
        return self.group == "org.neo4j.gds" and (self.name + "-").startswith("proc-")


def parse_lock(text: str, lock: str) -> tuple[Artifact, ...]:
    """Read a lock file: one ``group:artifact:version[:classifier] sha256`` a line, # comments.

    Parameters
    ----------
    text
        Text of the lock file.
    lock
        Its name, `SERVER` or `GDS`.

    Returns
    -------
    tuple of Artifact
        In the order of the file, which is the order of the class path.

    Raises
    ------
    ValueError
        If a line is not of that form, or two jars would have one file name.

    Example
    -------
    >>> parse_lock("org.neo4j:neo4j:1.0 " + "a" * 64, "server")[0].name
    'neo4j'
    """
    artifacts: dict[str, Artifact] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].split()
        if not content:
            continue
        coordinate, sha256 = content if len(content) == 2 else ("", "")
        if not (_COORDINATE.fullmatch(coordinate) and _SHA256.fullmatch(sha256)):
            raise ValueError(f"Line {number} of the {lock} lock is not `coordinate sha256`.")
        group, name, version, *classifier = coordinate.split(":")
        artifact = Artifact(lock, group, name, version, "".join(classifier), sha256)
        if artifact.file in artifacts:
            raise ValueError(f"Line {number} of the {lock} lock repeats {coordinate}.")
        artifacts[artifact.file] = artifact
    return tuple(artifacts.values())


@cache
def locked(lock: str) -> tuple[Artifact, ...]:
    """The jars of one lock file that ships with Weightome (`SERVER` or `GDS`)."""
    return parse_lock(files(__package__).joinpath(f"{lock}.lock").read_text("utf-8"), lock)


def locked_version(lock: str, group: str, name: str) -> str:
    """Version of one jar of a lock file.

    Raises
    ------
    LookupError
        If the lock file has no such jar.
    """
    for artifact in locked(lock):
        if (artifact.group, artifact.name) == (group, name):
            return artifact.version
    raise LookupError(f"{group}:{name} is not in the {lock} lock")
