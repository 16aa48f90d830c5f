import MailModel
import PostfixQueue
import TestKit
import Testing

import struct NIOCore.ByteBuffer

@Suite("A Postfix queue file")
struct QueueFileTests {
    @Test("gives envelope, content and arrival")
    func sample() throws {
        let file = try QueueFile(parsing: QueueFileBuilder.sample().buffer, defaultDomain: "app.test")
        #expect(file.envelope.reversePath.description == "anna@app.test")
        #expect(file.envelope.forwardPaths.map(\.mailbox.description) == ["ben@shop.test"])
        #expect(file.arrivedAt.microseconds == 1_795_607_278_444_758)
        #expect(String(buffer: file.content) == "Subject: hello\r\n\r\n.a dot, and a line\r\n")
        #expect(file.clientName == "app")
        #expect(file.clientAddress == IPAddress("192.0.2.7"))
        #expect(!file.isEightBit && file.finishedRecipients == 0)
    }

    @Test("leaves out the recipients that Postfix has served, with what was said of them")
    func doneRecipients() throws {
        var builder = QueueFileBuilder.complete()
        builder.add("T", "1795607278 0")
        builder.add("S", "")
        builder.add("A", "notify_flags=1")
        builder.add("A", "dsn_orig_rcpt=rfc822;done@shop.test")
        builder.add("D", "done@shop.test")
        builder.add("A", "notify_flags=12")
        builder.add("A", "dsn_orig_rcpt=rfc822;a+b=c@shop.test")
        builder.add("O", "a+b=c@shop.test")
        builder.add("R", "a+b=c@shop.test")
        builder.add("R", "root")
        builder.add("M", "")
        builder.add("N", "")
        builder.add("X", "")
        builder.add("R", "a b\"c@shop.test")
        builder.add("E", "")
        let file = try QueueFile(parsing: builder.buffer, defaultDomain: "app.test")
        #expect(file.envelope.reversePath == .null)
        #expect(file.finishedRecipients == 1)
        let paths = file.envelope.forwardPaths
        #expect(
            paths.map(\.mailbox.description) == ["a+b=c@shop.test", "root@app.test", "\"a b\\\"c\"@shop.test"]
        )
        #expect(paths.first?.notify == [.failure, .delay])
        #expect(paths.first?.originalRecipient == "rfc822;a+2Bb+3Dc@shop.test")
        #expect(paths.dropFirst().allSatisfy { $0.notify == nil && $0.originalRecipient == nil })
    }

    @Test("keeps the ESMTP parameters, and joins the pieces of long lines")
    func parametersAndPieces() throws {
        var builder = QueueFileBuilder.complete(smtpUTF8Flags: 3)
        builder.add("T", "1795607278 9")
        builder.add("A", "envelope_id=QQ 1+1")
        builder.add("A", "ret_flags=2")
        builder.add("S", "größe@app.test")
        builder.add("A", "encoding=8bit")
        builder.add("A", "sasl_username=shop")
        builder.add("R", "ben@shop.test")
        builder.add("M", "")
        builder.add("L", [UInt8](repeating: 0xE9, count: 2_048))
        builder.add("N", "end")
        builder.add("L", "open")
        builder.add("X", "")
        builder.add("E", "")
        let file = try QueueFile(parsing: builder.buffer, defaultDomain: "app.test")
        #expect(file.envelope.parameters.envelopeID == "QQ+201+2B1")
        #expect(file.envelope.parameters.returnContent == .headers)
        #expect(file.envelope.parameters.body == .eightBitMIME)
        #expect(file.envelope.parameters.smtpUTF8 && file.isEightBit)
        #expect(file.user == "shop")
        #expect(file.content.readableBytes == 2_048 + 5 + 6)
        #expect(file.content.readableBytesView.suffix(11).elementsEqual("end\r\nopen\r\n".utf8))
    }

    @Test("is read along its pointers, as mail filters leave it")
    func pointers() throws {
        var builder = QueueFileBuilder.complete()
        builder.add("T", "1795607278 0")
        builder.add("S", "a@app.test")
        builder.add("R", "b@shop.test")
        builder.add("M", "")
        builder.add("N", "X-One: 1")
        // A header field was put in: its place holds a pointer to the end of the file, which points back.
        let hole = builder.bytes.count
        builder.add("p", padded(0))
        let back = builder.bytes.count
        builder.add("N", "X-Three: 3")
        builder.add("w", "deleted")
        builder.add("X", "")
        builder.add("p", padded(0))
        builder.add("E", "")
        let inserted = builder.bytes.count
        builder.add("N", "X-Two: 2")
        builder.add("p", padded(back))
        var bytes = builder.bytes
        bytes.replaceSubrange((hole + 2)..<(hole + 17), with: padded(inserted).utf8)
        let file = try QueueFile(parsing: ByteBuffer(bytes: bytes), defaultDomain: "app.test")
        #expect(String(buffer: file.content) == "X-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n")
    }

    struct Broken: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let damage: QueueFileDamage
        let bytes: [UInt8]

        init(_ description: String, _ damage: QueueFileDamage, _ build: (inout QueueFileBuilder) -> Void) {
            var builder = QueueFileBuilder.complete()
            build(&builder)
            self.testDescription = description
            self.damage = damage
            self.bytes = builder.bytes
        }
    }

    @Test(
        "that is damaged says why",
        arguments: [
            Broken("no end", .truncated) { $0.add("M", "") },
            Broken("no content", .missing("content")) { $0.add("E", "") },
            Broken("no sender", .missing("sender")) { builder in
                builder.add("M", "")
                builder.add("N", "x")
                builder.add("X", "")
                builder.add("E", "")
            },
            Broken("an address with a line feed", .badAddress("a\nb@c")) { $0.add("R", "a\nb@c") },
            Broken("an empty recipient", .badAddress("")) { $0.add("R", "") },
            Broken("a pointer beyond the end", .badPointer(at: 97)) { $0.add("p", "999999") },
            Broken("a pointer that is no number", .badPointer(at: 97)) { $0.add("p", "-4") },
            Broken("an envelope record in the content", .unexpectedRecord(type: 83, at: 99)) { builder in
                builder.add("M", "")
                builder.add("S", "x")
            },
            Broken("a line with a line feed", .unexpectedRecord(type: 78, at: 99)) { builder in
                builder.add("M", "")
                builder.add("N", "x\n.\n")
            },
        ]
    )
    func damaged(_ row: Broken) {
        #expect(throws: row.damage) {
            try QueueFile(parsing: ByteBuffer(bytes: row.bytes), defaultDomain: "app.test")
        }
    }

    @Test("that Postfix has not finished writing is told by its first record")
    func unfinished() {
        var builder = QueueFileBuilder()
        builder.add("C", [String](repeating: padded(0), count: 6).joined(separator: " "))
        #expect(throws: QueueFileDamage.notWrittenToItsEnd) {
            try QueueFile(parsing: builder.buffer, defaultDomain: "app.test")
        }
        #expect(throws: QueueFileDamage.notWrittenToItsEnd) {
            try QueueFile(
                parsing: ByteBuffer(string: String(repeating: "From: x\n", count: 40)),
                defaultDomain: "app.test"
            )
        }
    }

    @Test("that points at itself ends in an error soon")
    func circle() {
        var builder = QueueFileBuilder.complete()
        let start = builder.bytes.count
        builder.add("p", padded(start))
        #expect(throws: QueueFileDamage.badPointer(at: start)) {
            try QueueFile(parsing: builder.buffer, defaultDomain: "app.test")
        }
    }

    @Test("of any octets never traps, and cut anywhere it is no message")
    func hostile() {
        let whole = QueueFileBuilder.sample().bytes
        for length in 0..<whole.count {
            #expect(throws: QueueFileDamage.self) {
                try QueueFile(parsing: ByteBuffer(bytes: whole.prefix(length)), defaultDomain: "app.test")
            }
        }
        var generator = SeededGenerator(seed: 20_261_125)
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            _ = try? QueueFile(parsing: ByteBuffer(bytes: bytes), defaultDomain: "app.test")
        }
        for lengths in [[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0x80]] as [[UInt8]] {
            let bytes = QueueFileBuilder.complete().bytes + [0x4E] + lengths
            #expect(throws: QueueFileDamage.self) {
                try QueueFile(parsing: ByteBuffer(bytes: bytes), defaultDomain: "app.test")
            }
        }
    }

    @Test("has the name of a queue id", arguments: [("5D0C2FEE060", true), ("4jZHxB3Bngz2NKNH", true), ("..", false)])
    func names(_ name: String, _ isID: Bool) {
        #expect(QueueFile.isQueueID(name) == isID)
    }
}

private func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: " ", count: 15 - digits.count) + digits
}
