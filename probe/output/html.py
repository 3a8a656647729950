"""Pictures as a notebook shows them."""

from __future__ import annotations

import html
from base64 import b64encode


def as_html(png: bytes, title: str) -> str:
    """Return the HTML of a picture, from the content of a PNG file."""
    encoded = b64encode(png).decode()
    return (
        f'<img src="data:image/png;base64,{encoded}" alt="{html.escape(title)}" '
        'style="max-width:100%;width:900px">'
    )
