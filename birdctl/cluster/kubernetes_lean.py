"""The parts of the `kubernetes` package that know configuration, authentication and TLS, without its model classes.

Importing the package runs its `__init__` modules, which load some seven hundred model classes: 0.2 s of CPU and 30 MB
that no agent uses. Here its packages are entered as bare modules with the right search path, the few modules wanted
are imported below them, and all are taken out of `sys.modules` again, so that an ordinary `import kubernetes` elsewhere
is not affected. Where that does not work (another layout, a kubeconfig with a legacy auth provider that needs OAuth
libraries), the whole package is imported instead.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGES = ("kubernetes", "kubernetes.client", "kubernetes.config", "kubernetes.utils")
_FOR_AUTH_PROVIDERS = ("oauthlib", "oauthlib.oauth2", "requests_oauthlib", "google.auth")


def load(kubeconfig: Path | None) -> tuple[Any, Any]:
    """The `Configuration` of a kubeconfig, or of the pod this runs in, and the urllib3 pool manager made from it.

    Raises what the package raises: ConfigException, OSError, YAML errors.
    """
    if kubeconfig and b"auth-provider" in kubeconfig.read_bytes():
        return _load(kubeconfig)
    try:
        with _without_models():
            return _load(kubeconfig)
    except (ImportError, AttributeError):
        return _load(kubeconfig)


def _load(kubeconfig: Path | None) -> tuple[Any, Any]:
    rest = importlib.import_module("kubernetes.client.rest")
    configuration = importlib.import_module("kubernetes.client.configuration").Configuration()
    if kubeconfig:
        loader = importlib.import_module("kubernetes.config.kube_config")
        loader.load_kube_config(str(kubeconfig), client_configuration=configuration)
    else:
        importlib.import_module("kubernetes.config.incluster_config").load_incluster_config(configuration)
    return configuration, rest.RESTClientObject(configuration).pool_manager


@contextmanager
def _without_models() -> Iterator[None]:
    if "kubernetes" in sys.modules:
        yield
        return
    before = set(sys.modules)
    for name in _PACKAGES:
        sys.modules[name] = _bare(name)
    for name in _FOR_AUTH_PROVIDERS:
        sys.modules.setdefault(name, ModuleType(name))
    try:
        client = sys.modules["kubernetes.client"]
        client.Configuration = importlib.import_module("kubernetes.client.configuration").Configuration  # type: ignore[attr-defined]
        client.ApiClient = sys.modules["requests_oauthlib"].OAuth2Session = None  # type: ignore[attr-defined]
        yield
    finally:
        for name in set(sys.modules) - before:
            if name in _FOR_AUTH_PROVIDERS or name.partition(".")[0] == "kubernetes":
                del sys.modules[name]


def _bare(name: str) -> ModuleType:
    """A package that finds its modules but has not run."""
    root = PathFinder.find_spec("kubernetes")
    if root is None or not root.submodule_search_locations:
        raise ImportError("the kubernetes package is not installed")
    module = ModuleType(name)
    below = name.split(".")[1:]
    module.__path__ = [str(Path(folder, *below)) for folder in root.submodule_search_locations]
    return module
