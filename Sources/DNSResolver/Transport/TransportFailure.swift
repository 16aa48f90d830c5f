import DNSProtocol
import NIOCore
import NIOPosix
import NIOSSL

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Why one exchange with one source brought no message.
enum TransportFailure: Error, Hashable, Sendable {
    case timeout
    /// ECONNREFUSED, by ICMP or by a reset: nobody listens there.
    case portClosed
    /// No route, no such family, no descriptor: the local system's word.
    case unreachable(String)
    /// A TCP peer closed before the whole answer was there.
    case connectionLost
    /// The server could not prove its name, or speaks no TLS.
    case handshake(String)
    /// More questions are under way than one server is asked at a time.
    case busy
    /// A DNS over HTTPS request failed; the text is safe for records.
    case https(String)

    /// The failure as one of the source; `reason` says why this transport was tried at all.
    func failure(because reason: String? = nil, over transport: String = "TCP") -> SourceFailure {
        guard let reason else {
            return self == .timeout ? .silence : .transport(self.text)
        }
        return .transport("\(reason), \(transport): \(self.text)")
    }

    /// The words for observations.
    var text: String {
        switch self {
        case .timeout: "no answer"
        case .portClosed: "port closed"
        case .connectionLost: "connection lost"
        case .busy: "too many questions at a time"
        case .unreachable(let text), .handshake(let text), .https(let text): text
        }
    }
}

extension EventLoopPromise<[UInt8]> {
    /// Waits for the answer that the promise is about; nobody waits any longer once the task is cancelled.
    func answer() async throws(TransportFailure) -> [UInt8] {
        do {
            return try await withTaskCancellationHandler {
                try await self.futureResult.get()
            } onCancel: {
                self.fail(TransportFailure.timeout)
            }
        } catch {
            throw TransportFailure(error)
        }
    }
}

extension TransportFailure {
    /// Translates what NIO and the system say.
    init(_ error: any Error) {
        switch error {
        case let failure as TransportFailure:
            self = failure
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            self = .portClosed
        case let error as IOError:
            self = .unreachable("unreachable (errno \(error.errnoCode))")
        case ChannelError.connectTimeout:
            self = .timeout
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            self = .handshake("the certificate is for another name")
        case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError:
            self = .handshake("TLS: \(Self.reason("\(error)"))")
        case let error as NIOConnectionError:
            self = error.connectionErrors.first.map { TransportFailure($0.error) } ?? .connectionLost
        default:
            self = .connectionLost
        }
    }

    /// The library's own word of its long story: `CERTIFICATE_VERIFY_FAILED`.
    private static func reason(_ text: String) -> Substring {
        let parts = text.split(separator: ":")
        guard let at = parts.firstIndex(of: "OPENSSL_internal"), at + 1 < parts.endIndex else {
            return text.prefix(80)
        }
        return parts[at + 1].prefix { $0 != " " }
    }
}
