"""Functions in source code, in every language that has a grammar."""

import inspect
import re
import textwrap
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.code import GRAMMARS, first_sentence, function_documents, functions
from vicino.data.records import Document
from vicino.errors import MissingExtra

SOURCES = {
    "javascript": (
        """\
import a from 'a';
/** Go up.
 * @param x how far
 */
export default function up(x) { return x; }
const down = async (x) => -x, other = 1;
// Not about side: a blank line parts them.

let side = function () {};
class A extends B {
  #p = 1;
  /* Make one. */
  constructor() {}
  static get size() { return 1; }
  held = () => 1;
}
module.exports.out = function () {}; // says nothing about last
function* last() {}
""",
        [
            ("up", "Go up.\n@param x how far"),
            ("down", ""),
            ("side", ""),
            ("A.constructor", "Make one."),
            ("A.size", ""),
            ("A.held", ""),
            ("module.exports.out", ""),
            ("last", ""),
        ],
    ),
    "typescript": (
        """\
namespace N { export function f(): void {} }
abstract class A<T> { private m(x: T): T { return x; } abstract z(): void; }
export const g = <T,>(x: T): T => x;
""",
        [("N.f", ""), ("A.m", ""), ("g", "")],
    ),
    "tsx": (
        "export const Page = () => <p>é</p>;\n/** Show. */\nfunction Show() { return <Page/>; }\n",
        [("Page", ""), ("Show", "Show.")],
    ),
    "go": (
        """\
package p

// Name says who.
// It is short.
func (l *List[T]) Name() string { return "é" }
func f() {}
func (T) g() {}
""",
        [("List.Name", "Name says who.\nIt is short."), ("f", ""), ("T.g", "")],
    ),
    "rust": (
        """\
/// Goes up.
#[inline]
pub fn up() {}
impl<T> Walk for Step<T> { fn go(&self) {} }
mod inner { pub fn f() {} }
trait Q { fn d() {} fn declared(); }
""",
        [("up", "Goes up."), ("Step.go", ""), ("inner.f", ""), ("Q.d", "")],
    ),
    "java": (
        """\
package p;
public class A<T> {
  /** Says hello. */
  @Override public String m(int x) { return ""; }
  A() {}
  interface I { default void z() {} }
  enum E { X; void y() {} }
  record R(int a) { void w() {} }
}
""",
        [("A.m", "Says hello."), ("A.A", ""), ("A.I.z", ""), ("A.E.y", ""), ("A.R.w", "")],
    ),
    "c": (
        """\
/* Licence. */

#include <a.h>
/* Add
 * two. */
static int *add(int a, int b) { return 0; }
#ifdef X
int g(void) { return 1; }
#endif
int declared(void);
""",
        [("add", "Add\ntwo."), ("g", "")],
    ),
    "cpp": (
        """\
namespace n {
template <class T> class A { public: A() {} ~A() {} int m() const { return 1; } };
template <class T> int f(T t) { return 0; }
}
int n::A::z() { return 1; }
extern "C" { int k() { return 1; } }
struct S { bool operator==(int) { return true; } };
""",
        [("n.A.A", ""), ("n.A.~A", ""), ("n.A.m", ""), ("n.f", ""), ("n::A::z", ""), ("k", ""), ("S.operator==", "")],
    ),
}


def test_every_grammar_is_tried() -> None:
    assert set(SOURCES) == set(GRAMMARS)


@pytest.mark.parametrize("language", SOURCES)
def test_functions_and_what_is_said_about_them(language: str) -> None:
    source, expected = SOURCES[language]
    found = functions(source, language)
    assert [(one.qualname, one.docstring) for one in found] == expected
    for one in found:
        last = one.qualname.replace("::", ".").split(".")[-1]
        code = source[one.docs[1] if one.docs else one.start : one.end]
        assert last in code
        if one.docs:
            assert one.docs[0] == one.start
            assert one.docstring[:3] in source[slice(*one.docs)]
        assert last in source.split("\n")[one.line - 1]


