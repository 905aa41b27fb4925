"""Garbled files of every format: nothing but a network or an error of ours comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ingest
from store.errors import WeightomeError
from tests.unit.test_bad_models import H5, LEGACY, SAFE, ZIP, tensors

VALID = {".pt": ZIP, ".pth": LEGACY, ".safetensors": SAFE, ".h5": H5}

Change = tuple[float, int]
CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
)
# The same examples each time: a find is fixed and then written into the table above.
BOUNDED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def only_our_errors(content: bytes, suffix: str, folder: Path) -> None:
    path = folder / f"fuzzed{suffix}"
    path.write_bytes(content)
    try:
        ingest.read(path)
    except WeightomeError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000


def changed(content: bytes, changes: list[Change]) -> bytes:
    found = bytearray(content)
    for place, value in changes:
        found[int(place * len(found))] = value
    return bytes(found)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@given(changes=CHANGES)
@BOUNDED
def test_changed_bytes_give_only_our_errors(
    suffix: str, changes: list[Change], tmp_path: Path
) -> None:
    only_our_errors(changed(VALID[suffix], changes), suffix, tmp_path)


# Each example starts a process.
@given(changes=CHANGES)
@settings(BOUNDED, max_examples=25)
def test_changed_bytes_of_h5_give_only_our_errors(changes: list[Change], tmp_path: Path) -> None:
    only_our_errors(changed(H5, changes), ".h5", tmp_path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@given(share=st.floats(0, 1, exclude_max=True))
@settings(BOUNDED, max_examples=60)
def test_truncated_files_give_only_our_errors(suffix: str, share: float, tmp_path: Path) -> None:
    only_our_errors(VALID[suffix][: int(share * len(VALID[suffix]))], suffix, tmp_path)


@given(share=st.floats(0, 1, exclude_max=True))
@settings(BOUNDED, max_examples=10)
def test_truncated_h5_gives_only_our_errors(share: float, tmp_path: Path) -> None:
    only_our_errors(H5[: int(share * len(H5))], ".h5", tmp_path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors", ".bin"])
@given(content=st.binary(max_size=300), head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02"]))
@settings(BOUNDED, max_examples=50)
def test_random_bytes_give_only_our_errors(
    suffix: str, content: bytes, head: bytes, tmp_path: Path
) -> None:
    only_our_errors(head + content, suffix, tmp_path)


@given(header=st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["dtype", "shape", "data_offsets", "a.weight", "__metadata__"]), inner),
    max_leaves=20,
))  # fmt: skip
@BOUNDED
def test_any_safetensors_header_gives_only_our_errors(header: Any, tmp_path: Path) -> None:
    only_our_errors(tensors(header, bytes(16)), ".safetensors", tmp_path)
