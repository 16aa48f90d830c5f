import DNSProtocol
import DNSResolver
import Delivery
import FoundationEssentials
import MailModel
import NIOCore
import SMTPServer
import SQLiteStore

extension GatewayService {
    /// Answers one request; whatever is wrong with it ends in an error that says so.
    func answer(_ request: ControlRequest, _ attached: ByteBuffer) async -> ControlReply {
        do {
            return request.verb == .takeOver
                ? ControlReply(takenOver: try await self.takeOver(request, attached)) : try await self.answer(request)
        } catch {
            return ControlReply(error: "\(error)")
        }
    }

    private func answer(_ request: ControlRequest) async throws -> ControlReply {
        switch request.verb {
        case .flush:
            return try await self.flush(try self.selection(request.subject))
        case .hold:
            return try await self.hold(try self.selection(request.subject))
        case .release:
            let count = try await self.store.releaseHeld(try self.selection(request.subject))
            self.queue.lookAgain()
            return ControlReply(count: count)
        case .delete:
            return try await self.delete(try self.selection(request.subject))
        case .dnsLookup:
            let name = request.subject ?? ""
            guard DomainName(name) != nil else {
                throw StartupFailure("\"\(name)\" is no domain")
            }
            return ControlReply(lookups: await self.resolver.inspect(name, types: try self.types(request.types)))
        case .dnsFlush:
            self.resolver.flush()
            return ControlReply(count: 0)
        case .dnsSources, .status:
            return ControlReply(status: self.status())
        case .health:
            return ControlReply(count: 0)
        case .closeBreaker:
            let key = BreakerKey(provider: request.subject ?? "")
            guard self.configuration.chain.contains(key.provider) else {
                let chain = self.configuration.chain.joined(separator: ", ")
                throw StartupFailure("\"\(key.provider)\" is not in the chain (\(chain))")
            }
            return ControlReply(count: try await self.queue.closeBreaker(key).count)
        case .doctor:
            return ControlReply(doctor: await self.examine(request.doctor ?? DoctorOptions()))
        case .takeOver:
            throw StartupFailure("a message is taken over with its content only")
        }
    }

    private func flush(_ selection: QueueSelection) async throws(StoreFailure) -> ControlReply {
        self.resolver.flush()
        let leftAlone = self.queue.probeNow()
        let count = try await self.store.expedite(selection, at: .now)
        self.queue.lookAgain()
        let listed = GatewayStatus.summary(of: leftAlone).listed
        return ControlReply(count: count, leftAlone: listed.isEmpty ? nil : listed)
    }

    private func hold(_ selection: QueueSelection) async throws(StoreFailure) -> ControlReply {
        let withdrawal = try await self.queue.withdraw(selection) { () async throws(StoreFailure) in
            try await self.store.hold(selection)
        }
        let running = try await self.store.leasedCount(selection)
        return ControlReply(count: withdrawal.held + withdrawal.changed, running: running)
    }

    private func delete(_ selection: QueueSelection) async throws(StoreFailure) -> ControlReply {
        var running = 0
        let withdrawal = try await self.queue.withdraw(selection) { () async throws(StoreFailure) in
            running += try await self.store.leasedCount(selection)
            return try await self.store.delete(selection, at: .now)
        }
        return ControlReply(count: withdrawal.changed, running: running)
    }

    /// Runs the doctor's checks with the very parts that deliver.
    func examine(_ options: DoctorOptions) async -> DoctorReport {
        let status = self.status()
        let breakers = status.breakers.map { breaker in
            (breaker.name, "\(breaker.name) until \(breaker.until): \(breaker.why)")
        }
        return await Doctor.report(
            .init(
                configuration: self.configuration,
                resolver: self.resolver,
                providers: self.providers,
                history: self.store,
                breakers: breakers,
                otherBreakers: status.otherLines.map { "\($0.provider): \($0.text)" },
                isRunning: true,
                failingSince: self.watchBoard.failingSince
            ),
            options
        )
    }

    private func takeOver(_ request: ControlRequest, _ attached: ByteBuffer) async throws -> TakeOverReceipt {
        var content = attached
        guard let encoded = content.readSlice(length: request.envelopeLength ?? 0),
            let envelope = try? JSONDecoder().decode(TakeOverEnvelope.self, from: Data(encoded.readableBytesView))
        else {
            throw StartupFailure("the message is not understood; are the command and the gateway of one version?")
        }
        let receipt = try await self.intake.take(envelope, content: content, at: .now)
        self.queue.lookAgain()
        return receipt
    }

    private func selection(_ subject: String?) throws -> QueueSelection {
        switch subject {
        case nil, "ALL":
            return .all
        case .some(let text):
            if let id = QueueID(text) {
                return .message(id)
            }
            guard text.contains("."), DomainName(text) != nil else {
                throw StartupFailure("\"\(text)\" is neither a queue id, nor a domain, nor ALL")
            }
            return .domain(text.lowercased())
        }
    }

    private func status() -> GatewayStatus {
        let load = self.queue.load
        let breakers = GatewayStatus.summary(of: self.queue.openBreakers)
        return GatewayStatus(
            version: Self.version,
            hostname: self.configuration.hostname,
            listeners: self.listeners.compactMap(\.boundTo),
            chain: self.configuration.chain,
            waiting: load.waiting,
            running: load.running,
            breakers: breakers.listed,
            otherBreakers: breakers.others,
            dnsSources: self.resolver.sourceReports().map(GatewayStatus.Source.init),
            diagnosis: self.watchBoard.verdict
        )
    }

    private func types(_ names: [String]?) throws -> [RecordType] {
        try names.map { names in
            try names.map { name in
                guard let type = RecordType(mnemonic: name) else {
                    throw StartupFailure(
                        "\"\(name)\" is no record type that mail needs, such as MX, A, AAAA, TXT, TLSA"
                    )
                }
                return type
            }
        } ?? LookupReport.usualTypes
    }
}

extension GatewayStatus.Source {
    fileprivate init(_ report: SourceState) {
        self.init(
            name: report.source.description,
            isHealthy: report.isHealthy,
            failure: report.failure,
            failingSeconds: report.failingFor?.components.seconds,
            contradictions: report.contradictions,
            isTrusted: report.isTrusted,
            validates: report.validates,
            usesEDNS: report.usesEDNS,
            isPublic: report.source.isPublic
        )
    }
}
