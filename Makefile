# birdctl: see README.md. `make demo` and `make test` need nothing but a Debian 12 or 13 machine and do all their own set-up.
PYTHON ?= python3
TIERS ?= unit bird netns interop cluster vm
BIRDCTL_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/birdctl
export BIRDCTL_CACHE

DEMO_PACKAGES = bird2 curl gcc iproute2 iptables iputils-ping libc6-dev python3-venv
TEST_PACKAGES = $(DEMO_PACKAGES) ca-certificates conntrack debootstrap etcd-server frr gobgpd ipset ipvsadm nftables openssl procps tcpdump user-mode-linux kmod

.PHONY: help demo demo-down check test bench golden clean
help:
	@echo "make demo       a leaf-spine lab with peers, routes, failover, a policy and a service (make demo-down removes it)"
	@echo "make test       every test tier (TIERS=\"$(TIERS)\")"
	@echo "make check      format, lint, types, import contracts, unit tests; no root"
	@echo "make bench      the benchmark tables"

.venv/ready: pyproject.toml
	@echo "preparing .venv ..."
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: demo-packages test-packages birds
demo-packages:
	@tests/setup/packages.sh $(DEMO_PACKAGES) $(if $(filter 0,$(shell id -u)),,user-mode-linux kmod)
test-packages:
	@tests/setup/packages.sh $(TEST_PACKAGES)
birds: test-packages
	@tests/setup/birds.sh > /dev/null
$(BIRDCTL_CACHE)/kube-apiserver: tests/setup/kube-apiserver.sh | test-packages .venv/ready
	@mkdir -p $(BIRDCTL_CACHE)
	@ln -sfn "$$(PYTHON=$(PYTHON) tests/setup/kube-apiserver.sh)" $@

demo: demo-packages .venv/ready
	@containerlab/leaf-spine/demo.sh up
demo-down: .venv/ready
	@containerlab/leaf-spine/demo.sh down

check: .venv/ready
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest -q -n auto tests/unit

test: test-packages birds .venv/ready $(BIRDCTL_CACHE)/kube-apiserver
	KUBE_APISERVER=$(BIRDCTL_CACHE)/kube-apiserver .venv/bin/pytest $(addprefix tests/,$(TIERS))

bench: test-packages .venv/ready $(BIRDCTL_CACHE)/kube-apiserver
	@KUBE_APISERVER=$(BIRDCTL_CACHE)/kube-apiserver .venv/bin/python -m tests.bench

golden: .venv/ready
	.venv/bin/pytest -q tests/unit --update-golden

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
