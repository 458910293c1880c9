"""The Japanese pages follow the English ones: the same structure, the same code, the same links.

Words are a translator's; that a paragraph, a row or a block of code was added, moved or changed on one side alone is noticed here.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JAPANESE = ROOT / "docs" / "ja"
PAGES = sorted(str(path.relative_to(JAPANESE)) for path in JAPANESE.rglob("*.md"))
TRANSPORTS = ("calls", "cloudflare", "own-transport", "pyodide", "sip", "twilio", "webrtc", "websocket")

FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
KANA = re.compile(r"[\u3040-\u30ff]")


def pair(page: str) -> tuple[Path, Path]:
    """The English page and the Japanese one."""
    return ROOT / "docs" / page, JAPANESE / page


def code(path: Path) -> list[str]:
    return FENCE.findall(path.read_text(encoding="utf-8"))


def without_comments(block: str) -> str:
    return re.sub(r"[ ]*# .*", "", block)


def shape(path: Path) -> list[str]:
    """What the page is made of, in order: headings with their level, rows with their cells, items, paragraphs, code."""
    text = FENCE.sub("```", path.read_text(encoding="utf-8"))
    found: list[str] = []
    for paragraph in re.split(r"\n{2,}", text.strip()):
        first = True
        for line in paragraph.splitlines():
            what = kind(line)
            if what != "words" or first:
                found.append(what)
            first = False
    return found


def kind(line: str) -> str:
    if line.startswith("|"):
        return f"row of {len(re.sub(r'`[^`]*`', '', line).split('|')) - 2}"
    if heading := re.match(r"#+ ", line):
        return f"heading {len(heading[0]) - 1}"
    if re.match(r"- |\d+\. ", line):
        return "item"
    return "code" if line == "```" else "words"


def links(path: Path) -> Counter[str]:
    """Where the page's links lead, a Japanese page standing for the English one."""
    targets = Counter[str]()
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"https?:", link):
            targets[link] += 1
        elif (file := link.partition("#")[0]) and not file.startswith("README"):  # each leads to the other
            where = (path.parent / file).resolve()
            where = ROOT / "docs" / where.relative_to(JAPANESE) if where.is_relative_to(JAPANESE) else where
            targets[str(where.relative_to(ROOT))] += 1
    return targets


@pytest.mark.parametrize("name", TRANSPORTS)
def test_every_transport_has_its_page(name: str) -> None:
    assert f"guide/{name}.md" in PAGES


@pytest.mark.parametrize("page", PAGES)
def test_the_code_is_the_same(page: str) -> None:
    english, japanese = pair(page)
    assert code(japanese) == code(english)


@pytest.mark.parametrize("page", PAGES)
def test_the_shape_is_the_same(page: str) -> None:
    english, japanese = pair(page)
    assert shape(japanese) == shape(english)


@pytest.mark.parametrize("page", PAGES)
def test_the_links_are_the_same(page: str) -> None:
    english, japanese = pair(page)
    assert links(japanese) == links(english)


@pytest.mark.parametrize("page", PAGES)
def test_a_translated_page_links_to_translated_pages(page: str) -> None:
    english, japanese = pair(page)
    for link in LINK.findall(FENCE.sub("", japanese.read_text(encoding="utf-8"))):
        where = (japanese.parent / link.partition("#")[0]).resolve()
        if where == english:
            continue  # "in English"
        if where.is_relative_to(ROOT / "docs") and not where.is_relative_to(JAPANESE):
            assert str(where.relative_to(ROOT / "docs")) not in PAGES, link


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_untranslated(page: str) -> None:
    _, japanese = pair(page)
    for paragraph in re.split(r"\n{2,}", FENCE.sub("", japanese.read_text(encoding="utf-8"))):
        if paragraph.strip() and kind(paragraph.splitlines()[0]) == "words":
            assert KANA.search(paragraph), paragraph


def test_the_readme_is_in_step() -> None:
    english, japanese = ROOT / "README.md", ROOT / "README.ja.md"
    assert shape(japanese) == shape(english)
    assert links(japanese) == links(english)
    assert [without_comments(block) for block in code(japanese)] == [
        without_comments(block) for block in code(english)
    ]
