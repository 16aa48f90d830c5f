#!/usr/bin/env python3
"""Prints what the gateway says of each message, in the form that the failover lab reads; `hikyaku queue list` on stdin."""
import collections, json, re, sys

queued, bounced, reasons = [], [], collections.Counter()
for message in json.load(sys.stdin):
    token = re.search(r"labid-([a-z0-9]+-\d+)", message["messageID"] + " " + message["subject"])
    if not token or message["listener"] == "gateway":
        continue
    for recipient in message["recipients"]:
        failure = recipient.get("lastFailure") or ""
        if recipient["state"] in ("bounced", "expired"):
            bounced.append([token.group(1), recipient["mailbox"], failure])
        elif recipient["state"] in ("waiting", "active", "held"):
            queued.append([token.group(1), recipient["mailbox"]])
        if failure:
            reasons["%s %s" % (recipient["state"], re.sub(r"\[[0-9a-fA-F.:]+\]", "[ip]", failure)[:160])] += 1
print(json.dumps({"queued": queued, "bounced": bounced, "reasons": dict(reasons.most_common(8))}))
