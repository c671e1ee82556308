"""A synthetic cluster as a folder: one file an object, each written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tests.bench.objects import Document


def write_manifests(folder: Path, documents: Iterable[Document]) -> None:
    folder.mkdir()
    for document in documents:
        write_manifest(folder, document)


def write_manifest(folder: Path, document: Document) -> None:
    path = folder / f"{document['kind']}-{document['metadata']['name']}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document))
    new.replace(path)
