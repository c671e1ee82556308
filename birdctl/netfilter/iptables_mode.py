"""Which of the kernel's two packet filters the host uses: rules in both would be enforced twice.

kubelet marks the one it uses by a chain of its own. Without that mark, the one with more rules of others counts; where
both have as many (none, mostly), the one that plain `iptables` is. Whether there is an nf_tables, the kernel is asked:
iptables-nft-save does not tell.
"""

from __future__ import annotations

import re
import shutil

from birdctl.errors import Unavailable
from birdctl.netfilter import nft
from birdctl.netfilter.iptables import IPTABLES, Mode, run
from birdctl.netfilter.model import Owner

_HINTS = re.compile(r"^:KUBE-(?:IPTABLES-HINT|KUBELET-CANARY) ", re.MULTILINE)
_CHAINS, _MARKS = ("|".join(words) for words in zip(*((each.chain_prefix, each.mark) for each in Owner), strict=True))
_FOREIGN = re.compile(rf'^-A (?!{_CHAINS})(?!.*"(?:{_MARKS}))', re.MULTILINE)


def detect() -> Mode:
    """The host's mode. Raises Unavailable when iptables is not there."""
    present = [mode for mode in Mode if shutil.which(f"iptables-{mode}-save")]
    if not present:
        raise Unavailable("neither iptables-nft-save nor iptables-legacy-save is there: install iptables")
    if len(present) > 1 and not nft.in_kernel():
        return Mode.LEGACY
    return max(present, key=_likelihood) if len(present) > 1 else present[0]


def _likelihood(mode: Mode) -> tuple[bool, int, bool]:
    text = "".join(run([f"{program}-{mode}-save"]) for program in IPTABLES.values())
    return bool(_HINTS.search(text)), len(_FOREIGN.findall(text)), _is_default(mode)


def _is_default(mode: Mode) -> bool:
    if not shutil.which("iptables"):
        return mode is Mode.NFT
    return ("nf_tables" in run(["iptables", "--version"])) is (mode is Mode.NFT)
