import MailModel
import Testing

@testable import DirectMX

@Suite("The memory of silent hosts")
struct ReachabilityTests {
    private let now = ContinuousClock.now
    private let host = IPAddress.v4(0xC000_0201)

    @Test("silence is remembered, longer each time, and one attempt tries when its time is over")
    func remembersSilence() {
        var memory = Reachability()
        #expect(memory.advice(on: self.host, at: self.now) == .usable)
        memory.wasSilent(self.host, for: "a.test", at: self.now)
        #expect(memory.advice(on: self.host, at: self.now + .seconds(29)) == .silent(ago: .seconds(29)))
        let later = self.now + .seconds(30)
        #expect(memory.advice(on: self.host, at: later) == .usable)
        #expect(memory.advice(on: self.host, at: later) == .silent(ago: .seconds(30)), "somebody tries already")
        memory.wasSilent(self.host, for: "a.test", at: later + .seconds(2))
        #expect(memory.advice(on: self.host, at: later + .seconds(61)) == .silent(ago: .seconds(59)))
        #expect(memory.advice(on: self.host, at: later + .seconds(62)) == .usable)
    }

    @Test("an answer wipes it out")
    func forgetsOnAnswer() {
        var memory = Reachability()
        memory.wasSilent(self.host, for: "a.test", at: self.now)
        memory.answered(self.host)
        #expect(memory.advice(on: self.host, at: self.now) == .usable)
        #expect(memory.count == 0)
    }

    @Test("attempts side by side that meet one silence count it once")
    func oneSilence() {
        var memory = Reachability()
        for _ in 0..<20 {
            memory.wasSilent(self.host, for: "a.test", at: self.now)
        }
        #expect(memory.advice(on: self.host, at: self.now + .seconds(30)) == .usable)
    }

    @Test("the memory is bounded")
    func bounded() {
        var memory = Reachability(policy: .init(capacity: 100))
        for number in 0..<1_000 {
            memory.wasSilent(.v4(UInt32(number)), for: "a.test", at: self.now)
        }
        #expect(memory.count == 100)
    }

    @Test("three domains in three networks, all silent over one family: the family counts as dead")
    func deadFamily() {
        var memory = Reachability()
        let hosts = (0..<3).map { IPAddress.v4(UInt32(0xC000_0000 + $0 << 16)) }
        for (number, host) in hosts.enumerated() {
            #expect(memory.advice(on: .v4(0x0A00_0001), at: self.now) == .usable)
            memory.wasSilent(host, for: "d\(number).test", at: self.now)
        }
        let advice = memory.advice(on: .v4(0x0A00_0001), at: self.now + .seconds(1))
        #expect(advice == .familyIsDead(since: .seconds(1), retryAfter: .seconds(29)))
        #expect(memory.advice(on: .v6(high: 0x2001 << 48, low: 1), at: self.now) == .usable, "the other family")
        let later = self.now + .seconds(30)
        #expect(memory.advice(on: .v4(0x0A00_0001), at: later) == .usable)
        memory.answered(.v4(0x0A00_0001))
        #expect(memory.advice(on: .v4(0x0A00_0002), at: later) == .usable)
    }

    @Test("many hosts of one domain, or of one network, say nothing of a family")
    func oneDomain() {
        var ofOneDomain = Reachability()
        var inOneNetwork = Reachability()
        for number in 0..<9 {
            ofOneDomain.wasSilent(.v4(UInt32(0xC000_0000 + number << 16)), for: "a.test", at: self.now)
            inOneNetwork.wasSilent(.v4(UInt32(0xC0AA_0000 + number)), for: "d\(number).test", at: self.now)
        }
        #expect(ofOneDomain.advice(on: .v4(0x0A00_0001), at: self.now) == .usable)
        #expect(inOneNetwork.advice(on: .v4(0x0A00_0001), at: self.now) == .usable)
    }

    @Test("silence that was met now and then over a long time does not add up to a dead family")
    func nowAndThen() {
        var memory = Reachability()
        for number in 0..<9 {
            let moment = self.now + .seconds(301 * number)
            memory.wasSilent(.v4(UInt32(0xC000_0000 + number << 16)), for: "d\(number).test", at: moment)
            #expect(memory.advice(on: .v4(0x0A00_0001), at: moment) == .usable, "after \(number)")
        }
    }
}
