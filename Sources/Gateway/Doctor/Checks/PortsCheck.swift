import DNSProtocol
import DNSResolver
import MailModel
import NIOCore

/// Which of the ports of mail are open towards the outside, for an operator who must choose another way.
struct PortsCheck: DoctorCheck {
    let name = "ports"

    private static let submissionPorts = [25, 465, 587, 2_525]

    /// One call: why it is made, and what came of it.
    struct Call: Hashable, Sendable {
        var target: PortTarget
        /// A configured provider stands or falls with this port.
        var isUsed: Bool
        var state: PortState
    }

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        var targets: [(target: PortTarget, isUsed: Bool)] = []
        let used = surroundings.hosts.map { PortTarget(host: $0.host, port: $0.port) }
        targets += used.map { ($0, true) }
        if !surroundings.isInBackground {
            let others = surroundings.smarthosts.flatMap { host in
                Self.submissionPorts.map { PortTarget(host: host, port: $0) }
            }
            targets += (others + surroundings.configuration.doctor.portTargets).map { ($0, false) }
        }
        var seen: Set<PortTarget> = []
        let calls = await withTaskGroup(of: (Int, Call?).self) { group in
            for (index, (target, isUsed)) in targets.enumerated() where seen.insert(target).inserted {
                group.addTask { (index, await Self.call(target, isUsed: isUsed, surroundings)) }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.compactMap(\.1)
        }
        return Self.findings(calls)
    }

    /// Nil when the host has no address, which other checks tell.
    private static func call(_ target: PortTarget, isUsed: Bool, _ surroundings: DoctorSurroundings) async -> Call? {
        guard case .records(let addresses, _) = await surroundings.resolver.addresses(of: target.host).lookup,
            let address = addresses.first(where: { !$0.isIPv6 }) ?? addresses.first
        else {
            return nil
        }
        // At 465 a server waits for a handshake, and at 443 for a request: that it listens must do.
        let speaksFirst = target.port != 465 && target.port != 443
        let heard = await PortProbe.knock(
            at: address,
            port: target.port,
            heloName: speaksFirst ? surroundings.configuration.hostname : nil,
            on: surroundings.group
        )
        heard.ownAddress.map(surroundings.notes.hear)
        return Call(target: target, isUsed: isUsed, state: heard.state)
    }

    /// One line a port: it is open when any host could be reached on it, and blocked when calls vanish or cannot go out.
    static func findings(_ calls: [Call]) -> [DoctorFinding] {
        Set(calls.map(\.target.port)).sorted().map { port in
            let own = calls.filter { $0.target.port == port }
            let detail = own.map { "\($0.target.host) \($0.state.text)" }.joined(separator: "; ")
            if own.contains(where: { $0.state.isOpen }) {
                return DoctorFinding("out \(port)", .pass, detail)
            }
            let open = Set(calls.filter { $0.state.isOpen && $0.target.port != 25 }.map(\.target.port)).sorted()
            let advice = own.contains { $0.isUsed } && !open.isEmpty ? "; open are \(Self.list(open))" : ""
            // A host that has nobody at a port refuses as a firewall does: that proves nothing, unless mail needs it.
            let isHarmless = own.allSatisfy { $0.state == .refused && !$0.isUsed }
            return DoctorFinding("out \(port)", isHarmless ? .skip : .warn, detail + advice)
        }
    }

    private static func list(_ ports: [Int]) -> String {
        ports.map(String.init).joined(separator: ", ")
    }
}
