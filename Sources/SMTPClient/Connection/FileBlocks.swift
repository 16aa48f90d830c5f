import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Reads a file from its beginning, block by block, on NIO's threads for blocking work.
final class FileBlocks: Sendable {
    private let descriptor: CInt

    struct Unreadable: Error {
        /// There are too many open files, which is not the fault of this one.
        var isForWantOfDescriptors = false
    }

    private init(descriptor: CInt) {
        self.descriptor = descriptor
    }

    deinit {
        close(self.descriptor)
    }

    static func open(_ path: String) async throws -> FileBlocks {
        try await NIOThreadPool.singleton.runIfActive {
            let descriptor = openFile(path)
            guard descriptor >= 0 else {
                throw Unreadable(isForWantOfDescriptors: errno == EMFILE || errno == ENFILE)
            }
            return FileBlocks(descriptor: descriptor)
        }
    }

    /// The octets at an offset, as many as asked unless the file ends before.
    func read(_ count: Int, at offset: Int) async throws -> ByteBuffer {
        try await NIOThreadPool.singleton.runIfActive {
            var block = ByteBufferAllocator().buffer(capacity: count)
            while block.readableBytes < count {
                let wanted = count - block.readableBytes
                let position = off_t(offset + block.readableBytes)
                let got = block.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { bytes in
                    max(0, pread(self.descriptor, bytes.baseAddress, wanted, position))
                }
                if got == 0 {
                    break
                }
            }
            return block
        }
    }
}

private func openFile(_ path: String) -> CInt {
    open(path, O_RDONLY | O_CLOEXEC)
}
