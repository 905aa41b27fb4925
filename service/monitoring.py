"""``/metrics``: what the service does, counted for Prometheus."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.datastructures import State
from starlette.responses import Response

from service.visits import Visit

# A question of seconds is usual here, so the buckets reach to the default time limit.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# What is not one of a few would make a series of its own for every client's idea.
_OTHER = "other"
_NO_ANSWER = "none"

router = APIRouter(tags=["operation"])


@runtime_checkable
class Load(Protocol):
    """What ``app.state.desk`` tells of the questions."""

    @property
    def running(self) -> int:
        """How many run now."""
        ...

    @property
    def waiting(self) -> int:
        """How many wait for a place now."""
        ...

    @property
    def refused(self) -> int:
        """How many were told to come again since the service started."""
        ...


@runtime_checkable
class JobCounts(Protocol):
    """What ``app.state.jobs`` tells of the jobs."""

    def by_state(self) -> Mapping[str, int]:
        """How many jobs are in each state."""
        ...


class Monitoring:
    """The counters of one application, in a registry of their own.

    An observer of visits; questions and jobs are counted where they are kept and read at each
    scrape.

    Parameters
    ----------
    state
        The application's, with `options`, and `desk` and `jobs` where it has them.
    """

    def __init__(self, state: State) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "weightome_requests",
            "Answered requests; the route is 'other' where none took it.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "weightome_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("method", "route"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._open = Gauge("weightome_requests_open", "Requests under way.", registry=self.registry)
        build = Info("weightome_build", "Which Weightome this is.", registry=self.registry)
        build.info({"version": version("weightome"), "python": platform.python_version()})
        places = Gauge(
            "weightome_questions_places",
            "Questions that may be with the database at once.",
            registry=self.registry,
        )
        places.set(state.options.concurrent)
        ProcessCollector(registry=self.registry)
        self.registry.register(_Kept(state))

    def begun(self, visit: Visit) -> None:
        """Counts a request that came."""
        self._open.inc()

    def ended(self, visit: Visit) -> None:
        """Counts its answer."""
        self._open.dec()
        method = visit.method if visit.method in _METHODS else _OTHER
        route = visit.route or _OTHER
        status = _NO_ANSWER if visit.status is None else str(visit.status)
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(visit.seconds)


class _Kept(Collector):
    """What others keep count of, read when somebody asks."""

    def __init__(self, state: State) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        # Nothing is there yet when this is registered.
        return []

    def collect(self) -> Iterator[Metric]:
        desk: Any = getattr(self._state, "desk", None)
        if isinstance(desk, Load):
            yield from _questions(desk)
        jobs: Any = getattr(self._state, "jobs", None)
        if isinstance(jobs, JobCounts):
            states = GaugeMetricFamily("weightome_jobs", "Jobs by state.", labels=["state"])
            for state, count in jobs.by_state().items():
                states.add_metric([state], count)
            yield states


def _questions(desk: Load) -> Iterator[Metric]:
    for name, value, about in (
        ("running", desk.running, "Questions that are with the database."),
        ("waiting", desk.waiting, "Questions that wait for a place."),
    ):
        yield GaugeMetricFamily(f"weightome_questions_{name}", about, value=value)
    yield CounterMetricFamily(
        "weightome_questions_refused", "Questions told to come again.", value=desk.refused
    )


@router.get("/metrics", operation_id="metrics", include_in_schema=False)
async def metrics_(request: Request) -> Response:
    """Counters of requests, questions, jobs and the process, as Prometheus reads them."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    monitoring: Monitoring = request.app.state.monitoring
    return Response(encode(monitoring.registry), headers={"Content-Type": media_type})
