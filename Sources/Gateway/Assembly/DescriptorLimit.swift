#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// How many files and sockets the process may have open, and how many of them clients get.
struct DescriptorLimit: Hashable, Sendable {
    /// The store, its readers, name servers, the control socket, loops.
    private static let household = 96

    /// Descriptors that may be open.
    let total: Int

    init(total: Int) {
        self.total = total
    }

    /// Raises the soft limit as far as the system lets us, and says what it is then.
    static func raised() -> DescriptorLimit {
        #if canImport(Glibc)
            let resource = __rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue))
        #else
            let resource = RLIMIT_NOFILE
        #endif
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else {
            return DescriptorLimit(total: 1_024)
        }
        var raised = limit
        raised.rlim_cur = limit.rlim_max
        if setrlimit(resource, &raised) == 0 {
            limit = raised
        }
        return DescriptorLimit(total: Int(clamping: limit.rlim_cur))
    }

    /// Connections of clients that leave enough for everything else; nil when there is not enough for that.
    ///
    /// A client can need two, for its large message is spooled to a file; an attempt needs two, for the next hop and for
    /// the content.
    func connections(_ wanted: Int, besides attempts: Int) -> Int? {
        let left = (self.total - Self.household - 2 * attempts) / 2
        return left > 0 ? min(wanted, left) : nil
    }
}
