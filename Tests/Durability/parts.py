"""What the durability tests are made of: a next hop that records, a gateway with the fault layer, a plain client."""
import hashlib, json, os, re, signal, socket, socketserver, subprocess, threading, time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LARGE = 400_000


class Failure(Exception):
    """What must come out did not."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


def until(seconds, condition):
    """Waits until the condition holds; returns whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Hop(socketserver.ThreadingTCPServer):
    """A next hop that keeps the token of every message that came whole."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HopSession)
        self.port = self.server_address[1]
        self.lock = threading.Lock()
        self.copies, self.torn = {}, []
        self.is_deferring = False  # answers every recipient 451
        self.delay = 0  # before the answer to the final dot
        self.waiting = 0  # sessions within that delay
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def record(self, content):
        head, _, body = content.partition(b"\r\n\r\n")
        token = re.search(rb"^X-Token: (\S+)", head, re.M)
        if not token:
            return
        token = token.group(1).decode()
        with self.lock:
            self.copies[token] = self.copies.get(token, 0) + 1
            if hashlib.sha256(body).hexdigest().encode() not in head:
                self.torn.append(token)


class HopSession(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            self.talk()
        except OSError:
            pass

    def talk(self):
        self.say(b"220 hop.test ESMTP")
        while line := self.rfile.readline(4096):
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.say(b"250-hop.test\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME")
            elif verb == b"RCPT" and self.server.is_deferring:
                self.say(b"451 4.3.0 later")
            elif verb == b"DATA" and self.server.is_deferring:
                self.say(b"554 5.5.1 no recipients")
            elif verb == b"DATA":
                self.say(b"354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    if not line:
                        return
                    lines.append(line[1:] if line.startswith(b".") else line)
                if self.server.delay:
                    with self.server.lock:
                        self.server.waiting += 1
                    time.sleep(self.server.delay)  # A slow next hop, not a wait for anything.
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
    """A gateway whose disk is `directory`/disk, run with the fault layer."""

    running = []

    @classmethod
    def end_all(cls):
        """Ends what a scenario that failed left behind."""
        for process in cls.running:
            if process.poll() is None:
                process.kill()
                process.wait()
        cls.running.clear()

    def __init__(self, directory, hop, shim, disk=None, settings=""):
        self.directory, self.shim = directory, shim
        self.binary = os.environ.get("HIKYAKU_BIN") or os.path.join(ROOT, ".build/debug/hikyaku")
        self.disk = disk or os.path.join(directory, "disk")
        os.makedirs(self.disk, exist_ok=True)
        self.data = os.path.join(self.disk, "data")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config = os.path.join(directory, "hikyaku.yaml")
        with open(self.config, "w") as file:
            file.write(f"""
hostname: gateway.test
data-directory: {self.data}
control-socket: {directory}/control.sock
listeners:
  app: {{ address: 127.0.0.1, port: {self.port}, tls: none, allow: loopback }}
chain: [relay]
providers:
  relay: {{ kind: smarthost, host: 127.0.0.1, port: {hop.port}, tls: none }}
