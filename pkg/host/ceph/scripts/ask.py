# Puts commands to a cluster over one connection: a request in JSON on stdin, the replies in JSON on stdout. Keys are taken out of every reply.
import errno
import json
import re
import sys

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
    target = command.pop("_to", "mon")
    if target == "mgr" and not managed():  # a command to nobody would wait for ever
        replies.append({"code": -errno.ETIMEDOUT, "text": "no manager is active", "out": None})
        if request.get("stop"):
            break
        continue
    ask = cluster.mgr_command if target == "mgr" else cluster.mon_command
    data = command.pop("_input", "").encode()
    try:
        code, out, text = ask(json.dumps(command), data)
    except rados.Error as e:
        code, out, text = -(e.errno or 5), b"", str(e)
    replies.append({"code": code, "text": strip(text or ""), "out": decode(out)})
    if code != 0 and request.get("stop"):
        break
json.dump(replies, sys.stdout)
cluster.shutdown()
