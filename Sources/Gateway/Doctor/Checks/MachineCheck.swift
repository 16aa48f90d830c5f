import Foundation
import MailModel
import SQLiteStore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The process, its disk and its clock.
struct MachineCheck: DoctorCheck {
    let name = "machine"

    /// Nobody runs this before it was written.
    static let earliestClock = Timestamp(seconds: 1_764_028_800)

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        let process =
            surroundings.isRunning
            ? DoctorFinding("gateway", .pass, Self.place)
            : DoctorFinding(
                "gateway",
                .warn,
                "no gateway runs with \(surroundings.configuration.dataDirectory); checked with its configuration alone",
                fact: .noGateway
            )
        return [
            process, Self.disk(surroundings.configuration.dataDirectory),
            Self.clock(now: surroundings.now, server: nil, from: ""),
        ]
    }

    private static var place: String {
        let isContainer = ["/.dockerenv", "/run/.containerenv"].contains { FileManager.default.fileExists(atPath: $0) }
        return "hikyaku \(GatewayService.version), user \(geteuid())\(isContainer ? ", in a container" : "")"
    }

    private static func disk(_ directory: String) -> DoctorFinding {
        var status = statvfs()
        var path = directory
        // A data directory that is not made yet lies on the disk of its parent.
        while statvfs(path, &status) != 0 {
            guard errno != EACCES else {
                return DoctorFinding("disk", .skip, permissionDenied(directory))
            }
            let parent = (path as NSString).deletingLastPathComponent
            guard parent != path, !parent.isEmpty else {
                return DoctorFinding("disk", .skip, "\(directory) cannot be looked at")
            }
            path = parent
        }
        return Self.disk(
            directory,
            free: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue,
            freeNodes: status.f_files == 0 ? nil : UInt64(status.f_favail),
            access: Self.judge(path)
        )
    }

    /// What the folder is to whoever asks.
    enum Access: Hashable {
        case writable
        case refused
        /// Not ours to write in: that says nothing about the gateway, which runs as another user.
        case ofAnother(UInt32)
    }

    private static func judge(_ path: String) -> Access {
        guard access(path, W_OK) != 0 else {
            return .writable
        }
        guard errno == EACCES, let owner = SystemEnvironment.owner(of: path), owner != geteuid() else {
            return .refused
        }
        return .ofAnother(owner)
    }

    /// Judges free octets and inodes; nil for file systems that do not count inodes.
    static func disk(_ directory: String, free: UInt64, freeNodes: UInt64?, access: Access) -> DoctorFinding {
        let size = humanSize(Int(clamping: free))
        let nodes = freeNodes.map { $0 < 10_000 ? ", \($0) inodes" : "" } ?? ""
        let text = "\(size) free\(nodes) in \(directory)"
        switch access {
        case .writable: break
        case .refused:
            let fact = DoctorFact.machine("\(directory) is not writable, so no mail can be accepted")
            return DoctorFinding("disk", .fail, "\(directory) is not writable for user \(geteuid())", fact: fact)
        case .ofAnother(let owner):
            let advice = "run this as the gateway's user (uid \(owner)?)"
            let text = "\(directory) is not writable for user \(geteuid()), who asks: \(advice)"
            return DoctorFinding("disk", .warn, text)
        }
        if free < 100 << 20 || freeNodes.map({ $0 < 1_000 }) == true {
            return DoctorFinding("disk", .fail, text, fact: .machine("the disk is full: only \(text)"))
        }
        return DoctorFinding("disk", free < 1 << 30 ? .warn : .pass, text)
    }

    /// Judges our clock by that of a server, whose time may be as old as the call; nil: by common sense alone.
    static func clock(now: Timestamp, server: Timestamp?, from host: String) -> DoctorFinding {
        guard now > self.earliestClock else {
            let fact = DoctorFact.machine("the clock says \(now.description.prefix(10)): set it, TLS cannot work")
            return DoctorFinding("clock", .fail, "\(now) is in the past: certificates cannot be verified", fact: fact)
        }
        guard let server else {
            return DoctorFinding("clock", .pass, "\(now)")
        }
        let seconds = (now - server).components.seconds
        guard abs(seconds) <= 60 else {
            let text = "\(abs(seconds)) s \(seconds > 0 ? "ahead of" : "behind") \(host)"
            return DoctorFinding("clock", .fail, text, fact: .machine("the clock is \(text): set it by NTP"))
        }
        return DoctorFinding("clock", .pass, "agrees with \(host)")
    }
}
