"""The failover lab (an Internet in network namespaces) as the measurements of this folder use it."""
import json, os, subprocess, sys

HERE = os.path.dirname(os.path.realpath(__file__))
WAYS = ("direct", "relay", "sendgrid", "mailgun")


def folder():
    """Where the lab is, by HIKYAKU_LAB; ends the process with what to do when it is not there."""
    path = os.environ.get("HIKYAKU_LAB", "")
    if not os.access(path + "/lab", os.X_OK):
        sys.exit("This needs the failover lab (an Internet in network namespaces). Say where it is: HIKYAKU_LAB=path")
    return path


class Lab:
    """One lab with the gateway in it."""

    def __init__(self, folder, name, adapter="hikyaku.sh"):
        self.tool, self.name, self.script = folder + "/lab", name, f"{HERE}/{adapter}"
        self.sender = folder + "/sender.py"
        self.env = json.loads(self.run("up"))

    def command(self, *arguments):
        return [self.tool, "--name", self.name, *arguments]

    def run(self, *arguments, **options):
        return subprocess.run(self.command(*arguments), stdout=subprocess.PIPE, text=True, check=False, **options).stdout

    def adapter(self, function):
        """Runs a function of the adapter, or a command with its variables, where the gateway lives."""
        return self.run("exec", "env", "ADAPTER=" + self.script, "LAB_SUT_DIR=" + self.env["sut_dir"], "bash", "-c",
                        f'. "$ADAPTER"; {function}', stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def fault(self, key, spec):
        self.run("fault", f"{key}={spec}")

    def mail(self):
        """Every copy that came out: (message token, recipient) -> [(moment, way, how it was acknowledged)], in order."""
        found = {}
        for mail in json.loads(self.run("mail"))["mail"]:
            if mail["way"] in WAYS:
                for token in mail["ids"]:
                    for recipient in mail["rcpts"]:
                        copies = found.setdefault((token, recipient.lower()), [])
                        copies.append((mail["t"], mail["way"], str(mail["ack"])))
        return {key: sorted(copies) for key, copies in found.items()}

    def start_sender(self, run, first, spec):
        """A sender of messages in the background; each line of its output is one message."""
        command = self.command("exec", sys.executable, "-B", self.sender, self.adapter("sut_port").strip(), run, str(first))
        return subprocess.Popen([*command, json.dumps(spec)], stdout=subprocess.PIPE, text=True)

    def send(self, run, spec):
        return submissions(self.start_sender(run, 0, spec))


def submissions(sender):
    """What became of each message that a sender submitted, once it has ended."""
    return [json.loads(line) for line in sender.communicate()[0].splitlines() if line.startswith("{")]
