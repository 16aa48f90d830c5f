import Benchmark
import MailModel
import SMTPProtocol

import struct NIOCore.ByteBuffer

/// The server's side: command lines, content, and a whole dialogue.
func serverBenchmarks() {
    let lines = [
        "EHLO app.example.org", "MAIL FROM:<app@example.org> SIZE=4096 BODY=8BITMIME", "RCPT TO:<user@gmail.com>",
    ]
    for line in lines {
        let octets = Array(line.utf8)
        Benchmark("command parser: \(line.prefix(4))", configuration: quick()) { benchmark in
            for _ in benchmark.scaledIterations {
                blackHole(octets.withUnsafeBytes { octets in try? Command(parsing: octets) })
            }
        }
    }
    for (name, size) in [("4 KiB", 4_096), ("1 MiB", 1_048_576)] {
        let stuffed = stuffed(content(of: size))
        Benchmark("content reader: \(name)") { _ in
            var reader = ContentReader()
            var input = stuffed
            var output = ByteBuffer()
            blackHole(reader.readData(&input, into: &output))
            blackHole(output.readableBytes)
        }
    }
    let dialogue = dialogue(with: content(of: 4_096))
    Benchmark("server session: a dialogue with one message of 4 KiB") { benchmark in
        if !converse(dialogue) {
            benchmark.error("the message was not submitted")
        }
    }
}

/// Plays what a client sends at once, and takes its message; whether there was one.
private func converse(_ dialogue: ByteBuffer) -> Bool {
    let policy = SessionPolicy(hostname: "mail.example.org", qualifyDomain: "example.org", mayRelay: true)
    var session = ServerSession(policy: policy)
    var input = dialogue
    var content = ByteBuffer()
    var hasSubmitted = false
    while let action = session.next(&input, content: &content) {
        if action == .submit {
            hasSubmitted = true
            blackHole(session.submissionFinished(Reply(250, .init(2, 0, 0), "queued")))
            content.clear()
        } else {
            blackHole(action)
        }
    }
    return hasSubmitted
}

private func dialogue(with content: ByteBuffer) -> ByteBuffer {
    var octets = ByteBuffer(
        string: "EHLO app.example.org\r\nMAIL FROM:<app@example.org> SIZE=5000\r\nRCPT TO:<user@gmail.com>\r\nDATA\r\n"
    )
    octets.writeImmutableBuffer(stuffed(content))
    octets.writeString("QUIT\r\n")
    return octets
}

/// A message of about so many octets, in lines of 76, some of which begin with a dot.
func content(of size: Int) -> ByteBuffer {
    var octets = ByteBuffer(string: "From: app@example.org\r\nTo: user@gmail.com\r\nSubject: hello\r\n\r\n")
    var number = 0
    while octets.readableBytes < size {
        octets.writeString(number.isMultiple(of: 20) ? ".\(number)" : "\(number)")
        octets.writeRepeatingByte(UInt8(ascii: "x"), count: 68)
        octets.writeString("\r\n")
        number += 1
    }
    return octets
}

/// Content as it goes over the wire, with its final dot.
func stuffed(_ content: ByteBuffer) -> ByteBuffer {
    var encoder = DotStuffingEncoder()
    var output = ByteBuffer()
    encoder.write(content, to: &output)
    encoder.finish(to: &output)
    return output
}
