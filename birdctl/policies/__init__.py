"""Network policies: from NetworkPolicy and ClusterNetworkPolicy to ipsets and iptables chains, and back again.

compile (pure): pods, namespaces and policies -> model.PolicyState
semantics (pure): what the API says about one packet, without the compiler
simulate (pure): what a PolicyState does with one packet
iptables, ipset, conntrack, apply: the only code that reads or writes the kernel's tables
"""
