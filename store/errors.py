"""Every error that Weightome raises on purpose.

::

    WeightomeError
    ├── SettingsError               a setting has a value that cannot work
    ├── InputError                  what the user handed in cannot be used
    │   ├── InvalidName             a name is empty, too long or holds control characters
    │   ├── InvalidArgument         an option has a value that cannot work
    │   ├── UnreadableModel         the file is missing, truncated or not a model
    │   ├── UnsupportedOperation    the model holds an operation that ingest does not know
    │   ├── ShapeMismatch           weight shapes do not chain into a network
    │   └── InvalidWeights          a tensor is not of floats, or a value NaN or infinite
    ├── NotFound                    no such run, network, layer or neuron
    ├── Conflict                    the name is taken, or another process is writing it
    ├── QueryRefused                the read-only guard did not let a query run
    ├── StoreError                  the database did not do what it was asked
    │   ├── StoreUnreachable        no server answers, or it went away
    │   ├── AuthenticationFailed    user or password are wrong
    │   ├── PermissionDenied        the user or the access mode does not allow it
    │   ├── SchemaMismatch          the store was written by another schema version
    │   ├── MissingCapability       the server is too old or has no Graph Data Science
    │   ├── InvalidQuery            the server could not parse or run the Cypher
    │   ├── TimeLimitExceeded       the query ran longer than its limit
    │   ├── Cancelled               whoever asked left before the answer
    │   ├── MemoryLimitExceeded     the query needed more memory than its limit
    │   ├── ConstraintViolated      a write broke a uniqueness constraint
    │   ├── TransactionFailed       the transaction was rolled back; nothing was written
    │   └── VerificationFailed      what was read back is not what was written
    ├── PortTaken                   the asked port belongs to another program
    └── LocalServerError            the Neo4j that Weightome runs itself
        ├── DownloadFailed          a jar could not be fetched or its checksum is wrong
        ├── DiskUnusable            the disk is full or read-only
        └── ServerFailed            the server ended or did not come up in time

``code`` is the stable name of an error in the HTTP envelope; the message is one sentence.
"""

from __future__ import annotations

from functools import cache


class WeightomeError(Exception):
    """Base of all errors raised on purpose; its text is one sentence for the user."""

    code = "error"


class SettingsError(WeightomeError):
    code = "invalid_settings"


class InputError(WeightomeError):
    code = "invalid_input"


class InvalidName(InputError):
    code = "invalid_name"


class InvalidArgument(InputError):
    code = "invalid_argument"


class UnreadableModel(InputError):
    code = "unreadable_model"


class UnsupportedOperation(InputError):
    code = "unsupported_operation"


class ShapeMismatch(InputError):
    code = "shape_mismatch"


class InvalidWeights(InputError):
    code = "invalid_weights"


class NotFound(WeightomeError):
    code = "not_found"


class Conflict(WeightomeError):
    code = "conflict"


class QueryRefused(WeightomeError):
    code = "query_refused"


class StoreError(WeightomeError):
    code = "store_error"


class StoreUnreachable(StoreError):
    code = "store_unreachable"


class AuthenticationFailed(StoreError):
    code = "authentication_failed"


class PermissionDenied(StoreError):
    code = "permission_denied"


class SchemaMismatch(StoreError):
    code = "schema_mismatch"


class MissingCapability(StoreError):
    code = "missing_capability"


class InvalidQuery(StoreError):
    code = "invalid_query"


class TimeLimitExceeded(StoreError):
    code = "time_limit_exceeded"


class Cancelled(StoreError):
    code = "cancelled"


class MemoryLimitExceeded(StoreError):
    code = "memory_limit_exceeded"


class ConstraintViolated(StoreError):
    code = "constraint_violated"


class TransactionFailed(StoreError):
    code = "transaction_failed"


class VerificationFailed(StoreError):
    code = "verification_failed"


class LocalServerError(WeightomeError):
    code = "local_server_error"


class DownloadFailed(LocalServerError):
    code = "download_failed"


class PortTaken(WeightomeError):
    code = "port_taken"


class DiskUnusable(LocalServerError):
    code = "disk_unusable"


class ServerFailed(LocalServerError):
    code = "server_failed"


@cache
def classes() -> dict[str, type[WeightomeError]]:
    """Every error by its code.

    Example
    -------
    >>> classes()["not_found"].__name__
    'NotFound'
    """
    found: dict[str, type[WeightomeError]] = {}
    waiting: list[type[WeightomeError]] = [WeightomeError]
    while waiting:
        kind = waiting.pop()
        found[kind.code] = kind
        waiting += kind.__subclasses__()
    return found
