"""How a request gets to the Proxmox VE API: verified as the provider verifies, and followed nowhere else."""

from __future__ import annotations

import os
import ssl
from functools import cache
from typing import TYPE_CHECKING, Any

from pve_agents.node_access import Access, Ticket, Where

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

__all__ = ["headers_of", "session_of", "tls_of"]


def tls_of(where: Where) -> ssl.SSLContext:
    """What TLS with the node has to be like."""
    return _context(where.oldest_tls, where.verified, *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))


# To read a machine's authorities takes 20 ms, and several ask at once.
@cache
def _context(oldest: ssl.TLSVersion, verified: bool, *_: str | None) -> ssl.SSLContext:  # noqa: FBT001
    # The machine's own authorities, or SSL_CERT_FILE: what Go's programs trust, too. requests has others.
    context = ssl.create_default_context()
    context.minimum_version = oldest
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def headers_of(who: Access | Ticket, *, changes: bool = False) -> dict[str, str]:
    """What a request says of who asks.

    Args:
        who: The token or the login.
        changes: Whether the request changes something.
    """
    if isinstance(who, Access):
        return {"Authorization": f"PVEAPIToken={who.token_id}={who.secret}"}
    return {"Cookie": f"PVEAuthCookie={who.secret}", **({"CSRFPreventionToken": who.csrf} if changes else {})}


def session_of(where: Where, seconds: float) -> Session:
    """Requests to the API; as whom, where somebody is named."""
    from proxmoxer.backends.https import ProxmoxHTTPAuthBase, ProxmoxHttpSession  # noqa: PLC0415 - slow to import
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    context = tls_of(where)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as inherited
            super().init_poolmanager(*args, **options, ssl_context=context)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:  # noqa: ANN401 - as inherited
            return super().proxy_manager_for(proxy, **options, ssl_context=context)

        def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override]  # noqa: ANN401
            # Not what REQUESTS_CA_BUNDLE says.
            return super().send(request, **{**options, "verify": where.verified})

        def cert_verify(self, *_: object) -> None:
            """Add no authorities to the context's."""

    class Auth(ProxmoxHTTPAuthBase):  # type: ignore[misc]
        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            if isinstance(where, Access | Ticket):
                request.headers.update(headers_of(where, changes=request.method != "GET"))
            return request

    session: Session = ProxmoxHttpSession()
    session.auth = Auth(verify_ssl=where.verified, timeout=seconds)
    session.max_redirects = 0
    session.mount("https://", Adapter())
    return session
