"""The gateway under test, which dies and is started again on the same folder, and the applications that submit to it."""
import hashlib, json, os, random, signal, smtplib, socket, subprocess, threading, time

HERE = os.path.dirname(os.path.realpath(__file__))
BINARY = os.environ.get("HIKYAKU_BIN") or os.path.join(HERE, "../../.build/debug/hikyaku")


class Gateway:
    def __init__(self, folder, settings, environment):
        self.folder, self.environment, self.process = folder, environment, None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config, self.log_path = os.path.join(folder, "hikyaku.yaml"), os.path.join(folder, "gateway.log")
        with open(self.config, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(f"""
hostname: gateway.test
data-directory: {folder}/data
listeners:
  app: {{ address: 127.0.0.1, port: {self.port}, tls: none, allow: loopback }}
retry: {{ first-delay: 1s, max-delay: 2s, outage-delay: 1s, ambiguous-delay: 1s, breaker-delay: 1s, breaker-max-delay: 1s }}
{settings}
""")

    def start(self, crash_at=None):
        """Starts it and waits until it listens or, where it is to die, is dead."""
        environment = {**os.environ, **self.environment, **({"HIKYAKU_CRASH_AT": crash_at} if crash_at else {})}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", self.config],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
            time.sleep(0.01)
        if not (crash_at and self.process.poll() == -signal.SIGKILL):
            raise SystemExit("the gateway did not start:\n" + open(self.log_path).read()[-2000:])

    def kill(self):
        self.process.kill()

    def wait_for_death(self, seconds):
        """Whether it died by SIGKILL within the time; any other death is a failure of its own."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        if code != -signal.SIGKILL:
            raise SystemExit(f"the gateway ended by itself with {code}:\n" + open(self.log_path).read()[-2000:])
        return True

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)

    def ask(self, *command):
        """What a command says in JSON."""
        done = subprocess.run([BINARY, *command, "--json", "--config", self.config], capture_output=True, text=True,
                              timeout=120, env={**os.environ, **self.environment})
        if done.returncode != 0:
            raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)


class Application(threading.Thread):
    """Submits one message after the other and notes what was acknowledged, and for whom."""

    def __init__(self, port, name, mail, acknowledged, stop):
        super().__init__(daemon=True)
        self.port, self.label, self.mail, self.acknowledged, self.stopped = port, name, mail, acknowledged, stop
        self.random = random.Random(name)
        self.count = 0

    def run(self):
        while not self.stopped.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, "sender.test", timeout=10) as client:
                    # Some applications keep their connection for a while, others call again for each message.
                    for _ in range(self.random.choice([1, 1, 20])):
                        self.submit(client)
                        if self.stopped.is_set():
                            return
            except (OSError, smtplib.SMTPException):
                self.stopped.wait(0.02)

    def submit(self, client):
        self.count += 1
        token = f"{self.label}-{self.count}"
        recipients = self.random.choice(self.mail.recipients)
        line = f"{token} ".encode() + b"x" * 60 + b"\r\n"
        body = (line + b"." + line) * (self.random.choice(self.mail.sizes) // (2 * len(line)) + 1)
        head = "\r\n".join([
            "From: a@app.test", f"To: {recipients[0]}", f"Subject: {token}", f"Message-ID: <{token}@app.test>",
            f"X-Token: {token}", f"X-Hash: {hashlib.sha256(body).hexdigest()}"])
        client.sendmail("a@app.test", recipients, head.encode() + b"\r\n\r\n" + body)
        self.acknowledged[token] = recipients
