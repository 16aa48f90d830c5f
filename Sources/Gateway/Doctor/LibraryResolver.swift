import DNSProtocol
import MailModel
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The resolver of the C library, which blocks: asked on a thread of its own, and not waited for longer than a while.
enum LibraryResolver {
    enum Answer<Record: Hashable & Sendable>: Hashable, Sendable {
        case found(Set<Record>)
        /// In the library's words.
        case failed(String)
    }

    private static let patience = TimeAmount.seconds(12)

    /// What getaddrinfo(3) finds.
    static func addresses(of name: String, on group: any EventLoopGroup) async -> Answer<IPAddress> {
        await self.inBackground(group) { self.getAddresses(name) }
    }

    /// What res_query(3) finds.
    static func exchangers(of domain: String, on group: any EventLoopGroup) async -> Answer<MailExchanger> {
        await self.inBackground(group) { self.queryExchangers(domain) }
    }

    /// Calls on a thread; one that does not come back in time keeps its thread and nothing else.
    private static func inBackground<Record>(
        _ group: any EventLoopGroup,
        _ call: @escaping @Sendable () -> Answer<Record>
    ) async -> Answer<Record> {
        let pool = NIOThreadPool(numberOfThreads: 1)
        pool.start()
        defer { pool.shutdownGracefully { _ in } }
        let promise = group.next().makePromise(of: Answer<Record>.self)
        pool.submit { _ in promise.succeed(call()) }
        let timer = promise.futureResult.eventLoop.scheduleTask(in: self.patience) {
            promise.succeed(.failed("no answer in \(self.patience.nanoseconds / 1_000_000_000) s"))
        }
        defer { timer.cancel() }
        // Never fails.
        return (try? await promise.futureResult.get()) ?? .failed("not asked")
    }

    private static func getAddresses(_ name: String) -> Answer<IPAddress> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var head: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &head)
        guard code == 0 else {
            return .failed(String(cString: gai_strerror(code)))
        }
        defer { freeaddrinfo(head) }
        var found: Set<IPAddress> = []
        var next = head
        while let info = next?.pointee {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            if getnameinfo(info.ai_addr, info.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 {
                // Without the zone of a link-local address.
                let bytes = text.prefix { $0 != 0 && $0 != 0x25 }.map { UInt8(bitPattern: $0) }
                if let address = IPAddress(String(decoding: bytes, as: UTF8.self)) {
                    found.insert(address)
                }
            }
            next = info.ai_next
        }
        return .found(found)
    }

    private typealias Query =
        @convention(c) (
            UnsafePointer<CChar>, Int32, Int32, UnsafeMutablePointer<UInt8>, Int32
        ) -> Int32

    /// Not in the headers that Swift sees: glibc exports it under one of two names, musl under the first.
    private static var query: Query? {
        let handle = dlopen(nil, RTLD_NOW)
        defer { _ = handle.map { dlclose($0) } }
        guard let symbol = dlsym(handle, "res_query") ?? dlsym(handle, "__res_query") else {
            return nil
        }
        // The signature is that of resolver(3).
        return unsafeBitCast(symbol, to: Query.self)
    }

    private static func queryExchangers(_ domain: String) -> Answer<MailExchanger> {
        guard let query, let name = DomainName(domain) else {
            return .failed("this C library has no res_query")
        }
        var answer = [UInt8](repeating: 0, count: 65_535)
        let length = query(domain, 1, Int32(RecordType.mx.rawValue), &answer, Int32(answer.count))
        guard length > 0 else {
            return .failed(String(cString: hstrerror(__h_errno_location().pointee)))
        }
        let bytes = Array(answer.prefix(Int(length)))
        // What the library took for an answer and we cannot read is garbage.
        guard let message = try? MessageDecoder.decode(bytes) else {
            return .failed("garbage")
        }
        let found = message.answers.compactMap { record -> MailExchanger? in
            guard case .mailExchanger(let preference, let host) = record.data else {
                return nil
            }
            return MailExchanger(preference: preference, host: host.key)
        }
        return found.isEmpty ? .failed("no MX in the answer to \(name)") : .found(Set(found))
    }
}
