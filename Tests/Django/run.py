#!/usr/bin/env python3
"""A real Django project sends through the gateway, while names resolve and while they do not.

usage: run.py [NAME…]        only the checks with these names; the binary is HIKYAKU_BIN, else the debug build

Django comes from PyPI into .build/django-venv: Django 6 where there is a Python 3.12 or newer, else Django 5.2.
"""
import base64
import email
import email.policy
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from checks import check, failures
from fake_dns import FakeDNS
from gateway import BINARY, HERE, Gateway, free_port
from loopback import RecordingExchanger, Tee

VENV = os.path.join(HERE, "../../.build/django-venv")
PROJECT = os.path.join(HERE, "project")
DOMAINS = {"shop.test", "other.test"}
PATIENCE = 30      # seconds until a check gives up; a good run waits for nothing
PROMISE = 5        # seconds from submission to delivery that are promised with a broken resolver


# Django

def newest_python():
    """The newest Python that Django 6 runs on, else the one that runs this."""
    paths = [shutil.which(f"python3.{minor}") for minor in range(19, 11, -1)]
    paths += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.1[2-9]*/bin/python3")), reverse=True)
    for path in filter(None, paths + [sys.executable]):
        probe = subprocess.run([path, "-c", "import sys, venv; print(sys.version_info >= (3, 12))"],
                               capture_output=True, text=True)
        if probe.returncode == 0:
            return path, probe.stdout.strip() == "True"
    return sys.executable, False


def install_django():
    python = os.path.join(VENV, "bin/python")
    if not os.path.exists(os.path.join(VENV, "installed")):
        base, is_new = newest_python()
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([base, "-m", "venv", VENV], check=True)
        wanted = "Django>=6,<7" if is_new else "Django>=5.2,<6"
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wanted], check=True)
        open(os.path.join(VENV, "installed"), "w").close()
    text = "import django, platform; print('Django', django.__version__, 'on Python', platform.python_version())"
    print(subprocess.run([python, "-c", text], check=True, capture_output=True, text=True).stdout.strip(), flush=True)
    return python


def send(python, port, *kinds, **environment):
    """Runs the project's command; gives what it prints, or None if it worked."""
    done = subprocess.run(
        [python, "-B", "manage.py", "send_samples", *kinds], cwd=PROJECT, capture_output=True, text=True, timeout=90,
        env={**os.environ, "EMAIL_PORT": str(port), **environment})
    return None if done.returncode == 0 else done.stdout + done.stderr


