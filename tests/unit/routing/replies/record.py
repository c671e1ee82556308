"""Records what real BIRDs answer: `python -m tests.unit.routing.replies.record` (root), once per new version.

One router under observation, with a session in every state it can be in, and one peer. The bytes are kept as they
came, in one file per command and version.
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from birdctl.routing.protocol import LineReader
from tests.bird.daemon import Bird, Namespace
from tests.birds import BirdProgram, bird_programs
from tests.polling import eventually

FOLDER = Path(__file__).parent

SUBJECT = """
define BIRDCTL_DIGEST = "0123456789abcdef";
router id 10.0.0.1;
ipv4 table igp4;
ipv6 table igp6;
protocol device { scan time 1; }
protocol direct connected { ipv4 { table igp4; import all; }; ipv6 { table igp6; import all; }; }
protocol kernel kernel4 {
  persist; learn; merge paths on limit 4; graceful restart;
  ipv4 { import all; export where source = RTS_BGP; };
}
protocol kernel kernel6 { persist; learn; graceful restart; ipv6 { import all; export where source = RTS_BGP; }; }
protocol static pods4 { ipv4; route 10.1.0.0/24 blackhole; route 10.1.1.0/24 unreachable; }
protocol static services4 { ipv4; route 10.96.0.1/32 blackhole { bgp_med = 5; }; }
protocol static static4 { ipv4; route 172.16.0.0/16 via 10.0.0.2; }
protocol static multipath4 { ipv4; route 172.17.0.0/16 via 10.0.0.2 weight 3 via 10.0.0.3; }
protocol static pods6 { ipv6; route 2001:db8:1::/64 blackhole; }
protocol bfd { interface "*" { interval 50 ms; }; }
template bgp plain { local as 64512; connect delay time 1; error wait time 1, 2; connect retry time 1; }
template bgp mesh from plain {
  ipv4 { igp table igp4; import all; export where proto = "pods4"; next hop self ebgp; };
}
protocol bgp node_both from plain {
  description "both families";
  local 10.0.0.1 as 64512; neighbor 10.0.0.2 as 64512; multihop; bfd on;
  graceful restart on; long lived graceful restart on;
  ipv4 { igp table igp4; import keep filtered; import where net != 10.2.9.0/24; export where proto = "pods4";
         import limit 100 action warn; receive limit 200 action block; export limit 50 action restart;
         add paths on; };
  ipv6 { igp table igp6; import all; export where proto = "pods6"; next hop address 2001:db8::1; };
}
protocol bgp node_limit from plain {
  local 10.0.0.11 as 64512; neighbor 10.0.0.12 as 65001; multihop; password "secret"; AUTHENTICATION
  ipv4 { igp table igp4; import all; import limit 2 action block; export none; };
}
protocol bgp node_link_local from plain {
  local fe80::1%eth0 as 64512; neighbor fe80::2%eth0 as 65001; direct;
  ipv6 { igp table igp6; import all; export all; };
}
protocol bgp node_passive from mesh { local 10.0.0.1 as 64512; neighbor 10.0.0.21 as 64512; multihop; passive; }
protocol bgp node_silent from mesh { local 10.0.0.1 as 64512; neighbor 10.0.0.99 as 64512; multihop; bfd on; }
protocol bgp node_refused from mesh {
  local 10.0.0.1 as 64512; neighbor 10.0.0.2 port 7 as 64512; multihop; connect delay time 1;
}
protocol bgp node_wrong_as from mesh {
  local 10.0.0.14 as 64512; neighbor 10.0.0.15 as 65009; multihop; error wait time 60, 60;
}
protocol bgp node_off from mesh { disabled; local 10.0.0.1 as 64512; neighbor 10.0.0.31 as 64512; multihop; }
protocol bgp node_down_limit from plain {
  local 10.0.0.16 as 64512; neighbor 10.0.0.17 as 65001; multihop;
  ipv4 { igp table igp4; import all; import limit 1 action disable; export none; };
}
protocol bgp range5 from plain {
  local 10.0.0.18 as 64512; neighbor range 10.0.5.0/24 as 65002; passive; multihop;
  ipv4 { igp table igp4; import all; export none; };
}
protocol bgp range4 from plain {
  local 10.0.0.18 as 64512; neighbor range 10.0.0.0/24 as 65002; passive; multihop;
  dynamic name "range4_";
  ipv4 { igp table igp4; import all; export none; };
}
"""

PEER = """
router id 10.0.0.2;
protocol device { scan time 1; }
protocol static originated4 {
  ipv4;
  route 10.2.0.0/24 blackhole { bgp_community.add((65001,80)); bgp_community.add((65535,65281));
    bgp_large_community.add((64512,1,2)); bgp_med = 10; bgp_path.prepend(65010); };
  route 10.2.1.0/24 via 10.0.0.3;
  route 10.2.9.0/24 blackhole;
}
protocol static originated6 { ipv6; route 2001:db8:2::/64 blackhole; }
protocol bfd { interface "*" { interval 50 ms; }; }
template bgp plain { local as 64512; connect delay time 1; error wait time 1, 2; connect retry time 1; }
protocol bgp subject from plain {
  local 10.0.0.2 as 64512; neighbor 10.0.0.1 as 64512; multihop; bfd on;
  graceful restart on; long lived graceful restart on; rr client;
  ipv4 { import all; export where source = RTS_STATIC || proto = "to_client";
         next hop address 10.0.0.2; add paths on; };
  ipv6 { import all; export all; next hop address 2001:db8::2; };
}
protocol bgp to_client from plain {
  local 10.0.0.2 as 64512; neighbor 10.0.0.22 port 1179 as 64512; multihop; rr client;
  ipv4 { import all; export none; };
}
protocol bgp limited from plain {
  local 10.0.0.12 as 65001; neighbor 10.0.0.11 as 64512; multihop; password "secret";
  ipv4 { import none; export all; next hop self; };
}
protocol bgp link_local from plain {
  local fe80::2%eth0 as 65001; neighbor fe80::1%eth0 as 64512; direct;
  ipv6 { import all; export where source = RTS_STATIC; };
}
protocol bgp wrong_as from plain { local 10.0.0.15 as 65010; neighbor 10.0.0.14 as 64512; multihop;
  error wait time 60, 60; ipv4 { import none; export none; }; }
