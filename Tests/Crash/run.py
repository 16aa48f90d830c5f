#!/usr/bin/env python3
"""Kills the gateway with SIGKILL under load, again and again, and accounts for every acknowledged message and every copy.

usage: run.py [--rounds N] [--seed S] [--only CONFIGURATION]       the binary is HIKYAKU_BIN, else the debug build

Kills fall at random instants and at named ones (HIKYAKU_CRASH_AT), in turn, and at the instant when a next hop has taken
a message and not answered. The gateway is started again on the same folder each time; at the end, when its queue is empty:
- every message that was acknowledged has arrived for each of its recipients, whole (a hash of the body travels along);
- every copy beyond the first is explained by an attempt whose outcome `hikyaku trace` tells as ambiguous;
- nothing is sent again of which a service that can be asked (Mailgun) has said that it has it;
- all copies of a message carry one identity (Message-ID, `gw_id`), by which a next hop may know them as one;
- no content is left behind, and the database is sound.
"""
import argparse, collections, os, random, shutil, sqlite3, sys, tempfile, threading, time
from dataclasses import dataclass, field

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from gateway import Application, Gateway
from hops import Arrivals, Exchanger, MailAPI, NameServer

DOMAINS = 4
RANDOM, UNANSWERED, BEGUN = "random", "taken-before-answer", "after-begin-before-final-dot"
INSTANTS = [RANDOM, "after-content-before-write", RANDOM, "after-write-before-sync", "after-sync-before-reply", RANDOM,
            BEGUN, UNANSWERED, RANDOM, "after-final-dot-before-outcome", "after-outcome-commit"]
DRAIN_SECONDS = 180


@dataclass
class Mail:
    """What the applications submit."""
    sizes: list
    recipients: list = field(default_factory=lambda: [["u@d0.test"]])


@dataclass
class Configuration:
    name: str
    mail: Mail
    settings: str
    instants: list = field(default_factory=lambda: INSTANTS)


def crowds():
    """One to forty recipients, in one domain and in several."""
    return [[f"u{n}@d{n % domains}.test" for n in range(count)]
            for count, domains in [(1, 1), (3, 1), (5, 4), (12, 2), (40, 4)]]


def configurations(relay, exchangers, api, names):
    small, large = Mail([200, 4_000, 60_000]), Mail([4_000, 300_000, 1_500_000])
    smarthost = f"""
chain: [relay]
providers:
  relay: {{ kind: smarthost, host: 127.0.0.1, port: {relay.port}, tls: none }}
dns: {{ sources: ["127.0.0.1:1"] }}
"""
    direct = f"""
chain: [direct]
providers:
  direct: {{ kind: direct-mx, port: {exchangers[0].port}, tls: none, mta-sts: false, allow-networks: [127.0.0.0/8] }}
dns: {{ sources: ["127.0.0.1:{names.port}"] }}
"""
    service = lambda name, more: f"""
chain: [{name}]
providers:
  {name}: {{ base-url: "https://127.0.0.1:{api.port}", {more} }}
limits: {{ allow-api-networks: [127.0.0.0/8] }}
dns: {{ sources: ["127.0.0.1:1"] }}
"""
    spooling = INSTANTS + ["during-content-file", RANDOM]
    return [
        Configuration("smarthost", small, smarthost),
        Configuration("large", large, smarthost, spooling),
        Configuration("direct", small, direct),
        Configuration("many", Mail([200, 4_000], crowds()), direct),
        Configuration("sendgrid", Mail([200, 4_000]), service(
            "sendgrid", "kind: sendgrid, api-key: SG.keykeykeykeykeykeykey.0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")),
        Configuration("mailgun", Mail([4_000, 300_000], [["u@d0.test"], ["u@d0.test", "v@d1.test", "w@d1.test"]]),
                      service("mailgun", "kind: mailgun, domain: mg.app.test, api-key: key-1ab0123456789abcdef"), spooling),
    ]


