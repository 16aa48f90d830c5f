import Benchmark
import MailModel
import SMTPProtocol

import struct NIOCore.ByteBuffer

/// The client's side: content as it is sent, and replies as they come.
func clientBenchmarks() {
    for (name, size) in [("4 KiB", 4_096), ("1 MiB", 1_048_576)] {
        let plain = content(of: size)
        Benchmark("dot-stuffing encoder: \(name)") { _ in
            blackHole(stuffed(plain))
        }
    }
    let single = ByteBuffer(string: "250 2.1.5 OK e9e14a558f8ab-3c5 gsmtp\r\n")
    let many = ByteBuffer(
        string: "250-mx.google.com at your service, [203.0.113.9]\r\n250-SIZE 157286400\r\n250-8BITMIME\r\n"
            + "250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"
    )
    for (name, reply) in [("one line", single), ("EHLO, eight lines", many)] {
        Benchmark("client reply parser: \(name)", configuration: quick()) { benchmark in
            for _ in benchmark.scaledIterations {
                var parser = ReplyParser()
                var input = reply
                blackHole(try? parser.next(from: &input))
            }
        }
    }
}
