"""The documents hold together: links lead somewhere, decisions are numbered and whole."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    broken = [link for link in LINK.findall(text) if not (page.parent / link).exists()]

    assert broken == []


def defects_of_libp2p() -> list[list[str]]:
    """Return the cells of each row of the table in docs/network.md."""
    text = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
    table = text.partition("## What py-libp2p")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return rows[1:]


@pytest.mark.parametrize("row", defects_of_libp2p(), ids=lambda row: row[0][:40])
def test_every_defect_of_libp2p_names_tests_that_are_there(row: list[str]) -> None:
    tests = {
        name
        for file in (ROOT / "tests" / "p2p").glob("test_*.py")
        for name in re.findall(r"def test_(\w+)", file.read_text(encoding="utf-8"))
    }
    _seen, _instead, named, _upstream = row

    quoted = re.findall(r"\*([^*]+)\*", named)
    patterns = [".*".join(re.findall(r"\w+", part)) for part in quoted]

    assert patterns or "all of `test_yamux_fixes.py`" in named
    for pattern in patterns:
        assert any(re.search(pattern.lower(), name.lower()) for name in tests), pattern


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(page.name.partition("-")[0]) for page in DECISIONS]

    assert numbers == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_decision_says_context_choice_alternatives_and_consequences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    places = [
        text.find(part)
        for part in ("**Context.**", "**Choice.**", "**Rejected.**", "**Consequences.**")
    ]

    assert -1 not in places
    assert places == sorted(places)
    assert text.startswith(f"# {int(page.name.partition('-')[0])}. ")
