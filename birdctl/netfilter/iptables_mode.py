"""Which of the kernel's two packet filters the host uses: rules in both would be enforced twice.

kubelet marks the one it uses by a chain of its own. Without that mark, the one with more rules of others counts; where
both have as many (none, mostly), the one that plain `iptables` is. Whether there is an nf_tables, the kernel is asked:
iptables-nft-save does not tell.
"""

from __future__ import annotations

import re
import shutil

from birdctl.addresses import Family
from birdctl.errors import Unavailable
from birdctl.netfilter import nft
from birdctl.netfilter.iptables import Mode, run, save
from birdctl.netfilter.model import Owner

_HINTS = re.compile(r"^:KUBE-(?:IPTABLES-HINT|KUBELET-CANARY) ", re.MULTILINE)
_CHAINS, _MARKS = ("|".join(words) for words in zip(*((each.chain_prefix, each.mark) for each in Owner), strict=True))
_FOREIGN = re.compile(rf'^-A (?!{_CHAINS})(?!.*"(?:{_MARKS}))', re.MULTILINE)


def detect() -> Mode:
    """The host's mode. Raises Unavailable when iptables is not there."""
    present = [mode for mode in Mode if shutil.which(f"iptables-{mode}-save")]
    if not present:
        raise Unavailable("neither iptables-nft-save nor iptables-legacy-save is there: install iptables")
    if len(present) == 1:
        return present[0]
    if not nft.in_kernel():
        return Mode.LEGACY
    nft_use, legacy_use = (_use(mode) for mode in (Mode.NFT, Mode.LEGACY))
    if nft_use == legacy_use:
        return _default()
    return Mode.NFT if nft_use > legacy_use else Mode.LEGACY


def _use(mode: Mode) -> tuple[bool, int]:
    """Whether kubelet uses it, and how many rules others have there."""
    text = "".join(save(mode, family) for family in Family)
    return bool(_HINTS.search(text)), len(_FOREIGN.findall(text))


def _default() -> Mode:
    if not shutil.which("iptables"):
        return Mode.NFT
    return Mode.NFT if "nf_tables" in run(["iptables", "--version"]) else Mode.LEGACY
