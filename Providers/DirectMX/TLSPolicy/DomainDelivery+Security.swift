import DNSProtocol
import Delivery
import MailModel
import SMTPClient
import SMTPProtocol

/// What the domain's TLS policies make of its hosts.
extension DomainDelivery {
    /// Notes what the lookups said of the domain's policies.
    mutating func noteSecurity(_ exchangers: Resolution<MailExchanger>, of name: String, _ sts: MTASTSPolicies.Verdict?)
    {
        self.security.domain = name.lowercased()
        self.security.exchangersAreSecure = exchangers.isSecure
        self.security.exchangersAreStale = exchangers.staleAge != nil
        self.security.names = [name.lowercased(), exchangers.canonicalName].compactMap(\.self)
        self.security.sts = sts
        if let sts, sts.policy != nil || sts.failure != nil {
            self.evidence.resolution.append("MTA-STS \(name): \(sts.story)")
        }
        if let failure = sts?.failure {
            self.count(.init(tls: .opportunistic, policy: .sts), failure.kind, detail: failure.text)
        }
    }

    /// How a host may be connected to; nil when not at all, and why is then considered.
    mutating func plan(for host: String, _ addresses: Resolution<IPAddress>?) async -> HostPlan? {
        let facts = HostFacts(
            host: host,
            domain: self.security.domain,
            wish: self.security.wish,
            usesTLS: self.configuration.tls != .none,
            exchangersAreSecure: self.security.exchangersAreSecure,
            dane: await self.dane(of: host, addresses),
            sts: self.security.sts?.policy
        )
        switch facts.verdict {
        case .refuse(let failure, let kind, let policy):
            self.consider(failure)
            self.evidence.abandonedHosts.append(failure.text)
            self.count(.init(tls: .opportunistic, policy: policy), kind, host: host, detail: failure.text)
            return nil
        case .use(let plan): return plan
        }
    }

    /// Addresses of a host that are connected to alike.
    struct Part {
        var addresses: [IPAddress]
        var plan: HostPlan
        /// What is left out, for the record.
        var abandoned: [String] = []
    }

    /// The addresses by how they are connected to: those whose TLS failed lately come last, and they alone in clear text.
    func parts(of addresses: [IPAddress], of host: String, _ plan: HostPlan) async -> [Part] {
        guard plan.tls == .opportunistic, plan.policy == .none else {
            return [Part(addresses: addresses, plan: plan)]
        }
        var usual = Part(addresses: [], plan: plan)
        var broken = Part(addresses: [], plan: plan)
        broken.plan.tls = .none
        broken.plan.isFromMemory = true
        for address in addresses {
            if let known = await self.configuration.security.clearText.failure(of: host, address) {
                broken.addresses.append(address)
                broken.abandoned.append("\(host)[\(address)] over TLS, which failed lately: \(known.reason)")
            } else {
                usual.addresses.append(address)
            }
        }
        return [usual, broken].filter { !$0.addresses.isEmpty }
    }

    private mutating func dane(of host: String, _ addresses: Resolution<IPAddress>?) async -> DANEFinding {
        guard self.configuration.security.usesDANE, self.configuration.tls != .none, self.security.wish != .anyhow,
            let addresses
        else {
            return .absent
        }
        let isStale = self.security.exchangersAreStale || addresses.staleAge != nil
        guard isStale || (self.security.exchangersAreSecure && addresses.isSecure) else {
            return .absent
        }
        var evidence = self.evidence
        let finding = await DANEFinding.find(
            host,
            canonicalName: addresses.canonicalName,
            isStale: isStale,
            port: self.configuration.port,
            otherNames: self.security.names,
            resolver: self.resolver
        ) { evidence.note($0, since: $1) }
        self.evidence = evidence
        return finding
    }

    /// Hands the message over as the plan wants it; a policy that is only tested is told of, and then left.
    mutating func transfer(
        to host: String,
        at addresses: [IPAddress],
        _ plan: HostPlan,
        isLast: Bool
    ) async -> TransferReport {
        var report = await self.transfer(to: host, at: addresses, plan.tls, isLast: isLast)
        if plan.isFromMemory, let refusal = report.refusalOfClearText, let endpoint = report.endpoint {
            addresses.forEach { self.configuration.security.clearText.forget(host, $0) }
            self.evidence.abandonedHosts.append("\(endpoint) in clear text: \(refusal)")
            return await self.transfer(to: host, at: [endpoint.address], HostPlan(tls: .opportunistic), isLast: isLast)
        }
        if let fallback = plan.fallback, let failure = report.hostFailure, failure.stage == .tls,
            let address = report.endpoint?.address
        {
            self.note(report, plan, host: host)
            self.evidence.abandonedHosts.append("\(host)[\(address)]: \(failure) (\(plan.label ?? "policy") only)")
            report = await self.transfer(to: host, at: [address], fallback, isLast: isLast)
            report.noteWord(plan.label)
            return report
        }
        self.note(report, plan, host: host)
        report.noteWord(plan.label)
        if let failure = report.tlsFailure, let endpoint = report.endpoint {
            self.evidence.abandonedHosts.append("\(endpoint) over TLS: \(failure)")
        }
        return report
    }