def test_python_over_a_real_file() -> None:
    source = Path(textwrap.__file__).read_text(encoding="utf-8")
    found = functions(source, "python")
    defined = re.findall(r"^(?: {4})?def (\w+)", source, re.MULTILINE)
    assert [one.qualname.split(".")[-1] for one in found] == [
        name for name in defined if name != "prefixed_lines"
    ]  # inside another
    assert {one.qualname.split(".")[0] for one in found if "." in one.qualname} == {"TextWrapper"}
    for one in found:  # each stands by itself
        code = textwrap.dedent(source[one.start : one.end])
        assert textwrap.dedent(inspect.getsource(attrgetter(one.qualname)(textwrap))).startswith(code)  # it may end in comments
        assert one.docstring == inspect.cleandoc(attrgetter(one.qualname)(textwrap).__doc__ or "")


def test_python_corners() -> None:
    source = (
        "@cached\n@other(\n  1)\ndef a(): 'One line.'\n"
        "if x:\n    def b(): pass\nelse:\n    def b(): return 'é'\n"
        "try:\n    async def c():\n        '''Say ü.'''; return 1\nexcept E:\n    def d(): pass\n"
        "match x:\n    case 1:\n        def e():\n            def inner(): pass\n"
        "def f():\r\n    '''Crlf.'''\r\n    return 1\r\n"
    )
    found = function_documents(Document("m.py", source))
    assert [(one.id, one.metadata["line"]) for one, _ in found] == [
        ("m.py::a", 1), ("m.py::b", 6), ("m.py::b#2", 8), ("m.py::c", 10), ("m.py::d", 13), ("m.py::e", 16), ("m.py::f", 18),
    ]  # fmt: skip
    assert [(one.text, docs) for one, docs in found] == [
        ("@cached\n@other(\n  1)\ndef a():", "One line."),
        ("def b(): pass", ""),
        ("def b(): return 'é'", ""),
        ("async def c():\n    ; return 1", "Say ü."),
        ("def d(): pass", ""),
        ("def e():\n    def inner(): pass", ""),
        ("def f():\r\n    return 1", "Crlf."),
    ]
    assert found[0][0].metadata == {"path": "m.py", "line": 1, "qualname": "a", "language": "python"}


@pytest.mark.parametrize("source", ["def f(:\n", "x = '\0'", "(" * 5000, "if x:\n  pass\n" + "elif x:\n  pass\n" * 3000])
def test_python_that_does_not_parse_has_no_functions(source: str) -> None:
    assert functions(source, "python") == []


def test_invalid_escapes_do_not_warn() -> None:
    assert [one.qualname for one in functions("def f():\n    return '\\d'\n", "python")] == ["f"]


def test_unknown_languages_have_no_functions() -> None:
    assert functions("def f(): pass", "klingon") == functions("def f(): pass", None) == []


def test_missing_grammar_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tree_sitter_go", None)
    with pytest.raises(MissingExtra, match=r"functions in go .*'files'"):
        functions("package p", "go")


@pytest.mark.parametrize("language", ["python", *GRAMMARS])
@given(
    st.lists(
        st.sampled_from(
            [
                "é",
                "\ud800",
                "{",
                "}",
                "(",
                ")",
                "\n",
                "  ",
                "// c\n",
                "function f",
                "def f():\n  'd'\n",
                "class A",
                ";",
                "=>",
                "fn f()",
                "x",
            ]
        ),
        max_size=30,
    ).map("".join)
)
def test_any_text_gives_functions_in_order(language: str, source: str) -> None:
    at = 0
    for one in functions(source, language):
        assert at <= one.start < one.end <= len(source)
        assert one.docs is None or one.start <= one.docs[0] <= one.docs[1] <= one.end
        at = one.end


def test_first_sentence() -> None:
    assert first_sentence("Return the\n   lift. More.") == "Return the lift."
    assert first_sentence("Say it\n@param x no") == "Say it"
    assert first_sentence("Say it\n:param x: no") == "Say it"
    assert first_sentence("No stop\n\nMore") == "No stop"
    assert first_sentence("  \n ") == ""
