import DNSProtocol
import DNSResolver
import MailModel

/// What the checks of senders ask the DNS; scripted in tests.
protocol SenderLookups: Sendable {
    func text(of name: String) async -> Lookup<String>
    func addresses(of host: String) async -> Lookup<IPAddress>
    func mailExchangers(of domain: String) async -> Lookup<MailExchanger>
    /// The names of an address, in lower case without final dot.
    func pointers(of address: IPAddress) async -> Lookup<String>
}

/// Asks the gateway's own resolver, until the time is over.
struct ResolverLookups: SenderLookups {
    let resolver: ResolverChain
    let deadline: ContinuousClock.Instant

    func text(of name: String) async -> Lookup<String> {
        await self.inTime { await self.resolver.text(of: name).lookup }
    }

    func addresses(of host: String) async -> Lookup<IPAddress> {
        await self.inTime { await self.resolver.addresses(of: host).lookup }
    }

    func mailExchangers(of domain: String) async -> Lookup<MailExchanger> {
        await self.inTime { await self.resolver.mailExchangers(of: domain).lookup }
    }

    /// Asks all sources side by side: mail itself never needs a PTR, so that the chain does not know it.
    func pointers(of address: IPAddress) async -> Lookup<String> {
        await self.inTime {
            let reports = await self.resolver.inspect(address.reverseName, types: [.ptr])
            let names = reports.lazy.map(\.records).first { !$0.isEmpty }
            if let names {
                return .records(names.map(Self.plain), timeToLive: .zero)
            }
            let denials = reports.map(\.result)
            if denials.contains(where: { $0.hasPrefix("NXDOMAIN") }) {
                return .noSuchName(timeToLive: .zero)
            }
            return denials.contains { $0.hasPrefix("NOERROR") }
                ? .noData(timeToLive: .zero) : .unavailable(Unavailability("DNS could not be asked"))
        }
    }

    private static func plain(_ name: String) -> String {
        (name.hasSuffix(".") ? String(name.dropLast()) : name).lowercased()
    }

    private func inTime<Record>(_ ask: () async -> Lookup<Record>) async -> Lookup<Record> {
        guard .now < self.deadline else {
            return .unavailable(Unavailability("not asked: the checks took too long already"))
        }
        let lookup = await ask()
        // The story of each source stands in lines of its own.
        guard case .unavailable = lookup else {
            return lookup
        }
        return .unavailable(Unavailability("DNS could not be asked"))
    }
}

extension IPAddress {
    /// Where its PTR records stand (RFC 1035 §3.5, RFC 3596 §2.5).
    var reverseName: String {
        switch self.unmapped {
        case .v4:
            return self.unmapped.octets.reversed().map(String.init).joined(separator: ".") + ".in-addr.arpa"
        case .v6:
            return self.nibbles.reversed().map { String($0, radix: 16) }.joined(separator: ".") + ".ip6.arpa"
        }
    }

    /// The half octets, the most significant first.
    var nibbles: [UInt8] {
        self.octets.flatMap { [$0 >> 4, $0 & 0xF] }
    }
}
