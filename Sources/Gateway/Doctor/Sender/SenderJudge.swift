import MailModel

/// What receivers will make of a sender: pure, from what was found.
enum SenderJudge {
    /// The line about the policy itself.
    static func policyFinding(_ domain: String, _ discovery: DMARCPolicy.Discovery) -> DoctorFinding {
        switch discovery {
        case .found(let policy):
            let inherited = policy.domain == domain ? "" : ", from \(policy.domain)"
            return DoctorFinding("dmarc", .pass, "\(domain): p=\(policy.disposition.rawValue)\(inherited)")
        case .none:
            return DoctorFinding(
                "dmarc",
                .warn,
                "\(domain) has no DMARC record, which Gmail and Yahoo want: publish _dmarc.\(domain) TXT \"v=DMARC1; p=none\""
            )
        case .broken(let text):
            return DoctorFinding("dmarc", .warn, "\(text): receivers ignore it")
        case .unavailable(let why):
            return DoctorFinding("dmarc", .skip, "\(domain): \(why)")
        }
    }

    /// The lines about one way out: what proves the sender there, and each key that is of no use.
    static func findings(_ proof: SenderCheck.Proof) -> [DoctorFinding] {
        let keys = proof.keys.sorted { $0.key < $1.key }.compactMap { self.keyFinding($0.key, $0.value, proof) }
        return [self.wayFinding(proof)] + keys
    }

    private static func keyFinding(
        _ selector: String,
        _ key: DKIMKey,
        _ proof: SenderCheck.Proof
    ) -> DoctorFinding? {
        let name = "\(selector)._domainkey.\(proof.domain)"
        switch key {
        case .present: return key.isWeak ? DoctorFinding("dkim", .warn, "\(name) is shorter than 1024 bits") : nil
        case .revoked: return DoctorFinding("dkim", .warn, "\(name) is withdrawn (p= is empty)")
        case .broken: return DoctorFinding("dkim", .warn, "\(name) is no key that could be read")
        }
    }

    private static func wayFinding(_ proof: SenderCheck.Proof) -> DoctorFinding {
        switch proof.policy {
        case .addresses(let results, let lookups): self.direct(proof, results, lookups)
        case .service(let policy, let isIncluded): self.service(proof, policy, isIncluded: isIncluded)
        case .relay(let result): self.relay(proof, result)
        case .unknown: DoctorFinding(self.name(proof), .skip, "\(proof.domain): the sending address is not known")
        }
    }

    private static func name(_ proof: SenderCheck.Proof) -> String {
        "sender \(proof.provider)"
    }

    // MARK: Direct

    private static func direct(
        _ proof: SenderCheck.Proof,
        _ results: [IPAddress: SPFResult],
        _ lookups: Int
    ) -> DoctorFinding {
        let sorted = results.sorted { $0.key.description < $1.key.description }
        guard let bad = sorted.first(where: { $0.value != .pass }) else {
            let addresses = sorted.map(\.key.description).joined(separator: ", ")
            let text = "\(proof.domain): SPF passes for \(addresses) (\(lookups) of 10 lookups), aligned"
            return DoctorFinding(self.name(proof), .pass, text)
        }
        let (address, result) = bad
        if case .temporaryError(let why) = result {
            return DoctorFinding(self.name(proof), .skip, "\(proof.domain): \(why)")
        }
        let words = "\(proof.domain): SPF says \(result.word) for \(address)\(self.demand(proof.dmarc))"
        let advice = "\(words): \(self.advice(proof.domain, address, result))"
        // A signature of the application's own would do; that its key is there is all that can be seen.
        let isSigned = proof.keys.contains { $0.value.isUsable }
        guard !isSigned, result == .fail || self.isStrict(proof.dmarc) else {
            return DoctorFinding(self.name(proof), .warn, isSigned ? "\(advice), or sign each mail with DKIM" : advice)
        }
        let fact = DoctorFact.refusal(
            "receivers may refuse \(proof.domain) by \(proof.provider): SPF says \(result.word)"
        )
        return DoctorFinding(self.name(proof), .fail, advice, fact: fact)
    }

    private static func advice(_ domain: String, _ address: IPAddress, _ result: SPFResult) -> String {
        let mechanism = "ip\(address.isIPv6 ? 6 : 4):\(address)"
        switch result {
        case .none: return "publish \(domain) TXT \"v=spf1 \(mechanism) ~all\""
        case .permanentError: return "mend the SPF record of \(domain)"
        case .pass, .fail, .softfail, .neutral, .temporaryError:
            return "add \(mechanism) to the SPF record of \(domain)"
        }
    }

    // MARK: Through others

    private static func service(_ proof: SenderCheck.Proof, _ policy: String, isIncluded: Bool?) -> DoctorFinding {
        if let key = proof.usableKey {
            let text = "\(proof.domain): DKIM key \(key)._domainkey is there"
            return DoctorFinding(self.name(proof), .pass, isIncluded == true ? "\(text), SPF includes \(policy)" : text)
        }
        guard let isIncluded else {
            return DoctorFinding(self.name(proof), .skip, "\(proof.domain): DNS could not be asked")
        }
        if isIncluded {
            return DoctorFinding(self.name(proof), .pass, "\(proof.domain): SPF includes \(policy)")
        }
        return DoctorFinding(
            self.name(proof),
            .warn,
            "\(proof.domain): neither a DKIM key under the usual selectors nor include:\(policy) in SPF"
                + "\(self.demand(proof.dmarc)): verify the domain there, or name its selector in doctor.dkim-selectors"
        )
    }

    private static func relay(_ proof: SenderCheck.Proof, _ result: SPFResult) -> DoctorFinding {
        let key = proof.usableKey.map { ", DKIM key \($0)._domainkey is there" } ?? ""
        let text = "\(proof.domain): SPF says \(result.word) for the relay's address\(key)"
        guard result != .pass, key.isEmpty else {
            return DoctorFinding(self.name(proof), .pass, text)
        }
        if case .temporaryError = result {
            return DoctorFinding(self.name(proof), .skip, text)
        }
        return DoctorFinding(
            self.name(proof),
            .warn,
            "\(text)\(self.demand(proof.dmarc)); it may send from others: include its policy, or have it sign with DKIM"
        )
    }

    // MARK: Policy

    private static func isStrict(_ discovery: DMARCPolicy.Discovery) -> Bool {
        if case .found(let policy) = discovery { policy.disposition != .none } else { false }
    }

    private static func demand(_ discovery: DMARCPolicy.Discovery) -> String {
        guard case .found(let policy) = discovery, policy.disposition != .none else {
            return ""
        }
        return ", and DMARC asks to \(policy.disposition.rawValue) what proves nothing"
    }
}

extension SenderCheck.Proof {
    /// The first selector with a key that receivers can use.
    fileprivate var usableKey: String? {
        self.keys.filter { $0.value.isUsable }.keys.min()
    }
}

extension DKIMKey {
    fileprivate var isUsable: Bool {
        switch self {
        case .present: true
        case .revoked, .broken: false
        }
    }
}
