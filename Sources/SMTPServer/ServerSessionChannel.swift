import NIOCore
import SMTPProtocol

/// The channel side: replies go out, reads are held back, and the connection ends.
extension ServerSessionHandler {
    var eventLoop: any EventLoop {
        guard let context = self.context else {
            preconditionFailure("a handler at work is in a pipeline")
        }
        return context.eventLoop
    }

    func flush() {
        guard self.output.readableBytes > 0, let context = self.context else {
            return
        }
        context.writeAndFlush(self.wrapOutboundOut(self.output), promise: nil)
        self.output.clear()
    }

    /// Sends what there is, then closes; octets of the client that are still on their way are dropped.
    ///
    /// A socket closed with unread octets resets the connection, and the client may lose the reply that says why. So
    /// `lingers` closes only our side at first, and reads the client's for two seconds; TLS cannot do that.
    func flushAndClose(lingers: Bool = false) {
        self.isClosing = true
        self.input.clear()
        guard let context = self.context else {
            return
        }
        let channel = context.channel
        let mayLinger = lingers && !self.session.isTLSActive && !self.inputClosed
        context.writeAndFlush(self.wrapOutboundOut(self.output)).whenComplete { _ in
            channel.close(mode: mayLinger ? .output : .all, promise: nil)
        }
        self.output.clear()
        guard mayLinger else {
            return
        }
        let cut = context.eventLoop.scheduleTask(in: .seconds(2)) {
            channel.close(promise: nil)
        }
        channel.closeFuture.whenComplete { _ in
            cut.cancel()
        }
        self.resumeReading()
    }

    /// After the client closed its side, the session lasts as long as an answer to it is under way.
    func closeIfFinished() {
        guard self.inputClosed, !self.isClosing, !self.session.isWaiting, !self.isDelaying else {
            return
        }
        self.flushAndClose()
    }

    func mustHoldReads(_ context: ChannelHandlerContext) -> Bool {
        let limits = self.shared.configuration.limits
        let isAhead = self.input.readableBytes > limits.inputAhead
        let isSpoolBehind = (self.collector?.pendingOctets ?? 0) > 4 * limits.memoryThreshold
        return !self.isClosing && (isAhead || isSpoolBehind || !context.channel.isWritable)
    }

    func resumeReading() {
        guard self.isReadHeld, let context = self.context, !self.mustHoldReads(context) else {
            return
        }
        self.isReadHeld = false
        context.read()
    }
}
