"""Lock files: what is read from them, and that the shipped ones fit together."""

from __future__ import annotations

import pytest

from store.local.artifacts import GDS, SERVER, Artifact, locked, locked_version, parse_lock

SHA = "0123456789abcdef" * 4


def test_comments_and_blank_lines_are_skipped_and_the_order_is_kept() -> None:
    text = f"# made by hand\n\nb.c:later:2 {SHA}  # why\n a:first:1:linux {SHA}\n"
    later, first = parse_lock(text, "server")
    assert later == Artifact("server", "b.c", "later", "2", "", SHA)
    assert first == Artifact("server", "a", "first", "1", "linux", SHA)
    assert first.coordinate == "a:first:1:linux"
    assert first.file == "server/a-first-1-linux.jar"


@pytest.mark.parametrize(
    "line",
    [
        "a:b:1",
        f"a:b {SHA}",
        f"a:b:1:c:d {SHA}",
        f"a:b:1 {SHA[:-1]}",
        f"a:b:1 {SHA.upper()}",
        f"a:b:1 {SHA} more",
        f"a:../../etc:1 {SHA}",
    ],
)
def test_a_malformed_line_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="Line 2 of the gds lock"):
        parse_lock(f"# first\n{line}", "gds")


def test_a_repeated_jar_is_refused() -> None:
    with pytest.raises(ValueError, match="Line 2 of the server lock repeats a:b:1"):
        parse_lock(f"a:b:1 {SHA}\na:b:1 {SHA}", "server")


def test_the_shipped_locks_hold_neo4j_gds_and_its_extension() -> None:
    assert len(locked(SERVER)) == 225
    assert len(locked(GDS)) == 143
    assert locked_version(SERVER, "org.neo4j", "neo4j") == "2026.08.1"
    assert locked_version(GDS, "org.neo4j.gds", "proc") == "2.26.0"
    assert locked_version(GDS, "org.neo4j.gds", "opengds-extension") == "2.26.0"


def test_the_shipped_jars_have_file_names_of_their_own() -> None:
    jars = locked(SERVER) + locked(GDS)
    assert len({jar.file.rpartition("/")[2] for jar in jars}) == len(jars) == 368


def test_only_the_procedure_jars_lie_in_the_folder_that_neo4j_scans() -> None:
    scanned = {jar.name for jar in locked(GDS) if jar.file.startswith("procedures/")}
    assert {"proc", "proc-centrality", "proc-path-finding", "proc-catalog"} <= scanned
    assert len(scanned) < 30
    assert not any(jar.holds_procedures for jar in locked(SERVER))


def test_a_jar_that_is_not_locked_has_no_version() -> None:
    with pytest.raises(LookupError, match="nothing is not in the server lock"):
        locked_version(SERVER, "org.neo4j", "nothing")
