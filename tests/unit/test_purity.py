"""Who says that it is pure is held to it by the import contracts."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pure_by_contract() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = (each["source_modules"] for each in contracts if each["type"] == "forbidden")
    return found


def test_every_module_that_calls_itself_pure_is_in_the_contract() -> None:
    held = pure_by_contract()
    for path in sorted((ROOT / "birdctl").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        says_so = "Pure" in (ast.get_docstring(ast.parse(path.read_text())) or "")
        assert not says_so or any(f"{name}.".startswith(f"{each}.") for each in held), name