def until(condition):
    """Waits for what the gateway puts on record a moment after the next hop has the message."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def states(gateway):
    return {recipient["state"] for message in gateway.queue() for recipient in message["recipients"]}


# What arrives

def without_first_received(content):
    """The content without the one field that the gateway puts in front, folded lines and all."""
    return re.sub(rb"\AReceived: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", b"", content)


def all_samples(python, folder):
    with exchanger_and_relay() as (exchanger, relay, dns):
        with Gateway(folder, sources=[f"127.0.0.1:{dns.port}"], exchanger_port=exchanger.port,
                     relay_port=relay.port) as gateway:
            tee = Tee(gateway.port)
            trouble = send(python, tee.port)
            check(trouble is None, "Django sends text, HTML, blind copies and mass mail without an error", trouble)
            arrivals = exchanger.wait_for(10, PATIENCE)
            sent = tee.contents()
            tee.stop()
            check(len(sent) == 8, "Django said eight messages", f"{len(sent)}")
            # The message for two domains goes to each of their exchangers.
            check(len(arrivals) == 9 and not relay.arrivals, "nine deliveries arrive at the exchangers, none elsewhere",
                  f"{len(arrivals)}, {len(relay.arrivals)} at the relay")
            arrived = [without_first_received(arrival.content) for arrival in arrivals]
            check(set(arrived) == set(sent), "each arrives octet for octet as Django sent it, behind one Received field")
            check(all(arrival.content.count(b"\nReceived: ") + arrival.content.startswith(b"Received: ") == 1
                      for arrival in arrivals), "the gateway adds exactly one Received field")
            japanese(arrivals)
            blind_copies(arrivals)
            readers = sorted(arrival.recipients[0] for arrival in arrivals if b"Newsletter" in arrival.content)
            check(readers == [f"reader{number}@shop.test" for number in range(5)], "mass mail reaches each reader once",
                  f"{readers}")
            until(lambda: states(gateway) == {"delivered"})
            check(states(gateway) == {"delivered"}, "queue list calls all of them delivered",
                  gateway.run("queue", "list", "--all"))
            check(gateway.stop() == 0, "SIGTERM ends it with exit code 0")


def japanese(arrivals):
    sys.path.insert(0, os.path.join(PROJECT, "samples/management/commands"))
    source = open(os.path.join(PROJECT, "samples/management/commands/send_samples.py")).read()
    subject = re.search(r'^SUBJECT = "(.*)"$', source, re.M).group(1)
    for arrival in arrivals:
        if arrival.recipients == ["hanako@shop.test"]:
            message = email.message_from_bytes(arrival.content, policy=email.policy.default)
            check(message["Subject"] == subject, "the Japanese subject is whole", message["Subject"])
            check("長い行" in message.get_body(("html",)).get_content(), "the HTML is whole")
            attachment = next(message.iter_attachments())
            check(attachment.get_content() == bytes(range(256)) * 40 and attachment.get_filename() == "請求書.bin",
                  "the attachment and its name are whole")
            return
    check(False, "the Japanese message arrives")


def blind_copies(arrivals):
    found = {recipient: arrival for arrival in arrivals for recipient in arrival.recipients}
    wanted = {"to@shop.test", "cc@shop.test", "secret-one@shop.test", "secret-two@other.test"}
    check(wanted <= set(found), "every recipient is served, blind copies too", f"{sorted(wanted - set(found))}")
    content = b"".join(found[recipient].content for recipient in wanted & set(found))
    check(b"secret-" not in content, "nobody can read who had a blind copy")


# Broken resolvers

class exchanger_and_relay:
    """The servers around one gateway, ended with it."""

    def __init__(self, mode="good"):
        self.mode = mode

    def __enter__(self):
        self.parts = (RecordingExchanger("mx.shop.test"), RecordingExchanger("relay.test"), FakeDNS(DOMAINS, self.mode))
        return self.parts

    def __exit__(self, *_):
        for part in self.parts:
            part.stop()


BROKEN = {
    "SERVFAIL": ("servfail", r"SERVFAIL"),
    "REFUSED": ("refused", r"REFUSED"),
    "silent": ("silent", r"timed? ?out|no answer"),
    "closed port": (None, r"refused|unreachable|closed"),
    "no resolv.conf": ("system", r"resolv\.conf"),
}


def broken_resolvers(python, folder):
    for name, (mode, words) in BROKEN.items():
        for has_other in (True, False):
            broken_resolver(python, os.path.join(folder, f"{name}-{has_other}".replace(" ", "-")), name, mode, words,
                            has_other)


def broken_resolver(python, folder, name, mode, words, has_other):
    way = "by another source" if has_other else "by the next provider"
    with exchanger_and_relay(mode if mode in ("servfail", "refused", "silent") else "good") as (exchanger, relay, dns):
        bad = {"system": "system", None: f"127.0.0.1:{free_port()}"}.get(mode, f"127.0.0.1:{dns.port}")
        other = FakeDNS(DOMAINS)
        sources = [bad] + ([f"127.0.0.1:{other.port}"] if has_other else [])
        with Gateway(folder, sources=sources, exchanger_port=exchanger.port, relay_port=relay.port) as gateway:
            wanted = exchanger if has_other else relay
            tee = Tee(gateway.port)
            trouble = send(python, tee.port, "text")
            submitted = time.monotonic()
            arrivals = wanted.wait_for(1, PATIENCE)
            if not check(trouble is None and len(arrivals) == 1, f"{name}: delivered {way}", trouble or "nothing came"):
                print(gateway.log())
                return
            delay = arrivals[0].at - submitted
            check(delay < PROMISE, f"{name}: {way} within {PROMISE} s of submission", f"{delay:.1f} s")
            sent = email.message_from_bytes(tee.contents()[0])["Message-ID"]
            trace = until_delivered(gateway, sent)
            provider = "direct" if has_other else "relay"
            check(re.search(words, trace, re.I) and bad in trace,
                  f"{name}: the trace says what the source answered", trace)
            if "-v" in sys.argv:
                print(trace)
            check(re.search(rf"{provider}.*delivered|delivered.*{provider}", trace) is not None,
                  f"{name}: the trace says that {provider} delivered", trace)
            tee.stop()
        other.stop()


def until_delivered(gateway, key):
    """The trace of a message once its delivery is on record."""
    until(lambda: "delivered" in gateway.run("trace", key))
    return gateway.run("trace", key)


def outage_and_recovery(python, folder):
    with exchanger_and_relay("servfail") as (exchanger, relay, dns):
        with Gateway(folder, sources=[f"127.0.0.1:{dns.port}"], exchanger_port=exchanger.port,
                     relay_port=free_port()) as gateway:
            trouble = send(python, gateway.port, "text", "bcc")
            check(trouble is None, "with no way out Django sees no error", trouble)
            queue = gateway.queue()
            check(len(queue) == 2 and not exchanger.arrivals, "queue list shows what waits", f"{queue}")
            check("SERVFAIL" in gateway.run("trace", "user@shop.test"), "trace by recipient says why it waits")
            gateway.process.send_signal(signal.SIGHUP)
            until(lambda: "SIGHUP" in gateway.log())
            check(gateway.run("health") == "ok\n", "SIGHUP does not end it")
            check(gateway.stop() == 0, "it can be stopped meanwhile")
            dns.mode = "good"
            gateway.start()
            gateway.run("queue", "flush")
            arrivals = exchanger.wait_for(3, PATIENCE)
            check(len(arrivals) == 3, "after a restart and with DNS back everything is delivered", f"{len(arrivals)}")


# Secrets

def secrets(python, folder):
    app_password, relay_password = "Tr0ub4dor-app-Passw0rd", "c0rrect-relay-Passw0rd"
    hashed = subprocess.run([BINARY, "hash-password"], input=app_password + "\n", capture_output=True, text=True).stdout.strip()
    os.makedirs(folder)
    with open(os.path.join(folder, "relay-password"), "w") as file:
        file.write(relay_password + "\n")
    for form in ("plain", "json"):
        exchanger, dns = RecordingExchanger("mx.shop.test"), FakeDNS(DOMAINS, "servfail")
        relay = RecordingExchanger("relay.test", login=("relay-user", relay_password))
        submission = free_port()
        extra = f"""
