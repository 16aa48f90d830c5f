import DNSProtocol
import MailModel

/// Whether receivers will believe the senders in use: SPF, DKIM and DMARC of each domain, for each way out.
struct SenderCheck: DoctorCheck {
    let name = "sender"

    /// What receivers can check of mail that goes one way in the name of one domain.
    struct Proof: Hashable, Sendable {
        enum Policy: Hashable, Sendable {
            /// The policy's word on each of our addresses, with the lookups that it took.
            case addresses([IPAddress: SPFResult], lookups: Int)
            /// Whether the sender's policy includes that of the service; nil when the DNS could not be asked.
            case service(String, isIncluded: Bool?)
            /// The policy's word on addresses of a relay, which may send from others.
            case relay(SPFResult)
            case unknown
        }

        var domain: String
        var provider: String
        var policy: Policy
        /// Keys that are there, by selector.
        var keys: [String: DKIMKey]
        var dmarc: DMARCPolicy.Discovery
    }

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        guard !surroundings.isInBackground else {
            return []
        }
        let domains = await surroundings.senderDomains()
        return await withTaskGroup(of: (Int, [DoctorFinding]).self) { group in
            for (index, domain) in domains.enumerated() {
                group.addTask { (index, await Self.findings(domain, surroundings)) }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.flatMap(\.1)
        }
    }

    private static func findings(_ domain: String, _ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        guard domain.contains("."), DomainName(domain) != nil else {
            return [DoctorFinding("dmarc", .skip, "\"\(domain)\" is no domain that receivers know")]
        }
        let lookups = surroundings.lookups
        let dmarc = await DMARCPolicy.discover(domain, lookups)
        var findings = [SenderJudge.policyFinding(domain, dmarc)]
        for provider in surroundings.configuration.providers {
            let proof = await self.proof(domain, provider, dmarc, surroundings, lookups)
            findings += SenderJudge.findings(proof)
        }
        return findings
    }

    // MARK: Asking

    private static func proof(
        _ domain: String,
        _ provider: ProviderSettings,
        _ dmarc: DMARCPolicy.Discovery,
        _ surroundings: DoctorSurroundings,
        _ lookups: ResolverLookups
    ) async -> Proof {
        let host = surroundings.hosts.first { $0.provider == provider.name }?.host
        let service = host.flatMap(KnownService.named)
        let selectors = (service?.selectors ?? []) + surroundings.configuration.doctor.dkimSelectors
        var keys: [String: DKIMKey] = [:]
        for selector in selectors {
            if case .records(let texts, _) = await lookups.text(of: "\(selector)._domainkey.\(domain)") {
                keys[selector] = texts.lazy.compactMap(DKIMKey.init).first
            }
        }
        let policy: Proof.Policy
        if case .directMX = provider.kind {
            policy = await self.word(on: surroundings.publicAddresses, domain, surroundings, lookups)
        } else if let service {
            var spf = SPFEvaluator(address: .v4(0), sender: domain, heloName: "", lookups: lookups)
            // Evaluated to the end for an address that nobody lists: then every policy has been read.
            let result = await spf.evaluate(domain)
            let isIncluded = spf.policies.contains(service.policy)
            policy = .service(service.policy, isIncluded: !isIncluded && result.isTemporary ? nil : isIncluded)
        } else if let host {
            policy = await self.word(onRelay: host, domain, surroundings, lookups)
        } else {
            policy = .unknown
        }
        return Proof(domain: domain, provider: provider.name, policy: policy, keys: keys, dmarc: dmarc)
    }

    private static func word(
        on addresses: [IPAddress],
        _ domain: String,
        _ surroundings: DoctorSurroundings,
        _ lookups: ResolverLookups
    ) async -> Proof.Policy {
        var results: [IPAddress: SPFResult] = [:]
        var most = 0
        for address in addresses {
            let hostname = surroundings.configuration.hostname
            var spf = SPFEvaluator(address: address, sender: domain, heloName: hostname, lookups: lookups)
            results[address] = await spf.evaluate(domain)
            most = max(most, spf.lookupCount)
        }
        return results.isEmpty ? .unknown : .addresses(results, lookups: most)
    }

    private static func word(
        onRelay host: String,
        _ domain: String,
        _ surroundings: DoctorSurroundings,
        _ lookups: ResolverLookups
    ) async -> Proof.Policy {
        guard case .records(let addresses, _) = await lookups.addresses(of: host), let address = addresses.first else {
            return .unknown
        }
        var spf = SPFEvaluator(address: address, sender: domain, heloName: host, lookups: lookups)
        return .relay(await spf.evaluate(domain))
    }
}
