"""Functions in source code: where each begins and ends, its qualified name, and what its documentation says.

Python is parsed by `ast`; the other languages of `GRAMMARS` by tree-sitter, which needs the extra "files". A new language
is one line in `GRAMMARS`, and the names that its grammar has for functions and for what holds them, where they are new.
"""

from __future__ import annotations

import ast
import importlib
import re
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vicino.data.formats import language_of
from vicino.data.records import Document
from vicino.data.sentences import sentence_spans
from vicino.errors import MissingExtra

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["GRAMMARS", "Function", "first_sentence", "function_documents", "functions", "language_of_document"]

# language -> module and function that give its tree-sitter grammar
GRAMMARS = {
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "go": ("tree_sitter_go", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
}
_FUNCTIONS = frozenset(
    str.split(
        "compact_constructor_declaration constructor_declaration function_declaration function_definition "
        "function_item generator_function_declaration method_declaration method_definition"
    )
)
_FUNCTION_VALUES = frozenset(str.split("arrow_function function_expression generator_function"))
_NAMED = frozenset(  # what holds functions and lends them its name
    str.split(
        "abstract_class_declaration annotation_type_declaration class class_declaration class_specifier "
        "enum_declaration impl_item interface_declaration internal_module mod_item module namespace_definition "
        "record_declaration struct_specifier trait_item"
    )
)
_WRAPPERS = frozenset(  # statements that may be a function and a little more
    str.split("export_statement expression_statement lexical_declaration template_declaration variable_declaration")
)
_THROUGH = _WRAPPERS | frozenset(  # what else may hold functions
    str.split(
        "ERROR class_body declaration_list enum_body enum_body_declarations field_declaration_list interface_body "
        "linkage_specification preproc_else preproc_if preproc_ifdef statement_block"
    )
)


@dataclass(frozen=True, slots=True)
class Function:
    """One function or method of a source text.

    `start` and `end` are its offsets in characters, with decorators and the comments right above it; `line` counts from
    1. `docs` are the offsets of the docstring, or of those comments, `docstring` is their text without markers.
    """

    start: int
    end: int
    qualname: str
    line: int
    docs: tuple[int, int] | None = None
    docstring: str = ""


def language_of_document(document: Document) -> str | None:
    """The programming language that the metadata states, or that the id's ending tells."""
    stated = document.metadata.get("language")
    return stated.lower() if isinstance(stated, str) else language_of(document.id)


def functions(source: str, language: str | None) -> list[Function]:
    """The functions and methods in `source`, in order, none inside another; nested classes give `Outer.Inner.method`.

    None are found in a language that is not known, or in Python that does not parse. Raises MissingExtra where the
    grammar is not installed.

    >>> found = functions("class A:\\n    @property\\n    def b(self):\\n        'Say b.'\\n        return 1\\n", "python")
    >>> [(one.qualname, one.line, one.docstring) for one in found]
    [('A.b', 2, 'Say b.')]
    """
    if language == "python":
        return list(_python(source))
    return list(_parsed(source, language)) if language in GRAMMARS else []


def function_documents(document: Document) -> list[tuple[Document, str]]:
    """Each function of a source file as a document without its documentation, and that documentation.

    Ids are "file.py::Class.method", with "#2" where a name comes again; `metadata` tells path, line, qualname, language.

    >>> code = Document("m.py", "def f():\\n    'Go up.'\\n    return 1\\n")
    >>> [(one.id, one.text, docs) for one, docs in function_documents(code)]
    [('m.py::f', 'def f():\\n    return 1', 'Go up.')]
    """
    language = language_of_document(document)
    text, seen = document.text, Counter[str]()
    found = []
    for one in functions(text, language):
        seen[one.qualname] += 1
        again = f"#{seen[one.qualname]}" if seen[one.qualname] > 1 else ""
        cut, resume = one.docs or (one.end, one.end)
        body = text[one.start : cut] + text[resume : one.end]
        metadata = {"path": document.id, "line": one.line, "qualname": one.qualname, "language": language}
        found.append((Document(f"{document.id}::{one.qualname}{again}", _dedent(body), metadata=metadata), one.docstring))
    return found


def first_sentence(docstring: str) -> str:
    """The first sentence of the first paragraph, on one line; empty where there is none.

    >>> first_sentence("Return the\\n    lift. It is positive.\\n\\n    More.")
    'Return the lift.'
    """
    begin = re.split(r"\n\s*\n|\n\s*[@:\\]\w", docstring.strip(), maxsplit=1)[0]  # @param, :param, \param
    line = " ".join(begin.split())
    return next((line[start:end] for start, end in sentence_spans(line)), "")


def _dedent(code: str) -> str:
    """Without the first line's margin; `textwrap.dedent` does nothing where a string reaches further left."""
    margin = code[: len(code) - len(code.lstrip(" \t"))]
    return code.removeprefix(margin).replace(f"\n{margin}", "\n").strip()


def _python(source: str) -> Iterator[Function]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are the source's business
            module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: hostile nesting
        return
    lines = _Lines(source)
    todo: list[tuple[ast.AST, str]] = [(module, "")]
    while todo:  # a stack of its own: a thousand elifs nest a thousand deep
        node, prefix = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _python_function(lines, node, prefix + node.name)
            continue
        if isinstance(node, ast.ClassDef):
            prefix = f"{prefix}{node.name}."
        inner = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt | ast.excepthandler | ast.match_case)]
        todo.extend((one, prefix) for one in reversed(inner))


