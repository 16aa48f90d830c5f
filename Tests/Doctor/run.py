#!/usr/bin/env python3
"""`hikyaku doctor` in a network of its own, where the servers of the resolv.conf err as operators have seen them err.

usage: run.py [--show]           the binary is HIKYAKU_BIN, else the debug build; as root, who may make namespaces

dnsmasq plays Docker's 127.0.0.11 and refuses MX; nsd plays 8.8.8.8 and knows everything. Nothing leaves the namespace.
"""
import argparse
import http.server
import json
import os
import re
import shutil
import smtplib
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../Django"))
from checks import check, failures
from gateway import Gateway
from loopback import RecordingExchanger

PATIENCE = 45
SECRET = "correct-horse-battery"
ZONE = """
$TTL 300
. IN SOA ns. root. 1 3600 600 86400 60
. IN NS ns.
ns. IN A 8.8.8.8
shop.test. IN MX 10 mx.shop.test.
shop.test. IN A 127.0.0.1
shop.test. IN AAAA ::1
mx.shop.test. IN A 127.0.0.1
shop.test. IN AAAA ::1
mx.shop.test. IN AAAA ::1
relay.test. IN A 127.0.0.1
api.test. IN A 127.0.0.1
api.test. IN AAAA ::1
gateway.test. IN A 203.0.113.9
9.113.0.203.in-addr.arpa. IN PTR gateway.test.
app.test. IN TXT "v=spf1 include:_spf.app.test -all"
_spf.app.test. IN TXT "v=spf1 ip4:203.0.113.9 ip4:127.0.0.1 ~all"
_dmarc.app.test. IN TXT "v=DMARC1; p=reject; rua=mailto:d@app.test"
bad.test. IN TXT "v=spf1 ip4:198.51.100.1 -all"
_dmarc.bad.test. IN TXT "v=DMARC1; p=none; sp=reject"
"""


def run(*command):
    subprocess.run(command, check=True)


class Servers:
    """Name servers by address, each in a process."""

    def __init__(self, folder):
        self.folder, self.processes = folder, {}

    def start(self, address, *command):
        log = open(f"{self.folder}/{address}.log", "ab")
        self.processes[address] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self, *addresses):
        for address in addresses or list(self.processes):
            process = self.processes.pop(address)
            process.terminate()
            process.wait(10)

    def write(self, name, text):
        with open(f"{self.folder}/{name}", "w") as file:
            file.write(text)
        return f"{self.folder}/{name}"

    def knowing(self, address="8.8.8.8"):
        self.write("root.zone", ZONE)
        self.start(address, "nsd", "-d", "-c", self.write("nsd.conf", f"""
server:
  ip-address: {address}
  zonesdir: "{self.folder}"
  database: ""
  username: ""
  chroot: ""
  pidfile: "{self.folder}/nsd.pid"
  xfrdfile: "{self.folder}/xfrd.state"
  zonelistfile: "{self.folder}/zone.list"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: .
  zonefile: root.zone
"""))

    def dnsmasq(self, address, more):
        self.start(address, "dnsmasq", "-k", "-C", self.write("dnsmasq.conf", f"""
listen-address={address}
bind-interfaces
no-resolv
no-hosts
user=
local-ttl=60
pid-file={self.folder}/dnsmasq.pid
{more}
"""))


class MailAPI:
    """SendGrid as far as the doctor asks it, under a name of the zone, with a certificate of its own making."""

    def __init__(self, folder):
        certificate, key = f"{folder}/api.pem", f"{folder}/api.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api.test",
                        "-addext", "subjectAltName=DNS:api.test", "-keyout", key, "-out", certificate],
                       check=True, stderr=subprocess.DEVNULL)
        os.environ["SSL_CERT_FILE"] = certificate
        self.credits = (403, {})
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                known = {"/v3/scopes": (200, {"scopes": ["mail.send"]}), "/v3/user/credits": api.credits}
                status, body = known.get(self.path, (404, {}))
                if self.headers.get("Authorization") != f"Bearer SG.{SECRET}":
                    status, body = 401, {}
                octets = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://api.test:{self.server.server_address[1]}"


def namespace(folder):
    """A network of its own with the addresses of the play, and resolv.conf as a container has it."""
    run("mount", "--make-rprivate", "/")
    resolv = f"{folder}/resolv.conf"
    with open(resolv, "w") as file:
        file.write("nameserver 127.0.0.11\nsearch .\noptions ndots:0\n\n# ExtServers: [8.8.8.8 8.8.4.4]\n")
    run("mount", "--bind", resolv, "/etc/resolv.conf")
    run("ip", "link", "set", "lo", "up")
    for address in ("8.8.8.8/32", "203.0.113.9/32"):
        run("ip", "addr", "add", address, "dev", "lo")
    # Packets to this network vanish, as in a firewall that drops.
    run("ip", "link", "add", "void", "type", "veth", "peer", "name", "hole")
    run("ip", "link", "set", "hole", "up")
    run("ip", "addr", "add", "198.18.0.1/24", "dev", "void")
    run("ip", "link", "set", "void", "up")
    run("ip", "neigh", "add", "198.18.0.2", "lladdr", "02:00:00:00:00:02", "dev", "void")


