import Delivery
import Logging
import MailModel
import NIOCore
import NIOPosix
import SMTPClient
import SMTPProtocol
import Synchronization
import TestKit

/// What the tests of this target share: a client, a hop to a fake exchanger, and a count of `beforeCommit`.
struct ClientFixture {
    let client = SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test"))
    let commits = Counter()

    final class Counter: Sendable {
        private let count = Mutex(0)

        var value: Int {
            self.count.withLock { $0 }
        }

        func add() {
            self.count.withLock { $0 += 1 }
        }
    }

    func hop(to exchanger: FakeExchanger, tls: TLSPolicy = .none) -> NextHop {
        NextHop(
            host: "mx.example.test",
            port: exchanger.port,
            addresses: [.v4(0x7F00_0001)],
            tls: tls,
            heloName: "gateway.example"
        )
    }

    func deliver(
        to addresses: [String] = ["a@example.com"],
        over hop: NextHop,
        content: MessageContent = SampleMail.content(),
        requireTLS: Bool = false,
        within time: Duration = .seconds(60)
    ) async -> TransferReport {
        let mail = MailTransaction(
            reversePath: .mailbox(SampleMail.mailbox("noreply@app.example")),
            parameters: .init(requireTLS: requireTLS),
            forwardPaths: SampleMail.recipients(addresses).map(\.forwardPath),
            size: content.size,
            isEightBit: content.isEightBit
        )
        let commits = self.commits
        return await self.client.deliver(mail, content: content, over: hop, until: .now + time) {
            commits.add()
        }
    }
}

extension [RecipientResult] {
    var areAccepted: Bool {
        !self.isEmpty && self.allSatisfy(\.isAccepted)
    }
}
