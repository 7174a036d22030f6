# Puts commands to a cluster over one connection: on stdin a request in JSON on each line, on stdout a line with the replies to it, until there are no more
# requests. Keys are taken out of every reply. A request that takes too long, and a minute without any, end the program (SIGALRM), whatever it waits for.
import errno
import json
import re
import signal
import sys
import time

import rados

KEY = re.compile(r"AQ[A-Za-z0-9+/]{36}==")


def strip(value):
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in ("key", "pending_key") or not isinstance(v, str)}
    if isinstance(value, list):
        return [strip(v) for v in value]
    if isinstance(value, str):
        return KEY.sub("[redacted]", value)
    return value


def decode(out):
    text = out.decode("utf-8", "replace")
    try:
        return strip(json.loads(text))
    except ValueError:
        return strip(text.strip())


def brief(dump, having):
    """One row for each placement group (of those with a copy on the OSDs in having): its id, its state, its acting set. Of a hundred thousand this is
    a fifth of what Ceph prints. The state that most are in is left out; one that has no place is told whatever was asked."""
    rows = []
    for pg in dump["pg_stats"]:
        if having is None or pg["state"] == "unknown" or not having.isdisjoint(pg["acting"]):
            rows.append([pg["pgid"], "" if pg["state"] == "active+clean" else pg["state"], *pg["acting"]])
    return {"pg_ready": dump.get("pg_ready", True), "pg_stats": rows}


def connect(timeout):
    cluster = rados.Rados(name="client.admin", conffile="/etc/ceph/ceph.conf")
    for option in ("rados_mon_op_timeout", "rados_osd_op_timeout", "client_mount_timeout"):
        cluster.conf_set(option, str(timeout))
    try:
        cluster.connect(timeout=timeout)
    except rados.Error as e:
        print(f"connect to the cluster: {e}", file=sys.stderr)
        sys.exit(69)
    return cluster


def managed(cluster):
    code, out, _ = cluster.mon_command(json.dumps({"prefix": "mgr stat", "format": "json"}), b"")
    return code == 0 and json.loads(out).get("available")


def put(cluster, command, replies):
    if command["prefix"] == "now":  # this host's clock, by which marks end
        return {"code": 0, "text": "", "out": int(time.time())}
    target = command.pop("_to", "mon")
    if target == "mgr" and not managed(cluster):  # a command to nobody would wait for ever
        return {"code": -errno.ETIMEDOUT, "text": "no manager is active", "out": None}
    ask = cluster.mgr_command if target == "mgr" else cluster.mon_command
    data = command.pop("_input", "").encode()
    having = command.pop("_having", None)  # the index of the command whose answer lists OSDs
    try:
        code, out, text = ask(json.dumps(command), data)
    except rados.Error as e:
        code, out, text = -(e.errno or 5), b"", str(e)
    value = decode(out)
    if command["prefix"] == "pg dump" and code == 0:
        value = brief(value, None if having is None else set(replies[having]["out"] or ()))
    return {"code": code, "text": strip(text or ""), "out": value}


def answer(cluster, request):
    replies = []
    for command in request["commands"]:
        replies.append(put(cluster, command, replies))
        if replies[-1]["code"] != 0 and request.get("stop"):
            break
    return replies


cluster = None
while True:
    signal.alarm(60)
    line = sys.stdin.readline()
    if not line:
        break
    request = json.loads(line)
    signal.alarm(request["limit"])
    cluster = cluster or connect(request["timeout"])
    replies = answer(cluster, request)
    print(json.dumps(replies, separators=(",", ":")), flush=True)
    if any(r["code"] == -errno.ETIMEDOUT for r in replies):  # who asks again shall find new connections
        break
if cluster:
    cluster.shutdown()
