/// What a resolv.conf says, with what a container engine writes into its comments.
struct ResolvConfFile: Hashable, Sendable {
    /// The servers as they are written.
    var servers: [String] = []
    var search: [String] = []
    /// Docker's note of the servers that 127.0.0.11 forwards to: `# ExtServers: [8.8.8.8 8.8.4.4]`.
    var forwardsTo: [String] = []

    init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline).prefix(1_000) {
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            switch words.first {
            case "nameserver": self.servers += words.dropFirst().prefix(1)
            case "search", "domain": self.search = Array(words.dropFirst())
            case "#" where words.dropFirst().first == "ExtServers:":
                self.forwardsTo = words.dropFirst(2).map { $0.filter { $0 != "[" && $0 != "]" } }
            default: break
            }
        }
    }

    /// The finding about the file that the gateway reads; nil text: it is not there.
    static func finding(_ text: String?, path: String, isUsed: Bool) -> DoctorFinding {
        let name = "resolv.conf"
        guard isUsed else {
            return DoctorFinding(name, .skip, "dns.sources does not have `system`, so \(path) is not read")
        }
        guard let text else {
            return DoctorFinding(
                name,
                .fail,
                "\(path) is missing: let the container engine write it (`dns:`), or name servers in dns.sources",
                fact: .noServers(path: path)
            )
        }
        let file = ResolvConfFile(text)
        guard !file.servers.isEmpty else {
            return DoctorFinding(
                name,
                .fail,
                "\(path) names no server: add `nameserver` lines, or name servers in dns.sources",
                fact: .noServers(path: path)
            )
        }
        let servers = file.servers.joined(separator: ", ")
        if file.servers.contains("127.0.0.11") {
            let behind =
                file.forwardsTo.isEmpty
                ? "it does not say to whom" : "to \(file.forwardsTo.joined(separator: ", "))"
            return DoctorFinding(name, .pass, "\(path): \(servers), Docker's own resolver, which forwards \(behind)")
        }
        guard file.servers.count <= 3 else {
            return DoctorFinding(name, .warn, "\(path): \(servers); libc reads only the first three (we read all)")
        }
        return DoctorFinding(name, .pass, "\(path): \(servers)")
    }

    /// The finding about a resolver file in the queue directory of an old Postfix.
    ///
    /// Debian's smtp(8) runs in a chroot there, and reads that file and no other. Nobody updates it when Postfix is
    /// started in the foreground, as containers do.
    static func chrootFinding(
        spool: String,
        isThere: Bool,
        hasMail: Bool,
        jailed: String?,
        system: String?
    ) -> DoctorFinding {
        let name = "old chroot"
        guard isThere else {
            return DoctorFinding(name, .skip, "no queue of a Postfix at \(spool)")
        }
        guard hasMail || jailed != nil else {
            return DoctorFinding(name, .pass, "\(spool) is a Postfix queue without mail, and has no etc/resolv.conf")
        }
        let advice = hasMail ? "take its mail over with `hikyaku take-over \(spool)`" : "no mail is left in it"
        guard let jailed else {
            return DoctorFinding(
                name,
                .warn,
                "\(spool) has no etc/resolv.conf: a Postfix that delivers from a chroot there, as Debian's does, finds no "
                    + "name at all (\"Host not found, try again\") while dig does; we have no chroot; \(advice)"
            )
        }
        let old = ResolvConfFile(jailed).servers
        let new = system.map { ResolvConfFile($0).servers } ?? []
        guard old != new else {
            let what = "\(spool)/etc/resolv.conf names the same servers as the system's"
            return DoctorFinding(name, hasMail ? .warn : .pass, "\(what); \(advice)")
        }
        let told = old.isEmpty ? "no server" : old.joined(separator: ", ")
        return DoctorFinding(
            name,
            .warn,
            "\(spool)/etc/resolv.conf names \(told), the system's file \(new.joined(separator: ", ")): Postfix delivered "
                + "from that chroot with a stale copy, hence \"Host not found, try again\" while dig worked; we do not "
                + "read it; \(advice)"
        )
    }
}
