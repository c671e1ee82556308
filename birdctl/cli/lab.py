"""A topology is a *.clab.yml file; its nodes become network namespaces of this machine (root is needed, Docker is not).

birdctl lab up FILE                  make the nodes and links, run their commands
birdctl lab exec FILE NODE -- CMD…   run a command in a node
birdctl lab list                     labs and their nodes
birdctl lab down FILE                remove all of it, also after a crash
"""

from __future__ import annotations

import argparse
from pathlib import Path

from birdctl.lab import lab, record, topology


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", required=True, metavar="up|down|exec|list")
    for action, summary in (("up", "make the lab"), ("down", "remove the lab"), ("exec", "run a command in a node")):
        verb = verbs.add_parser(action, help=summary)
        verb.add_argument("file", type=Path, metavar="FILE.clab.yml")
        if action == "exec":
            verb.add_argument("node", metavar="NODE")
            verb.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    verbs.add_parser("list", help="labs and their nodes")


def run(args: argparse.Namespace) -> int:
    runtime_dir = Path(getattr(args, "runtime_dir", record.RUNTIME_DIR))
    actions = {"up": _up, "down": _down, "exec": _exec, "list": _list}
    return actions[args.action](args, runtime_dir)


def _up(args: argparse.Namespace, runtime_dir: Path) -> int:
    loaded = topology.load(args.file)
    lab.up(loaded, runtime_dir)
    print(f"lab {loaded.name} is up: {', '.join(node.name for node in loaded.nodes)}")
    return 0


def _down(args: argparse.Namespace, runtime_dir: Path) -> int:
    name = topology.lab_name(args.file)
    removed = lab.down(name, runtime_dir)
    print(f"lab {name} is removed" if removed else f"lab {name} is not up")
    return 0


def _exec(args: argparse.Namespace, runtime_dir: Path) -> int:
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    return lab.execute(topology.load(args.file), args.node, command, runtime_dir)


def _list(_args: argparse.Namespace, runtime_dir: Path) -> int:
    for name, file in record.labs(runtime_dir).items():
        print(f"{name} ({file})")
        for node in record.nodes(name, runtime_dir):
            state = "running" if record.holder(node) else "not running"
            print(f"  {node.name}: {state}, network namespace {node.netns}")
    return 0
