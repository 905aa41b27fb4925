"""A service whose database goes away and comes back: cut off by a relay that stands between."""

from __future__ import annotations

import time

from tests.http.conftest import Start
from tests.http.envelope import check
from tests.http.relay import relayed


def test_503_while_it_is_gone_and_answers_when_it_is_back(
    start: Start, server: tuple[str, str], tiny: str
) -> None:
    uri, password = server
    with (
        relayed(uri) as relay,
        start(
            WEIGHTOME_URI=f"bolt://127.0.0.1:{relay.port}", WEIGHTOME_PASSWORD=password
        ) as running,
    ):
        ask = running.client.get
        assert ask(f"/v1/networks/{tiny}/layers").status_code == 200
        relay.disconnect()
        check(ask(f"/v1/networks/{tiny}/layers"), 503, "store_unreachable")
        check(ask("/ready"), 503, "store_unreachable")
        assert ask("/health").json() == {"status": "ok"}
        started = time.monotonic()
        check(ask("/v1/runs"), 503, "store_unreachable")
        assert time.monotonic() - started < 5
        relay.cut = False
        assert ask(f"/v1/networks/{tiny}/layers").status_code == 200
        assert ask("/ready").json() == {"status": "ok"}
        assert "Traceback" not in running.log()
