import DNSProtocol
import DNSResolver
import MailModel

/// Our answers beside those of the C library's resolver, which other programs on this machine use.
struct LibraryCheck: DoctorCheck {
    let name = "libc"

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        guard surroundings.configuration.doctor.comparesLibrary else {
            return [DoctorFinding(self.name, .skip, "doctor.compare-libc is false")]
        }
        // Unasked, nobody is called whom mail does not call anyway.
        guard !surroundings.isInBackground || surroundings.configuration.dns.usesLibraryServers else {
            return []
        }
        let resolver = surroundings.resolver
        let domain = surroundings.domain
        let exchangers = await resolver.mailExchangers(of: domain).lookup
        var host = domain
        if case .records(let records, _) = exchangers,
            let best = records.min(by: { $0.preference < $1.preference })?.host, !best.isEmpty
        {
            host = best
        }
        async let addresses = resolver.addresses(of: host).lookup
        async let theirAddresses = LibraryResolver.addresses(of: host, on: surroundings.group)
        let theirExchangers = await LibraryResolver.exchangers(of: domain, on: surroundings.group)
        return await [
            Self.finding(domain, exchangers, theirExchangers), Self.finding(host, addresses, theirAddresses),
        ]
    }

    /// Compares the addresses of a host.
    static func finding(
        _ name: String,
        _ own: Lookup<IPAddress>,
        _ theirs: LibraryResolver.Answer<IPAddress>
    ) -> DoctorFinding {
        self.finding("A \(name)", name, call: "getaddrinfo", own, theirs, isLoose: true)
    }

    /// Compares the exchangers of a domain.
    static func finding(
        _ name: String,
        _ own: Lookup<MailExchanger>,
        _ theirs: LibraryResolver.Answer<MailExchanger>
    ) -> DoctorFinding {
        self.finding("MX \(name)", name, call: "res_query", own, theirs, isLoose: false)
    }

    /// Addresses of a busy host change from question to question, so that one in common is enough where `isLoose`.
    private static func finding<Record: LibraryRecord>(
        _ question: String,
        _ name: String,
        call: String,
        _ own: Lookup<Record>,
        _ theirs: LibraryResolver.Answer<Record>,
        isLoose: Bool
    ) -> DoctorFinding {
        switch (own, theirs) {
        case (.records(let ours, _), .found(let found)):
            let isSame = isLoose ? !found.isDisjoint(with: ours) : found == Set(ours)
            return isSame
                ? DoctorFinding("libc", .pass, "\(call) answers \(question) as we do")
                : DoctorFinding(
                    "libc",
                    .warn,
                    "\(call) has other answers to \(question) (\(self.list(found))) than we do (\(self.list(Set(ours)))): "
                        + "/etc/hosts, nsswitch.conf or another server"
                )
        case (.records, .failed(let why)):
            return DoctorFinding(
                "libc",
                .warn,
                "\(call) has no answer to \(question) (\(why)) while we do: other programs on this machine suffer"
            )
        case (_, .found(let found)):
            return DoctorFinding(
                "libc",
                .fail,
                "\(call) answers \(question) (\(self.list(found))) and none of our sources does: is `system` missing in "
                    + "dns.sources, or is the name in /etc/hosts only (then pin it in dns.hosts)?",
                fact: .onlyLibraryResolves(name)
            )
        case (_, .failed(let why)):
            return DoctorFinding("libc", .warn, "\(call) has no answer to \(question) either (\(why))")
        }
    }

    private static func list<Record: LibraryRecord>(_ records: Set<Record>) -> String {
        records.map(\.words).sorted().prefix(3).joined(separator: ", ")
    }
}

/// What can be compared with the answers of the C library.
protocol LibraryRecord: Hashable, Sendable {
    var words: String { get }
}

extension IPAddress: LibraryRecord {
    var words: String { self.description }
}

extension MailExchanger: LibraryRecord {
    var words: String { "\(self.preference) \(self.host.isEmpty ? "." : self.host)" }
}

extension DNSSettings {
    /// Whether our sources are those of the C library, among others.
    fileprivate var usesLibraryServers: Bool {
        self.sources.contains(.system) && self.resolvConf == "/etc/resolv.conf"
    }
}
