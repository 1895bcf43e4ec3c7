"""Markdown, HTML, PDF and source code as whole files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data import formats
from vicino.data.formats import LANGUAGES, Content, kind_of, markdown_text
from vicino.errors import InputTooLarge, MissingExtra, UnreadableSource


def content(folder: Path, name: str, data: bytes | str, limit: int = 100_000) -> Content:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return formats.WHOLE[kind_of(name) or ""](path, limit)


def test_no_ending_means_two_things() -> None:
    endings = [ending for known in (LANGUAGES, formats._SUFFIXES) for group in known.values() for ending in group]
    assert len(endings) == len(set(endings))
    assert all(ending.startswith(".") and ending == ending.lower() for ending in endings)


def test_markdown_loses_its_markup_and_nothing_else() -> None:
    source = """\
Setext
======

A **bold** [link](http://a.b "title") and `code_span`,
soft break, ![alt text](i.png) and <em>inline</em> html.

1. one
2. two

| a | b |
|---|---|
| 1 | 2 |

> quoted

```python
def f():

    return 1
```

<div align="center"><b>block</b></div>

## Last ##
"""
    assert markdown_text(source) == (
        "# Setext\n\nA bold link and code_span,\nsoft break, alt text and inline html.\n\none\ntwo\n\na b \n1 2 \n\n"
        "quoted\n\ndef f():\n\n    return 1\n\nblock\n\n## Last"
    )


@given(st.text())
def test_markdown_never_fails(source: str) -> None:
    assert isinstance(markdown_text(source), str)


def test_front_matter_gives_the_title(tmp_path: Path) -> None:
    found = content(tmp_path, "a.md", '---\ntags: [x]\ntitle: "On lift"\n---\nText.\n\n---\n\nMore.\n')
    assert found == Content("Text.\n\nMore.", "On lift", {"format": "markdown"})
    assert content(tmp_path, "a.md", "---\n\nA rule above.\n").title == ""


def test_html_is_what_a_reader_sees(tmp_path: Path) -> None:
    page = """<!doctype html><html><head><title> On
      lift &amp; drag </title><style>p {}</style></head><body><h1>Head<b>ing</b></h1><div>loose <p>One <i>two</i>,
      three.</p>tail</div><script>alert(1)</script><ul><li>a<li>b</ul><pre>  x = 1

  y = 2
</pre><!-- comment --><table><tr><td>1</td><td>2</td></tr></table></body></html>"""
    found = content(tmp_path, "a.html", page)
    assert found.title == "On lift & drag"
    assert found.text.split("\n\n")[:5] == ["Heading", "loose", "One two, three.", "tail", "a"]
    assert "  x = 1\n\n  y = 2\n\n1\n\n2" in found.text
    assert "alert" not in found.text
    assert "comment" not in found.text


def test_html_without_a_title_takes_its_first_heading(tmp_path: Path) -> None:
    assert content(tmp_path, "a.htm", "<h1>One</h1><p>x").title == "One"
    assert content(tmp_path, "a.htm", "just text") == Content("just text", "", {"format": "html"})


def test_html_in_the_charset_that_it_declares(tmp_path: Path) -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1252"><p>na\u00efve \u201cquote\u201d'
    assert content(tmp_path, "a.html", page.encode("windows-1252")).text == "na\u00efve \u201cquote\u201d"
    assert content(tmp_path, "a.html", "<p>na\u00efve".encode("utf-16")).text == "na\u00efve"
    with pytest.raises(UnreadableSource, match="charset that Python does not know"):
        content(tmp_path, "a.html", b"<meta charset='klingon'><p>\xff")
    with pytest.raises(UnreadableSource, match="not UTF-8"):
        content(tmp_path, "a.html", b"<p>\xff")


def test_html_nested_deeper_than_python_recurses(tmp_path: Path) -> None:
    assert content(tmp_path, "a.html", "<div>" * 5000 + "deep").text == "deep"


def pdf(*pages: str) -> bytes:
    """A minimal PDF with one line of text a page."""
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(pages)))
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 {font} >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    data, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    data += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return (data + f"startxref\n{data.index('xref')}\n%%EOF\n").encode()


def test_pdf_pages_are_parted_by_form_feeds(tmp_path: Path) -> None:
    found = content(tmp_path, "a.pdf", pdf("Wings lift.", "Drag slows."))
    assert found == Content("Wings lift.\fDrag slows.", "", {"format": "pdf", "pages": 2})
    with pytest.raises(InputTooLarge):
        content(tmp_path, "a.pdf", pdf("Wings lift."), limit=5)


def test_pdf_that_needs_a_password(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    (tmp_path / "plain.pdf").write_bytes(pdf("Wings lift."))
    for password, opens in (("secret", False), ("", True)):
        writer = PdfWriter(clone_from=PdfReader(tmp_path / "plain.pdf"))
        writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
        writer.write(tmp_path / "locked.pdf")
        data = (tmp_path / "locked.pdf").read_bytes()
        if opens:
            assert content(tmp_path, "b.pdf", data).text == "Wings lift."
        else:
            with pytest.raises(UnreadableSource, match="needs a password"):
                content(tmp_path, "b.pdf", data)


@pytest.mark.parametrize("data", [b"", b"not a pdf", b"%PDF-1.4\n", pdf("Wings lift.")[:200]])
def test_broken_pdf_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UnreadableSource, match="PDF that cannot be parsed"):
        content(tmp_path, "a.pdf", data)


@pytest.mark.parametrize(("name", "module"), [("a.md", "markdown_it"), ("a.html", "selectolax.lexbor"), ("a.pdf", "pypdf")])
def test_missing_extra_is_named(tmp_path: Path, name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtra, match=r"pip install 'vicino\[files\]'"):
        content(tmp_path, name, "text")
