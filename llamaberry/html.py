"""The shell of all pages: one self-contained document, no script, no external resource, every text escaped."""

from xml.etree.ElementTree import Element, tostring

from llamaberry.console import plain

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_CSS = """
:root { color-scheme: light dark; --line: #8884; --soft: #777; --flip: #b45309; --new: #15803d; --gone: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --soft: #aaa; --flip: #fbbf24; --new: #4ade80; --gone: #f87171; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
"""


def document(title: str, css: str, body: Element) -> str:
    """Return the page with this title and body; `css` is added to the common style."""
    head = tag(
        "head",
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        tag("title", title),
        tag("style", _CSS + css),
    )
    return "<!doctype html>\n" + tostring(tag("html", {"lang": "en"}, head, body), encoding="unicode", method="html")


def tag(name: str, *content: "Element | str | dict[str, str]") -> Element:
    """Return an element; control characters are removed, and texts are escaped by `document`."""
    element = Element(name)
    last: Element | None = None
    for part in content:
        if isinstance(part, dict):
            element.attrib.update(part)
        elif isinstance(part, str):
            if last is None:
                element.text = (element.text or "") + plain(part)
            else:
                last.tail = (last.tail or "") + plain(part)
        else:
            element.append(part)
            last = part
    return element
