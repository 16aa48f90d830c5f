import DNSProtocol
import Foundation
import MailModel

/// The file that names the system's servers, and the copy of it that an old Postfix may have been stuck with.
struct ResolvConfCheck: DoctorCheck {
    let name = "resolv.conf"

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        let path = surroundings.configuration.dns.resolvConf
        let spool = surroundings.spool
        let isSpool = FileManager.default.fileExists(atPath: "\(spool)/deferred")
        return [
            ResolvConfFile.finding(
                SystemEnvironment.text(of: path),
                path: path,
                isUsed: surroundings.configuration.dns.sources.contains(.system)
            ),
            ResolvConfFile.chrootFinding(
                spool: spool,
                isThere: isSpool,
                hasMail: ["deferred", "active", "incoming"].contains { Self.hasFiles("\(spool)/\($0)") },
                jailed: SystemEnvironment.text(of: "\(spool)/etc/resolv.conf"),
                system: SystemEnvironment.text(of: path)
            ),
        ]
    }

    /// Whether a queue holds any file; Postfix hashes its queues one or two folders deep.
    private static func hasFiles(_ folder: String) -> Bool {
        // A folder that cannot be read tells nothing.
        guard let paths = FileManager.default.enumerator(atPath: folder) else {
            return false
        }
        return paths.contains { ($0 as? String).map { ($0 as NSString).lastPathComponent.count > 1 } ?? false }
    }
}
