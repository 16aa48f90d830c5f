import Benchmark
import DNSProtocol

/// The DNS codec: a query as it is asked, an answer as it comes.
func nameBenchmarks() {
    guard let name = DomainName("gmail.com") else {
        return
    }
    let question = Question(.mx, name)
    Benchmark("DNS codec: encode a query", configuration: quick()) { benchmark in
        for _ in benchmark.scaledIterations {
            blackHole(QueryEncoder.encode(question, id: 4_711))
        }
    }
    let answer = answer(to: question)
    guard let message = try? MessageDecoder.decode(answer), message.answers.count == 5 else {
        return
    }
    Benchmark("DNS codec: decode five exchangers", configuration: quick()) { benchmark in
        for _ in benchmark.scaledIterations {
            blackHole(try? MessageDecoder.decode(answer))
        }
    }
    Benchmark("DNS codec: interpret five exchangers", configuration: quick()) { benchmark in
        for _ in benchmark.scaledIterations {
            blackHole(Interpretation(message, to: question, id: 4_711, sentEDNS: true))
        }
    }
}

/// Five MX records that point back to the name of the question, as name servers compress them.
private func answer(to question: Question) -> [UInt8] {
    var octets = QueryEncoder.encode(question, id: 4_711, .init(edns: false))
    octets[2] |= 0x80
    octets[3] = 0x80
    octets[7] = 5
    for preference: UInt8 in [5, 10, 20, 30, 40] {
        let host = Array("alt\(preference)".utf8)
        octets += [0xC0, 12, 0, 15, 0, 1, 0, 0, 1, 44, 0, UInt8(host.count + 5), 0, preference, UInt8(host.count)]
        octets += host + [0xC0, 12]
    }
    return octets
}
