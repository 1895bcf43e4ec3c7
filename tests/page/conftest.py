"""The page in a real browser, as a person uses it: a live server with a collection and a study, and Chromium.

What is missing (the built page, Chromium, playwright, axe-core) skips with its reason, and fails in CI. With VICINO_SCREENSHOTS=1
the tests write the pictures of docs/screens/.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from vicino.data.records import Document

_spec = importlib.util.spec_from_file_location("serving", Path(__file__).parents[1] / "server" / "conftest.py")
_serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_serving)
_needed, serving = _serving._needed, _serving.serving

SCREENS = Path(__file__).parents[2] / "docs" / "screens"
STORY = "<b>Before</b> there was a quokka. <script>document.title = 3</script> it was small. The numbat eats termites. "
STORY += "<i>After</i> the numbat came rain."
HOSTILE = '<img src="http://127.0.0.1:9/x" onerror="document.title=1"><script>document.title = 2</script> quokka'
RECIPE = "bm25+lsa(n_components=32)+lda(n_components=16)"


@pytest.fixture(scope="session")
def library() -> Any:
    """Functions of Python's `email` package, questions that their docstrings answer, and a document that means harm."""
    import email

    from vicino.data.samples import standard_library

    found = standard_library(60, path=Path(email.__file__).parent)
    hostile = Document("hostile", HOSTILE, "<b>Harm</b>", {"language": "html", "path": "</script>", "line": 1})
    return found, [*found.documents, hostile]


@pytest.fixture(scope="session")
def site(tmp_path_factory, library, serving, missing) -> Iterator[Any]:
    """A client of a live server: the page, the collections "library" (two models) and "parts", a study of functions."""
    if not (resources.files("vicino.server") / "page" / "index.html").is_file():
        missing("the page is not built: make page")
    from vicino import workbench
    from vicino.encoders.counts import LSA
    from vicino.evaluation.tasks import RetrievalTask
    from vicino.retrieval.ingest import Source, ingest

    home = tmp_path_factory.mktemp("home")
    found, documents = library
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VICINO_HOME", str(home))
        ingest(home / "collections", "library", Source("email", documents), recipe=RECIPE, cut="whole")
        ingest(home / "collections", "parts", Source("made", [Document("story", STORY)]), recipe="bm25", cut="sentence")
        qrels: dict[str, dict[str, int]] = {}
        for judgement in found.judgements:
            qrels.setdefault(judgement.query_id, {})[judgement.document_id] = judgement.grade
        task = RetrievalTask("email", found.documents, found.queries, qrels)
        workbench.compare(task, candidates=["bm25", "tfidf", "lsa(n_components=32)", "bm25+lsa(n_components=32)"])
        encoder = LSA(n_components=16).fit([one.text for one in documents]).save(home / "tiny")
        with serving(home=home, encoders=[encoder]) as client:
            yield client


@pytest.fixture
def visit(browser, site) -> Iterator[Callable[..., Any]]:
    """`visit("/search?q=x", scheme="dark", width=390)`: a page of the site, or of `at`.

    At the end nothing was asked of any other place, nothing was refused by the policy, and no script failed.
    """
    contexts, pages = [], []

    def show(path: str = "/", *, at: Any = site, scheme: str = "light", width: int = 1280, **options: Any) -> Any:
        address = str(at.base_url).rstrip("/")
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 860}, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.address, page.asked, page.said, page.failed = address, [], [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.failed.append(str(error)))
        page.goto(f"{address}{path}")
        pages.append(page)
        return page

    yield show
    for page in pages:
        page.evaluate("document.title")  # an answer comes after all that was said until then
        elsewhere = [url for url in page.asked if not url.startswith((f"{page.address}/", "blob:", "data:"))]
        said = [text for text in page.said if "the server responded with a status of 4" not in text]  # a refusal that is tested
        assert (elsewhere, said, page.failed) == ([], [], [])
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def faults() -> Callable[[Any], list[str]]:
    """What axe-core finds wrong with a page."""

    def find(page: Any) -> list[str]:
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(page).response["violations"]
        return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]

    return find


@pytest.fixture(scope="session")
def picture() -> Callable[[Any, str], None]:
    """`picture(page, "search")` writes docs/screens/search.png where that is asked for."""

    def take(page: Any, name: str) -> None:
        if os.environ.get("VICINO_SCREENSHOTS") == "1":
            from PIL import Image

            SCREENS.mkdir(parents=True, exist_ok=True)
            taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            few = taken.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # a third of the size
            few.save(SCREENS / f"{name}.png", optimize=True)

    return take


@pytest.fixture
def judgments(site) -> Callable[[], list[dict[str, Any]]]:
    """What the server keeps of ratings."""

    def kept() -> list[dict[str, Any]]:
        return list(json.loads(site.get("/api/judgments", params={"collection": "library"}).text)["judgments"])

    return kept
