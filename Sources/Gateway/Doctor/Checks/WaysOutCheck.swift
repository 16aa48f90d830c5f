import DNSProtocol
import DNSResolver
import Delivery
import MailModel
import NIOCore

/// Whether mail could leave: exchangers on port 25, and every provider with its login, without sending anything.
struct WaysOutCheck: DoctorCheck {
    let name = "ways out"

    /// Hosts of the test domain that are called.
    private static let exchangerLimit = 3
    /// How long one provider may take to answer.
    private static let patience = Duration.seconds(12)

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        async let direct = self.direct(surroundings)
        let probed = await withTaskGroup(of: (Int, [DoctorFinding]).self) { group in
            for (index, provider) in surroundings.providers.enumerated() {
                group.addTask {
                    let probe = await provider.probe(until: .now + Self.patience)
                    return (index, probe.map { Self.findings(provider.name, $0, now: .now) } ?? [])
                }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.flatMap(\.1)
        }
        return await direct + probed
    }

    // MARK: Direct

    private func direct(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        guard let (way, settings) = surroundings.direct else {
            return [DoctorFinding("port 25", .skip, "no provider delivers to exchangers directly")]
        }
        let domain = surroundings.domain
        let addresses = await Self.exchangers(of: domain, surroundings, settings)
        guard !addresses.isEmpty else {
            return [DoctorFinding("port \(settings.port)", .skip, "no usable exchanger of \(domain) could be found")]
        }
        var calls: [(host: String, state: PortState)] = []
        for (host, address) in addresses {
            let heard = await PortProbe.knock(
                at: address,
                port: settings.port,
                heloName: surroundings.configuration.hostname,
                on: surroundings.group
            )
            heard.ownAddress.map(surroundings.notes.hear)
            calls.append(("\(host)[\(address)]", heard.state))
            if heard.state.isOpen, heard.state.unwelcome == nil {
                break
            }
        }
        return [Self.portFinding(settings.port, calls, way: way)]
    }

    /// Judges calls to exchangers of one domain: one that answers is enough.
    static func portFinding(_ port: Int, _ calls: [(host: String, state: PortState)], way: String) -> DoctorFinding {
        let detail = calls.map { "\($0.host) \($0.state.text)" }.joined(separator: "; ")
        if let last = calls.last, let words = last.state.unwelcome {
            let trouble = "\(last.host) turns us away: \(words)"
            return DoctorFinding("port \(port)", .fail, detail, fact: .way(way, trouble: trouble))
        }
        guard let last = calls.last, !last.state.isOpen else {
            return DoctorFinding("port \(port)", .pass, detail, fact: .way(way, trouble: nil))
        }
        return DoctorFinding(
            "port \(port)",
            .fail,
            "\(detail): many clouds block it; ask them, or put a smarthost or an API first in the chain",
            fact: .blocked(port: port, last.state)
        )
    }

    private static func exchangers(
        of domain: String,
        _ surroundings: DoctorSurroundings,
        _ settings: DirectSettings
    ) async -> [(host: String, address: IPAddress)] {
        var generator = SystemRandomNumberGenerator()
        let answer = await surroundings.resolver.mailExchangers(of: domain).lookup
        guard case .hosts(let hosts) = ExchangerPlan(domain: domain, answer: answer, using: &generator) else {
            return []
        }
        let filter = AddressFilter(allowed: settings.allowedNetworks, own: ResolverFactory.ownAddresses())
        var found: [(host: String, address: IPAddress)] = []
        for host in hosts.prefix(Self.exchangerLimit) where .now < surroundings.deadline {
            guard case .records(let addresses, _) = await surroundings.resolver.addresses(of: host).lookup else {
                continue
            }
            let usable = addresses.filter { filter.verdict(on: $0) == .usable }
            found += (usable.filter { !$0.isIPv6 } + usable.filter(\.isIPv6)).prefix(1).map { (host, $0) }
        }
        return found
    }

    // MARK: Providers

    /// What a call without mail says of a provider, and of our clock where the server told the time.
    static func findings(_ name: String, _ probe: ProviderProbe, now: Timestamp) -> [DoctorFinding] {
        var findings: [DoctorFinding]
        if let failure = probe.failure {
            let host = probe.host.split(separator: "[").first ?? ""
            let detail = failure.text.hasPrefix(host) ? failure.text : "\(probe.host): \(failure.text)"
            let isUnresolved = failure.reason == .dnsUnavailable
            let fact = isUnresolved ? DoctorFact.unresolved(name) : .way(name, trouble: failure.text)
            findings = [DoctorFinding(name, .fail, detail, fact: fact)]
        } else {
            let isOpen = probe.quota.map { !$0.isSpent } ?? true
            let fact = isOpen ? DoctorFact.way(name, trouble: nil) : nil
            findings = [DoctorFinding(name, .pass, "\(probe.host): \(probe.text)", fact: fact)]
        }
        findings += probe.quota.map { [self.finding(name, $0)] } ?? []
        if let time = probe.serverTime {
            findings.append(MachineCheck.clock(now: now, server: time, from: probe.host))
        }
        return findings
    }

    /// What is left of what a provider lets us send; that it does not tell is nothing to worry about.
    private static func finding(_ name: String, _ quota: ProviderQuota) -> DoctorFinding {
        let check = "quota \(name)"
        switch quota {
        case .unlimited: return DoctorFinding(check, .pass, "no limit")
        case .untold(let why): return DoctorFinding(check, .skip, "not told: \(why)")
        case .allowance(let allowance):
            guard !quota.isSpent else {
                let trouble = "the quota is spent (\(allowance.text))"
                return DoctorFinding(check, .fail, trouble, fact: .way(name, trouble: trouble))
            }
            return DoctorFinding(check, allowance.isLow ? .warn : .pass, allowance.text)
        }
    }
}

extension ProviderQuota {
    fileprivate var isSpent: Bool {
        switch self {
        case .allowance(let allowance): allowance.isSpent
        case .unlimited, .untold: false
        }
    }
}

extension ProviderQuota.Allowance {
    /// `120 of 40000 left, monthly, until 2026-12-01`.
    fileprivate var text: String {
        let beyond = self.overage > 0 ? " and \(self.overage) sent beyond, which are charged" : ""
        let left = "\(self.remaining) of \(self.limit) left\(beyond)"
        return self.period.isEmpty ? left : "\(left), \(self.period)"
    }
}