users: {{ app: "{hashed}" }}
log: {{ format: {form}, level: debug }}
"""
        gateway = Gateway(
            os.path.join(folder, form), sources=[f"127.0.0.1:{dns.port}"], exchanger_port=exchanger.port,
            relay_port=relay.port, relay=", username: relay-user, auth-without-tls: true", extra=extra,
            environment={
                "HIKYAKU_LISTENERS_APP_AUTH": "required", "HIKYAKU_LISTENERS_APP_AUTH_WITHOUT_TLS": "true",
                "HIKYAKU_PROVIDERS_RELAY_PASSWORD_FILE": os.path.join(folder, "relay-password")})
        with gateway:
            refused = send(python, gateway.port, "text", EMAIL_HOST_USER="app", EMAIL_HOST_PASSWORD="wr0ng-Passw0rd")
            check(refused is not None and "535" in refused, f"{form}: a wrong password of Django's is refused", refused or "")
            refused = send(python, gateway.port, "text")
            check(refused is not None and "530" in refused, f"{form}: no password is refused", refused or "")
            trouble = send(python, gateway.port, "text", EMAIL_HOST_USER="app", EMAIL_HOST_PASSWORD=app_password)
            arrivals = relay.wait_for(1, PATIENCE)
            check(trouble is None and len(arrivals) == 1 and relay.logins == [("relay-user", relay_password)],
                  f"{form}: Django logs in, and the gateway logs in at its relay", f"{trouble} {relay.logins}")
            until_delivered(gateway, "user@shop.test")
            with open(f"/proc/{gateway.process.pid}/cmdline") as file:
                command_line = file.read()
            places = {
                "the log": gateway.log(), "the store": gateway.stored_octets().decode("latin-1"),
                "config show": gateway.run("config", "show"), "trace": gateway.run("trace", "user@shop.test"),
                "the process list": command_line, "status": gateway.run("status"),
            }
            for place, text in places.items():
                found = [secret for secret in forms_of(app_password, relay_password, hashed, "wr0ng-Passw0rd")
                         if secret in text]
                check(text and not found, f"{form}: no secret in {place}", f"{found}" if text else "nothing to look into")
        for part in (exchanger, relay, dns):
            part.stop()


def forms_of(*secrets):
    """Secrets as they are and as they travel in AUTH, at each of the three alignments of base64."""
    found = set(secrets)
    for secret in secrets:
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
            found.add(encoded[-(-shift * 8 // 6) + (1 if shift else 0):-2])
    return found


CHECKS = {
    "samples": all_samples, "broken": broken_resolvers, "outage": outage_and_recovery, "secrets": secrets,
}


def main():
    python = install_django()
    folder = tempfile.mkdtemp(prefix="hikyaku-django-")
    try:
        for name, run in CHECKS.items():
            if not sys.argv[1:] or name in sys.argv[1:]:
                run(python, os.path.join(folder, name))
    finally:
        shutil.rmtree(folder)
    print(f"Django test: {len(failures)} failed" if failures else "Django test: all passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
