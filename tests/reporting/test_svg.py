"""Figures within a page."""

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from probe.reporting.svg import inline

DRAWN = b"""<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
     viewBox="0 0 72 36" onload="alert(1)">
 <metadata>who</metadata><style>*{fill:red}</style><script>alert(1)</script>
 <defs><clipPath id="p1"><rect width="3" height="3"/></clipPath><path id="m1" d="M 0 0"/></defs>
 <g id="unused" clip-path="url(#p1)" onclick="alert(1)">
  <use xlink:href="#m1" style="stroke: #000000; background: url(https://x.org/a.png)"/>
  <use xlink:href="https://x.org/evil.svg#a"/>
  <image xlink:href="https://x.org/a.png"/><image xlink:href="data:image/png;base64,AAAA"/>
  <a xlink:href="javascript:alert(1)"><text>link</text></a>
  <foreignObject><b xmlns="http://www.w3.org/1999/xhtml">x</b></foreignObject>
  <text style="font-size: 8px; font-family: 'DejaVu Sans', sans-serif">score &lt;b&gt;</text>
 </g>
</svg>"""


def test_only_what_is_drawn_stays():
    text = str(inline(DRAWN, "f1", "a <label>"))
    for forbidden in ("script", "alert", "https:", "style", "foreignObject", "metadata", "<a"):
        assert forbidden not in text
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == "a <label>"
    assert (root.get("width"), root.get("height")) == ("96", "48")
    assert "".join(root.itertext()).strip() == "score <b>"


def test_names_are_those_of_the_figure():
    text = str(inline(DRAWN, "f7", ""))
    assert 'id="f7-p1"' in text
    assert 'clip-path="url(#f7-p1)"' in text
    assert 'href="#f7-m1"' in text
    assert "unused" not in text
    names = re.findall(r'\bid="([^"]+)"', text)
    assert all(name.startswith("f7-") for name in names)


def test_styles_are_attributes():
    text = str(inline(DRAWN, "f1", ""))
    assert 'stroke="#000000"' in text
    assert 'font-size="8px"' in text
    assert "background" not in text


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40))
def test_any_label_is_text(label):
    text = str(inline(DRAWN, "f1", label))
    assert ElementTree.fromstring(text).get("aria-label") == label
