import DNSProtocol

/// One line of the doctor's table.
package struct DoctorFinding: Codable, Hashable, Sendable {
    package enum Result: String, Codable, Sendable, CaseIterable {
        case pass = "PASS"
        case warn = "WARN"
        case fail = "FAIL"
        /// Could not be asked, or did not apply; the detail says why.
        case skip = "SKIP"
    }

    package var check: String
    package var result: Result
    /// What was seen, and what to do about it.
    package var detail: String
    /// What the verdict makes of it; does not travel.
    var fact: DoctorFact?

    init(_ check: String, _ result: Result, _ detail: String, fact: DoctorFact? = nil) {
        self.check = check
        self.result = result
        self.detail = detail
        self.fact = fact
    }

    private enum CodingKeys: String, CodingKey {
        case check, result, detail
    }
}

/// What the doctor found: one sentence first, then what it rests on.
package struct DoctorReport: Codable, Hashable, Sendable {
    package var verdict: String
    package var findings: [DoctorFinding]

    init(_ findings: [DoctorFinding]) {
        self.verdict = DoctorVerdict(findings.compactMap(\.fact)).sentence
        self.findings = findings
    }

    /// Whether anything failed.
    package var hasFailure: Bool {
        self.findings.contains { $0.result == .fail }
    }

    /// The verdict, an empty line and the table.
    package var text: String {
        var table = TextTable()
        table.add("CHECK", "RESULT", "DETAIL")
        for finding in self.findings {
            table.add(printable(finding.check), finding.result.rawValue, printable(finding.detail))
        }
        return "\(printable(self.verdict))\n\n\(table.text)"
    }
}

/// What a run is asked to look at beside what is in use.
package struct DoctorOptions: Codable, Hashable, Sendable {
    /// Whose exchangers are looked up and called; nil: a domain that mail goes to, else the configured one.
    package var domain: String?
    /// The queue directory of a Postfix that ran here before.
    package var spool: String?
    /// Asked by the gateway itself, so that hosts are left alone that mail does not need.
    package var isInBackground = false

    package init(domain: String? = nil, spool: String? = nil) {
        self.domain = domain
        self.spool = spool
    }

    /// Whether a text can be asked for as a domain.
    package static func isDomain(_ text: String) -> Bool {
        text.contains(".") && DomainName(text) != nil
    }
}
