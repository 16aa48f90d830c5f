import MailModel

/// What a check means for the verdict, in a closed vocabulary.
enum DoctorFact: Hashable, Sendable {
    /// How one DNS source is; nil: well. In the order in which the sources are asked now.
    case source(String, SourceTrouble?, since: Timestamp?)
    /// The operator counts on the system's servers, and the file names none.
    case noServers(path: String)
    /// Our sources cannot find a name that the system's own resolver finds.
    case onlyLibraryResolves(String)
    /// A way out that was called, and what is wrong with it; nil: it would take mail.
    case way(String, trouble: String?)
    /// A way out whose host's name could not be looked up.
    case unresolved(String)
    /// No host of a destination could be connected to on this port.
    case blocked(port: Int, PortState)
    /// Receivers will refuse what goes one way, and why.
    case refusal(String)
    /// A provider, or a part of it, that is left alone.
    case leftAlone(String)
    /// Recipients that wait, how long the oldest has waited, and the most common reason.
    case waiting(Int, oldest: Duration, reason: String?)
    /// The time since the last delivery.
    case delivered(ago: Duration)
    /// Disk or clock, in words.
    case machine(String)
    case noGateway
}

/// What is wrong with the answers of a DNS source.
enum SourceTrouble: Hashable, Sendable {
    case partial(good: [String], bad: [String], AnswerTrouble)
    case whole(AnswerTrouble)
    /// Some questions of each type, as when names of one server behind it cannot be had.
    case often(Int, of: Int, AnswerTrouble)
    /// Has addresses for names that do not exist.
    case invents
    /// Denies records that other sources have.
    case denies(name: String, type: String)

    /// Whether it answers at all, be it wrongly.
    var isLie: Bool {
        switch self {
        case .invents, .denies: true
        case .partial, .whole, .often: false
        }
    }

    /// What follows the source's name: `answers A but refuses MX`.
    var text: String {
        switch self {
        case .partial(let good, let bad, let how):
            "answers \(good.joined(separator: " and ")) but \(how.verb(bad.joined(separator: " and ")))"
        case .whole(let how): how.wholeText
        case .often(let count, let all, let how): "left \(count) of \(all) questions unanswered (\(how.word))"
        case .invents: "has addresses for names that do not exist"
        case .denies(let name, let type): "denies the \(type) of \(name) that other sources have"
        }
    }
}

/// Why a question brought no answer.
enum AnswerTrouble: Hashable, Sendable {
    case refused
    case serverFailure
    /// A validating server says that the data are forged, or their signatures out of date.
    case bogus
    case silent
    case closed
    case other(String)

    /// Reads the result of a source report, a response code perhaps with reasons; nil when it is an answer.
    init?(result: String) {
        let code = result.split(separator: " ").first ?? ""
        let isUseless = ["(lame)", "(CNAME loop)", "(garbage)"].contains(where: result.hasSuffix)
        switch code {
        case "NOERROR" where !isUseless, "NXDOMAIN" where !isUseless: return nil
        case "REFUSED": self = .refused
        case "SERVFAIL": self = result.contains("DNSSEC") ? .bogus : .serverFailure
        case _ where result.hasPrefix("no answer"): self = .silent
        case _ where result == "port closed": self = .closed
        default: self = .other(result)
        }
    }

    fileprivate func verb(_ types: String) -> String {
        switch self {
        case .refused: "refuses \(types)"
        case .serverFailure: "fails at \(types) (SERVFAIL)"
        case .bogus: "finds \(types) bogus (DNSSEC)"
        case .silent: "is silent about \(types)"
        case .closed: "closes the door on \(types)"
        case .other(let text): "answers \(types) with \(text)"
        }
    }

    fileprivate var word: String {
        switch self {
        case .refused: "REFUSED"
        case .serverFailure: "SERVFAIL"
        case .bogus: "DNSSEC bogus"
        case .silent: "no answer"
        case .closed: "port closed"
        case .other(let text): text
        }
    }

    fileprivate var wholeText: String {
        switch self {
        case .refused: "refuses every question"
        case .serverFailure: "answers every question with SERVFAIL"
        case .bogus: "finds every answer bogus (DNSSEC): is the clock right?"
        case .silent: "does not answer"
        case .closed: "is not listening (port closed)"
        case .other(let text): "is of no use (\(text))"
        }
    }
}

/// How a TCP port answered.
enum PortState: Hashable, Sendable {
    /// With the first line that the server said, if it speaks first.
    case open(banner: String?)
    case refused
    /// Nothing came back: what a firewall that drops looks like.
    case silent
    case unreachable(String)
    /// Connected, and then not a word of what the protocol begins with.
    case mute

    var text: String {
        switch self {
        case .open(let banner): banner.map { "open, \($0)" } ?? "open"
        case .refused: "refused"
        case .silent: "no answer (blocked?)"
        case .unreachable(let why): why
        case .mute: "connected, but nothing was said"
        }
    }

    /// What a server said that does not want to talk to us, such as `554 5.7.1 listed`; nil where none did.
    var unwelcome: String? {
        guard case .open(let banner?) = self, !banner.hasPrefix("220") else {
            return nil
        }
        return banner
    }

    var isOpen: Bool {
        if case .open = self { true } else { false }
    }
}
