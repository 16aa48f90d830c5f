import NIOCore
import NIOSSL
import Synchronization

/// One connection of a `FakeExchanger`.
final class FakeExchangerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let state: FakeExchangerState
    private var buffer: [UInt8] = []
    private var isEncrypted: Bool
    private var isReadingContent = false
    private var searched = 0
    private var authSteps: Int?
    private var mail = ""
    private var recipients: [String] = []
    private var isMute = false
    private var answersGarbage = false
    private var replies = ""

    init(state: FakeExchangerState) {
        self.state = state
        self.isEncrypted = state.script.isImplicitTLS
    }

    func channelActive(context: ChannelHandlerContext) {
        self.state.record.withLock { $0.connections += 1 }
        self.answer(.greeting, self.state.script.greeting, context: context)
        self.flush(context: context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        self.state.record.withLock { $0.reads.append(String(buffer: bytes)) }
        if self.answersGarbage {
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: "this is no TLS\r\n")), promise: nil)
            return
        }
        self.buffer += bytes.readableBytesView
        while !self.isMute, self.isReadingContent ? self.readContent(context) : self.readCommand(context) {}
        self.flush(context: context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func readCommand(_ context: ChannelHandlerContext) -> Bool {
        guard let end = self.buffer.firstIndex(of: 0x0A) else {
            return false
        }
        let line = String(decoding: self.buffer[..<end].filter { $0 != 0x0D }, as: UTF8.self)
        self.buffer.removeFirst(end + 1)
        self.state.record.withLock { $0.commands.append(line) }
        self.obey(line, context: context)
        return true
    }

    private func obey(_ line: String, context: ChannelHandlerContext) {
        let script = self.state.script
        if let step = self.authSteps {
            self.continueAuth(step, context: context)
            return
        }
        let word = line.prefix(4).uppercased()
        if script.demandsTLS, !self.isEncrypted, ["MAIL", "RCPT", "DATA"].contains(word) {
            self.answer(nil, "530 5.7.0 Must issue a STARTTLS command first", context: context)
            return
        }
        switch word {
        case "EHLO": self.answer(.ehlo, self.offer(), context: context)
        case "HELO": self.answer(nil, "250 mx.example.test", context: context)
        case "STAR": self.startTLS(context: context)
        case "AUTH": self.continueAuth(0, context: context)
        case "MAIL":
            self.mail = line
            self.recipients = []
            self.answer(.mail, "250 2.1.0 ok", context: context)
        case "RCPT":
            let address = line.split(separator: "<").last?.split(separator: ">").first.map(String.init) ?? ""
            let reply = script.recipients[address] ?? "250 2.1.5 ok"
            if self.recipients.count >= script.maximumRecipients {
                self.answer(.rcpt, script.tooManyRecipients, context: context)
            } else {
                let said = self.answer(.rcpt, reply, context: context)
                self.recipients += said.hasPrefix("250") ? [line] : []
            }
        case "DATA":
            let reply = self.recipients.isEmpty ? "503 5.5.1 no recipients" : "354 go on"
            self.isReadingContent = self.answer(.data, reply, context: context).hasPrefix("354")
        case "RSET":
            self.recipients = []
            self.answer(.reset, "250 2.0.0 ok", context: context)
        case "QUIT":
            self.state.record.withLock { $0.quits += 1 }
            self.answer(nil, "221 2.0.0 bye", context: context)
            self.flush(context: context)
            context.close(promise: nil)
        default: self.answer(nil, "500 5.5.1 what?", context: context)
        }
    }

    private func offer() -> String {
        let script = self.state.script
        var words = ["mx.example.test"] + script.extensions
        words += script.offersStartTLS && !self.isEncrypted ? ["STARTTLS"] : []
        if !script.mechanisms.isEmpty, self.isEncrypted || script.offersAuthInClear {
            words.append("AUTH " + script.mechanisms.joined(separator: " "))
        }
        let lines = words.dropLast().map { "250-\($0)" } + words.suffix(1).map { "250 \($0)" }
        return lines.joined(separator: "\r\n")
    }

    private func continueAuth(_ step: Int, context: ChannelHandlerContext) {
        let replies = self.state.script.authReplies
        self.authSteps = step + 1 < replies.count ? step + 1 : nil
        self.answer(step == 0 ? .auth : nil, replies[step], context: context)
    }

    private func startTLS(context: ChannelHandlerContext) {
        guard self.answer(.startTLS, "220 2.0.0 go", context: context).hasPrefix("220") else {
            return
        }
        self.replies += self.state.script.injection
        self.flush(context: context)
        self.buffer = []
        guard !self.state.script.breaksHandshake else {
            self.answersGarbage = true
            return
        }
        self.isEncrypted = true
        do {
            let handler = try NIOSSLServerHandler(context: self.state.context())
            try context.pipeline.syncOperations.addHandler(handler, position: .first)
            let tap = try context.pipeline.syncOperations.handler(type: FakeExchangerTap.self)
            context.pipeline.syncOperations.removeHandler(tap, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    private func readContent(_ context: ChannelHandlerContext) -> Bool {
        let end: Int
        if self.buffer.starts(with: [0x2E, 0x0D, 0x0A]) {
            end = 0
        } else if let found = self.indexOfFinalDot() {
            end = found + 2
        } else {
            return false
        }
        let message = FakeExchanger.Message(
            mail: self.mail,
            recipients: self.recipients,
            raw: Array(self.buffer[..<end])
        )
        self.buffer.removeFirst(end + 3)
        self.isReadingContent = false
        self.state.record.withLock { $0.messages.append(message) }
        self.answer(.content, self.state.script.acceptance, context: context)
        self.recipients = []
        if self.state.script.closesAfterMessage {
            self.flush(context: context)
            context.close(promise: nil)
        }
        return true
    }

    /// Looks only where it has not looked before: large content must not keep the event loop from everybody else.
    private func indexOfFinalDot() -> Int? {
        let mark: [UInt8] = [0x0D, 0x0A, 0x2E, 0x0D, 0x0A]
        var start = self.searched
        while start + mark.count <= self.buffer.count {
            guard let dot = self.buffer[(start + 2)...].firstIndex(of: 0x2E), dot + 2 < self.buffer.count else {
                break
            }
            if self.buffer[dot - 2...dot + 2].elementsEqual(mark) {
                self.searched = 0
                return dot - 2
            }
            start = dot - 1
        }
        self.searched = max(0, self.buffer.count - mark.count)
        return nil
    }

    /// Answers as the script says for the stage; gives what was answered.
    @discardableResult
    private func answer(
        _ stage: FakeExchangerScript.Stage?,
        _ usual: String,
        context: ChannelHandlerContext
    ) -> String {
        guard let fault = stage.flatMap({ self.state.fault(at: $0) }) else {
            self.replies += usual + "\r\n"
            return usual
        }
        switch fault {
        case .reply(let text):
            self.replies += text + "\r\n"
            return text
        case .lastWord(let text):
            self.replies += text + "\r\n"
            self.flush(context: context)
            self.isMute = true
            context.close(promise: nil)
            return text
        case .drop:
            self.flush(context: context)
            self.isMute = true
            context.close(promise: nil)
        case .hang:
            self.isMute = true
        case .endlessReply:
            self.replies += String(repeating: "250-\(String(repeating: "x", count: 400))\r\n", count: 4_096)
            self.isMute = true
        case .garbage:
            self.replies += "\u{0}\u{1}\u{7F}\u{FFFD} GET / HTTP/1.1\r\n\r\n"
            self.isMute = true
        case .drip:
            self.isMute = true
            self.drip(context: context)
        case .endlessLine:
            self.replies += "250 " + String(repeating: "x", count: 1 << 20)
            self.isMute = true
        }
        return ""
    }

    private func drip(context: ChannelHandlerContext) {
        let channel = context.channel
        context.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(20)) { task in
            guard channel.isActive else {
                task.cancel()
                return
            }
            channel.writeAndFlush(ByteBuffer(string: "2"), promise: nil)
        }
    }

    private func flush(context: ChannelHandlerContext) {
        guard !self.replies.isEmpty else {
            return
        }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: self.replies)), promise: nil)
        self.replies = ""
    }
}
