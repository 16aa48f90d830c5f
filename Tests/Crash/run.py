#!/usr/bin/env python3
"""Kills the gateway with SIGKILL at random moments under load and counts what became of every acknowledged message.

usage: run.py [--rounds N] [--seed S]        the binary is HIKYAKU_BIN, else the debug build

A next hop on loopback records every message. Senders note each 250. After every kill the gateway is started again on
the same data directory; at the end, when the queue is empty: every acknowledged message must have arrived, whole (a
hash of the body travels in the header), and no more copies than deliveries were in flight at the kills.
"""
import argparse, hashlib, os, random, re, shutil, signal, smtplib, socket, socketserver, subprocess, sys, tempfile
import threading, time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CONCURRENCY = 20


class NextHop(socketserver.ThreadingTCPServer):
    """A plain SMTP server that keeps the token and the hash of each message."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Session)
        self.lock = threading.Lock()
        self.copies = {}
        self.torn = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def record(self, content):
        head, _, body = content.partition(b"\r\n\r\n")
        token = re.search(rb"^X-Token: (\S+)", head, re.M).group(1).decode()
        want = re.search(rb"^X-Hash: (\S+)", head, re.M).group(1).decode()
        with self.lock:
            self.copies[token] = self.copies.get(token, 0) + 1
            if hashlib.sha256(body).hexdigest() != want:
                self.torn.append(token)


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            self.talk()
        except (OSError, AttributeError):
            pass  # The gateway was killed in the middle of a line.

    def talk(self):
        self.say(b"220 next.hop.test ESMTP")
        while line := self.rfile.readline(4096):
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.say(b"250-next.hop.test\r\n250-PIPELINING\r\n250 8BITMIME")
            elif verb == b"DATA":
                self.say(b"354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    if not line:
                        return
                    lines.append(line[1:] if line.startswith(b".") else line)
                self.server.record(b"".join(lines))
                self.say(b"250 2.0.0 taken")
            elif verb == b"QUIT":
                self.say(b"221 bye")
                return
            else:
                self.say(b"250 ok")

    def say(self, text):
        self.wfile.write(text + b"\r\n")


class Gateway:
    def __init__(self, binary, directory, hop_port):
        self.binary, self.directory = binary, directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config = os.path.join(directory, "hikyaku.yaml")
        with open(self.config, "w") as file:
            file.write(f"""
hostname: gateway.test
data-directory: {directory}/data
listeners:
  app: {{ address: 127.0.0.1, port: {self.port}, tls: none, allow: loopback }}
chain: [relay]
providers:
  relay: {{ kind: smarthost, host: 127.0.0.1, port: {hop_port}, tls: none }}
dns: {{ sources: ["127.0.0.1:1"] }}
retry: {{ first-delay: 1s, max-delay: 2s, ambiguous-delay: 1s }}
""")
        self.process = None

    def start(self):
        self.log = open(os.path.join(self.directory, "gateway.log"), "ab")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--config", self.config],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        raise SystemExit("the gateway did not start:\n" + open(self.log.name).read()[-2000:])

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        return self.process.wait(20)


class Sender(threading.Thread):
    """Submits one message after the other, as an application does, and notes what was acknowledged."""

    def __init__(self, port, name, acknowledged, stop):
        super().__init__(daemon=True)
        self.port, self.label, self.acknowledged, self.stopped = port, name, acknowledged, stop
        self.random = random.Random(name)

    def run(self):
        number = 0
        while not self.stopped.is_set():
            number += 1
            token = f"{self.label}-{number}"
            size = self.random.choice([200, 4_000, 60_000, 400_000])
            body = (f"{token} ".encode() + b"x" * 60 + b"\r\n") * (size // 80 + 1)
            head = f"From: a@app.test\r\nTo: u@x.test\r\nX-Token: {token}\r\nX-Hash: {hashlib.sha256(body).hexdigest()}"
            try:
                with smtplib.SMTP("127.0.0.1", self.port, "sender.test", timeout=10) as client:
                    client.sendmail("a@app.test", ["u@x.test"], head.encode() + b"\r\n\r\n" + body)
                self.acknowledged.add(token)
            except smtplib.SMTPServerDisconnected:
                # QUIT may meet the kill after the 250 was read; sendmail returning is what counts.
                pass
            except (OSError, smtplib.SMTPException):
                self.stopped.wait(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    binary = os.environ.get("HIKYAKU_BIN") or os.path.join(ROOT, ".build/debug/hikyaku")
    print(f"crash test: {options.rounds} kills, seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    directory = tempfile.mkdtemp(prefix="hikyaku-crash-")
    hop = NextHop()
    gateway = Gateway(binary, directory, hop.server_address[1])
    acknowledged, kills = set(), 0
    for round_number in range(options.rounds):
        gateway.start()
        stop = threading.Event()
        senders = [Sender(gateway.port, f"r{round_number}s{i}", acknowledged, stop) for i in range(6)]
        for sender in senders:
            sender.start()
        time.sleep(chance.uniform(0.05, 1.2))  # The random instant of the kill, not a wait for anything.
        gateway.kill()
        kills += 1
        stop.set()
        for sender in senders:
            sender.join(15)
    gateway.start()
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not acknowledged <= set(hop.copies):
        time.sleep(0.2)
    clean = gateway.kill(signal.SIGTERM)
    missing = acknowledged - set(hop.copies)
    doubled = sum(count - 1 for count in hop.copies.values())
    print(f"{len(acknowledged)} acknowledged, {len(hop.copies)} arrived, {len(missing)} missing, {doubled} extra copies, "
          f"{len(hop.torn)} torn, exit after SIGTERM {clean}", flush=True)
    problems = []
    if not acknowledged:
        problems.append("nothing was acknowledged: the test tested nothing")
    if missing:
        problems.append(f"acknowledged and lost: {sorted(missing)[:10]}")
    if hop.torn:
        problems.append(f"torn: {hop.torn[:10]}")
    if doubled > kills * CONCURRENCY:
        problems.append(f"{doubled} extra copies are more than could have been in flight")
    if clean != 0:
        problems.append(f"SIGTERM ended with {clean}, not 0")
    for problem in problems:
        print("FAILED:", problem)
    print("crash test: %d passed, %d failed" % (5 - len(problems), len(problems)))
    if problems:
        print("kept:", directory)
    else:
        shutil.rmtree(directory)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
