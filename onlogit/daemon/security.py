"""Who may do what: tokens with scopes, and a limit on how fast one client may ask.

A line of the token file is `TOKEN SCOPE[,SCOPE...]`; ONLOGIT_TOKENS has the same lines with `;` between them. Tokens are
compared by their SHA-256 in constant time, every one of them whatever the first said. Without tokens, which only a
loopback address allows, every program of this machine may do everything, but no web page that a browser on it shows: a
request has to name this machine as its host, and a page of another origin is refused.
"""

import functools
import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path

from onlogit.daemon.refusals import Refusal
from onlogit.daemon.settings import ServerSettings, is_loopback
from onlogit.errors import ConfigError

SCORE, LEARN, ADMIN = SCOPES = ("score", "learn", "admin")
SHORTEST, EXAMPLE = 16, "a-token-of-16-or-more"
CLIENTS = 10_000  # whose rate is remembered


def read_tokens(server: ServerSettings, environ: Mapping[str, str]) -> dict[bytes, frozenset[str]]:
    """Scopes by the SHA-256 of a token. ConfigError for a line that is none; it does not show the token."""
    lines: list[tuple[str, str]] = []
    if server.tokens:
        try:
            text = Path(server.tokens).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the tokens {server.tokens}: {error}") from error
        lines += [(f"{server.tokens}, line {k}", line) for k, line in enumerate(text.splitlines(), 1)]
    lines += [(f"ONLOGIT_TOKENS, entry {k}", e) for k, e in enumerate(environ.get("ONLOGIT_TOKENS", "").split(";"), 1)]
    found: dict[bytes, frozenset[str]] = {}
    for where, line in lines:
        words = line.split("#")[0].split()
        if not words:
            continue
        scopes = frozenset(words[1].split(",")) if len(words) == 2 else frozenset()
        if not scopes or not scopes <= set(SCOPES):
            odd = sorted(scopes - set(SCOPES))
            short = len(words[0]) >= SHORTEST > max(map(len, odd), default=SHORTEST)  # so that no token is shown
            raise ConfigError(
                f"{where}: a token and its scopes are expected, as in: {EXAMPLE} score,learn; scopes are {', '.join(SCOPES)}"
                + (f"; found {', '.join(map(repr, odd))}" if short else "")
            )
        if len(words[0]) < SHORTEST:
            raise ConfigError(f"{where}: the token is shorter than {SHORTEST} characters")
        found[_digest(words[0].encode())] = scopes
    return found


def check_exposure(server: ServerSettings, tokens: Mapping[bytes, frozenset[str]]) -> None:
    """Refuses, by ConfigError, to be reached from elsewhere without tokens and TLS."""
    if server.loopback:
        return
    if not tokens:
        raise ConfigError(f"listening on {server.host}, which others can reach, needs tokens: give --tokens FILE")
    if not server.tls_cert and not server.plain_http:
        raise ConfigError(
            f"listening on {server.host}, which others can reach, needs TLS: give --tls-cert and --tls-key, or "
            "--plain-http if something in front of it does that"
        )


class Gate:
    """Lets a request in, or raises a Refusal: 401, 403 or 429."""

    def __init__(self, tokens: Mapping[bytes, frozenset[str]], rate: float) -> None:
        self._tokens, self._rate = dict(tokens), rate
        self._buckets: dict[str, tuple[float, float]] = {}  # client -> requests left, at monotonic time

    def check(self, headers: Mapping[bytes, bytes], client: str, scope: str) -> None:
        """headers: of the request; client: its address; scope: what the request needs."""
        self.pace(self.admit(headers, scope) or client)

    def admit(self, headers: Mapping[bytes, bytes], scope: str) -> str:
        """Who asks, by the token; "" where there are none. The same headers are let in at any time, or at none."""
        if self._tokens:
            return self._holder(headers.get(b"authorization", b""), scope)
        self._refuse_strange_pages(headers.get(b"host", b""), headers.get(b"origin", b""))
        return ""

    def _holder(self, authorization: bytes, scope: str) -> str:
        kind, _, token = authorization.partition(b" ")
        digest, scopes = _digest(token.strip()), None
        for known, its in self._tokens.items():
            if hmac.compare_digest(known, digest):
                scopes = its
        if kind.lower() != b"bearer" or scopes is None:
            raise Refusal(401, "a token is needed: Authorization: Bearer TOKEN", ((b"www-authenticate", b"Bearer"),))
        if scope not in scopes:
            raise Refusal(403, f"this token may {', '.join(sorted(scopes))}; the request needs {scope}")
        return digest.hex()

    def _refuse_strange_pages(self, host: bytes, origin: bytes) -> None:
        name, near = _named(host)
        if not near:
            raise Refusal(
                403, f"the host is {name[:100]!r}; without tokens only this machine may ask, by a loopback name"
            )
        if origin and origin.partition(b"://")[2] != host:
            raise Refusal(403, "a page of another origin may not ask; use tokens for that")

    def pace(self, client: str) -> None:
        """A bucket of one second's worth of requests, at least one."""
        if self._rate <= 0:
            return
        now, most = time.monotonic(), max(self._rate, 1.0)
        left, then = self._buckets.pop(client, (most, now))
        left = min(left + (now - then) * self._rate, most)
        self._buckets[client] = (left - 1.0 if left >= 1.0 else left, now)
        if len(self._buckets) > CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        if left < 1.0:
            wait = max(int((1.0 - left) / self._rate + 0.999), 1)
            raise Refusal(429, f"faster than {self._rate:g} requests a second", ((b"retry-after", b"%d" % wait),))


@functools.lru_cache(256)
def _named(host: bytes) -> tuple[str, bool]:
    """The name in a host header, and whether it is none or that of this machine for itself."""
    name = host.decode("latin-1").rpartition(":")[0] if b":" in host.rpartition(b"]")[2] else host.decode("latin-1")
    return name, not name or is_loopback(name.strip("[]"))


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
