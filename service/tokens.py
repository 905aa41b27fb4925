"""Who may do what: bearer tokens with scopes, and the scope that each address needs."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from store.errors import SettingsError
from store.settings import Settings

SCOPES: Final = ("read", "write", "cypher")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SHORTEST_SECRET: Final = 16
_FORM = "SCOPE+SCOPE:SECRET, with scopes of " + ", ".join(SCOPES)

# The first rule that an address matches: methods (None: any), path, scope (None: open to all).
# What is open says nothing that is not in the source code, and a browser cannot send a token for
# a page.
_RULES: Final[tuple[tuple[frozenset[str] | None, re.Pattern[str], str | None], ...]] = (
    (SAFE_METHODS, re.compile(r"/|/page/.*|/health|/ready|/docs|/openapi\.json"), None),
    (frozenset({"POST"}), re.compile(r"/v1/cypher"), "cypher"),
    (SAFE_METHODS, re.compile(r".*", re.DOTALL), "read"),
    (None, re.compile(r".*", re.DOTALL), "write"),
)


def scope_needed(method: str, path: str) -> str | None:
    """The scope without which an address answers nothing; None: it is open to everybody.

    Parameters
    ----------
    method, path
        Of the request; the path as it was sent, still percent-encoded.

    Example
    -------
    >>> scope_needed("GET", "/v1/networks"), scope_needed("DELETE", "/v1/networks/tiny")
    ('read', 'write')
    >>> scope_needed("POST", "/v1/cypher"), scope_needed("GET", "/health")
    ('cypher', None)
    """
    return next(
        scope
        for methods, pattern, scope in _RULES
        if (methods is None or method in methods) and pattern.fullmatch(path)
    )


@dataclass(frozen=True)
class Token:
    """One token.

    Parameters
    ----------
    label
        What the log calls it: its position, never its secret.
    scopes
        What its bearer may do. None of them implies another.
    digest
        SHA-256 of the secret.
    """

    label: str
    scopes: frozenset[str]
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: str, scopes: Iterable[str] = SCOPES, label: str = "token") -> Token:
        """The token with that secret."""
        return cls(label, frozenset(scopes), _digest(secret.encode()))


class Tokens:
    """The tokens of one service.

    Example
    -------
    >>> tokens = Tokens([Token.of("open sesame", ["read"])])
    >>> tokens.bearer(b"open sesame").scopes
    frozenset({'read'})
    >>> tokens.bearer(b"open says me") is None
    True
    """

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)

    def bearer(self, secret: bytes) -> Token | None:
        """The token with that secret, or None. It takes equally long for every secret."""
        sent = _digest(secret)
        found = None
        # All are compared, also after a match, and all digests are of one length.
        for token in self._tokens:
            if hmac.compare_digest(token.digest, sent):
                found = token
        return found


def configured(settings: Settings) -> Tokens | None:
    """The tokens of ``WEIGHTOME_TOKEN`` and ``WEIGHTOME_TOKENS``; None where neither is set.

    Raises
    ------
    SettingsError
        If one cannot be used; names its position, never what it is.
    """
    tokens: list[Token] = []
    if settings.token is not None:
        secret = settings.token.get_secret_value()
        if not secret:
            raise SettingsError("WEIGHTOME_TOKEN is empty: give it a value or unset it.")
        tokens.append(Token.of(secret))
    if settings.tokens is not None:
        tokens += _several(settings.tokens.get_secret_value())
    digests = [token.digest for token in tokens]
    for token in tokens:
        if digests.count(token.digest) > 1:
            raise SettingsError(
                "Two of the secrets in WEIGHTOME_TOKEN and WEIGHTOME_TOKENS are the same: "
                "each token needs one of its own."
            )
    return Tokens(tokens) if tokens else None


def _several(text: str) -> Iterator[Token]:
    entries = re.split(r"[\s,]+", text.strip(" \t\r\n,"))
    if entries == [""]:
        raise SettingsError("WEIGHTOME_TOKENS is empty: give it a value or unset it.")
    for position, entry in enumerate(entries, 1):
        # Nothing of the entry is told: what looks like its scopes may be half of a secret.
        named, colon, secret = entry.partition(":")
        scopes = named.split("+")
        if not colon or not set(scopes) <= set(SCOPES):
            raise SettingsError(f"Entry {position} of WEIGHTOME_TOKENS is not {_FORM}.")
        if len(secret) < SHORTEST_SECRET:
            raise SettingsError(
                f"The secret in entry {position} of WEIGHTOME_TOKENS is too short: it needs "
                f"{SHORTEST_SECRET} characters at least."
            )
        yield Token.of(secret, scopes, f"token {position}")


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
