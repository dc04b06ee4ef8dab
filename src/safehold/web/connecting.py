"""Connecting a device without typing: QR codes, and the URLs that open a program with address and credentials.

DAVx⁵ (LoginActivity in its sources, "Integration" in its manual): it opens its login with `davx5://`,
`caldavs://` and `carddavs://`, which become https, and with `caldav://` and `carddav://`, which become http. User name
and password are taken from the URL's user information, decoded and divided at the colon; host, path and query make
up the base URL. Older versions leave a port out. Only `davx5://` is DAVx⁵'s alone: the password goes to no other
program. A QR code with such a URL works with the camera or any scanner that opens links.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

import segno

#: What a QR code is surrounded by, in modules (ISO/IEC 18004: four).
QUIET_ZONE = 4


def davx5_url(host: str, name: str, password: str, *, secure: bool) -> str:
    """What opens DAVx⁵ with everything filled in. `host` may carry a port; without TLS no URL is DAVx⁵'s alone."""
    scheme = "davx5" if secure else "caldav"
    return f"{scheme}://{quote(name, safe='')}:{quote(password, safe='')}@{host}/"


def qr_svg(text: str, title: str) -> str:
    """A QR code as an SVG element, dark on light whatever the page's colours are: scanners want it so."""
    code = segno.make(text, error="m", micro=False)
    return code.svg_inline(
        border=QUIET_ZONE, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None, title=title
    )


#: The same for texts that hold no secret and come again.
remembered_qr_svg = lru_cache(maxsize=32)(qr_svg)