class Trial:
    """One configuration with its gateway, from the first kill to the account of all messages."""

    def __init__(self, configuration, folder, arrivals, certificate, chance):
        self.configuration, self.arrivals, self.chance = configuration, arrivals, chance
        self.folder = os.path.join(folder, configuration.name)
        os.makedirs(self.folder)
        self.gateway = Gateway(self.folder, configuration.settings, {"SSL_CERT_FILE": certificate})
        self.acknowledged, self.kills, self.problems = {}, collections.Counter(), []

    def round(self, number):
        instant = self.configuration.instants[number % len(self.configuration.instants)]
        # What is fresh was begun when it was accepted: only what an earlier kill left behind begins by itself.
        count = self.chance.choice([1, 2] if instant == BEGUN else [1, 1, 2, 3, 5, 9, 17, 33])
        if instant == UNANSWERED:
            self.arrivals.kill_at(count, self.gateway.kill)
        self.gateway.start(None if instant in (RANDOM, UNANSWERED) else f"{instant}:{count}")
        stop = threading.Event()
        applications = [
            Application(self.gateway.port, f"{self.configuration.name}-{number}-{i}", self.configuration.mail,
                        self.acknowledged, stop) for i in range(6)]
        for application in applications:
            application.start()
        # A random instant; a named one has a few seconds to be reached.
        if not self.gateway.wait_for_death(self.chance.uniform(0.01, 1.0) if instant == RANDOM else 5):
            self.gateway.kill()
            self.gateway.wait_for_death(10)
            instant = instant if instant == RANDOM else "not reached: " + instant
        self.arrivals.kill_at(0, None)
        self.kills[instant] += 1
        stop.set()
        for application in applications:
            application.join(15)

    def drain(self):
        """Lets the gateway live until its queue is empty; what is missing then is lost."""
        self.gateway.start()
        deadline = time.monotonic() + DRAIN_SECONDS
        while (waiting := self.gateway.ask("queue", "list", "--limit", "5")) and time.monotonic() < deadline:
            time.sleep(0.3)
        if waiting:
            self.problems.append(f"the queue was not empty after {DRAIN_SECONDS} s: {waiting[0]['recipients']}")

    def account(self):
        """Compares what was acknowledged with what arrived; returns the figures of this trial."""
        copies = collections.defaultdict(dict)
        for (token, recipient), count in self.arrivals.copies.items():
            if token.startswith(self.configuration.name + "-"):
                copies[token][recipient] = count
        self.expect("acknowledged something", bool(self.acknowledged), "nothing")
        missing = [(token, each) for token, recipients in self.acknowledged.items() for each in recipients
                   if each not in copies[token]]
        self.expect("lost", not missing, missing[:10])
        torn = [token for token in self.arrivals.torn if token in copies]
        self.expect("torn", not torn, torn[:10])
        doubled = {token: counts for token, counts in copies.items() if max(counts.values(), default=0) > 1}
        unexplained = [each for token, counts in doubled.items() for each in self.unexplained(token, counts)]
        self.expect("copies without an ambiguous attempt", not unexplained, unexplained[:10])
        self.expect("sent again after the service had named it", not self.arrivals.repeated, self.arrivals.repeated[:10])
        several = [token for token in copies if len(self.arrivals.identities.get(token, ())) > 1]
        self.expect("copies under several identities", not several, several[:10])
        self.check_store()
        extra = sum(count - 1 for counts in doubled.values() for count in counts.values())
        return [self.configuration.name, sum(self.kills.values()), len(self.acknowledged),
                sum(map(len, self.acknowledged.values())), len(missing), len(torn), extra, extra - len(unexplained)]

    def unexplained(self, token, counts):
        """Copies of a message beyond one for the message and one for each of its attempts with an unknown outcome."""
        (message,) = self.gateway.ask("trace", f"<{token}@app.test>")
        unknown = collections.Counter(
            outcome["recipient"] for attempt in message["attempts"] for outcome in attempt["outcomes"]
            if outcome.get("persistence") == "ambiguous")
        return [(token, recipient, count, unknown[recipient]) for recipient, count in counts.items()
                if count > 1 + unknown[recipient]]

    def check_store(self):
        code = self.gateway.stop()
        self.expect("exit status after SIGTERM", code == 0, code)
        left = os.listdir(os.path.join(self.folder, "data/content"))
        self.expect("content left behind", not left, left[:5])
        with sqlite3.connect(os.path.join(self.folder, "data/hikyaku.db")) as database:
            verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        self.expect("integrity of the database", verdict == "ok", verdict)

    def expect(self, what, truth, found):
        if not truth:
            self.problems.append(f"{what}: {found}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60, help="kills, over all configurations")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only", help="one configuration: smarthost, large, direct, many, sendgrid, mailgun")
    options = parser.parse_args()
    print(f"crash test: {options.rounds} kills, seed {options.seed}", flush=True)
    folder, arrivals, chance = tempfile.mkdtemp(prefix="hikyaku-crash-"), Arrivals(), random.Random(options.seed)
    names, relay, api = NameServer(DOMAINS), Exchanger(arrivals), MailAPI(arrivals, folder)
    exchangers = [Exchanger(arrivals, "127.0.0.2")]
    exchangers += [Exchanger(arrivals, f"127.0.0.{n}", exchangers[0].port) for n in range(3, DOMAINS + 2)]
    trials = [Trial(each, folder, arrivals, api.certificate, chance)
              for each in configurations(relay, exchangers, api, names) if options.only in (None, each.name)]
    table, problems, kills = [], [], collections.Counter()
    for index, trial in enumerate(trials):
        share = options.rounds // len(trials) + (index < options.rounds % len(trials))
        # In a short run each configuration begins elsewhere in its list, so that together they reach all instants.
        offset = index * len(trial.configuration.instants) // len(trials)
        for number in range(offset, offset + share):
            trial.round(number)
        trial.drain()
        table.append(trial.account())
        problems += [f"{trial.configuration.name}: {problem}" for problem in trial.problems]
        kills += trial.kills
        print("{:10} {:4} kills, {:6} messages for {:6} recipients acknowledged, {} missing, {} torn, {} extra copies, "
              "{} explained".format(*table[-1]), flush=True)
    names.stop()
    print("instants:", ", ".join(f"{name} {count}" for name, count in sorted(kills.items())))
    print("all: {} kills, {} messages for {} recipients acknowledged, {} missing, {} torn, {} extra copies, "
          "{} explained".format(*[sum(column) for column in list(zip(*table))[1:]]))
    for problem in problems:
        print("FAILED:", problem)
    print("crash test: %s" % (f"{len(problems)} failed, kept {folder}" if problems else "passed"))
    if not problems:
        shutil.rmtree(folder)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
