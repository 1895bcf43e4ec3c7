"""What a whole file says: plain text, Markdown, HTML, PDF and source code -> title, text, metadata.

Markdown, HTML and PDF need the extra "files". A new format is one function and one line in `WHOLE`, and its name endings
in `_SUFFIXES`; a new programming language is one line in `LANGUAGES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicino.data.files import COMPRESSED, opened, read_html_source, read_text, refuse_larger
from vicino.errors import MissingExtra, UnreadableSource

if TYPE_CHECKING:
    from markdown_it.token import Token
    from selectolax.lexbor import LexborNode

__all__ = ["LANGUAGES", "WHOLE", "Content", "kind_of", "language_of", "markdown_text"]

LANGUAGES = {
    "c": (".c", ".h"),
    "clojure": (".clj",),
    "cpp": (".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"),
    "csharp": (".cs",),
    "css": (".css", ".scss"),
    "elixir": (".ex", ".exs"),
    "erlang": (".erl",),
    "go": (".go",),
    "haskell": (".hs",),
    "java": (".java",),
    "javascript": (".js", ".cjs", ".jsx", ".mjs"),
    "julia": (".jl",),
    "kotlin": (".kt", ".kts"),
    "lua": (".lua",),
    "ocaml": (".ml", ".mli"),
    "perl": (".pl", ".pm"),
    "php": (".php",),
    "python": (".py", ".pyi"),
    "r": (".r",),
    "ruby": (".rb",),
    "rust": (".rs",),
    "scala": (".scala",),
    "shell": (".sh", ".bash", ".zsh"),
    "sql": (".sql",),
    "swift": (".swift",),
    "tsx": (".tsx",),
    "typescript": (".ts", ".cts", ".mts"),
    "zig": (".zig",),
}

_SUFFIXES = {
    "text": (".txt", ".text", ".rst", ".adoc", ".asciidoc", ".org", ".tex"),
    "markdown": (".md", ".markdown", ".mdx"),
    "html": (".html", ".htm", ".xhtml"),
    "pdf": (".pdf",),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet",),
}
_KIND = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes}
_LANGUAGE = {suffix: language for language, suffixes in LANGUAGES.items() for suffix in suffixes}
_NEVER_COMPRESSED = ("pdf", "parquet")  # their readers jump about in the file, and they are compressed inside


@dataclass(frozen=True)
class Content:
    """What one file says."""

    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def _suffix(name: str) -> str:
    if "." not in name:  # as in most ids of what is no file: to read a path takes long
        return ""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def language_of(name: str) -> str | None:
    """The programming language that a file's name tells, or None.

    >>> language_of("src/walk.go"), language_of("walk.txt")
    ('go', None)
    """
    return _LANGUAGE.get(_suffix(name))


def kind_of(name: str) -> str | None:
    """How to read a file of this name: a key of `WHOLE`, or "jsonl", "csv", "tsv", "parquet"; None if nobody knows.

    >>> [kind_of(name) for name in ("a/b.PY", "notes.txt.gz", "rows.jsonl.xz", "photo.jpg", "x.pdf.gz")]
    ['code', 'text', 'jsonl', None, None]
    """
    kind = "code" if language_of(name) else _KIND.get(_suffix(name))
    return None if kind in _NEVER_COMPRESSED and name.lower().endswith(tuple(COMPRESSED)) else kind


def _plain(path: Path, limit: int) -> Content:
    return Content(read_text(path, limit), metadata={"format": "text"})


def _code(path: Path, limit: int) -> Content:
    return Content(read_text(path, limit), metadata={"format": "code", "language": language_of(path.name)})


def _markdown(path: Path, limit: int) -> Content:
    source = read_text(path, limit)
    title, body = _front_matter(source)
    return Content(markdown_text(body), title, {"format": "markdown"})


def _front_matter(source: str) -> tuple[str, str]:
    """The title that a leading YAML block states, if any, and what follows the block."""
    if not source.startswith(("---\n", "---\r\n")):
        return "", source
    end = re.compile(r"^(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE).search(source, 4)
    if end is None:
        return "", source
    title = re.search(r"^title:[ \t]*(.+)$", source[: end.start()], re.MULTILINE)
    return (title[1].strip().strip("\"'") if title else ""), source[end.end() :]


def markdown_text(source: str) -> str:
    """Markdown (CommonMark and tables) without its markup; headings keep their `#` signs, code its lines.

    Raises MissingExtra where markdown-it-py is not installed.

    >>> markdown_text("Wings\\n=====\\nA *wing* has [lift](http://x.y).\\n\\n- up\\n- down\\n")
    '# Wings\\n\\nA wing has lift.\\n\\nup\\ndown'
    """
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise MissingExtra.named("files", needed_by="Markdown files") from error
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    text = "".join(piece for token in tokens for piece in _markdown_pieces(token))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


_TAG = re.compile(r"<[^<>]*>")
_MARKDOWN_BREAKS = {
    "heading_close": "\n\n",
    "td_close": " ",
    "th_close": " ",
    "tr_close": "\n",
    "table_close": "\n",
    "bullet_list_close": "\n",
    "ordered_list_close": "\n",
}


def _markdown_pieces(token: Token) -> Iterator[str]:
    """The text of one Markdown token, and the line breaks that its end makes."""
    if token.type == "heading_open":
        yield "#" * int(token.tag[1]) + " "
    elif token.type == "inline":
        for child in token.children or ():
            yield "\n" if child.type in ("softbreak", "hardbreak") else "" if "html" in child.type else child.content
    elif token.type in ("fence", "code_block"):
        yield token.content + "\n"
    elif token.type == "html_block":
        yield _TAG.sub("", token.content).strip() + "\n\n"
    elif token.type == "paragraph_close":
        yield "\n" if token.hidden else "\n\n"  # hidden: an item of a tight list
    else:
        yield _MARKDOWN_BREAKS.get(token.type, "")


_UNSEEN = frozenset(str.split("head script style noscript template svg iframe object select"))
_INLINE = frozenset(
    str.split(
        "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp small span "
        "strike strong sub sup time tt u var wbr"
    )
)


def _html(path: Path, limit: int) -> Content:
    source = read_html_source(path, limit)
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise MissingExtra.named("files", needed_by="HTML files") from error
    tree = LexborHTMLParser(source)
    head = tree.css_first("title") or tree.css_first("h1")
    title = " ".join(head.text().split()) if head else ""
    return Content(_html_text(tree.root), title, {"format": "html"})


def _html_text(root: LexborNode | None) -> str:
    """What a reader of the page sees: a blank line between blocks, white space kept only in <pre>."""
    blocks: list[str] = []
    pieces: list[str] = []

    def end_block(verbatim: bool = False) -> None:
        text = "".join(pieces)
        text = text.strip("\n").rstrip() if verbatim else " ".join(text.split())
        if text:
            blocks.append(text)
        pieces.clear()

    todo: list[tuple[LexborNode, bool]] = [(root, False)] if root else []
    while todo:  # a stack of its own: hostile pages nest deeper than Python recurses
        node, leaving = todo.pop()
        block = node.is_element_node and node.tag not in _INLINE
        if node.is_text_node:
            pieces.append(node.text_content or "")
        elif block and leaving:
            end_block(verbatim=node.tag == "pre")
        if leaving or node.tag in _UNSEEN:
            continue
        if block:
            end_block()
            todo.append((node, True))
        todo.extend((child, False) for child in reversed(list(node.iter(include_text=True))))
    end_block()
    return "\n\n".join(blocks)


def _pdf(path: Path, limit: int) -> Content:
    """Pages are parted by form feeds, as pdftotext does it."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, PyPdfError
    except ImportError as error:
        raise MissingExtra.named("files", needed_by="PDF files") from error
    # pypdf meets a damaged file with whatever its parser happened to trip over
    broken = (PyPdfError, ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
    with opened(path) as stream:
        try:
            reader = PdfReader(stream)
            locked = reader.is_encrypted and not reader.decrypt("")
            pages = [] if locked else [page.extract_text() for page in reader.pages]
        except DependencyError as error:
            mend = "pip install cryptography, or save it without encryption"
            raise UnreadableSource("a PDF whose encryption needs another package", mend=mend) from error
        except broken as error:
            raise UnreadableSource("a PDF that cannot be parsed", mend="open it and save it again") from error
    if locked:
        raise UnreadableSource("a PDF that needs a password", mend="remove the password, for example with qpdf")
    text = "\f".join(pages)
    refuse_larger(len(text), limit)
    return Content(text, metadata={"format": "pdf", "pages": len(pages)})


WHOLE: dict[str, Callable[[Path, int], Content]] = {
    "text": _plain,
    "code": _code,
    "markdown": _markdown,
    "html": _html,
    "pdf": _pdf,
}
