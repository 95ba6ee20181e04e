"""The Link header as RFC 8288 has it, and where references lead by RFC 3986."""

from __future__ import annotations

import contextlib
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.links import Link, origin, parse, resolve


def following(*values: str) -> list[str]:
    """Targets of the links to the next page."""
    return [link.target for link in parse([*values]) if "next" in link.rels and link.anchor is None]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('</p?page=2>; rel="next"', ["/p?page=2"]),
        ("</p>; rel=next", ["/p"]),
        ("</p>;rel=next", ["/p"]),
        ("</p> ; rel = next ; x", ["/p"]),
        ('</p>\t;\trel\t=\t"next"\t', ["/p"]),
        ('</p>; REL="NEXT"', ["/p"]),
        ('</p>; rel="next last"', ["/p"]),
        ('</p>; rel="prefetch\tnext"', ["/p"]),
        ('</p>; rel="nextpage"', []),
        ('</p>; rel="prev"', []),
        ('</p>; rev="next"', []),
        ('</p>; rel="last"; rel="next"', []),
        ('</p>; rel="next"; rel="last"', ["/p"]),
        ('</p>; rel=""; rel="next"', []),
        ('</p>; title="a, <b>; rel=next"; rel="last"', []),
        ('</p>; title="a, <b>"; rel="next"', ["/p"]),
        ('</p>; title="a \\" b, <c>; rel=next"; rel=last', []),
        ('</p>; rel="n\\ext"', ["/p"]),
        ('</p>; title="\\\\"; rel=next', ["/p"]),
        ("</p;v=1?2,3>; rel=next", ["/p;v=1?2,3"]),
        ("</p>; rel=next; anchor=/other", []),
        ('</p>; rel=next; anchor=""', []),
        ("</p>; foo; rel=next; bar", ["/p"]),
        ("</p>; foo=; rel=next", ["/p"]),
        ("</p>;; rel=next;", ["/p"]),
        ("</p>; title*=UTF-8''%e2%82%ac; rel=next", ["/p"]),
        ("</p>; title=two words; rel=next", ["/p"]),
        ('</p>; title=in"side; rel=next', ["/p"]),
        (", ,</a>; rel=prev,, </p>; rel=next,,", ["/p"]),
        ("</a>; rel=prev,</p>; rel=next", ["/p"]),
        ("</a>, </p>; rel=next", ["/p"]),
        ("</a>; rel=next, </b>; rel=next", ["/a", "/b"]),
        ("<>; rel=next", [""]),
        ("<//evil.example/p>; rel=next", ["//evil.example/p"]),
        ("</p>", []),
        ("", []),
        (" ,\t, ", []),
    ],
)
def test_vectors(value: str, expected: list[str]) -> None:
    """Links to the next page, and nothing that only looks like one."""
    assert following(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "junk </p>; rel=next",
        "junk, </p>; rel=next",
        "https://api.example.com/p; rel=next",
        "</p; rel=next",
        "</p; rel=next, </q",
        '</p>; rel="next',
        '</p>; rel= "next',
        '</p>; rel="next\\"',
        '</p>; title="a; rel=next',
        '</p>; rel="next"junk',
        "</p>; rel next",
        "</p> rel=next",
        "</p>=next",
        "</p></q>; rel=next",
    ],
)
def test_malformed_headers_are_errors(value: str) -> None:
    """Junk, an open bracket or an open quote is an error: no link, and no end in silence."""
    with pytest.raises(ValueError, match="of a Link header"):
        parse([value])
    with pytest.raises(ValueError, match="of a Link header"):
        parse(["</p>; rel=next", value])


def test_a_link_without_a_relation_has_none() -> None:
    """Nor one whose relation is empty."""
    assert parse(['</a>, </b>; rel="", </c>; rel']) == [Link(f"/{name}", ()) for name in "abc"]


def test_header_lines_are_one_list() -> None:
    """Links of several lines come in order; an open quote does not reach into the next line."""
    lines = ["</a>; rel=prev", "", "</b>; rel=next, </c>; rel=last; anchor='#x'"]
    assert parse(lines) == [
        Link("/a", ("prev",)),
        Link("/b", ("next",)),
        Link("/c", ("last",), "'#x'"),
    ]
    with pytest.raises(ValueError, match="at character 11 of"):
        parse(['</a>; title="', '"; rel=next'])


@pytest.mark.parametrize(
    "value",
    [
        "</p>; rel=next" + "; a" * 21_000,
        "</p>; rel=next" + ' ; a="b"' * 8_000,
        ", " * 32_000 + "</p>; rel=next",
        "," * 64_000,
        "<" * 64_000,
        "<" + "a" * 64_000,
        "</p>" + " " * 64_000 + "x",
        "</p>; rel" + " " * 64_000 + "x",
        "</p>; rel=" + " " * 64_000 + '"',
        '</p>; rel="' + "\\" * 64_001,
        '</p>; rel="' + "a" * 64_000,
        '</p>; rel="' + '\\"' * 32_000,
        "</p>," * 12_000 + "</p>; rel=next",
        "</p>; rel=" + "next " * 12_000,
    ],
)
def test_long_headers_are_read_in_linear_time(value: str) -> None:
    """64 KiB of anything take well under a second; quadratic time would take a minute."""
    began = time.process_time()
    with contextlib.suppress(ValueError):
        assert following(value) in ([], ["/p"])
    assert time.process_time() - began < 1


