import MailModel

/// Makes one sentence of what was found: what is wrong, what is used instead, and whether mail flows.
struct DoctorVerdict {
    /// Mail that has waited for longer is stuck, in the eyes of whoever waits for it.
    private static let patience = Duration.seconds(15 * 60)

    private let facts: [DoctorFact]

    init(_ facts: [DoctorFact]) {
        self.facts = facts
    }

    /// One sentence without a final full stop.
    var sentence: String {
        let troubles = self.troubles
        let flow = self.flow
        guard !troubles.isEmpty else {
            let hasGateway = !self.facts.contains(.noGateway)
            return
                "all is well: DNS answers and the ways out are open; \(hasGateway ? flow : "no gateway is running here")"
        }
        return (troubles + [flow]).joined(separator: "; ")
    }

    /// What is wrong, without what that means for mail at the moment.
    var troubles: [String] {
        self.machine + self.sources + self.ways
    }

    private var machine: [String] {
        self.facts.compactMap { fact in
            if case .machine(let text) = fact { text } else { nil }
        }
    }

    private var sources: [String] {
        var failing: [(name: String, trouble: SourceTrouble, since: Timestamp?)] = []
        var working: [String] = []
        var clauses: [String] = []
        for fact in self.facts {
            switch fact {
            case .source(let name, nil, _): working.append(name)
            case .source(let name, let trouble?, let since): failing.append((name, trouble, since))
            case .noServers(let path): clauses.append("\(path) names no server")
            case .onlyLibraryResolves(let name):
                clauses.append("the system's resolver finds \(name), which none of dns.sources does")
            case .way, .unresolved, .blocked, .refusal, .leftAlone, .waiting, .delivered, .machine, .noGateway: break
            }
        }
        let told = failing.prefix(3).map { "\($0.name) \($0.trouble.text)" }
        let more = failing.count > 3 ? ["\(failing.count - 3) more DNS sources fail"] : []
        if working.isEmpty, !failing.isEmpty, !failing.contains(where: \.trouble.isLie) {
            clauses.append("no DNS source works: " + (told + more).joined(separator: ", "))
        } else {
            clauses += told.isEmpty ? [] : [(told + more).joined(separator: ", ")]
            if !clauses.isEmpty, let instead = working.first {
                let since = failing.compactMap(\.since).min().map { " since \($0.clockTime.prefix(5)) UTC" } ?? ""
                clauses.append("using \(instead)\(since)")
            }
        }
        return clauses
    }

    private var ways: [String] {
        var clauses: [String] = []
        var hasOpenWay = false
        var hasClosedWay = false
        var unresolved: [String] = []
        for fact in self.facts {
            switch fact {
            case .way(_, nil): hasOpenWay = true
            case .way(let name, let trouble?):
                hasClosedWay = true
                clauses.append("\(name): \(trouble)")
            case .blocked(let port, let state):
                hasClosedWay = true
                clauses.append(Self.blocked(port, state))
            case .unresolved(let name):
                hasClosedWay = true
                unresolved.append(name)
            case .leftAlone(let text), .refusal(let text): clauses.append(text)
            case .source, .noServers, .onlyLibraryResolves, .waiting, .delivered, .machine, .noGateway: break
            }
        }
        if !unresolved.isEmpty {
            clauses.insert("no address can be found for \(unresolved.joined(separator: ", "))", at: 0)
        }
        let more = clauses.count > 3 ? ["and \(clauses.count - 3) more"] : []
        let told = Array(clauses.prefix(3)) + more
        return hasOpenWay || !hasClosedWay ? told : told + ["no way out is open"]
    }

    private static func blocked(_ port: Int, _ state: PortState) -> String {
        switch state {
        case .silent: "outbound port \(port) is blocked (connections time out)"
        case .refused: "outbound port \(port) is refused"
        case .mute: "connections to port \(port) are swallowed (something in between answers and says nothing)"
        case .unreachable(let why): "outbound port \(port) cannot be reached (\(why))"
        case .open: "outbound port \(port) is open"
        }
    }

    private var flow: String {
        var waiting: (count: Int, oldest: Duration, reason: String?)?
        var delivered: Duration?
        for fact in self.facts {
            switch fact {
            case .waiting(let count, let oldest, let reason): waiting = (count, oldest, reason)
            case .delivered(let ago): delivered = ago
            case .noGateway: return "no gateway is running here"
            case .source, .noServers, .onlyLibraryResolves, .way, .unresolved, .blocked, .refusal, .leftAlone, .machine:
                break
            }
        }
        if let waiting, waiting.count > 0, waiting.oldest > Self.patience || delivered == nil {
            let who = waiting.count == 1 ? "1 recipient waits" : "\(waiting.count) recipients wait"
            let why = waiting.reason.map { ": \($0)" } ?? ""
            return "\(who), the oldest for \(humanDuration(waiting.oldest))\(why)"
        }
        return delivered.map { $0 < .seconds(3_600) ? "mail is flowing" : "nothing waits" } ?? "nothing waits"
    }
}
