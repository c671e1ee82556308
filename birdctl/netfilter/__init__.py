"""The kernel as policies and services share it: packet filters, sets and connections, of which each owns a part; links,
addresses, routes and rules (`rtnetlink`), and settings (`sysctl`).
"""
