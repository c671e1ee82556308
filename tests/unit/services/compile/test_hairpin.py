"""Which endpoints may reach themselves through their service."""

from __future__ import annotations

import pytest

from tests.unit.services.compile.build import compiled, endpoints, service, texts

ENDPOINTS = endpoints("web", "10.1.1.2", "10.1.2.2 on=n2")
LOCAL = ["10.1.1.2 8080/TCP"]


def hairpin(*words, spec=None, **options):
    annotations = dict.fromkeys([f"service.{word}" for word in words], "")
    return texts(compiled(service(annotations=annotations, **spec or {}), ENDPOINTS, **options).state.hairpin)


def test_none_may_unless_somebody_asks():
    assert hairpin() == []


@pytest.mark.parametrize("spec", [{}, {"node_ports": [30080]}])
def test_a_service_may_ask_for_its_endpoints_here(spec):
    assert hairpin("hairpin", spec=spec) == LOCAL


def test_for_external_addresses_it_is_asked_apart():
    assert hairpin("hairpin.externalips") == []
    assert hairpin("hairpin.externalips", spec={"externalIPs": ["198.51.100.1"]}) == LOCAL


def test_a_setting_asks_for_all():
    assert hairpin(hairpin_mode=True) == LOCAL


def test_what_returns_directly_needs_none():
    spec = {"externalIPs": ["198.51.100.1"], "ports": ["http:8080"]}
    assert hairpin("hairpin.externalips", spec=spec) == LOCAL
    tunnelled = service(annotations={"service.dsr": "tunnel", "service.hairpin.externalips": ""}, **spec)
    assert not compiled(tunnelled, ENDPOINTS).state.hairpin
