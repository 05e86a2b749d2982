"""Works on tokens and hashes together with another program, see fire.test.ts."""
import json
import os
import random
import secrets
import sys
from pathlib import Path

import redis

lua = Path(__file__).resolve().parents[2] / "lua"
client = redis.Redis(
    host=os.environ["REDIS_HOST"],
    port=int(os.environ["REDIS_PORT"]),
    username=os.environ.get("REDIS_USER"),
    password=os.environ.get("REDISCLI_AUTH"),
    decode_responses=True,
)
scripts = {file.stem: client.register_script(file.read_bytes()) for file in lua.glob("*.lua")}

plan = json.loads(sys.stdin.readline())
root, tokens, owners, hashes = plan["root"], plan["tokens"], plan["owners"], plan["hashes"]
rng = random.Random(plan["seed"])
# How often each had an effect, not how often it was called.
done = {"add": 0, "set": 0, "change": 0, "del": 0, "rotate": 0, "refresh": 0, "getkey": 0}
taken = []


def call(script, *args):
    return scripts[script](keys=[root], args=args)


call("count", "nobody")
print("ready", flush=True)
sys.stdin.readline()
for step in range(plan["steps"]):
    key, id = rng.choice(tokens)
    what = rng.choice(list(done))
    reply = None
    if what == "add":
        try:
            attrs, options = json.dumps({"python": step}), rng.choice(plan["options"])
            reply = call("add", key, id, rng.choice(owners), attrs, *options)
        except redis.ResponseError as error:
            if not str(error).startswith("TSKEYTAKEN "):
                raise
    elif what == "set":
        reply = call("set", id, json.dumps({"python": step}))
    elif what == "change":
        reply = call("change", id, *rng.choice(plan["changes"]))
    elif what == "del":
        reply = call("del", id) or None
    elif what == "rotate":
        reply = call("rotate", id, secrets.token_urlsafe(18), *rng.choice([[], ["GRACE", 10]]))
    elif what == "refresh":
        reply = call("refresh", key, secrets.token_urlsafe(18), "GRACE", 10, "DETECT", 50)
    else:
        reply, _ = call("getkey", "TOUCH", key)
    done[what] += reply is not None
    if step % plan["every"] == 0 and hashes:
        hash = hashes.pop()
        if call("takehash", hash) is not None:
            taken.append(hash)
print(json.dumps({"done": done, "taken": taken}))
