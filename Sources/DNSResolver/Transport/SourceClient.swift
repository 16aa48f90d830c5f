import DNSProtocol
import MailModel
import NIOCore

/// Asks one source one question: UDP with EDNS, without EDNS where that is not understood, TCP where it does not fit.
struct SourceClient: Sendable {
    /// How a question is put.
    struct Manner: Sendable {
        var edns = true
        /// Asks for what does not validate, too.
        var checkingDisabled = false
        /// The time that the source has, all its aliases together.
        var timeout: Duration
    }

    /// The most aliases that are followed by asking again; those within one answer are counted there.
    private static let aliasLimit = 8

    let group: any EventLoopGroup
    let https: DNSOverHTTPSTransport?
    let encrypted: EncryptedServers

    init(group: any EventLoopGroup, https: DNSOverHTTPSTransport?, trustRootsFile: String?) {
        self.group = group
        self.https = https
        self.encrypted = EncryptedServers(group: group, trustRootsFile: trustRootsFile)
    }

    /// Asks a server or an encrypted source; never throws, since not answering is an answer to be recorded.
    func ask(_ question: Question, of source: DNSSource, _ manner: Manner) async -> SourceAnswer {
        let start = ContinuousClock.now
        var answer = await self.askOnce(question, of: source, manner)
        var aliases = 0
        // Whoever says only that the name is another one is asked for that: the same source, since others may differ.
        while case .alias(let target, let timeToLive) = answer.interpretation {
            var rest = manner
            rest.timeout = manner.timeout - (.now - start)
            rest.edns = manner.edns && !answer.withoutEDNS
            aliases += 1
            guard aliases <= Self.aliasLimit, rest.timeout > .zero else {
                answer.interpretation = .failed(rest.timeout > .zero ? .aliasLoop : .silence)
                break
            }
            let next = await self.askOnce(Question(question.type, target), of: source, rest)
            answer = answer.followed(by: next, at: target, for: timeToLive)
        }
        answer.elapsed = .now - start
        return answer
    }

    private func askOnce(_ question: Question, of source: DNSSource, _ manner: Manner) async -> SourceAnswer {
        switch source {
        case .system:
            preconditionFailure("the system source is expanded to its servers before it is asked")
        case .server(let address, let port):
            await self.askServer(question, address, port, manner)
        case .tls(let host, let address, let port):
            await self.askEncrypted(question, source, host, address, port, manner)
        case .https(let host, let address, let port, let path):
            await self.askHTTPS(
                question,
                url: "https://\(bracketed(host))\(port == 443 ? "" : ":\(port)")\(path)",
                address,
                manner
            )
        }
    }
}

// MARK: - Plain servers

extension SourceClient {
    private func askServer(
        _ question: Question,
        _ address: IPAddress,
        _ port: Int,
        _ manner: Manner
    ) async -> SourceAnswer {
        guard let server = try? SocketAddress(ipAddress: "\(address)", port: port) else {
            return .failure(.transport("unusable address"))
        }
        let exchange = DatagramExchange(group: self.group, server: server)
        let answer = await self.askDatagrams(question, exchange, manner)
        let reason = answer.interpretation
        guard reason == .truncated || reason == .otherCase else {
            return answer
        }
        var last = manner
        last.edns = manner.edns && !answer.withoutEDNS
        let stream = StreamExchange(group: self.group, server: server)
        var whole = await self.askStream(question, stream, because: reason.summary, last)
        if whole.interpretation == .rejectsEDNS {
            last.edns = false
            whole = await self.askStream(question, stream, because: reason.summary, last)
            whole.withoutEDNS = whole.message != nil
        }
        whole.withoutEDNS = whole.withoutEDNS || answer.withoutEDNS
        return whole
    }

    /// Asks with EDNS, and without where the server rejects that.
    ///
    /// A server that drops queries with EDNS gets the second half of the time to answer one without, while what a slow one
    /// says to the first still counts.
    private func askDatagrams(
        _ question: Question,
        _ exchange: DatagramExchange,
        _ manner: Manner
    ) async -> SourceAnswer {
        guard manner.edns else {
            return await self.askDatagram(question, exchange, manner)
        }
        return await withTaskGroup(of: SourceAnswer?.self) { group in
            group.addTask { await self.askDatagram(question, exchange, manner) }
            group.addTask {
                guard (try? await Task.sleep(for: manner.timeout / 2)) != nil else {
                    return nil  // The first question was answered.
                }
                return await self.askPlainly(question, exchange, manner)
            }
            defer { group.cancelAll() }
            for await case let answer? in group where answer.failure != .silence {
                return answer.interpretation == .rejectsEDNS
                    ? await self.askPlainly(question, exchange, manner) : answer
            }
            return .failure(.silence)
        }
    }

