import DNSProtocol
import DNSResolver
import Delivery
import Logging
import MailModel
import SQLiteStore
import Synchronization

/// Runs the doctor's checks when lookups begin to fail; tells the log once, and keeps what was found with the attempts.
struct DoctorWatch: Sendable {
    private static let interval = Duration.seconds(1)

    private let gateway: GatewayService
    private let logger: Logger

    init(_ gateway: GatewayService) {
        self.gateway = gateway
        self.logger = gateway.logger.labelled("doctor")
    }

    /// Watches until cancelled.
    func run() async {
        guard self.gateway.configuration.doctor.watches else {
            return
        }
        var course = WatchCourse(startedAt: .now)
        // What an earlier run left open is over: this one sees for itself.
        await self.commit { store throws(StoreFailure) in try await store.endDiagnoses(at: .now) }
        var lies: [String: Int] = [:]
        while (try? await Task.sleep(for: Self.interval)) != nil {
            let action = course.observe(self.failing(&lies), at: .now)
            self.gateway.watchBoard.set(failingSince: course.failingSince)
            switch action {
            case .nothing: break
            case .examine(let beganAt):
                if await !self.examine(beganAt) {
                    course.foundNothing(at: .now)
                }
            case .recovered(let endedAt): await self.recover(endedAt)
            }
        }
    }

    /// The sources that failed lately, and those that have denied since the last look what others know.
    private func failing(_ lies: inout [String: Int]) -> Set<String> {
        let sources = self.gateway.resolver.sourceReports()
        guard !sources.isEmpty else {
            return ["no DNS source"]
        }
        var failing: Set<String> = []
        for state in sources {
            let name = state.source.description
            if !state.isHealthy || state.contradictions > lies[name, default: 0] {
                failing.insert(name)
            }
            lies[name] = state.contradictions
        }
        return failing
    }

    /// Whether anything was found.
    private func examine(_ beganAt: Timestamp) async -> Bool {
        var options = DoctorOptions()
        options.isInBackground = true
        guard let report = await self.report(options), report.hasFailure else {
            return false
        }
        // Another source in doubt, and the same trouble: that was told.
        let troubles = DoctorVerdict(report.findings.compactMap(\.fact)).troubles
        guard self.gateway.watchBoard.set(verdict: report.verdict, troubles: troubles) else {
            return true
        }
        self.logger.warning("\(printable(report.verdict))", metadata: ["more": "hikyaku doctor"])
        let text = MessageJSON.text(of: report)
        await self.commit { store throws(StoreFailure) in
            try await store.keep(DiagnosisRecord(beganAt: beganAt, verdict: report.verdict, report: text))
        }
        return true
    }

    /// Nil when the gateway is stopped meanwhile.
    private func report(_ options: DoctorOptions) async -> DoctorReport? {
        let (reports, sink) = AsyncStream.makeStream(of: DoctorReport.self)
        // Not structured: a gateway that stops does not wait for the last call, which ends within its time.
        let work = Task { [gateway] in
            sink.yield(await gateway.examine(options))
            sink.finish()
        }
        defer { work.cancel() }
        for await report in reports {
            return report
        }
        return nil
    }

    private func recover(_ endedAt: Timestamp) async {
        guard self.gateway.watchBoard.verdict != nil else {
            return
        }
        self.gateway.watchBoard.clear()
        self.logger.notice("all DNS sources answer again")
        await self.commit { store throws(StoreFailure) in try await store.endDiagnoses(at: endedAt) }
    }

    private func commit(_ work: (MessageStore) async throws(StoreFailure) -> Void) async {
        do throws(StoreFailure) {
            try await work(self.gateway.store)
        } catch {
            self.logger.warning("a diagnosis was not kept", metadata: ["why": "\(error)"])
        }
    }
}

/// What the watch has seen, for whoever asks the running gateway.
final class DoctorWatchBoard: Sendable {
    private struct State {
        var failingSince: [String: Timestamp] = [:]
        var verdict: String?
        var troubles: [String] = []
    }

    private let state = Mutex(State())

    var failingSince: [String: Timestamp] {
        self.state.withLock { $0.failingSince }
    }

    /// The sentence of the trouble that is still there.
    var verdict: String? {
        self.state.withLock { $0.verdict }
    }

    func set(failingSince: [String: Timestamp]) {
        self.state.withLock { $0.failingSince = failingSince }
    }

    /// Notes a finding; false when its troubles are those that were noted before.
    func set(verdict: String, troubles: [String]) -> Bool {
        self.state.withLock { state in
            defer {
                state.verdict = verdict
                state.troubles = troubles
            }
            return state.verdict == nil || state.troubles != troubles
        }
    }

    func clear() {
        self.state.withLock { state in
            state.verdict = nil
            state.troubles = []
        }
    }
}
