import Synchronization

/// Composes the answers of a `FakeNameServer`, octet by octet (RFC 1035 §4.1), with nothing of the code under test.
final class FakeNameServerDesk: Sendable {
    let state: Mutex<FakeNameServer.State>
    private let zone: [String: [FakeNameServer.Record]]

    init(zone: [String: [FakeNameServer.Record]], state: FakeNameServer.State) {
        self.zone = zone
        self.state = Mutex(state)
    }

    var breaksOff: Bool {
        self.state.withLock { $0.behaviour == .truncatesAndBreaksOff }
    }

    var closesAfterAnswer: Bool {
        self.state.withLock { $0.behaviour == .closesAfterAnswer }
    }

    var holdsBack: Bool {
        if case .holdsBack = self.state.withLock(\.behaviour) { true } else { false }
    }

    /// A query as far as this server reads it; the question's octets keep the case in which it was asked.
    private struct Query {
        var id: [UInt8]
        var question: [UInt8]
        var name: String
        var type: UInt16
        var hasEDNS: Bool
        var checkingDisabled: Bool

        var key: String {
            "\([1: "A", 15: "MX", 16: "TXT", 28: "AAAA", 52: "TLSA"][self.type] ?? "\(self.type)") \(self.name)"
        }
    }

    func answers(to octets: [UInt8], overTCP: Bool) -> [[UInt8]] {
        let query = self.read(octets)
        let behaviour = self.state.withLock { state in
            state.questions.append("\(overTCP ? "tcp" : "udp") \(query.key)")
            return state.behaviour
        }
        return self.answers(to: query, behaviour, overTCP: overTCP)
    }

    private func answers(to query: Query, _ behaviour: FakeNameServer.Behaviour, overTCP: Bool) -> [[UInt8]] {
        switch behaviour {
        case .honest, .closesAfterAnswer: return [self.honest(query)]
        case .holdsBack(let behaviour): return self.answers(to: query, behaviour, overTCP: overTCP)
        case .code(let code): return [self.compose(query, code: code)]
        case .silent: return []
        case .silentOn(let suffix): return query.name.hasSuffix(suffix) ? [] : [self.honest(query)]
        case .truncates, .truncatesAndBreaksOff:
            return [overTCP ? self.honest(query) : self.compose(query, isTruncated: true)]
        case .garbage: return [query.id + [0x81, 0x80, 0xFF, 0xFF, 0xFF]]
        case .foldsCase:
            var folded = query
            folded.question = query.question.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
            return [self.honest(folded)]
        case .rejectsEDNS: return [query.hasEDNS ? self.compose(query, code: 1) : self.honest(query)]
        case .rejectsEDNSAndTruncates where query.hasEDNS: return [self.compose(query, code: 1)]
        case .rejectsEDNSAndTruncates:
            return [overTCP ? self.honest(query) : self.compose(query, isTruncated: true)]
        case .findsBogus: return [query.checkingDisabled ? self.honest(query) : self.compose(query, code: 2)]
        case .fails(let reason): return [self.with(reason, self.compose(query, code: 2))]
        case .ignoresEDNS: return query.hasEDNS ? [] : [self.honest(query)]
        case .afterForgeries where overTCP: return [self.honest(query)]
        case .afterForgeries(let forgeries): return forgeries.map { self.forge($0, query) } + [self.honest(query)]
        }
    }

    private func honest(_ query: Query) -> [UInt8] {
        if let records = self.zone[query.key] {
            return self.compose(query, records: records)
        }
        let exists = self.zone.keys.contains { $0.split(separator: " ").last.map(String.init) == query.name }
        return self.compose(query, code: exists ? 0 : 3)
    }

    /// An answer with the attacker's address or host in it.
    private func forge(_ forgery: FakeNameServer.Forgery, _ query: Query) -> [UInt8] {
        var forged = query
        var isResponse = true
        switch forgery {
        case .wrongID: forged.id[1] ^= 1
        case .wrongName: forged.question[1] = forged.question[1] == 0x7A ? 0x79 : 0x7A
        case .wrongType: forged.question[forged.question.count - 3] ^= 1
        case .wrongCase:
            forged.question = forged.question.map { $0 & 0xDF >= 0x41 && $0 & 0xDF <= 0x5A ? $0 ^ 0x20 : $0 }
        case .query: isResponse = false
        }
        let record: FakeNameServer.Record = query.type == 15 ? .exchanger(1, "evil.test") : .address(0x0606_0606)
        return self.compose(forged, records: [record], isResponse: isResponse)
    }

    private func read(_ octets: [UInt8]) -> Query {
        var labels: [String] = []
        var at = 12
        while octets[at] != 0 {
            let length = Int(octets[at])
            labels.append(String(decoding: octets[at + 1...at + length], as: UTF8.self))
            at += length + 1
        }
        return Query(
            id: Array(octets[..<2]),
            question: Array(octets[12..<at + 5]),
            name: labels.joined(separator: ".").lowercased(),
            type: UInt16(octets[at + 1]) << 8 | UInt16(octets[at + 2]),
            hasEDNS: octets[11] > 0,
            checkingDisabled: octets[3] & 0x10 != 0
        )
    }

    private func compose(
        _ query: Query,
        records: [FakeNameServer.Record] = [],
        code: UInt8 = 0,
        isTruncated: Bool = false,
        isResponse: Bool = true
    ) -> [UInt8] {
        let flags: [UInt8] = [
            (isResponse ? 0x81 : 0x01) | (isTruncated ? 0x02 : 0),
            0x80 | (self.state.withLock { $0.isAuthenticated } ? 0x20 : 0) | code,
        ]
        var octets = query.id + flags + [0, 1, 0, UInt8(records.count), 0, 0, 0, 0] + query.question
        // The name is a pointer to the question, whose case it so repeats.
        var owner: [UInt8] = [0xC0, 0x0C]
        for record in records {
            let data = self.data(of: record, asked: query.name)
            var type = query.type
            if case .alias = record {
                type = 5
            }
            octets += owner + [UInt8(type >> 8), UInt8(type & 0xFF), 0, 1, 0, 0, 0, 60]
            octets += [UInt8(data.count >> 8), UInt8(data.count & 0xFF)] + data
            if case .alias = record {
                owner = data
            }
        }
        return octets
    }

    /// Adds an OPT record with an extended error (RFC 8914 §2).
    private func with(_ reason: UInt8, _ answer: [UInt8]) -> [UInt8] {
        var answer = answer
        answer[11] = 1
        return answer + [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, reason]
    }

    private func data(of record: FakeNameServer.Record, asked name: String) -> [UInt8] {
        switch record {
        case .address(let address):
            return [24, 16, 8, 0].map { UInt8(address >> $0 & 0xFF) }
        case .exchanger(let preference, let host):
            let isBelow = host.hasSuffix(".\(name)")
            let own = isBelow ? String(host.dropLast(name.count + 1)) : host
            return [UInt8(preference >> 8), UInt8(preference & 0xFF)] + Self.labels(own)
                + (isBelow ? [0xC0, 0x0C] : [0])
        case .text(let text):
            return [UInt8(text.utf8.count)] + Array(text.utf8)
        case .alias(let target):
            return Self.labels(target) + [0]
        case .association(let octets):
            return octets
        }
    }

    private static func labels(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    }
}
