import MailModel
import NIOCore
import SMTPServer
import Testing

@Suite("The count of failed authentications")
struct AuthenticationLedgerTests {
    private static let guesser = IPAddress.v4(0xC000_0201)
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test("answers come later and later, then the address is left out")
    func slowsThenBlocks() {
        let ledger = AuthenticationLedger(limit: 8, duration: .seconds(600))
        let consequences = (0..<8).map { _ in ledger.noteFailure(of: Self.guesser, now: self.start) }
        #expect(consequences.map(\.delay) == [0, 0, 0, 1, 2, 4, 4, 4].map { TimeAmount.seconds($0) })
        #expect(consequences.map(\.blocks) == Array(repeating: false, count: 7) + [true])
        #expect(ledger.isBlocked(Self.guesser, now: self.start))
        #expect(!ledger.isBlocked(.v4(0xC000_0202), now: self.start))
    }

    @Test("after its time the address is as good as any, and one failure counts for one")
    func forgets() {
        let ledger = AuthenticationLedger(limit: 4, duration: .seconds(600))
        for _ in 0..<4 {
            _ = ledger.noteFailure(of: Self.guesser, now: self.start)
        }
        #expect(ledger.isBlocked(Self.guesser, now: self.start + .seconds(599)))
        #expect(!ledger.isBlocked(Self.guesser, now: self.start + .seconds(600)))
        let again = ledger.noteFailure(of: Self.guesser, now: self.start + .seconds(601))
        #expect(again.delay == .zero)
        #expect(!again.blocks)
    }

    @Test("IPv6 addresses of one /64 are one guesser")
    func countsNetworks() throws {
        let ledger = AuthenticationLedger(limit: 2, duration: .seconds(600))
        for text in ["2001:db8::1", "2001:db8::2"] {
            _ = ledger.noteFailure(of: try #require(IPAddress(text)), now: self.start)
        }
        #expect(ledger.isBlocked(try #require(IPAddress("2001:db8::ffff")), now: self.start))
        #expect(!ledger.isBlocked(try #require(IPAddress("2001:db8:0:1::1")), now: self.start))
    }

    @Test("remembers so many addresses and no more; the oldest gives way")
    func isBounded() {
        let ledger = AuthenticationLedger(limit: 1, duration: .seconds(600))
        for number in UInt32(0)...10_000 {
            _ = ledger.noteFailure(of: .v4(number), now: self.start + .nanoseconds(Int64(number)))
        }
        #expect(!ledger.isBlocked(.v4(0), now: self.start + .seconds(1)))
        #expect(ledger.isBlocked(.v4(1), now: self.start + .seconds(1)))
        #expect(ledger.isBlocked(.v4(10_000), now: self.start + .seconds(1)))
    }
}
