"""Keywords (dc:subject) in an XMP packet; what else it holds stays."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from xml.etree import ElementTree

from wordsight.utils.errors import InvalidInputError

from .xml_text import check_xml

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
META = "adobe:ns:meta/"
PREFIXES = {"x": META, "rdf": RDF, "dc": DC}
SUBJECT = f"{{{DC}}}subject"
BEGIN = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
END = b'\n<?xpacket end="w"?>'


def with_keywords(packet: bytes | None, keywords: Iterable[str]) -> bytes:
    """A packet with some keywords more.

    Args:
        packet: one that is there already, or None. Its own keywords stay, and none is there twice.
        keywords: to be in it.

    Raises:
        InvalidInputError: the packet is no XMP, or a keyword has a character that XML does not allow.
    """
    keywords = list(dict.fromkeys(keywords))
    for keyword in keywords:
        check_xml(keyword, "its label")
    root = _parse(packet) if packet else ElementTree.Element(f"{{{META}}}xmpmeta")
    for prefix, address in PREFIXES.items():
        ElementTree.register_namespace(prefix, address)
    rdf = root if root.tag == f"{{{RDF}}}RDF" else root.find(f"{{{RDF}}}RDF")
    if rdf is None:
        rdf = ElementTree.SubElement(root, f"{{{RDF}}}RDF")
    bag = _bag(rdf)
    there = keywords_in(root)
    for keyword in keywords:
        if keyword not in there:
            ElementTree.SubElement(bag, f"{{{RDF}}}li").text = keyword
    return BEGIN + ElementTree.tostring(root, encoding="utf-8") + END


def read_keywords(packet: bytes) -> list[str]:
    """The keywords of a packet.

    Raises:
        InvalidInputError: it is no XMP.
    """
    return keywords_in(_parse(packet))


def keywords_in(root: ElementTree.Element) -> list[str]:
    """The keywords of a parsed packet."""
    return [item.text or "" for subject in root.iter(SUBJECT) for item in subject.iter(f"{{{RDF}}}li")]


def _bag(rdf: ElementTree.Element) -> ElementTree.Element:
    """The list of keywords, made if need be."""
    subject = next(rdf.iter(SUBJECT), None)
    if subject is None:
        description = rdf.find(f"{{{RDF}}}Description")
        if description is None:
            description = ElementTree.SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
        subject = ElementTree.SubElement(description, SUBJECT)
    for kind in ("Bag", "Seq", "Alt"):
        if (bag := subject.find(f"{{{RDF}}}{kind}")) is not None:
            return bag
    return ElementTree.SubElement(subject, f"{{{RDF}}}Bag")


def _parse(packet: bytes) -> ElementTree.Element:
    """The packet's tree; its prefixes are registered, so that they are written as they were."""
    content = packet.strip(b"\x00 \r\n")
    try:
        for _, (prefix, address) in ElementTree.iterparse(BytesIO(content), events=["start-ns"]):
            if prefix and not prefix.startswith("ns"):
                ElementTree.register_namespace(prefix, address)
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError) as error:
        raise InvalidInputError(f"its XMP is damaged ({error})") from error
