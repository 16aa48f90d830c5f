import DNSProtocol
import MailModel

extension LookupMachine.Verdict {
    /// Whose answer stands; nil when nobody's does.
    var index: Int? {
        switch self {
        case .answer(let index): index
        case .unavailable, .unconfirmed, .bogus: nil
        }
    }
}

extension SourceObservation {
    static func told(_ question: Question, by source: DNSSource, _ answer: SourceAnswer) -> SourceObservation {
        let overTCP = answer.transport == .tcp && answer.interpretation.isUsable ? " over TCP" : ""
        return SourceObservation(
            source: source.description,
            question: question.description,
            result: answer.interpretation.summary + overTCP,
            elapsed: answer.elapsed
        )
    }

    /// A source that had said nothing when the lookup was over.
    static func silent(_ question: Question, _ source: DNSSource, for elapsed: Duration) -> SourceObservation {
        SourceObservation(
            source: source.description,
            question: question.description,
            result: "no answer yet",
            elapsed: elapsed
        )
    }

    static func cached(_ question: Question, _ interpretation: Interpretation) -> SourceObservation {
        SourceObservation(
            source: "cache",
            question: question.description,
            result: interpretation.summary,
            elapsed: .zero
        )
    }
}

extension ResolverChain.Finding {
    init(_ verdict: LookupMachine.Verdict, _ answer: KnownAnswer?, _ observations: [SourceObservation]) {
        self.init(verdict: verdict, answer: answer, observations: observations, staleAge: nil)
    }

    var hasRecords: Bool { self.interpretation?.hasRecords == true }
    var isNegative: Bool { self.interpretation?.isNegative == true }

    /// This finding, with the story of an earlier one about the same question before its own.
    func following(_ earlier: Self) -> Self {
        var finding = self
        finding.observations = earlier.observations + self.observations
        return finding
    }

    /// The finding as a lookup of one kind of record.
    func resolution<Record>(_ convert: (RecordData) -> Record?) -> Resolution<Record> {
        let lookup: Lookup<Record>
        switch self.interpretation {
        case .records(let data, let timeToLive):
            let records = data.compactMap(convert)
            lookup =
                records.isEmpty
                ? .unavailable(self.unavailability) : .records(records, timeToLive: .seconds(timeToLive))
        case .noData(let timeToLive):
            lookup = .noData(timeToLive: .seconds(timeToLive))
        case .noSuchName(let timeToLive):
            lookup = .noSuchName(timeToLive: .seconds(timeToLive))
        case .alias, .failed, .rejectsEDNS, .truncated, .otherCase, nil:
            lookup = .unavailable(self.unavailability)
        }
        return Resolution(
            lookup: lookup,
            observations: self.observations,
            staleAge: self.staleAge,
            isSecure: self.answer?.isSecure ?? false,
            canonicalName: self.answer?.canonicalName?.key
        )
    }

    var unavailability: Unavailability {
        let story = self.observations.map { "\($0.source) \($0.result)" }.joined(separator: ", ")
        switch self.verdict {
        case .answer, .unavailable:
            return Unavailability("no DNS source could answer (\(story.isEmpty ? "there is none" : story))")
        case .unconfirmed:
            return Unavailability("no second DNS source confirms that there is none (\(story))")
        case .bogus:
            return Unavailability("DNSSEC bogus (\(story))")
        }
    }

    private static func address(_ data: RecordData) -> IPAddress? {
        guard case .address(let address) = data else {
            return nil
        }
        return address
    }

    /// Both families as one answer; at least one of them has records.
    static func joined(_ sixes: Self, _ fours: Self) -> Resolution<IPAddress> {
        let parts = [sixes.resolution(Self.address), fours.resolution(Self.address)]
        var addresses: [IPAddress] = []
        var shortest = Duration.seconds(3_600)
        for case .records(let records, let timeToLive) in parts.map(\.lookup) {
            addresses += records
            shortest = min(shortest, timeToLive)
        }
        return Resolution(
            lookup: .records(addresses, timeToLive: shortest),
            observations: fours.observations + sixes.observations,
            staleAge: [sixes.staleAge, fours.staleAge].compactMap { $0 }.max(),
            isSecure: parts.allSatisfy(\.isSecure),
            canonicalName: parts.compactMap(\.canonicalName).last
        )
    }

    /// Neither family has records, both confirmed, unless one could not be asked at all.
    static func joinedNegative(_ sixes: Self, _ fours: Self) -> Resolution<IPAddress> {
        let decisive = fours.isNegative && !sixes.isNegative ? sixes : fours
        var resolution = decisive.resolution(Self.address)
        resolution.observations = fours.observations + sixes.observations
        resolution.isSecure = [sixes, fours].allSatisfy { $0.answer?.isSecure == true }
        if case .unavailable = resolution.lookup {
            var all = decisive
            all.observations = resolution.observations
            resolution.lookup = .unavailable(all.unavailability)
        }
        return resolution
    }
}

extension Resolution {
    /// A name that cannot stand in the DNS does not exist there.
    static func impossibleName(_ name: String) -> Resolution {
        let observation = SourceObservation(
            source: "gateway",
            question: "name",
            result: "\"\(name.prefix(80))\" is no domain name",
            elapsed: .zero
        )
        return Resolution(lookup: .noSuchName(timeToLive: .seconds(60)), observations: [observation])
    }
}
