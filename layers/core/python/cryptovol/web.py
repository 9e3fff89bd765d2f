"""The headers that every answer over HTTP carries, whoever makes it: the API, or the server in front of it.

Which ones: OWASP, "REST Security Cheat Sheet", section Security Headers.
"""

from __future__ import annotations

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