dns: {{ sources: ["127.0.0.1:1"] }}
doctor: {{ watch: false }}
retry: {{ first-delay: 1s, max-delay: 2s, ambiguous-delay: 1s, breaker-delay: 100ms, breaker-max-delay: 500ms }}
{settings}
""")
        self.control = os.path.join(directory, "faults")
        self.count = os.path.join(directory, "count")
        self.clock = os.path.join(directory, "clock")
        self.log = os.path.join(directory, "gateway.log")
        self.fault("off")
        self.process = None

    def fault(self, line):
        """Sets what fails from now on; `off` for nothing."""
        with open(self.control + ".new", "w") as file:
            file.write(line)
        os.rename(self.control + ".new", self.control)

    def operations(self):
        """How many operations there were since the last `fault`, and how many of them failed."""
        try:
            with open(self.count) as file:
                words = file.read().split("\n")[0].split()
                return int(words[0]), int(words[1])
        except (OSError, IndexError, ValueError):
            return 0, 0

    def environment(self, record=None, clock=False):
        added = {"LD_PRELOAD": self.shim, "FAULTS_ROOT": self.disk, "FAULTS_CONTROL": self.control, "FAULTS_COUNT": self.count}
        if record:
            added["FAULTS_RECORD"] = record
        if clock:
            added["FAULTS_CLOCK"] = self.clock
        return {**os.environ, **added}

    def launch(self, record=None, clock=False, prefix=()):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*prefix, self.binary, "serve", "--config", self.config],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment(record, clock))
        self.running.append(self.process)

    def is_listening(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def start(self, **options):
        """Starts it; fails when it does not listen in time."""
        self.launch(**options)
        until(20, lambda: self.process.poll() is not None or self.is_listening())
        if self.process.poll() is not None or not self.is_listening():
            raise Failure("the gateway did not start: " + self.words()[-1500:])

    def start_on(self, data):
        """Starts it on another store, without the fault layer."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--config", self.config], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "HIKYAKU_DATA_DIRECTORY": data})
        self.running.append(self.process)
        until(20, lambda: self.process.poll() is not None or self.is_listening())
        if self.process.poll() is not None or not self.is_listening():
            raise Failure("the gateway does not start on it: " + self.words()[-800:])

    def refusal(self, seconds=20, prefix=()):
        """Starts it and returns with what words and status it refused; fails when it runs."""
        before = len(self.words())
        self.launch(prefix=prefix)
        until(seconds, lambda: self.process.poll() is not None or self.is_listening())
        if self.process.poll() is None:
            self.kill()
            raise Failure("the gateway started")
        return self.process.returncode, self.words()[before:]

    def words(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, errors="replace") as file:
            return file.read()

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, sig=signal.SIGKILL, seconds=20):
        if self.process is None or self.process.poll() is not None:
            return None if self.process is None else self.process.returncode
        self.process.send_signal(sig)
        return self.process.wait(seconds)

    def command(self, *words, timeout=60):
        """Runs another command of the binary, without the fault layer."""
        done = subprocess.run([self.binary, *words, "--config", self.config], capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def check(self, data=None):
        code, text = self.command("store", "check", *([data] if data else []))
        expect(code == 0, f"store check: {text}")

    def queued(self):
        code, text = self.command("queue", "list", "--json")
        expect(code == 0, f"queue list: {text}")
        return json.loads(text)


class Client:
    """One SMTP client; every reply is kept as it was read, `closed` for none."""

    def __init__(self, port, timeout=15):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self):
        try:
            while line := self.file.readline():
                if line[3:4] != b"-":
                    return line.decode(errors="replace").strip()
        except ConnectionError:
            pass
        except TimeoutError:
            return "timeout"
        return "closed"

    def send(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError:
            pass  # The reply that came before says why.

    def ask(self, command):
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def close(self):
        self.socket.close()


def content(token, size):
    line = f"{token} ".encode() + b"x" * 60 + b"\r\n"
    body = line * max(1, size // len(line))
    head = f"From: a@app.test\r\nTo: u@x.test\r\nX-Token: {token}\r\nX-Hash: {hashlib.sha256(body).hexdigest()}\r\n\r\n"
    return head.encode() + body


def submit(port, token, size=1_000, timeout=15):
    """Submits one message and returns the reply that decided it: 250 after the dot, or the refusal."""
    try:
        client = Client(port, timeout)
    except OSError:
        return "closed"
    try:
        if not client.greeting.startswith("220"):
            return client.greeting
        for command, wanted in [("EHLO app.test", "250"), ("MAIL FROM:<a@app.test>", "250"), ("RCPT TO:<u@x.test>", "250"), ("DATA", "354")]:
            reply = client.ask(command)
            if not reply.startswith(wanted):
                return reply
        client.send(content(token, size) + b".\r\n")
        return client.reply()
    finally:
        client.close()


class Ledger:
    """Who was told what; at the end all that was acknowledged must have arrived, whole."""

    def __init__(self, hop):
        self.hop, self.acknowledged, self.replies, self.number = hop, set(), {}, 0
        self.lock = threading.Lock()

    def submit(self, gateway, label, size=1_000, timeout=15):
        with self.lock:
            self.number += 1
            token = f"{label}-{self.number}"
        reply = submit(gateway.port, token, size, timeout)
        with self.lock:
            self.replies[reply[:9]] = self.replies.get(reply[:9], 0) + 1
            if reply.startswith("250"):
                self.acknowledged.add(token)
        return reply

    def missing(self):
        return self.acknowledged - set(self.hop.copies)

    def settle(self, seconds=60):
        expect(until(seconds, lambda: not self.missing()), f"acknowledged and not delivered: {sorted(self.missing())[:5]}")
        expect(not self.hop.torn, f"torn: {self.hop.torn[:5]}")

    def extra(self):
        return sum(count - 1 for count in self.hop.copies.values())
