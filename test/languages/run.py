#!/usr/bin/env python3
"""Runs test/vectors.json, or the file VECTORS, with redis-py.

REDIS_HOST, REDIS_PORT, REDIS_USER and REDISCLI_AUTH say where;
PREFIX is what every root begins with.
"""
import json
import os
import re
import sys
import time
from pathlib import Path

import redis

home = Path(__file__).resolve().parents[2]
client = redis.Redis(
    host=os.environ.get("REDIS_HOST", "127.0.0.1"),
    port=int(os.environ.get("REDIS_PORT", "6379")),
    username=os.environ.get("REDIS_USER"),
    password=os.environ.get("REDISCLI_AUTH"),
    decode_responses=True,
)

# Bytes, since the digest is that of the file. redis-py calls a script by EVALSHA
# and loads it when it has to.
files = (home / "lua").glob("*.lua")
scripts = {file.stem: client.register_script(file.read_bytes()) for file in files}


def tokenstore(script, root, *args):
    return scripts[script](keys=[root], args=args)


# The rest is about the conversations.


def matches(expected, reply, values, now):
    if isinstance(expected, str):
        return reply == fill(expected, values)
    if isinstance(expected, list):
        if not isinstance(reply, list) or len(reply) != len(expected):
            return False
        places = range(len(expected))
        objects_first = sorted(places, key=lambda i: not isinstance(expected[i], dict))
        return all(matches(expected[i], reply[i], values, now) for i in objects_first)
    if not isinstance(expected, dict):
        return type(reply) is type(expected) and reply == expected
    if "error" in expected:
        starts = str(reply).startswith(expected["error"] + " ")
        return isinstance(reply, redis.ResponseError) and starts
    if "same" in expected:
        return reply == values[expected["same"]]
    if "time" in expected:
        if not isinstance(reply, int) or abs(reply - now - expected["time"]) > 10000:
            return False
    if "after" in expected and not reply > values[expected["after"]]:
        return False
    if "as" in expected:
        values[expected["as"]] = reply
    return isinstance(reply, (str, int))


def fill(text, values):
    return re.sub(r"\$\{(\w+)\}", lambda match: str(values[match[1]]), text)


def run(step, root, values, now):
    """What is wrong, or None."""
    if "call" in step:
        try:
            reply = tokenstore(step["call"], root, *[fill(arg, values) for arg in step["args"]])
        except redis.ResponseError as error:
            reply = error
        return None if matches(step["reply"], reply, values, now) else repr(reply)
    if "redis" in step:
        client.execute_command(*[fill(arg, values) for arg in step["redis"]])
    elif "wait" in step:
        time.sleep(step["wait"] / 1000)
    elif "names" in step:
        found = {name[len(root) + 1 :] for name in client.scan_iter(root + ":*", count=1000)}
        return None if found == {fill(name, values) for name in step["names"]} else repr(found)
    else:
        return "a step of an unknown kind"
    return None


file = Path(os.environ.get("VECTORS", home / "test" / "vectors.json"))
vectors = json.loads(file.read_text("utf-8"))
calls, failures = 0, []
for number, conversation in enumerate(vectors["conversations"], 1):
    root = f"{os.environ['PREFIX']}-{number}"
    values = {**vectors["values"], "root": root}
    now = client.time()[0] * 1000
    for step in conversation["steps"]:
        calls += "call" in step
        wrong = run(step, root, values, now)
        if wrong is not None:
            failures.append(f"{conversation['name']}: {json.dumps(step)}\ngot {wrong}")
            break
if failures:
    sys.exit("\n".join(failures))
print(f"Python: {len(vectors['conversations'])} conversations, {calls} calls")
