import HTTPTransport

import struct NIOCore.ByteBuffer

/// A body of type `multipart/form-data` (RFC 7578), whose values cannot break out of their parts.
struct MultipartForm {
    let boundary: String
    private(set) var pieces: [HTTPRequest.Piece] = []
    private var text = ByteBuffer()

    init(boundary: String) {
        self.boundary = boundary
    }

    var contentType: String {
        "multipart/form-data; boundary=\(self.boundary)"
    }

    /// Adds a field.
    ///
    /// Names are ours; a value may hold anything but the boundary, which is random.
    mutating func add(_ name: String, _ value: String) {
        self.text.writeString("--\(self.boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n")
        self.text.writeString("\(value)\r\n")
    }

    /// Adds a file part; its name in the form is fixed, so nothing of a message reaches a header of the form.
    mutating func addFile(_ name: String, filename: String, type: String, _ content: [HTTPRequest.Piece]) {
        self.text.writeString("--\(self.boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"; ")
        self.text.writeString("filename=\"\(filename)\"\r\nContent-Type: \(type)\r\n\r\n")
        self.pieces.append(.bytes(self.text))
        self.pieces += content
        self.text = ByteBuffer(string: "\r\n")
    }

    /// Ends the form and returns its body.
    consuming func finish() -> HTTPRequest.Body {
        self.text.writeString("--\(self.boundary)--\r\n")
        self.pieces.append(.bytes(self.text))
        return .pieces(self.pieces)
    }
}