names = st.text("abcdefghijklmnopqrstuvwxyz-*", min_size=1).filter(
    lambda name: name not in {"rel", "anchor"}
)
texts = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]))
relations = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-:/", min_size=1)
targets = st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters=">"))
gaps = st.text(" \t", max_size=2)


def quoted(text: str) -> str:
    """A quoted-string of RFC 9110, section 5.6.4."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def headers(draw: st.DrawFn) -> tuple[list[Link], str]:
    """Links, and one way to write them as a header."""
    links, written = [], []
    for target in draw(st.lists(targets, max_size=4)):
        rels = draw(st.lists(relations, min_size=1, max_size=3))
        anchor = draw(st.none() | texts)
        links.append(Link(target, tuple(rels), anchor))
        spelled = draw(st.sampled_from(["rel", "Rel", "REL"]))
        parameters = [f"{spelled}={quoted(' '.join(rels))}"]
        if anchor is not None:
            parameters.append(f"anchor={quoted(anchor)}")
        parameters.extend(
            draw(st.sampled_from([name, f"{name}={quoted(draw(texts))}"]))
            for name in draw(st.lists(names, max_size=3))
        )
        parameters = draw(st.permutations(parameters))
        gap = draw(gaps)
        written.append(f"<{target}>" + "".join(f"{gap};{gap}{text}" for text in parameters))
    comma = draw(st.sampled_from([",", ", ", " ,\t", ",,", ", ,"]))
    return links, comma.join(written)


@given(headers())
def test_what_is_written_is_read(drawn: tuple[list[Link], str]) -> None:
    """Whatever links are written, in whatever order and spacing, the same are read."""
    links, header = drawn
    assert parse([header]) == links


@given(st.text("<>;,=\"\\ \trelnxt/'*") | texts)
def test_any_text_is_links_or_an_error(value: str) -> None:
    """Any header is read or refused, and a link read was in brackets."""
    try:
        links = parse([value])
    except ValueError:
        return
    assert all(f"<{link.target}>" in value for link in links)


# RFC 3986, section 5.4. The fragments are dropped: a request has none.
BASE = "http://a/b/c/d;p?q"
REFERENCES = {
    "g:h": "g:h",
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q",
    "g#s": "http://a/b/c/g",
    "g?y#s": "http://a/b/c/g?y",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g?y/..": "http://a/b/c/g?y/..",
    "..?y": "http://a/b/?y",
    "g#s/../x": "http://a/b/c/g",
    "http:g": "http:g",
}


@pytest.mark.parametrize(("reference", "expected"), REFERENCES.items())
def test_references_resolve_as_in_the_rfc(reference: str, expected: str) -> None:
    """The examples of RFC 3986, section 5.4, the abnormal ones included."""
    assert str(resolve(httpx.URL(BASE), httpx.URL(reference))) == expected


def test_references_keep_empty_segments() -> None:
    """Double slashes in the base are part of its path."""
    base = httpx.URL("http://a/b//c/d")
    assert str(resolve(base, httpx.URL("e?f"))) == "http://a/b//c/e?f"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example.com", "https://api.example.com:443"),
        ("HTTPS://API.EXAMPLE.COM:443/x?y", "https://api.example.com:443"),
        ("https://api.example.com./", "https://api.example.com:443"),
        ("http://api.example.com", "http://api.example.com:80"),
        ("http://api.example.com:443", "http://api.example.com:443"),
        ("https://me:secret@api.example.com", "https://api.example.com:443"),
        ("https://BÜCHER.example", "https://xn--bcher-kva.example:443"),
        ("https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example:443"),
        ("http://[::A]:8080", "http://::a:8080"),
        ("http://h:0", "http://h:0"),
    ],
)
def test_origins_are_spelled_one_way(url: str, expected: str) -> None:
    """Case, default port, final dot, user info and IDNA form make no difference."""
    assert origin(httpx.URL(url)) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("https://b/c?d#e", "https://b/c?d"),
        ("http://a/b/c/d;p?q#", "http://a/b/c/d;p?q"),
        ("g:h#i", "g:h"),
        ("//g/h#i", "http://g/h"),
    ],
)
def test_no_fragment_is_part_of_where_a_whole_url_leads(reference: str, expected: str) -> None:
    """Be it of another scheme or host; it is not sent, and two that differ in it are one page."""
    assert str(resolve(httpx.URL("http://a/b/c/d;p?q"), httpx.URL(reference))) == expected
