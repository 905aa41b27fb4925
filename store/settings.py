"""One frozen :class:`Settings`: every knob, with its unit, environment variable and help."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from store.errors import SettingsError


def _home() -> Path:
    return Path.home() / ".weightome"


class Settings(BaseSettings):
    """Settings of this process, read from ``WEIGHTOME_*`` environment variables.

    Example
    -------
    >>> Settings(read_seconds=5).read_seconds
    5.0
    """

    model_config = SettingsConfigDict(env_prefix="WEIGHTOME_", frozen=True, extra="ignore")

    uri: str | None = Field(
        None,
        description="Bolt address of a Neo4j >= 5.26 with Graph Data Science; "
        "unset: the local one, started on demand.",
    )
    user: str = Field("neo4j", description="User name at that server.")
    password: SecretStr | None = Field(None, description="Password at that server.")
    database: str = Field("neo4j", description="Name of the database at that server.")

    home: Path = Field(
        default_factory=_home,
        description="Folder of the local server: its data, password, log and pid file.",
    )
    cache: Path | None = Field(
        None, description="Folder of the fetched jars; unset: `cache` in the home folder."
    )
    port: int = Field(
        0, ge=0, le=65535, description="Bolt port of the local server; 0: any free port."
    )
    heap_mb: int = Field(
        0, ge=0, description="Java heap of the local server, in MiB; 0: fitted to the machine."
    )
    page_cache_mb: int = Field(
        0, ge=0, description="Page cache of the local server, in MiB; 0: fitted to the machine."
    )
    start_seconds: float = Field(
        180.0,
        gt=0,
        le=86_400,
        description="How long the local server may take to start, in seconds.",
    )

    read_seconds: float = Field(
        120.0, gt=0, le=86_400, description="Time limit of one read query, in seconds."
    )
    row_cap: int = Field(
        10_000, gt=0, description="Most rows of an answer; beyond it `truncated` is true."
    )
    workers: int = Field(2, ge=1, le=16, description="Concurrent write transactions of one ingest.")
    block_links: int = Field(
        25_000, ge=1, le=1_000_000, description="Links written in one transaction."
    )

    token: SecretStr | None = Field(
        None,
        description="What HTTP clients must send as `Authorization: Bearer`; this or the next is "
        "required where the service listens beyond this machine.",
    )
    tokens: SecretStr | None = Field(
        None,
        description="Further such secrets with scopes of `read`, `write`, `cypher`: "
        "`read:SECRET write+read:SECRET`, each of 16 characters or more.",
    )

    @property
    def cache_folder(self) -> Path:
        """Where fetched jars lie."""
        return self.cache if self.cache is not None else self.home / "cache"


def load() -> Settings:
    """Settings from the environment.

    Raises
    ------
    SettingsError
        If a variable has a value that cannot work; names the variable, never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = "WEIGHTOME_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"{variable} cannot be used: {first['msg']}.") from None
