"""Network policies: from NetworkPolicy and ClusterNetworkPolicy to ipsets and iptables chains, and back again.

compile (pure): pods, namespaces and policies -> model.PolicyState
semantics (pure): what the API says about one packet, without the compiler
simulate (pure): what a PolicyState does with one packet
transition, closing (pure): on which states the kernel gets from one to the other, and what holds when it refuses some
apply, cutting: what reads and writes the kernel, through `netfilter`
"""
