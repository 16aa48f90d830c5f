import struct NIOCore.ByteBuffer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The body of a request as it is read by libcurl, piece by piece; files are never held in memory.
struct UploadBody {
    let size: Int
    private let pieces: [HTTPRequest.Piece]
    private var index = 0
    private var offset = 0
    private var descriptor: Int32 = -1
    private var sent = 0

    init(_ body: HTTPRequest.Body) {
        switch body {
        case .none: self.pieces = []
        case .bytes(let buffer): self.pieces = [.bytes(buffer)]
        case .pieces(let pieces): self.pieces = pieces
        }
        self.size = self.pieces.reduce(0) { total, piece in
            switch piece {
            case .bytes(let buffer): total + buffer.readableBytes
            case .file(_, let size): total + size
            }
        }
    }

    /// Whether the server may have the whole request; from then on the outcome is unknown until it answers.
    var mayBeSent: Bool {
        self.size > 0 && self.sent >= self.size
    }

    /// Fills the space; 0 at the end, nil when a file cannot be read or has become shorter.
    mutating func read(into space: UnsafeMutableRawBufferPointer) -> Int? {
        while self.index < self.pieces.count {
            let count: Int
            let isOver: Bool
            switch self.pieces[self.index] {
            case .bytes(let buffer):
                let bytes = buffer.readableBytesView.dropFirst(self.offset).prefix(space.count)
                space.copyBytes(from: bytes)
                count = bytes.count
                isOver = self.offset + count == buffer.readableBytes
            case .file(let path, let size):
                guard let read = self.readFile(path, into: space, atMost: size - self.offset) else {
                    return nil
                }
                count = read
                isOver = self.offset + count == size
            }
            self.offset += count
            self.sent += count
            if isOver {
                self.nextPiece()
            }
            if count > 0 {
                return count
            }
        }
        return 0
    }

    mutating func rewind() {
        self.closeFile()
        self.index = 0
        self.offset = 0
        self.sent = 0
    }

    private mutating func nextPiece() {
        self.closeFile()
        self.index += 1
        self.offset = 0
    }

    private mutating func readFile(_ path: String, into space: UnsafeMutableRawBufferPointer, atMost: Int) -> Int? {
        guard atMost > 0 else {
            return 0
        }
        if self.descriptor < 0 {
            self.descriptor = open(path, O_RDONLY | O_CLOEXEC)
        }
        guard self.descriptor >= 0 else {
            return nil
        }
        let count = pread(self.descriptor, space.baseAddress, min(space.count, atMost), off_t(self.offset))
        return count > 0 ? count : nil
    }

    /// Called at the end of each file; one that is open when a transfer is given up is closed with it.
    mutating func closeFile() {
        if self.descriptor >= 0 {
            close(self.descriptor)
        }
        self.descriptor = -1
    }
}