    /// Counts what a new connection said of TLS, and remembers a host whose TLS is broken.
    private func note(_ report: TransferReport, _ plan: HostPlan, host: String) {
        guard !report.reused, let endpoint = report.endpoint, self.configuration.tls != .none, plan.tls != .none else {
            return
        }
        // Not before clear text has proved a way: who demands TLS would else be locked out by one handshake that broke.
        if let failure = report.tlsFailure, report.results.contains(where: \.isAccepted) {
            self.configuration.security.clearText.remember(host, endpoint.address, "\(failure)")
        }
        if let failure = report.tlsFailure ?? report.hostFailure, failure.stage == .tls {
            self.count(plan, TLSResult.kind(of: failure), host: host, report: report, detail: "\(failure)")
        } else if report.tls != nil {
            let isUnnamed = plan.policy == .sts && plan.tls == .opportunistic
            let kind: TLSResult.Kind = isUnnamed ? .validationFailure : .success
            let detail = isUnnamed ? "\(host) is not among the hosts of the policy" : ""
            self.count(plan, kind, host: host, report: report, detail: detail)
        } else if report.hostFailure == nil {
            self.count(plan, .startTLSNotSupported, host: host, report: report, detail: "STARTTLS is not offered")
        }
    }

    private func count(
        _ plan: HostPlan,
        _ kind: TLSResult.Kind,
        host: String = "",
        report: TransferReport? = nil,
        detail: String
    ) {
        guard !self.security.domain.isEmpty else {
            return
        }
        self.configuration.security.count(
            TLSResult(
                domain: self.security.domain,
                policy: plan.policy,
                exchanger: host,
                kind: kind,
                receivingAddress: report?.endpoint?.address.description ?? "",
                sendingAddress: report?.localAddress ?? "",
                policyText: plan.policyText,
                detail: String(detail.prefix(500))
            )
        )
    }

    /// A failure of TLS with the policy that forbids to go on without.
    func explained(_ failure: Failure, _ seen: ClientFailure, _ plan: HostPlan) -> Failure {
        guard seen.stage == .tls, self.configuration.tls != .none else {
            return failure
        }
        var failure = failure
        failure.text += plan.label.map { " (\($0))" } ?? ""
        guard self.security.wish == .protected else {
            return failure
        }
        switch seen.cause {
        case .certificate, .notOffered:
            // RFC 8689 §4.2.1: then the message goes back, unless another host or way keeps the promise.
            failure.persistence = .permanent
            failure.scope = .capability
            failure.status = .init(5, 7, 10)
        case .reply, .notConnected, .lost, .timeout, .protocolError, .tls, .tooLarge, .unwritable, .ourselves,
            .secretUnreadable, .local:
            break
        }
        return failure
    }
}

extension TransferReport {
    /// The reply by which a host refused all recipients, where it may be for want of TLS (530, X.7.0, X.7.10).
    fileprivate var refusalOfClearText: ClientFailure? {
        let refusals = self.results.compactMap(\.failure).filter(\.mayWantTLS)
        return refusals.count == self.results.count ? refusals.first : nil
    }

    /// `TLSv1.3 verified, mta-sts enforce`; a word that stands there already is not said twice.
    ///
    /// Where TLS failed and nothing was sent, the record must not say that it was in clear text.
    fileprivate mutating func noteWord(_ word: String?) {
        if self.tls == nil, self.hostFailure?.stage == .tls {
            self.tls = "TLS failed"
        }
        if let tls = self.tls, let word, !tls.hasSuffix(word) {
            self.tls = "\(tls), \(word)"
        }
    }
}

extension ClientFailure {
    fileprivate var mayWantTLS: Bool {
        guard [.ehlo, .mail, .rcpt].contains(self.stage), let reply = self.reply else {
            return false
        }
        return reply.code == 530 || reply.enhanced.map { $0.subject == 7 && [0, 10].contains($0.detail) } ?? false
    }
}
