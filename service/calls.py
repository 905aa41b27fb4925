"""HTTP of the client: one call, its attempts, and the errors that it may end with."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from store import errors

if TYPE_CHECKING:
    import httpx

_ATTEMPTS: Final = 5
_LONGEST_PAUSE: Final = 10.0
"""Seconds that are waited at most, whatever the service says."""

# What the service itself refuses with, as the error that a program expects of it.
_REFUSALS: Final[Mapping[str, type[errors.WeightomeError]]] = {
    "client_left": errors.Cancelled,
    "no_room": errors.DiskUnusable,
}
# Its other refusals, and those of whoever stands before it.
_STATUSES: Final[Mapping[int, type[errors.WeightomeError]]] = {
    401: errors.AuthenticationFailed,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    408: errors.TimeLimitExceeded,
    409: errors.Conflict,
    429: errors.StoreUnreachable,
    502: errors.StoreUnreachable,
    503: errors.StoreUnreachable,
    504: errors.TimeLimitExceeded,
}


class Calls:
    """Calls of one service.

    Parameters
    ----------
    url, token, timeout
        As :class:`service.client.Client` takes them.
    """

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        try:
            import httpx
        except ImportError as error:
            raise errors.SettingsError(
                "The client needs httpx: install weightome with its extra, pip install "
                "'weightome[client]'."
            ) from error
        headers = {"User-Agent": "weightome", "Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            given = httpx.URL(url)
            if given.scheme not in {"http", "https"} or not given.host:
                raise httpx.InvalidURL("no scheme or host")
            self._http = httpx.Client(base_url=given, headers=headers, timeout=timeout)
        except (httpx.InvalidURL, UnicodeError) as error:
            # Not what it was given: that may hold a secret.
            raise errors.InvalidArgument(
                "A service has an address such as 'http://127.0.0.1:8080', and a token in ASCII."
            ) from error

    def close(self) -> None:
        """Gives the connections back."""
        self._http.close()

    def send(
        self,
        address: str,
        method: str = "GET",
        content: Callable[[], Any] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, after some attempts where the service says when to come again.

        Parameters
        ----------
        address
            Path and query.
        content
            Gives the body, anew for each attempt.
        query
            What is added to the address.

        Raises
        ------
        WeightomeError
            What the service tells; StoreUnreachable, TimeLimitExceeded where it tells nothing.
        """
        import httpx

        if query:
            address += ("&" if "?" in address else "?") + urlencode(query)
        attempt = 1
        while True:
            try:
                answer = self._http.request(
                    method, address, content=content() if content else None, headers=headers
                )
            except httpx.TimeoutException as error:
                raise errors.TimeLimitExceeded(
                    f"The service at {self._http.base_url} did not answer in time."
                ) from error
            except (httpx.TransportError, httpx.DecodingError) as error:
                raise errors.StoreUnreachable(
                    f"No service answers at {self._http.base_url}."
                ) from error
            if answer.is_success:
                return answer
            pause = _pause(answer)
            if pause is None or attempt == _ATTEMPTS:
                raise _told(answer)
            # Rivals that were sent away together shall not come back together.
            time.sleep(pause * random.uniform(1.0, 1.3))  # noqa: S311
            attempt += 1

    def json(self, address: str, *call: Any) -> dict[str, Any]:
        """The JSON object that a call is answered with; see :meth:`send`."""
        try:
            told = self.send(address, *call).json()
        except ValueError as error:
            raise strange() from error
        if not isinstance(told, dict):
            raise strange()
        return told


def strange() -> errors.StoreError:
    """What is raised when an answer is none of ours."""
    return errors.StoreError("What answers there is no service of Weightome, or another edition.")


def error_of(code: str, message: str, status: int) -> errors.WeightomeError:
    """The error that a service told.

    Parameters
    ----------
    code
        Of the error's class, or one of the service's own.
    status
        Decides where the code is not known.

    Example
    -------
    >>> error_of("not_found", "There is no network 'x'.", 404)
    NotFound("There is no network 'x'.")
    >>> error_of("busy", "Try again.", 503)
    StoreUnreachable('Try again.')
    """
    kind = errors.classes().get(code) or _REFUSALS.get(code) or _STATUSES.get(status)
    if kind is None:
        kind = errors.StoreError if status >= 500 else errors.InvalidArgument
    return kind(message)


def _told(answer: httpx.Response) -> errors.WeightomeError:
    status = answer.status_code
    try:
        told = answer.json()["error"]
        return error_of(str(told["code"]), str(told["message"]), status)
    except (ValueError, KeyError, TypeError):
        return error_of("", f"The service answered with status {status} alone.", status)


def _pause(answer: httpx.Response) -> float | None:
    """How long to wait before it is asked again, in seconds; None: that would not help."""
    after = answer.headers.get("Retry-After", "")
    if answer.status_code not in {429, 503} or not (after.isascii() and after.isdecimal()):
        return None
    return min(float(after), _LONGEST_PAUSE)
