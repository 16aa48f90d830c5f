/// All that one attempt of a provider brought: an outcome for each recipient and what was seen on the way.
package struct AttemptReport: Sendable {
    /// One outcome for every recipient that the attempt was given, keyed by its number in the message.
    package var outcomes: [Recipient.Number: Outcome]
    package var evidence: AttemptEvidence

    package init(outcomes: [Recipient.Number: Outcome], evidence: AttemptEvidence = .init()) {
        self.outcomes = outcomes
        self.evidence = evidence
    }

    /// The report of an attempt that failed alike for all its recipients.
    package init(failure: Failure, for recipients: [Recipient], evidence: AttemptEvidence = .init()) {
        let outcomes = recipients.map { ($0.number, Outcome.failed(failure)) }
        self.init(outcomes: Dictionary(outcomes) { first, _ in first }, evidence: evidence)
    }
}

/// What was seen during an attempt; kept with it in the store and told by `hikyaku trace`.
package struct AttemptEvidence: Hashable, Sendable, Codable {
    /// The host that was talked to last, by name; for HTTP the API's host.
    package var remoteHost: String?
    /// Its address and port, such as `203.0.113.5:25` or `[2001:db8::1]:25`.
    package var remoteAddress: String?
    /// Protocol and whether the certificate was verified, such as `TLSv1.3 verified`; nil for clear text.
    package var tls: String?
    /// The AUTH mechanism used, such as `PLAIN`; never a credential.
    package var authentication: String?
    /// The connection had carried other mail before.
    package var reusedConnection: Bool
    /// How the names were resolved, one line a source: `MX gmail.com: 127.0.0.11 REFUSED 1 ms`.
    package var resolution: [String]
    /// Hosts that were tried before the last one and why they were left: `mx1.example[192.0.2.1]:25: refused`.
    package var abandonedHosts: [String]
    /// Milliseconds spent in each stage, in the order in which the stages happened.
    package var timings: [Timing]
    /// Set where an API could not show the original To and Cc, since only some recipients remained.
    package var headerRewritten: Bool

    package struct Timing: Hashable, Sendable, Codable {
        package var stage: Failure.Stage
        package var milliseconds: Int64

        package init(stage: Failure.Stage, milliseconds: Int64) {
            self.stage = stage
            self.milliseconds = milliseconds
        }
    }

    package init(remoteHost: String? = nil, remoteAddress: String? = nil) {
        self.remoteHost = remoteHost
        self.remoteAddress = remoteAddress
        self.tls = nil
        self.authentication = nil
        self.reusedConnection = false
        self.resolution = []
        self.abandonedHosts = []
        self.timings = []
        self.headerRewritten = false
    }
}
