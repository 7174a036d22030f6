# Puts commands to a cluster over one connection: a request in JSON on stdin, the replies in JSON on stdout. Keys are taken out of every reply.
import errno
import json
import re
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


request = json.load(sys.stdin)
cluster = rados.Rados(name="client.admin", conffile="/etc/ceph/ceph.conf")
for option in ("rados_mon_op_timeout", "rados_osd_op_timeout", "client_mount_timeout"):
    cluster.conf_set(option, str(request["timeout"]))
try:
    cluster.connect(timeout=request["timeout"])
except rados.Error as e:
    print(f"connect to the cluster: {e}", file=sys.stderr)
    sys.exit(69)


def managed():
    code, out, _ = cluster.mon_command(json.dumps({"prefix": "mgr stat", "format": "json"}), b"")
    return code == 0 and json.loads(out).get("available")


replies = []
for command in request["commands"]:
    if command["prefix"] == "now":  # this host's clock, by which marks end
        replies.append({"code": 0, "text": "", "out": int(time.time())})
        continue
    target = command.pop("_to", "mon")
    if target == "mgr" and not managed():  # a command to nobody would wait for ever
        replies.append({"code": -errno.ETIMEDOUT, "text": "no manager is active", "out": None})
        if request.get("stop"):
            break
        continue
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
    replies.append({"code": code, "text": strip(text or ""), "out": value})
    if code != 0 and request.get("stop"):
        break
json.dump(replies, sys.stdout, separators=(",", ":"))
cluster.shutdown()
