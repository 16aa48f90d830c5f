"""One gateway process with a configuration and a data folder of its own."""
import json
import os
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.realpath(__file__))
BINARY = os.environ.get("HIKYAKU_BIN") or os.path.join(HERE, "../../.build/debug/hikyaku")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    def __init__(self, folder, *, sources, exchanger_port, relay_port, relay="", extra="", environment=None, providers=None):
        self.folder, self.port = folder, free_port()
        self.config = os.path.join(folder, "hikyaku.yaml")
        self.log_path = os.path.join(folder, "gateway.log")
        self.environment = {**os.environ, **(environment or {})}
        os.makedirs(folder, exist_ok=True)
        providers = providers or {}
        more = "\n".join(f"  {name}: {settings}" for name, settings in providers.items())
        with open(self.config, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(f"""
hostname: gateway.test
domain: app.test
data-directory: {folder}/data
listeners:
  app: {{ address: 127.0.0.1, port: {self.port}, tls: none, allow: loopback }}
chain: {json.dumps(["direct", "relay", *providers])}
providers:
  direct: {{ kind: direct-mx, port: {exchanger_port}, allow-networks: [127.0.0.0/8] }}
  relay: {{ kind: smarthost, host: 127.0.0.1, port: {relay_port}, tls: none{relay} }}
{more}
dns:
  sources: {json.dumps(sources)}
  resolv-conf: {folder}/resolv.conf
retry: {{ first-delay: 1s, max-delay: 2s, outage-delay: 1s, breaker-delay: 1s, breaker-max-delay: 1s }}
{extra}
""")
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", self.config],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)
        deadline = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("the gateway did not start:\n" + self.log())

    def stop(self):
        """Ends it as an operator does; gives the exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        code, self.process = self.process.wait(30), None
        return code

    def log(self):
        with open(self.log_path) as file:
            return file.read()

    def run(self, *command):
        """What a command prints, errors and all."""
        done = subprocess.run(
            [BINARY, *command, "--config", self.config],
            capture_output=True, text=True, timeout=60, env=self.environment)
        return done.stdout + done.stderr

    def queue(self):
        return json.loads(self.run("queue", "list", "--all", "--json"))

    def stored_octets(self):
        """Everything in the data folder, in one piece."""
        pieces = []
        for folder, _, names in os.walk(os.path.join(self.folder, "data")):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        pieces.append(file.read())
        return b"".join(pieces)
