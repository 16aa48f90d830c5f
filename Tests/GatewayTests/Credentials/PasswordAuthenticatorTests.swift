import MailModel
import SMTPServer
import Synchronization
import TestKit
import Testing

@testable import Gateway

@Suite("Logins")
struct PasswordAuthenticatorTests {
    private static let home = IPAddress.v4(0xC000_0201)

    /// The least cost that there is, for speed.
    private func authenticator() throws -> PasswordAuthenticator {
        let hash = try PasswordHash(of: "secret", salt: Array(repeating: 7, count: 16), cost: 10)
        return try PasswordAuthenticator(users: ["app": hash])
    }

    @Test("what nobody wants to know any more is not looked at; what is remembered needs no look")
    func abandons() async throws {
        let authenticator = try self.authenticator()
        let login = { (password: String, isWanted: Bool) in
            await authenticator.authenticate(user: "app", password: password, from: Self.home) { isWanted }
        }
        #expect(await login("secret", false) == .abandoned)
        #expect(await login("wrong", true) == .refused)
        #expect(await login("secret", true) == .accepted)
        #expect(await login("secret", false) == .accepted)
        #expect(await login("wrong", false) == .abandoned)
    }

    @Test("so many wait and no more, of one customer half of them; who leaves makes room")
    func isBounded() async throws {
        let queue = HashingQueue()
        let neighbour = try #require(IPAddress("2001:db8::1"))
        let cousin = try #require(IPAddress("2001:db8::2"))
        for number in 0..<HashingQueue.networkLimit {
            #expect(await queue.turn([UInt8(number)], from: number % 2 == 0 ? neighbour : cousin) == .ours)
        }
        #expect(await queue.turn([200], from: cousin) == .full)
        for number in HashingQueue.networkLimit..<HashingQueue.limit {
            #expect(await queue.turn([UInt8(number)], from: Self.home) == .ours)
        }
        #expect(await queue.turn([201], from: .v4(1)) == .full)
        queue.end([0], from: neighbour, .refused)
        #expect(await queue.turn([202], from: cousin) == .ours)
        #expect(queue.count == HashingQueue.limit)
    }

    @Test("the same password of the same user is hashed once, and all hear what came of it")
    func hashesOnce() async throws {
        let queue = HashingQueue()
        #expect(await queue.turn([1], from: Self.home) == .ours)
        let turns = try await withThrowingTaskGroup(of: HashingQueue.Turn.self) { group in
            for _ in 0..<100 {
                group.addTask { await queue.turn([1], from: .v4(9)) }
            }
            try await eventually("all wait") { queue.companions == 100 }
            #expect(queue.count == 1)
            queue.end([1], from: Self.home, .accepted)
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(turns == Array(repeating: .theirs(.accepted), count: 100))
        #expect(queue.count == 0)
    }

    @Test("an application with many connections logs in on all of them at once")
    func takesABurst() async throws {
        let authenticator = try self.authenticator()
        let results = await withTaskGroup(of: AuthenticationResult.self) { group in
            for number in 0..<300 {
                group.addTask {
                    await authenticator.authenticate(user: "app", password: "secret", from: Self.home) {
                        // The first of them is gone by then.
                        number > 0
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.filter { $0 == .accepted }.count >= 299)
    }
}
