"""Text from anywhere, made safe inside GitHub Flavored Markdown.

Clients differ: some render raw HTML inside Markdown, some turn bare addresses into links. So a text that was inserted can
neither mark up nor link, whatever it holds; it is shown as it was written.
"""

from __future__ import annotations

import re
import unicodedata

_MARKUP = re.compile(r"([\\`*_\[\]~|#$])")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_ADDRESS = re.compile(r"(?i)\bwww(?=\.)|\b[a-z][a-z0-9+.-]*(?=://)|\bmailto(?=:)|\bxmpp(?=:)|(?<=\S)(?=@)")
_TAG, _TAG_END = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r">(?! ?\d)")
_SIGNS = ("://", "@", "www.", "mailto:", "xmpp:")  # without one of these there is no address to look for
_WORD_JOINER = "\u2060"  # invisible; parts an address from its scheme so that no client makes a link of it
_LONGEST = 240


def plain(text: str, longest: int = _LONGEST) -> str:
    """One line without control and direction characters, of at most `longest` characters."""
    spaced = " ".join(text.split())
    kept = spaced if spaced.isprintable() else "".join(sign for sign in spaced if not _is_hidden(sign))
    return kept if len(kept) <= longest else kept[: longest - 1].rstrip() + "…"


def _is_hidden(sign: str) -> bool:
    """Control, format (direction marks), surrogate, private and unassigned characters."""
    return unicodedata.category(sign)[0] == "C"


def escaped(text: str, longest: int = _LONGEST, *, own: bool = False) -> str:
    """`text` as it is to be read, on one line: nothing in it is markup, HTML or a link.

    In a text of the site's `own` addresses stay whole, to be copied; a client may make links of them.
    """
    shown = plain(text, longest)
    if not own and any(sign in shown.lower() for sign in _SIGNS):
        shown = _ADDRESS.sub(lambda found: found.group() + _WORD_JOINER, shown)
    return _MARKUP.sub(r"\\\1", shown.translate(_HTML))


def summed_up(text: str, longest: int = 139) -> str:
    """`text` for a summary, which is plain text, of at most `longest` characters: nothing in it is a tag or a link even where

    a client takes it for HTML or Markdown. A comparison such as `<0.5` stays.
    """
    shown = _TAG.sub("‹", plain(text, len(text)))
    if "‹" in shown:
        shown = _TAG_END.sub("›", shown)
    shown = shown.replace("](", "] (")
    if any(sign in shown.lower() for sign in _SIGNS):
        shown = _ADDRESS.sub(lambda found: found.group() + _WORD_JOINER, shown)
    return shown if len(shown) <= longest else shown[: longest - 1].rstrip() + "…"


def link(label: str, address: str) -> str:
    """A link to an https address of our own catalogue; the bare label if the address is none."""
    if not re.fullmatch(r"https://[^\s<>\[\]\\]+", address):
        return escaped(label)
    return f"[{escaped(label)}]({address.replace('(', '%28').replace(')', '%29')})"