def _python_function(lines: _Lines, node: ast.FunctionDef | ast.AsyncFunctionDef, qualname: str) -> Function:
    line = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    start, end = lines.whole(lines.starts[line - 1], lines.end_of(node))
    docstring = ast.get_docstring(node)
    if docstring is None:
        return Function(start, end, qualname, line)
    said = node.body[0]
    docs = lines.whole(lines.at(said.lineno, said.col_offset), lines.end_of(said))
    return Function(start, end, qualname, line, docs, docstring)


class _Lines:
    """The places of a text by line and column, as Python's parser counts them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(found.end() for found in re.finditer(r"\r\n?|\n", text)), len(text)]

    def at(self, line: int, column: int) -> int:
        """The offset in characters; `line` counts from 1, `column` in bytes of UTF-8."""
        start = self.starts[line - 1]
        return start + len(self.text[start : self.starts[line]].encode()[:column].decode())

    def end_of(self, node: ast.stmt) -> int:
        return self.at(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def whole(self, start: int, end: int) -> tuple[int, int]:
        """The span as whole lines, where it shares them only with white space, and with a comment behind it."""
        begin = self.starts[bisect_right(self.starts, start) - 1]
        finish = self.starts[bisect_right(self.starts, end - 1)]
        behind = self.text[end:finish].strip()
        alone = not self.text[begin:start].strip() and (not behind or behind.startswith("#"))
        return (begin, finish) if alone else (start, end)


_MARKERS = re.compile(r"^[ \t]*(?:/\*+!?|\*+/|\*+|//+!?)?[ \t]?|[ \t]*\*+/[ \t]*$", re.MULTILINE)
_RECEIVER = re.compile(r"(\w+)\s*(?:\[[^]]*\])?\s*\)$")  # of a method in Go: (list *List[T])


def _parsed(source: str, language: str) -> Iterator[Function]:
    try:
        import tree_sitter

        module, attribute = GRAMMARS[language]
        grammar = tree_sitter.Language(getattr(importlib.import_module(module), attribute)())
    except ImportError as error:
        raise MissingExtra.named("files", needed_by=f"functions in {language}") from error
    data = source.encode("utf-8", "replace")  # a lone surrogate becomes "?": still one character
    found = list(_found(tree_sitter.Parser(grammar).parse(data).root_node, data))
    place = _characters(data, (at for one in found for at in (one.start, one.docs_end, one.node.end_byte)))
    for one in found:
        start, docs_end, end = place[one.start], place[one.docs_end], place[one.node.end_byte]
        said = _MARKERS.sub("", source[start:docs_end]).strip()
        docs = (start, docs_end) if said else None
        yield Function(start, end, one.qualname, one.node.start_point[0] + 1, docs, said)


def _characters(data: bytes, places: Iterable[int]) -> dict[int, int]:
    """Offsets in bytes of UTF-8 -> offsets in characters."""
    found, last, count = {}, 0, 0
    for place in sorted(places):
        count += len(data[last:place].decode())
        last = place
        found[place] = count
    return found


@dataclass(frozen=True, slots=True)
class _Found:
    """A node that is a function; `start` and `docs_end`, in bytes, enclose the comments above it."""

    node: Node
    qualname: str
    start: int
    docs_end: int


def _found(root: Node, data: bytes) -> Iterator[_Found]:
    """The functions in the text's order; looked for only where there may be some."""
    todo = [_Found(root, "", 0, 0)]
    while todo:
        one = todo.pop()
        function = _function_in(one.node)
        if function is not None:
            yield _Found(one.node, one.qualname + _name(function), one.start, one.docs_end)
        elif one.node.type in _NAMED:
            todo.extend(reversed(list(_children(one.node, f"{one.qualname}{_name(one.node)}.", data))))
        elif one.node.type in _THROUGH or one.node == root:
            todo.extend(reversed(list(_children(one.node, one.qualname, data))))


def _children(node: Node, prefix: str, data: bytes) -> Iterator[_Found]:
    """The named children that are no comments, each with the comments (and attributes) right above it."""
    start = docs_end = end = -1
    for child in node.named_children:
        if start < 0 or data[end : child.start_byte].count(b"\n") > 1:
            line = data.rfind(b"\n", 0, child.start_byte) + 1
            start = line if not data[line : child.start_byte].strip() else child.start_byte
            docs_end = start
        end = child.start_byte + len(data[child.start_byte : child.end_byte].rstrip())
        if "comment" in child.type:
            docs_end = end
            if data[data.rfind(b"\n", 0, start) + 1 : start].strip():
                start = -1  # it ends another line, and speaks of that
        elif child.type != "attribute_item":
            yield _Found(child, prefix, start, docs_end)
            start = -1


def _function_in(node: Node) -> Node | None:
    """The function that a statement is, or gives a name to."""
    while node.type in _WRAPPERS and node.named_children:
        node = node.named_children[-1]
    if node.type in _FUNCTIONS:
        return node
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    return node if value is not None and value.type in _FUNCTION_VALUES else None


def _name(node: Node) -> str:
    """What a function, or what holds functions, is called; `Type.method` for a method in Go."""
    receiver = node.child_by_field_name("receiver")
    held = _RECEIVER.search(_source(receiver)) if receiver else None
    for field in ("name", "left", "property", "declarator", "type"):
        named = node
        while (part := named.child_by_field_name(field)) is not None:
            named = part  # a declarator in C, and a generic type in Rust, hold another
        if named != node:
            break
    name = _source(named).partition("(")[0].strip("*& \n") if named != node else "anonymous"
    return f"{held[1]}.{name}" if held else name


def _source(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
