import NIOCore
import SMTPProtocol

/// The channel side: replies go out, reads are held back, and the connection ends.
extension ServerSessionHandler {
    /// Writes what there is.
    ///
    /// A write can tell of writability at once, and so lead back here: what is added then is in the other buffer.
    func flush() {
        guard self.output.readableBytes > 0, let context = self.context else {
            return
        }
        var written = self.output
        self.output = self.spareOutput
        self.spareOutput = ByteBuffer()
        context.writeAndFlush(self.wrapOutboundOut(written), promise: nil)
        written.clear()
        self.spareOutput = written
    }

    /// After an answer that the client had to wait for.
    func goOn() {
        self.process()
        self.flush()
        self.closeIfFinished()
    }

    /// Whoever pipelines without end waits for the other connections now and then.
    ///
    /// A loop does all that is due before it looks at its sockets again, so that the wait must be longer than what all
    /// who wait like this do in their turns.
    func yieldToOthers() {
        self.isYielding = true
        let connections = self.shared.bounds.connections
        let waiting = connections.noteYielding(1)
        let turn = self.turnBegan.map { NIODeadline.now() - $0 } ?? .zero
        let handler = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.eventLoop.scheduleTask(in: min(.seconds(1), .milliseconds(1) + turn * (2 * waiting))) {
            let handler = handler.value
            connections.noteYielding(-1)
            handler.isYielding = false
            handler.turnBegan = .now()
            handler.goOn()
            handler.turnBegan = nil
        }
    }

    /// Ends the session for a reason outside of the dialogue.
    func cut(_ reason: SessionCut) {
        if let action = self.session.cut(reason) {
            self.run(action)
        }
    }

    /// Sends what there is, then closes; octets of the client that are still on their way are dropped.
    ///
    /// A socket closed with unread octets resets the connection, and the client may lose the reply that says why. So
    /// `lingers` closes only our side at first, and reads the client's for two seconds; TLS cannot do that.
    func flushAndClose(lingers: Bool = false) {
        self.isClosing = true
        self.input = ByteBuffer()
        self.settle()
        guard let context = self.context else {
            return
        }
        let channel = context.channel
        let mayLinger = lingers && !self.session.isTLSActive && !self.inputClosed
        context.writeAndFlush(self.wrapOutboundOut(self.output)).whenComplete { _ in
            channel.close(mode: mayLinger ? .output : .all, promise: nil)
        }
        self.output = ByteBuffer()
        guard channel.isActive else {
            return
        }
        // A client that does not read would hold the close back for ever.
        self.armTimer(in: .seconds(mayLinger ? 2 : 10))
        if mayLinger {
            self.resumeReading()
        }
    }

    /// After the client closed its side, the session lasts as long as an answer to it is under way.
    func closeIfFinished() {
        guard self.inputClosed, !self.isClosing, !self.session.isWaiting, !self.isDelaying,
            !self.isYielding
        else {
            return
        }
        self.flushAndClose()
    }

    func mustHoldReads(_ context: ChannelHandlerContext) -> Bool {
        let limits = self.shared.configuration.limits
        let isTight = self.shared.bounds.memory.isTight
        let isAhead = self.input.readableBytes > (isTight ? MemoryBudget.grain : limits.inputAhead)
        let isSpoolBehind = (self.collector?.pendingOctets ?? 0) > (isTight ? 0 : 4 * limits.memoryThreshold)
        return !self.isClosing && (self.isYielding || isAhead || isSpoolBehind || !context.channel.isWritable)
    }

    func resumeReading() {
        guard self.isReadHeld, let context = self.context, !self.mustHoldReads(context) else {
            return
        }
        self.isReadHeld = false
        context.read()
    }
}
