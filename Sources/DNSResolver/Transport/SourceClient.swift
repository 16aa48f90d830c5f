import DNSProtocol
import MailModel
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

let connectionRefused = ECONNREFUSED

/// Asks one source one question: UDP with EDNS, without EDNS where that is not understood, TCP where it does not fit.
struct SourceClient: Sendable {
    /// What a source said, and how it was brought to say it.
    struct Answer: Sendable {
        var interpretation: Interpretation
        /// The message as received; nil when there was none.
        var bytes: [UInt8]?
        var message: DNSMessage?
        /// The source says that it validated the answer; worth something only where it is trusted.
        var isAuthenticated = false
        /// Where the aliases of the answer end; nil where there were none.
        var canonicalName: DomainName?
        /// `udp`, `tcp` or `https`.
        var transport: String
        var elapsed: Duration
        /// The source answered only without EDNS.
        var withoutEDNS = false
    }

    let group: any EventLoopGroup
    let https: DNSOverHTTPSTransport?

    /// Asks a server or an HTTPS source; never throws, since not answering is an answer to be recorded.
    func ask(_ question: Question, of source: DNSSource, edns: Bool, timeout: Duration) async -> Answer {
        let clock = ContinuousClock()
        let start = clock.now
        var answer: Answer
        switch source {
        case .system:
            preconditionFailure("the system source is expanded to its servers before it is asked")
        case .server(let address, let port):
            answer = await self.askServer(question, address, port, edns: edns, timeout: timeout)
        case .https(let host, let address, let port, let path):
            let authority = port == 443 ? bracketed(host) : "\(bracketed(host)):\(port)"
            let url = "https://\(authority)\(path)"
            answer = await self.askHTTPS(question, url: url, address, timeout: timeout)
        }
        answer.elapsed = clock.now - start
        return answer
    }

    private func askServer(
        _ question: Question,
        _ address: IPAddress,
        _ port: Int,
        edns: Bool,
        timeout: Duration
    ) async -> Answer {
        guard let server = try? SocketAddress(ipAddress: "\(address)", port: port) else {
            return .failure("unusable address")
        }
        let exchange = DatagramExchange(group: self.group, server: server)
        // A server that drops queries with EDNS gets the second half of the time to answer one without.
        let first = await self.askDatagram(question, exchange, edns: edns, timeout: edns ? timeout / 2 : timeout)
        var answer = first
        if edns, first.interpretation == .rejectsEDNS || first.interpretation == .failed("no answer") {
            answer = await self.askDatagram(question, exchange, edns: false, timeout: timeout / 2)
            answer.withoutEDNS = answer.interpretation.isUsable
        }
        let reason = answer.interpretation
        guard reason == .truncated || reason == .otherCase else {
            return answer
        }
        let stream = StreamExchange(group: self.group, server: server)
        let usesEDNS = edns && !answer.withoutEDNS
        return await self.askStream(question, stream, because: reason.summary, edns: usesEDNS, timeout: timeout)
    }

    private func askDatagram(
        _ question: Question,
        _ exchange: DatagramExchange,
        edns: Bool,
        timeout: Duration
    ) async -> Answer {
        let id = UInt16.random(in: .min ... .max)
        let name = QueryEncoder.mixCase(question.name, chance: .random(in: .min ... .max))
        let asked = Question(question.type, name)
        do {
            let bytes = try await exchange.ask(
                QueryEncoder.encode(asked, id: id, edns: edns),
                timeout: timeout,
                accepts: { Answer.reading($0, to: asked, id: id, sentEDNS: edns, over: "udp") != nil }
            )
            return Answer.reading(bytes, to: asked, id: id, sentEDNS: edns, over: "udp") ?? .failure("garbage")
        } catch {
            return .failure(error.summary(after: timeout))
        }
    }

    private func askStream(
        _ question: Question,
        _ exchange: StreamExchange,
        because reason: String,
        edns: Bool,
        timeout: Duration
    ) async -> Answer {
        let id = UInt16.random(in: .min ... .max)
        do {
            let query = QueryEncoder.encode(question, id: id, edns: edns)
            let bytes = try await exchange.ask(query, timeout: timeout)
            let answer = Answer.reading(bytes, to: question, id: id, sentEDNS: edns, over: "tcp")
            guard let answer, answer.interpretation != .truncated else {
                return .failure("garbage over TCP", transport: "tcp")
            }
            return answer
        } catch {
            return .failure("\(reason), TCP: \(error.summary(after: timeout))", transport: "tcp")
        }
    }

    private func askHTTPS(_ question: Question, url: String, _ address: IPAddress, timeout: Duration) async -> Answer {
        guard let https else {
            return .failure("DNS over HTTPS is not available", transport: "https")
        }
        let request = DNSOverHTTPSRequest(
            url: url,
            address: address,
            body: QueryEncoder.encode(question, id: 0, edns: true),
            timeout: timeout
        )
        do {
            let bytes = try await https(request)
            return Answer.reading(bytes, to: question, id: 0, sentEDNS: true, over: "https")
                ?? .failure("garbage", transport: "https")
        } catch {
            return .failure("\(error)", transport: "https")
        }
    }
}

extension SourceClient.Answer {
    static func failure(_ text: String, transport: String = "udp") -> Self {
        Self(interpretation: .failed(text), bytes: nil, message: nil, transport: transport, elapsed: .zero)
    }

    /// Decodes an answer; nil when it does not answer this question.
    ///
    /// Octets that cannot be decoded but begin with our identifier are the source's own garbage; others may be forged.
    static func reading(
        _ bytes: [UInt8],
        to question: Question,
        id: UInt16,
        sentEDNS: Bool,
        over transport: String
    ) -> Self? {
        do {
            let message = try MessageDecoder.decode(bytes)
            // Only UDP can be forged from afar, so that only there the case matters.
            let asked = transport == "udp" ? question : message.question(equalTo: question)
            guard let interpretation = Interpretation(message, to: asked, id: id, sentEDNS: sentEDNS) else {
                return nil
            }
            return Self(
                interpretation: interpretation,
                bytes: bytes,
                message: message,
                isAuthenticated: message.isAuthenticated,
                canonicalName: Interpretation.canonicalName(of: question.name, in: message),
                transport: transport,
                elapsed: .zero
            )
        } catch {
            let isOurs = bytes.count >= 2 && UInt16(bytes[0]) << 8 | UInt16(bytes[1]) == id
            return isOurs || transport != "udp" ? .failure("garbage", transport: transport) : nil
        }
    }
}

private func bracketed(_ host: String) -> String {
    host.contains(":") ? "[\(host)]" : host
}