protocol bgp down_limit from plain { local 10.0.0.17 as 65001; neighbor 10.0.0.16 as 64512; multihop;
  ipv4 { import none; export all; }; }
protocol bgp to_range from plain { local 10.0.0.19 as 65002; neighbor 10.0.0.18 as 64512; multihop;
  ipv4 { import none; export all; }; }
"""

CLIENT = """
router id 10.0.0.22;
protocol device { scan time 1; }
protocol static originated4 { ipv4; route 10.22.0.0/24 blackhole; }
protocol bgp reflector {
  local 10.0.0.22 port 1179 as 64512; neighbor 10.0.0.2 as 64512; multihop; connect delay time 1;
  ipv4 { import none; export all; next hop self; };
}
"""

# So many that their End-of-RIB comes noticeably later than the session.
MANY = f"""
protocol static many {{
  ipv4;
  {"".join(f"route 20.{number >> 8}.{number & 255}.0/24 blackhole;" for number in range(60_000))}
}}
"""

HERE = "10.0.0.1/24,10.0.0.11/24,10.0.0.14/24,10.0.0.16/24,10.0.0.18/24,2001:db8::1/64,fe80::1/64"
THERE = "10.0.0.2/24,10.0.0.12/24,10.0.0.15/24,10.0.0.17/24,10.0.0.19/24,10.0.0.22/24,2001:db8::2/64,fe80::2/64"

READS = {
    "status": "show status",
    "protocols": "show protocols",
    "protocols-all": "show protocols all",
    "bfd": "show bfd sessions",
    "routes": "show route all",
    "routes-prefix": "show route all 10.2.0.0/24",
    "routes-table": "show route table igp4 all",
    "routes-protocol": "show route protocol node_both all",
    "routes-export": "show route export node_both all",
    "routes-filtered": "show route filtered all",
    "routes-none": "show route all 10.77.0.0/24",
    "eval": "eval BIRDCTL_DIGEST",
    "eval-undefined": "eval NOT_DEFINED",
    "parse-error": "no such command",
    "configure-status": "configure status",
}


def raw(bird: Bird, command: str) -> bytes:
    """Every byte of one answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(bird.socket))
        _reply(connection)
        connection.sendall(command.encode() + b"\n")
        return _reply(connection)


