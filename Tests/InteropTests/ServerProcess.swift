import Foundation
import Synchronization

/// A real server in a folder of its own, on loopback, for as long as a test runs.
final class ServerProcess: Sendable {
    struct Missing: Error, CustomStringConvertible {
        var description: String
    }

    private let identifier: pid_t
    /// As waitpid(2) gives it, once there is one.
    private let endStatus = Mutex<Int32?>(nil)

    /// Starts a program that stays in the foreground; its output goes to `NAME.log` in the folder.
    ///
    /// Not by Foundation's `Process`, which misses the end of a child while another one holds what it inherited.
    init(_ name: String, _ arguments: [String], in folder: URL, log: String? = nil) throws {
        let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map { "\($0)/\(name)" }
        guard let path = places.first(where: FileManager.default.isExecutableFile) else {
            throw Missing(description: "\(name) is not installed: run `make test`, which installs what the tests need")
        }
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        let log = folder.appendingPathComponent("\(log ?? name).log").path
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // A group of its own, so that its children end with it.
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let words = ([path] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var identifier: pid_t = 0
        guard posix_spawn(&identifier, path, &actions, &attributes, words, environ) == 0 else {
            throw Missing(description: "\(path) cannot be started")
        }
        self.identifier = identifier
    }

    var isRunning: Bool {
        self.endStatus.withLock { endStatus in
            var status: Int32 = 0
            if endStatus == nil, waitpid(self.identifier, &status, WNOHANG) == self.identifier {
                endStatus = status
            }
            return endStatus == nil
        }
    }

    /// Waits for the end of a program that ends by itself within a minute; its exit status, or -1 if it was killed.
    func exitStatus() async throws -> Int32 {
        for _ in 0..<6_000 where self.isRunning {
            try await Task.sleep(for: .milliseconds(10))
        }
        await self.kill()
        let status = self.endStatus.withLock { $0 ?? SIGKILL }
        return status & 0x7F == 0 ? status >> 8 : -1
    }

    /// Ends it and its children the hard way, as a crash would, and waits for the end.
    func kill() async {
        guard self.isRunning else {
            return
        }
        Foundation.kill(-self.identifier, SIGKILL)
        while self.isRunning {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Runs a body with a new folder that is removed afterwards.
    static func withFolder<Result>(_ body: (URL) async throws -> Result) async throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hikyaku-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try await body(folder)
    }

    /// A port of loopback that is free for UDP and TCP at this moment.
    static func freePort() throws -> Int {
        for _ in 0..<50 {
            let stream = try BoundSocket(SOCK_STREAM, port: 0)
            if (try? BoundSocket(SOCK_DGRAM, port: stream.port)) != nil {
                return stream.port
            }
        }
        throw Missing(description: "no port is free for both UDP and TCP")
    }
}

/// A socket that holds a port of loopback for as long as it lives.
private final class BoundSocket {
    struct Taken: Error {}

    let port: Int
    private let descriptor: Int32

    init(_ kind: __socket_type, port: Int) throws {
        self.descriptor = socket(AF_INET, Int32(kind.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = self.descriptor
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        self.port = Int(UInt16(bigEndian: address.sin_port))
        guard isBound else {
            close(descriptor)
            throw Taken()
        }
    }

    deinit {
        close(self.descriptor)
    }
}
