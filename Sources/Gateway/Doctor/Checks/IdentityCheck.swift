import DNSProtocol
import MailModel

/// Who we are to an exchanger: the name in EHLO, our address, and the name of that address, which must lead back to it.
struct IdentityCheck: DoctorCheck {
    let name = "identity"

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        let hostname = surroundings.configuration.hostname
        guard surroundings.direct != nil else {
            return [
                DoctorFinding("identity", .skip, "no provider delivers to exchangers directly; relays have their own")
            ]
        }
        let addresses = surroundings.publicAddresses
        guard !addresses.isEmpty else {
            return [
                DoctorFinding(
                    "identity",
                    .skip,
                    "our public address is not known: no exchanger told it; set doctor.public-address"
                )
            ]
        }
        let lookups = surroundings.lookups
        var findings = [Self.nameFinding(hostname, await lookups.addresses(of: hostname), ours: addresses)]
        for address in addresses {
            let pointers = await lookups.pointers(of: address)
            var forward: [String: Lookup<IPAddress>] = [:]
            if case .records(let names, _) = pointers {
                for name in names.prefix(5) {
                    forward[name] = await lookups.addresses(of: name)
                }
            }
            findings.append(Self.pointerFinding(address, pointers, forward, hostname: hostname))
        }
        return findings
    }

    /// Judges the name in EHLO (RFC 5321 §4.1.1.1).
    static func nameFinding(_ hostname: String, _ lookup: Lookup<IPAddress>, ours: [IPAddress]) -> DoctorFinding {
        guard hostname.contains(".") else {
            return DoctorFinding(
                "hostname",
                .warn,
                "\"\(hostname)\" is not a full name, which many exchangers refuse in EHLO: set hostname to one with an address"
            )
        }
        switch lookup {
        case .records(let addresses, _) where !Set(addresses).isDisjoint(with: ours):
            return DoctorFinding("hostname", .pass, "\(hostname) has our address")
        case .records(let addresses, _):
            let list = addresses.prefix(3).map(\.description).joined(separator: ", ")
            let own = ours.map(\.description).joined(separator: ", ")
            return DoctorFinding("hostname", .warn, "\(hostname) has the address \(list), and we send from \(own)")
        case .noData, .noSuchName:
            return DoctorFinding("hostname", .warn, "\(hostname) has no address: give it ours, or set another hostname")
        case .unavailable(let why):
            return DoctorFinding("hostname", .skip, "\(hostname): \(why)")
        }
    }

    /// Judges the names of our address: one that leads back is what exchangers ask for.
    static func pointerFinding(
        _ address: IPAddress,
        _ pointers: Lookup<String>,
        _ forward: [String: Lookup<IPAddress>],
        hostname: String
    ) -> DoctorFinding {
        let advice = "ask the owner of the address for a PTR to \(hostname)"
        switch pointers {
        case .records(let names, _):
            let confirmed = names.filter { name in
                if case .records(let addresses, _) = forward[name] { addresses.contains(address) } else { false }
            }
            if confirmed.contains(hostname.lowercased()) {
                return DoctorFinding("ptr", .pass, "\(address) is \(hostname), and back")
            }
            if let name = confirmed.first {
                return DoctorFinding("ptr", .pass, "\(address) is \(name), and back, though we say \(hostname) in EHLO")
            }
            let list = names.prefix(3).joined(separator: ", ")
            return Self.refused(address, "is \(list), which does not lead back to it", advice)
        case .noData, .noSuchName:
            return Self.refused(address, "has no PTR record", advice)
        case .unavailable(let why):
            return DoctorFinding("ptr", .skip, "\(address): \(why)")
        }
    }

    private static func refused(_ address: IPAddress, _ what: String, _ advice: String) -> DoctorFinding {
        DoctorFinding(
            "ptr",
            .fail,
            "\(address) \(what), so that Gmail and others refuse direct mail (550 5.7.25): \(advice)",
            fact: .refusal("\(address) \(what), so that Gmail and others refuse what goes direct")
        )
    }
}

extension DoctorSurroundings {
    var lookups: ResolverLookups {
        ResolverLookups(resolver: self.resolver, deadline: self.deadline)
    }

    /// Our addresses as others see them: as configured, as exchangers said, else those of interfaces that are public.
    var publicAddresses: [IPAddress] {
        let configured = self.configuration.doctor.publicAddresses
        guard configured.isEmpty else {
            return configured
        }
        let filter = AddressFilter()
        let isPublic = { (address: IPAddress) in filter.verdict(on: address) == .usable }
        let heard = self.notes.ownAddresses.filter(isPublic)
        let found = heard.isEmpty ? ResolverFactory.ownAddresses().filter(isPublic) : heard
        return Array(found.sorted { $0.description < $1.description }.prefix(4))
    }
}
