"""Runs a program that was built with -Db_pgo=generate through what a platform does all day, so that the compiler knows
which way each branch mostly goes: python3 scripts/train.py BUILD/ogent. The counts are written when the roles end.

exec stays away: the first process of a sandbox gives back the memory in which it would count."""

import base64
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

REQUESTS = 1500
RUNS = 60
SUBSCRIBERS = 20
EVENTS = 150
READY_S = 60
# How the demo model is to answer: without the pauses of somebody who types.
SCRIPT = 'demo: {"pace_ms": 1, "first_ms": 1}'
ROLES = ["auth", "demo-model", "agent", "socket", "gateway"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Client:
    """A connection that stays, with or without a token."""

    def __init__(self, port, token=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.fields = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method, path, body=None):
        fields = dict(self.fields)
        if body is not None:
            fields["Content-Type"] = "application/json"
        self.connection.request(method, path, json.dumps(body) if body is not None else None, fields)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def made(self, method, path, body=None):
        status, text = self.ask(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {text[:300]}")
        return json.loads(text)


def wait_ready(port):
    end = time.monotonic() + READY_S
    while True:
        try:
            if Client(port).ask("GET", "/api/auth/me")[0] == 401:
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise RuntimeError("the roles are not ready")
        time.sleep(0.1)


def local_token(port, data):
    with open(os.path.join(data, "secrets", "cli.token"), encoding="ascii") as f:
        return Client(port).made("POST", "/api/auth/local", {"key": f.read().strip()})["access_token"]


def floods(port, limited, token, agent):
    """What the gateway passes on and what it answers itself, in the measure of its figures."""
    path = f"/api/agents/{agent}"
    kinds = [(port, token, path), (port, None, path), (limited, token, path), (port, None, "/healthz"), (port, "x.y.z", path), (port, token, "/api/none")]
    clients = [(Client(to, with_token), where) for to, with_token, where in kinds]
    for _ in range(REQUESTS):
        for client, where in clients[:4]:
            client.ask("GET", where)
    for _ in range(REQUESTS // 10):
        for client, where in clients[4:]:
            client.ask("GET", where)


def runs(port, token):
    client = Client(port, token)
    agent = client.made("POST", "/api/agents", {"name": "Plain", "tools": []})["id"]
    for i in range(RUNS):
        conversation = client.made("POST", "/api/conversations", {"agent_id": agent})["id"]
        execution = client.made("POST", f"/api/conversations/{conversation}/messages", {"content": f"hello {i}\n{SCRIPT}"})["id"]
        while json.loads(client.ask("GET", f"/api/executions/{execution}")[1])["status"] in ("queued", "running"):
            time.sleep(0.01)
        client.ask("GET", f"/api/conversations/{conversation}/messages")
        client.ask("GET", f"/api/executions/{execution}/events?format=json")
        client.ask("GET", "/api/executions?limit=20")
    return agent


def frame(text):
    data = text.encode()
    head = bytes([0x81, 0x80 | len(data)]) if len(data) < 126 else b"\x81\xfe" + struct.pack(">H", len(data))
    return head + bytes(4) + data


def subscribe(port, token):
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall(f"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    if b" 101 " not in s.recv(65536):
        raise RuntimeError("no WebSocket")
    s.sendall(frame(json.dumps({"type": "auth", "token": token})) + frame('{"type":"join","room":"channel:train","id":1}'))
    return s


def drain(s):
    try:
        while s.recv(65536):
            pass
    except OSError:
        pass


def fan_out(port, token):
    subscribers = [subscribe(port, token) for _ in range(SUBSCRIBERS)]
    readers = [threading.Thread(target=drain, args=(s,)) for s in subscribers]
    for reader in readers:
        reader.start()
    client = Client(port, token)
    for i in range(EVENTS):
        client.made("POST", "/api/publish", {"events": [{"rooms": ["channel:train"], "event": {"n": i, "text": "x" * 80}}]})
    for s in subscribers:
        s.shutdown(socket.SHUT_RDWR)
    for reader in readers:
        reader.join()


def start(program, role, data, port, more=None):
    env = {
        "PATH": os.environ["PATH"],
        "OGENT_DATA": data,
        "OGENT_LISTEN": f"127.0.0.1:{port}",
        "OGENT_PASSWORD_MEMORY": "7",
        "OGENT_PASSWORD_TIME": "5",
        "OGENT_LOG_FORMAT": "json",
        "OGENT_RATE_LIMIT": "1000000",
        "OGENT_RATE_BURST": "1000000",
        **(more or {}),
    }
    with open(os.path.join(data, f"{role}.log"), "ab") as log:
        return subprocess.Popen([program, role], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def train(program, data):
    port, limited = free_port(), free_port()
    roles = []
    try:
        for role in ROLES:
            roles.append(start(program, role, data, port))
        wait_ready(port)
        other = os.path.join(data, "limited")
        os.mkdir(other)
        sockets = {f"OGENT_{role.upper()}_URL": f"unix:{data}/run/{role}.sock" for role in ("auth", "agent")}
        roles.append(start(program, "gateway", other, limited, {"OGENT_RATE_LIMIT": "1", "OGENT_RATE_BURST": "1", **sockets}))
        token = local_token(port, data)
        wait_ready(limited)
        floods(port, limited, token, runs(port, token))
        fan_out(port, token)
    finally:
        for role in reversed(roles):
            role.send_signal(signal.SIGTERM)
        ended = [role.wait(timeout=60) for role in roles]
    if any(ended):
        raise RuntimeError(f"not all roles ended well: {ended}")


def main():
    with tempfile.TemporaryDirectory(prefix="ogent-train-") as data:
        try:
            train(os.path.abspath(sys.argv[1]), data)
        except Exception as e:  # whatever it was: the logs tell why
            for name in sorted(os.listdir(data)):
                if name.endswith(".log"):
                    with open(os.path.join(data, name), encoding="utf-8", errors="replace") as f:
                        print(f"== {name}\n{f.read()[-2000:]}", file=sys.stderr)
            sys.exit(f"train: {e}")


main()
