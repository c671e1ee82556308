"""Services: from Service and EndpointSlice objects to IPVS virtual servers, their addresses and rules.

compile (pure): services, slices, nodes and pods -> model.ServiceState
rules, draining, ipvs_change (pure): what that takes of iptables and ipset, of an endpoint that goes, of IPVS
ipvs, links, direct, hairpin, netfilter, apply: what reads and writes the kernel
kubeproxy (pure), leftovers: what a kube-proxy left behind
"""
