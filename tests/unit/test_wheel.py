"""What is installed: the package carries the templates where the renderer looks for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = "import setuptools; setuptools.setup()"
LOOK = "import sys; from birdctl.routing.render import TEMPLATES; sys.exit(not (TEMPLATES / 'bird.conf.j2').exists())"


def test_the_built_package_carries_the_templates(tmp_path: Path) -> None:
    tree, built = tmp_path / "tree", tmp_path / "built"
    tree.mkdir()
    for name in ("birdctl", "bird-templates"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    command = [sys.executable, "-W", "ignore", "-c", BUILD, "build", "--build-lib", str(built)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    carried = {path.name for path in (built / "birdctl" / "bird-templates").iterdir()}
    assert carried == {path.name for path in (ROOT / "bird-templates").iterdir() if path.is_file()}
    environment = {**os.environ, "PYTHONPATH": str(built)}
    assert (
        subprocess.run([sys.executable, "-P", "-c", LOOK], cwd=tmp_path, env=environment, check=False).returncode == 0
    )
