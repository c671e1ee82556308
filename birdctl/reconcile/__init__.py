"""Reconciling: cluster -> plan -> commit -> read back, once (`apply`), on paper (`plan`) or for ever (`agent`).

Nothing is imported here: reading the agent's status must not cost the agent's imports.
"""
