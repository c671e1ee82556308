"""The kernel's packet filters, sets and connections, for whoever owns a part of them: policies and services."""
