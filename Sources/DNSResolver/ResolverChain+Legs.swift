package import DNSProtocol
import MailModel
import NIOCore

/// How one server answered one question over one transport, for `hikyaku doctor`.
package struct LegReport: Hashable, Sendable {
    /// A way to put a question to a server.
    package enum Leg: String, Hashable, Sendable, CaseIterable {
        case plain = "UDP"
        case extended = "UDP with EDNS"
        case stream = "TCP"
    }

    package enum Result: Hashable, Sendable {
        case answer(ResponseCode, isTruncated: Bool)
        /// Silence, a closed port, garbage: in the words of observations.
        case failure(String)
    }

    /// The server, as in the list of sources.
    package var source: String
    package var leg: Leg
    package var result: Result

    package init(source: String, leg: Leg, result: Result) {
        self.source = source
        self.leg = leg
        self.result = result
    }
}

extension ResolverChain {
    /// Puts one question to every plain server over each transport by itself, with nothing tried instead.
    package func legs(_ name: String, _ type: RecordType) async -> [LegReport] {
        guard let domain = DomainName(name) else {
            return []
        }
        let servers = self.expandedSources().compactMap { source in source.plainServer.map { (source, $0) } }
        return await withTaskGroup(of: (Int, LegReport).self) { group in
            for (index, (source, server)) in servers.enumerated() {
                for (offset, leg) in LegReport.Leg.allCases.enumerated() {
                    group.addTask {
                        let result = await self.ask(Question(type, domain), server, over: leg)
                        let report = LegReport(source: source.description, leg: leg, result: result)
                        return (index * LegReport.Leg.allCases.count + offset, report)
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    /// Puts the same question many times at once to the first plain server of the system, which its neighbours share.
    ///
    /// Gives the server and each result with its count; nil when the system names no server.
    package func burst(_ name: String, count: Int) async -> (source: String, results: [LegReport.Result: Int])? {
        guard self.configuration.sources.contains(.system), let address = self.system.current().first,
            let domain = DomainName(name), let server = try? SocketAddress(ipAddress: "\(address)", port: 53)
        else {
            return nil
        }
        let results = await withTaskGroup(of: LegReport.Result.self) { group in
            for _ in 0..<max(0, count) {
                group.addTask { await self.ask(Question(.a, domain), server, over: .plain) }
            }
            return await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
        return (address.description, results)
    }

    private func ask(_ question: Question, _ server: SocketAddress, over leg: LegReport.Leg) async -> LegReport.Result {
        let id = UInt16.random(in: .min ... .max)
        let query = QueryEncoder.encode(question, id: id, .init(edns: leg == .extended))
        let timeout = self.configuration.sourceTimeout
        let bytes: [UInt8]
        do throws(TransportFailure) {
            switch leg {
            case .plain, .extended:
                let exchange = DatagramExchange(group: self.client.group, server: server)
                bytes = try await exchange.ask(query, timeout: timeout) {
                    Array($0.prefix(2)) == Array(query.prefix(2))
                }
            case .stream:
                bytes = try await StreamExchange(group: self.client.group, server: server).ask(query, timeout: timeout)
            }
        } catch {
            return .failure(error.text)
        }
        // What cannot be decoded is told as such.
        guard let message = try? MessageDecoder.decode(bytes), message.id == id else {
            return .failure("garbage")
        }
        return .answer(message.code, isTruncated: message.isTruncated)
    }
}

extension DNSSource {
    /// Where plain DNS is spoken; nil for what is encrypted.
    fileprivate var plainServer: SocketAddress? {
        guard case .server(let address, let port) = self else {
            return nil
        }
        // Any address and port make a socket address.
        return try? SocketAddress(ipAddress: "\(address)", port: port)
    }
}
