"""Whose plan `birdctl plan` prints when nothing says where the objects are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from birdctl.cli.main import main
from birdctl.errors import InputError
from birdctl.reconcile.control import ControlServer
from birdctl.reconcile.plan import Plan
from birdctl.reconcile.sources import is_known
from birdctl.settings import Settings

PLAN = Plan(node="a", running="old", desired="new", problems=(InputError("BGPPeer tor", "spec.asn", "is 0"),))


@pytest.fixture(autouse=True)
def without_source(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "BIRDCTL_KUBECONFIG", "BIRDCTL_MANIFESTS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """The runtime directory of an agent that plans."""
    server = ControlServer(tmp_path, {"plan": lambda _: PLAN.forms()})
    server.start()
    yield tmp_path
    server.stop()


def test_it_is_the_running_agent_s(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--exit-code", "--runtime-dir", str(agent)]) == 4
    assert capsys.readouterr().out == f"{PLAN.text()}\n"
    assert main(["plan", "-o", "yaml", "--runtime-dir", str(agent)]) == 0
    said = capsys.readouterr()
    assert "desiredDigest: new" in said.out
    assert said.err == "birdctl: BGPPeer tor: spec.asn: is 0\n"


@pytest.mark.parametrize("verb", ["plan", "apply", "agent"])
def test_without_an_agent_the_flags_that_name_a_source_are_said(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--runtime-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(
        "birdctl: no source of objects: give --manifests DIR or --kubeconfig FILE"
    )


def test_a_pod_knows_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_known(Settings())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert is_known(Settings())
    assert is_known(Settings(manifests=Path("objects")))
