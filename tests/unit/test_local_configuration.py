"""neo4j.conf, Java's arguments and the memory that they grant."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from store.errors import SettingsError
from store.local.configuration import (
    Memory,
    configuration_text,
    fit_memory,
    java_arguments_text,
    machine_memory,
    memory_for,
)
from store.settings import Settings

GIB = 1024**3


@pytest.mark.parametrize(
    ("machine_gib", "heap_mb", "page_cache_mb"),
    [
        (1, 768, 256),
        (4, 1024, 512),
        (8, 2048, 1024),
        (16, 4096, 2048),
        (24, 6144, 3072),
        (512, 24576, 16384),
    ],
)
def test_memory_fits_the_machine(machine_gib: int, heap_mb: int, page_cache_mb: int) -> None:
    assert fit_memory(machine_gib * GIB) == Memory(heap_mb, page_cache_mb)


def test_settings_win_over_the_machine() -> None:
    assert fit_memory(24 * GIB, heap_mb=100) == Memory(100, 3072)
    assert memory_for(Settings(heap_mb=123, page_cache_mb=45)) == Memory(123, 45)


def test_a_container_limit_wins_over_the_machine(tmp_path: Path) -> None:
    limited, unlimited = tmp_path / "limited", tmp_path / "unlimited"
    limited.write_text("268435456\n")
    unlimited.write_text("max\n")
    total = psutil.virtual_memory().total
    assert machine_memory([limited, unlimited]) == 268435456
    assert machine_memory([unlimited, tmp_path / "absent"]) == total


def configuration() -> dict[str, str]:
    text = configuration_text(port=7700, memory=Memory(1024, 512))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server.default_listen_address", "127.0.0.1"),
        ("server.bolt.listen_address", "127.0.0.1:7700"),
        ("server.http.enabled", "false"),
        ("server.https.enabled", "false"),
        ("server.fleet_discovery.enabled", "false"),
        ("dbms.fleet_manager.enabled", "false"),
        ("dbms.usage_report.enabled", "false"),
        ("dbms.security.auth_enabled", "true"),
        ("server.directories.import", "import"),
        ("dbms.security.allow_csv_import_from_file_urls", "false"),
        ("internal.dbms.cypher_ip_blocklist", "0.0.0.0/0,::/0"),
        ("dbms.security.procedures.allowlist", "gds.*"),
        ("dbms.security.procedures.unrestricted", "gds.list,gds.util.asNode,gds.util.asNodes"),
        ("server.directories.plugins", "plugins"),
        ("server.memory.pagecache.size", "512m"),
        ("db.memory.transaction.max", "512m"),
        ("db.transaction.timeout", "30m"),
        ("db.tx_log.rotation.retention_policy", "keep_none"),
    ],
)
def test_configuration_value(name: str, value: str) -> None:
    assert configuration()[name] == value


def test_configuration_holds_no_path_of_this_machine() -> None:
    assert not [value for value in configuration().values() if value.startswith("/")]


def test_configuration_opens_no_other_address() -> None:
    addresses = [
        value for name, value in configuration().items() if name.endswith("listen_address")
    ]
    assert addresses == ["127.0.0.1", "127.0.0.1:7700"]


def test_java_arguments_quote_spaces_and_quotes() -> None:
    text = java_arguments_text(
        memory=Memory(1024, 512),
        class_path=[Path('/my "cache"/a.jar'), Path("/b\\c.jar")],
        logs=Path("/my home/logs"),
    )
    lines = text.splitlines()
    assert lines[0] == '"-Xmx1024m"'
    assert '"-XX:ErrorFile=/my home/logs/java-crash-%p.log"' in lines
    assert lines[-2:] == ['"-cp"', '"/my \\"cache\\"/a.jar:/b\\\\c.jar"']


def test_a_colon_in_the_cache_folder_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"must not hold a colon: /a:b\."):
        java_arguments_text(
            memory=Memory(1, 1), class_path=[Path("/a:b/c.jar")], logs=Path("/logs")
        )