def _reply(connection: socket.socket) -> bytes:
    reader, data = LineReader(), b""
    while True:
        piece = connection.recv(65536)
        data += piece
        if any(line.last for line in reader.feed(piece)):
            return data


def record(program: BirdProgram, peer_program: BirdProgram) -> None:
    with Namespace() as here, Namespace() as there, tempfile.TemporaryDirectory(prefix="bird-") as temporary:
        here.link(there, HERE, THERE)
        subject = Bird(program, here, Path(temporary, "subject"))
        peer = Bird(peer_program, there, Path(temporary, "peer"))
        client = Bird(peer_program, there, Path(temporary, "client"))
        try:
            client.start(CLIENT)
            peer.start(PEER)
            _record(subject, FOLDER / str(program))
            for each in (subject, peer):
                each.kill()
            peer.start(PEER + MANY)
            _record_recovery(subject, FOLDER / str(program))
        finally:
            for each in (subject, peer, client):
                each.kill()


def _record(subject: Bird, into: Path) -> None:
    into.mkdir(exist_ok=True)
    text = SUBJECT.replace("AUTHENTICATION", "authentication md5;" if subject.program.version >= (2, 17) else "")
    subject.start(text)
    eventually(lambda: _settled(subject), 30)
    for name, command in READS.items():
        (into / f"{name}.txt").write_bytes(raw(subject, command))
    subject.config.write_text("timeformat protocol iso long ms;\ntimeformat route iso long ms;\n" + text)
    raw(subject, "configure")
    (into / "protocols-all-iso.txt").write_bytes(raw(subject, "show protocols all"))
    (into / "routes-iso.txt").write_bytes(raw(subject, "show route all"))
    subject.config.write_text("router id 10.0.0.1;\nnot bird\n")
    for name, command in {
        "check-bad": f'configure check "{subject.config}"',
        "configure-timeout": f'configure "{_same(subject, text)}" timeout 60',
        "configure-unconfirmed": "configure status",
        "configure-confirm": "configure confirm",
        "configure-confirm-again": "configure confirm",
        "configure-undo": "configure undo",
        "configure-undo-again": "configure undo",
    }.items():
        (into / f"{name}.txt").write_bytes(
            raw(subject, command).replace(str(subject.config.parent).encode(), b"/etc/bird")
        )
    subject.config.write_text(text)


def _record_recovery(subject: Bird, into: Path) -> None:
    subject.start(None, "-R")
    for name in ("status", "protocols-all"):
        (into / f"{name}-recovering.txt").write_bytes(raw(subject, READS[name]))
    waiting = eventually(lambda: _waiting(raw(subject, "show protocols all")), pause=0.001)
    (into / "protocols-all-waiting.txt").write_bytes(waiting)


def _waiting(protocols: bytes) -> bytes | None:
    """`node_both` is Established and has not seen the End-of-RIB yet."""
    session = protocols.partition(b"node_both ")[2].partition(b"node_limit ")[0]
    return protocols if b"Established" in session and b"GR recovery:    waiting" in session else None


def _same(bird: Bird, text: str) -> Path:
    path = bird.config.with_name("candidate.conf")
    path.write_text(text + "protocol static another { ipv4; }\n")
    return path


def _settled(bird: Bird) -> bool:
    protocols, bfd = raw(bird, "show protocols").decode(), raw(bird, "show bfd sessions").decode()
    wanted = ("BGP Error: Bad peer AS", "Connection refused", "Route limit exceeded", "range4_1")
    counts = {
        "node_both": ("3 imported, 1 filtered, 2 exported", "1 imported, 1 exported"),
        "node_limit": ("2 imported, 0 exported",),
        "node_link_local": ("1 imported",),
        "range4_1": ("6 imported",),
    }
    return (
        " Up " in bfd
        and all(text in protocols for text in wanted)
        and all(
            text in raw(bird, f"show protocols all {name}").decode() for name, texts in counts.items() for text in texts
        )
    )


if __name__ == "__main__":
    programs = bird_programs()
    for each in programs:
        record(each, programs[0])
        print(f"recorded BIRD {each}")
