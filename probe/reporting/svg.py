"""Figures within a page: SVG without styles, scripts, links and names that another figure has."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
PIXELS_PER_POINT = 96 / 72

_ELEMENTS = frozenset(
    (
        "svg",
        "g",
        "defs",
        "path",
        "use",
        "clipPath",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "image",
        "pattern",
        "linearGradient",
        "radialGradient",
        "stop",
    )
)
"""What is drawn; all else is left out."""

_PROPERTIES = frozenset(
    (
        "clip-path",
        "clip-rule",
        "fill",
        "fill-opacity",
        "fill-rule",
        "font-family",
        "font-size",
        "font-style",
        "font-weight",
        "image-rendering",
        "opacity",
        "stop-color",
        "stop-opacity",
        "stroke",
        "stroke-dasharray",
        "stroke-dashoffset",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-miterlimit",
        "stroke-opacity",
        "stroke-width",
        "text-anchor",
        "visibility",
    )
)
"""Of a style, what is an attribute as well."""

_ATTRIBUTES = _PROPERTIES | {
    "d", "transform", "x", "y", "width", "height", "cx", "cy", "r", "rx", "ry", "x1", "x2", "y1",
    "y2", "points", "id", "viewBox", "preserveAspectRatio", "patternUnits", "clipPathUnits",
    "patternTransform", "offset", "gradientUnits", "gradientTransform", "fx", "fy",
}  # fmt: skip

FONTS = "'DejaVu Sans', Verdana, 'Bitstream Vera Sans', sans-serif"
"""Verdana is as wide as the font that figures are laid out with."""


def inline(content: bytes, name: str, label: str) -> Markup:
    """Return an SVG file as an element of a page.

    Styles become attributes, so that a page may forbid styles; identifiers begin with ``name``;
    elements that are not drawn, links, and whatever is loaded from elsewhere, are left out.

    Parameters
    ----------
    content : bytes
        An SVG file that matplotlib wrote.
    name : str
        Of the figure, unique in the page.
    label : str
        What it shows, for those who cannot see it.
    """
    root = ElementTree.fromstring(content)
    view = [float(number) for number in root.get("viewBox", "0 0 432 288").split()]
    targets = set(re.findall(r"(?:url\(#|href=\")#?([^\")]+)", content.decode()))
    cleaned = _clean(root, name, targets)
    assert cleaned is not None  # svg is drawn
    cleaned.attrib |= {
        "class": "plot",
        "role": "img",
        "aria-label": label,
        "width": f"{view[2] * PIXELS_PER_POINT:.0f}",
        "height": f"{view[3] * PIXELS_PER_POINT:.0f}",
        "stroke-linejoin": "round",  # what matplotlib says of all elements in a style
        "stroke-linecap": "butt",
    }
    return Markup(ElementTree.tostring(cleaned, encoding="unicode"))


def _clean(element: ElementTree.Element, name: str, targets: set[str]) -> (
    ElementTree.Element | None
):  # fmt: skip
    """Return a copy of what is drawn, in no name space: a page's parser knows it."""
    namespace, _, tag = element.tag.rpartition("}")
    if namespace != f"{{{SVG}" or tag not in _ELEMENTS:
        return None
    attributes = dict(element.attrib)
    for declaration in attributes.pop("style", "").split(";"):
        key, colon, value = declaration.partition(":")
        if colon:
            attributes[key.strip()] = value.strip()
    copy = ElementTree.Element(tag)
    for key, value in attributes.items():
        if key in ("href", f"{{{XLINK}}}href"):
            if value.startswith("#"):
                copy.set("href", f"#{name}-{value[1:]}")
            elif value.startswith("data:image/png;base64,"):
                copy.set("href", value)
        elif key == "id":
            if value in targets:
                copy.set("id", f"{name}-{value}")
        elif key == "font-family":
            is_mono = "mono" in value.lower()
            copy.set(key, "'DejaVu Sans Mono', monospace" if is_mono else FONTS)
        elif key in _ATTRIBUTES and "url(" not in value:
            copy.set(key, value)
        elif key in _ATTRIBUTES and re.fullmatch(r"url\(#[\w.-]+\)", value):
            copy.set(key, f"url(#{name}-{value[5:-1]})")
    copy.text, copy.tail = element.text, None
    for child in element:
        inner = _clean(child, name, targets)
        if inner is not None:
            inner.tail = child.tail if tag in ("text", "tspan") else None
            copy.append(inner)
    if tag not in ("text", "tspan"):
        copy.text = None
    return copy
