"""Every line of the security checklist is held by tests that exist, or says with what it comes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "policies" / "security-checklist.md"
ROWS = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if re.match(r"\| \d+ \|", line)]


def names_of(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_thirteen_lines_are_there():
    assert {int(number) for number, _, _ in ROWS} == set(range(1, 14))


def test_every_named_test_exists():
    missing = []
    for _, _, held in ROWS:
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", held):
            if not (ROOT / path).exists() or name not in names_of(path):
                missing.append(f"{path}::{name}")
    assert missing == []


def test_every_line_is_held_by_a_test_or_says_with_what_it_comes():
    for number, line, held in ROWS:
        named = re.findall(r"`tests/[^`]+`", held)
        assert named or held.strip().startswith("comes with "), f"{number}: {line}"
        if named:
            rest = re.sub(r"`tests/[\w/]+\.py::\w+`", "", held)
            assert not rest.strip(), f"{number} names something else: {rest}"
