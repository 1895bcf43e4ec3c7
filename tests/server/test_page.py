"""The page's files: what is served, under which policy, what is not; and the sources that it is built from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from vicino.server import page as served_page

pytest.importorskip("httpx")

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "page"
BUILT = ROOT / "src/vicino/server/page"

INDEX = '<!doctype html><script type="module" src="/assets/index-abc.js"></script><div id="page"></div>'


@pytest.fixture
def built(tmp_path, monkeypatch) -> Path:
    """A page as the build leaves it, in place of the package's own; the folder is empty until a test writes into it."""
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    monkeypatch.setattr(served_page, "files", lambda _: tmp_path)
    served_page._read.cache_clear()
    yield folder
    served_page._read.cache_clear()


def write(folder: Path) -> None:
    (folder / "index.html").write_text(INDEX)
    (folder / "icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "assets" / "index-abc.js").write_text("export {}")
    (folder / "assets" / "index-abc.css").write_text("body {}")
    (folder.parent / "secret.txt").write_text("secret")


@pytest.mark.parametrize("path", ["/", "/evidence", "/map", "/search", "/why", "/search?q=a&a.mode=dense"])
def test_every_screen_is_the_page(built, client, path):
    write(built)
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (200, INDEX)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == served_page.POLICY


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/assets/index-abc.js", "text/javascript"), ("/assets/index-abc.css", "text/css"), ("/icon.svg", "image/svg+xml")],
)
def test_files_have_their_type(built, client, path, kind):
    write(built)
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ("immutable" in answer.headers["cache-control"]) == path.startswith("/assets/")


def test_what_a_browser_has_it_is_not_sent_again(built, client):
    write(built)
    tag = client.get("/").headers["etag"]
    again = client.get("/", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/", headers={"If-None-Match": '"of another"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/assets/none.js",
        "/assets/",
        "/assets/../secret.txt",
        "/assets/..%2fsecret.txt",
        "/assets/%2e%2e%2fsecret.txt",
        "/assets/..%5csecret.txt",
        "/assets/%2fetc%2fpasswd",
        "/assets/index-abc.js%00.css",
        "/secret.txt",
        "/index.html/../secret.txt",
        "/nowhere",
    ],
)
def test_nothing_else_is_found(built, client, path):
    write(built)
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["message"]
    assert "secret" not in answer.text.replace("secret.txt", "")


def test_without_a_page_it_says_what_builds_it(built, client):
    answer = client.get("/")
    assert answer.status_code == 503
    assert served_page.BUILD in answer.text
    assert client.get("/health").status_code == 200
    write(built)  # and one that is built meanwhile is found
    assert client.get("/").status_code == 200


def test_the_policy_lets_nothing_from_elsewhere_in():
    rules = dict(rule.strip().split(" ", 1) for rule in served_page.POLICY.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert set(rules.values()) == {"'self'", "'none'"}
    assert {"script-src", "style-src", "connect-src", "frame-ancestors", "base-uri", "form-action"} <= rules.keys()


# Its sources ----------------------------------------------------------------------------------------------------------


def test_versions_are_exact_and_locked():
    package = json.loads((SOURCE / "package.json").read_text())
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    named = package["dependencies"] | package["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in named.values())
    for name, version in named.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    others = {name: entry for name, entry in lock["packages"].items() if name}
    assert all(entry["integrity"].startswith("sha512-") for entry in others.values())
    assert not any("resolved" in entry for entry in others.values())  # no registry's address is ours to choose


def test_the_page_asks_nobody_else_and_makes_no_markup():
    sources = [SOURCE / "index.html", *(path for path in (SOURCE / "src").rglob("*") if path.suffix in (".ts", ".tsx", ".css"))]
    assert len(sources) > 20
    for path in sources:
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}", text)) - {"http://www.w3.org"}
        assert not addresses, f"{path.name} names {addresses}"
        if not path.name.endswith(".test.ts"):
            for markup in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "srcdoc", "eval(", "new Function"):
                assert markup not in text, f"{path.name} has {markup}: text of documents is only ever a text node"


def test_sources_are_short_and_say_what_they_are():
    for path in sorted((SOURCE / "src").rglob("*.ts*")):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 400, f"{path.name} has {len(lines)} lines"
        assert path.name.endswith(".test.ts") or lines[0].startswith("//"), f"{path.name} begins without saying what it is"


# What is built --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _page(missing):
    if not (BUILT / "index.html").is_file():
        missing("the page is not built here: make page")


@pytest.mark.usefixtures("_page")
def test_what_was_built_has_nothing_inline():
    text = (BUILT / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert (BUILT / address.lstrip("/")).is_file()


@pytest.mark.long
@pytest.mark.usefixtures("_page")
def test_a_wheel_holds_the_page_and_serves_it(tmp_path):
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        held = set(packed.namelist())
        packed.extractall(tmp_path / "installed")  # a pure wheel is installed by unpacking it
    assert {f"vicino/server/page/{path.relative_to(BUILT).as_posix()}" for path in BUILT.rglob("*") if path.is_file()} <= held
    assert not any("node_modules" in name or name.endswith((".ts", ".tsx")) for name in held)
    script = """
import re, sys, urllib.request
import vicino
from vicino.server.running import running
from vicino.server.settings import Settings
assert vicino.__file__.startswith(sys.argv[1]), vicino.__file__
with running(Settings(port=0)) as address:
    page = urllib.request.urlopen(address + "/search").read().decode()
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert urllib.request.urlopen(address + asset).status == 200, asset
print(page)
"""
    environment = {"PYTHONPATH": str(tmp_path / "installed"), "VICINO_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    told = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == (BUILT / "index.html").read_text(encoding="utf-8").strip()