def old_spool(folder):
    """The queue that a Postfix in a container left on its volume."""
    spool = f"{folder}/spool"
    for name in ("deferred/A", "active", "incoming", "etc"):
        os.makedirs(f"{spool}/{name}")
    with open(f"{spool}/deferred/A/A4jZabc", "w") as file:
        file.write("stuck")
    with open(f"{spool}/etc/resolv.conf", "w") as file:
        file.write("nameserver 10.9.8.7\n")
    return spool


def send(gateway, sender, recipient):
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=30) as client:
        client.sendmail(sender, [recipient], f"From: {sender}\r\nTo: {recipient}\r\nSubject: hi\r\n\r\nhello\r\n")


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return check(True, what)
        time.sleep(0.1)
    return check(False, what)


def doctor(gateway, *options):
    """The exit status and what was printed."""
    done = subprocess.run(
        [os.environ["HIKYAKU_BIN"], "doctor", "--config", gateway.config, *options], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def results(text):
    """The lines of the table: results and details by check."""
    found = {}
    for line in text.splitlines()[3:]:
        match = re.match(r"(\S.*?)  +(PASS|WARN|FAIL|SKIP)  (.*)", line)
        if match:
            found.setdefault(match[1], []).append((match[2], match[3].strip()))
    return found


def play(folder, show):
    namespace(folder)
    servers = Servers(folder)
    servers.knowing()
    servers.dnsmasq("127.0.0.11", "host-record=shop.test,127.0.0.1,::1\nhost-record=mx.shop.test,127.0.0.1,::1\n"
                    "host-record=api.test,127.0.0.1,::1\nhost-record=relay.test,127.0.0.1,::1\nhost-record=closed.test,127.0.0.1,::1\n"
                    "host-record=void.test,198.18.0.2")
    exchanger = RecordingExchanger("mx.shop.test", port=25)
    relay = RecordingExchanger("relay.test", login=("app", SECRET))
    api = MailAPI(folder)
    gateway = Gateway(
        f"{folder}/gateway", sources=["system", "8.8.8.8"], exchanger_port=25, relay_port=relay.port,
        relay=f", username: app, password-file: {servers.write('secret', SECRET)}, auth-without-tls: true",
        providers={"sendgrid": f"{{ base-url: '{api.url}', api-key-file: {servers.write('api-secret', 'SG.' + SECRET)} }}"},
        extra="limits: { allow-api-networks: [127.0.0.0/8] }\n"
              "doctor: { public-address: [203.0.113.9], port-targets: [\"closed.test:465\", \"void.test:2525\"] }")
    os.chmod(f"{folder}/secret", 0o600)
    os.chmod(f"{folder}/api-secret", 0o600)
    with open(f"{gateway.folder}/resolv.conf", "w") as file:
        file.write(open("/etc/resolv.conf").read())
    try:
        with gateway:
            refusing(gateway, exchanger, folder, show)
            quotas(gateway, api)
            recovered(gateway, servers)
        alone(gateway, servers)
    finally:
        servers.stop()


def refusing(gateway, exchanger, folder, show):
    send(gateway, "app@app.test", "user@shop.test")
    check(len(exchanger.wait_for(1, PATIENCE)) == 1, "mail arrives though 127.0.0.11 refuses MX")
    eventually("the gateway finds out by itself", lambda: "refuses MX" in gateway.run("status"))
    status, text = doctor(gateway, "--spool", old_spool(folder))
    if show:
        print(text)
    check(status == 1, "exit status 1")
    first = text.splitlines()[0]
    wanted = r"127\.0\.0\.11 answers A and AAAA but refuses MX; using 8\.8\.8\.8 since \d\d:\d\d UTC; mail is flowing"
    check(re.fullmatch(wanted, first), "the verdict is one sentence", first)
    table = results(text)

    def told(name, result, *words):
        lines = table.get(name, [])
        check(any(line[0] == result and all(word in line[1] for word in words) for line in lines),
              f"{name} {result} {words[0]}", f"{lines}")
    told("resolv.conf", "PASS", "Docker's own resolver", "8.8.4.4")
    told("old chroot", "WARN", "10.9.8.7", "take-over")
    told("dns 127.0.0.11", "FAIL", "refuses MX")
    told("dns 8.8.8.8", "PASS", "shop.test MX 1")
    told("transport", "PASS", "8.8.8.8")
    told("libc", "WARN", "res_query has no answer to MX shop.test")
    told("libc", "PASS", "getaddrinfo answers A mx.shop.test as we do")
    told("port 25", "PASS", "mx.shop.test[127.0.0.1] open, 220 mx.shop.test")
    told("relay", "PASS", "logged in with AUTH PLAIN")
    told("out 465", "SKIP", "closed.test refused")
    told("out 2525", "WARN", "void.test no answer (blocked?)")
    told("hostname", "PASS", "gateway.test has our address")
    told("ptr", "PASS", "203.0.113.9 is gateway.test, and back")
    told("dmarc", "PASS", "app.test: p=reject")
    told("sender direct", "PASS", "SPF passes for 203.0.113.9 (1 of 10 lookups)")
    told("sender relay", "PASS", "SPF says pass")
    told("queue", "PASS", "nothing waits")
    told("sendgrid", "PASS", "the key has the scope mail.send")
    told("quota sendgrid", "SKIP", "not told: the key may not read the credits (HTTP 403)")
    check(SECRET not in text + gateway.log() + doctor(gateway, "--json")[1], "no secret is printed")
    check("refuses MX" in gateway.run("trace", "user@shop.test"), "the finding stands in the trace")
    check(gateway.log().count("refuses MX") == 1, "the log tells it once", gateway.log())
    send(gateway, "app@sub.bad.test", "user@shop.test")
    exchanger.wait_for(2, PATIENCE)
    status, text = doctor(gateway, "--json")
    report = json.loads(text)
    check(status == 1 and report["verdict"].startswith("127.0.0.11"), "--json has the same", text)
    details = {(finding["check"], finding["result"]): finding["detail"] for finding in report["findings"]}
    bad = details.get(("sender direct", "FAIL"), "")
    check("sub.bad.test: SPF says none" in bad and "asks to reject" in bad, "a sender that receivers refuse is found", text)


def quotas(gateway, api):
    def told(remain, overage=0):
        api.credits = 200, {"remain": remain, "total": 40000, "overage": overage, "used": 40000 - remain,
                            "last_reset": "2026-11-01", "next_reset": "2026-12-01", "reset_frequency": "monthly"}
        report = json.loads(doctor(gateway, "--json")[1])
        found = [(line["result"], line["detail"]) for line in report["findings"] if line["check"] == "quota sendgrid"]
        return found[0] if found else None, report["verdict"]
    until = "monthly, until 2026-12-01"
    check(told(30000)[0] == ("PASS", f"30000 of 40000 left, {until}"), "what is left of a quota is told", f"{told(30000)}")
    check(told(3999)[0] == ("WARN", f"3999 of 40000 left, {until}"), "less than a tenth is a warning", f"{told(3999)}")
    finding, verdict = told(0)
    check(finding == ("FAIL", f"the quota is spent (0 of 40000 left, {until})"), "nothing is a failure", f"{finding}")
    check("sendgrid: the quota is spent" in verdict, "which the verdict tells", verdict)
    check(told(0, 9)[0][0] == "WARN", "what is sent beyond it is charged, and no failure", f"{told(0, 9)}")


def recovered(gateway, servers):
    servers.stop("127.0.0.11")
    servers.dnsmasq("127.0.0.11", "server=8.8.8.8")
    gateway.run("dns", "flush")
    status, text = doctor(gateway, "--domain", "shop.test")
    lines = results(text)
    check(lines["dns 127.0.0.11"][0][0] == "PASS", "a resolver that was mended passes", text)
    check(("PASS", "res_query answers MX shop.test as we do") in lines["libc"], "libc and we agree", text)


def alone(gateway, servers):
    status, text = doctor(gateway, "--domain", "shop.test")
    check("no gateway is running here" in text.splitlines()[0], "without a gateway it says so", text)
    check(results(text)["dns 127.0.0.11"][0][0] == "PASS", "and runs the same checks", text)
    servers.stop("127.0.0.11")
    status, text = doctor(gateway, "--domain", "shop.test")
    check(status == 1 and text.startswith("127.0.0.11 is not listening (port closed); using 8.8.8.8"), "a closed port", text)
    os.unlink(f"{gateway.folder}/resolv.conf")
    status, text = doctor(gateway, "--domain", "shop.test")
    check(status == 1 and "resolv.conf names no server; using 8.8.8.8" in text.splitlines()[0], "a missing file", text)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--show", action="store_true", help="print a report")
    options.add_argument("--inside", help=argparse.SUPPRESS)
    given = options.parse_args()
    os.environ.setdefault("HIKYAKU_BIN", os.path.join(HERE, "../../.build/debug/hikyaku"))
    if given.inside:
        play(given.inside, given.show)
        print(f"{len(failures)} failed" if failures else "all passed")
        sys.exit(1 if failures else 0)
    if os.geteuid() != 0 or subprocess.run(["unshare", "-mn", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped: only root can make a network of its own")
        return
    folder = tempfile.mkdtemp(prefix="hky-doctor-")
    try:
        command = [sys.executable, os.path.realpath(__file__), "--inside", folder] + ["--show"] * given.show
        sys.exit(subprocess.run(["unshare", "-mn", *command]).returncode)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