    /// Asks without EDNS, for the other half of the time.
    private func askPlainly(
        _ question: Question,
        _ exchange: DatagramExchange,
        _ manner: Manner
    ) async -> SourceAnswer {
        var plain = manner
        plain.edns = false
        plain.timeout = manner.timeout / 2
        var answer = await self.askDatagram(question, exchange, plain)
        // Whatever it says to that, truncated or not, it says it without EDNS only.
        answer.withoutEDNS = answer.message != nil
        return answer
    }

    private func askDatagram(
        _ question: Question,
        _ exchange: DatagramExchange,
        _ manner: Manner
    ) async -> SourceAnswer {
        let id = UInt16.random(in: .min ... .max)
        let name = QueryEncoder.mixCase(question.name, chance: .random(in: .min ... .max))
        let asked = Question(question.type, name)
        do {
            let bytes = try await exchange.ask(
                QueryEncoder.encode(asked, id: id, manner.options),
                timeout: manner.timeout,
                accepts: { SourceAnswer.reading($0, to: asked, id: id, sentEDNS: manner.edns, over: .udp) != nil }
            )
            return .reading(bytes, to: asked, id: id, sentEDNS: manner.edns, over: .udp) ?? .failure(.garbage)
        } catch {
            return .failure(error.failure())
        }
    }

    private func askStream(
        _ question: Question,
        _ exchange: StreamExchange,
        because reason: String,
        _ manner: Manner
    ) async -> SourceAnswer {
        let id = UInt16.random(in: .min ... .max)
        do {
            let query = QueryEncoder.encode(question, id: id, manner.options)
            let bytes = try await exchange.ask(query, timeout: manner.timeout)
            let answer = SourceAnswer.reading(bytes, to: question, id: id, sentEDNS: manner.edns, over: .tcp)
            guard let answer, answer.interpretation != .truncated else {
                return .failure(.transport("garbage over TCP"), .tcp)
            }
            return answer
        } catch {
            return .failure(error.failure(because: reason), .tcp)
        }
    }
}

// MARK: - Encrypted servers

extension SourceClient {
    private func askEncrypted(
        _ question: Question,
        _ source: DNSSource,
        _ host: String,
        _ address: IPAddress,
        _ port: Int,
        _ manner: Manner
    ) async -> SourceAnswer {
        var manner = manner
        manner.edns = true
        do {
            let server = try self.encrypted.server(source, host, address, port)
            let query = QueryEncoder.encode(question, id: 0, manner.paddedOptions)
            let bytes = try await server.ask(query, timeout: manner.timeout)
            return .reading([0, 0] + bytes.dropFirst(2), to: question, id: 0, sentEDNS: true, over: .tls)?.whole
                ?? .failure(.garbage, .tls)
        } catch {
            return .failure(error.failure(), .tls)
        }
    }

    private func askHTTPS(
        _ question: Question,
        url: String,
        _ address: IPAddress,
        _ manner: Manner
    ) async -> SourceAnswer {
        guard let https else {
            return .failure(.transport("DNS over HTTPS is not available"), .https)
        }
        let request = DNSOverHTTPSRequest(
            url: url,
            address: address,
            body: QueryEncoder.encode(question, id: 0, manner.paddedOptions),
            timeout: manner.timeout
        )
        do {
            let bytes = try await https(request)
            return .reading(bytes, to: question, id: 0, sentEDNS: true, over: .https)?.whole
                ?? .failure(.garbage, .https)
        } catch {
            return .failure(.transport("\(error)"), .https)
        }
    }
}

extension SourceClient.Manner {
    fileprivate var options: QueryEncoder.Options {
        .init(edns: self.edns, checkingDisabled: self.checkingDisabled)
    }

    fileprivate var paddedOptions: QueryEncoder.Options {
        .init(edns: true, checkingDisabled: self.checkingDisabled, isPadded: true)
    }
}

private func bracketed(_ host: String) -> String {
    host.contains(":") ? "[\(host)]" : host
}
