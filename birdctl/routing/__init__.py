"""Routing: from the cluster to a BIRD configuration, over the control socket into BIRD, and back again.

compile (pure): topology, external peers, advertisements, filters -> model.BirdConfig
render (pure):  model.BirdConfig -> text
impact (pure):  two BirdConfigs -> what happens to every session and prefix
protocol (pure): bytes -> replies;   readback (pure): replies -> state
socket, commit: the only code that talks to BIRD or writes its files
"""
