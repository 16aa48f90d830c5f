import CCurl
import MailModel
import Synchronization

import struct NIOCore.ByteBuffer

/// One request on its way: its options, the body that is still to be sent, and what has come back.
///
/// `@unchecked Sendable`: made by one task, then touched by the thread of the loop alone; only the completion is shared,
/// behind a mutex.
final class Transfer: @unchecked Sendable {
    private typealias Completion = @Sendable (Result<HTTPResponse, HTTPFailure>) -> Void

    /// A transfer may be cancelled before anybody waits for it.
    private struct End {
        var result: Result<HTTPResponse, HTTPFailure>?
        var completion: Completion?
    }

    private let request: HTTPRequest
    private let target: URLTarget
    private let addresses: [IPAddress]
    private let configuration: CurlClient.Configuration
    private let end = Mutex(End())

    private(set) var handle: UnsafeMutableRawPointer?
    private var lists: [UnsafeMutablePointer<curl_slist>] = []
    private var upload: UploadBody
    /// A file of the body could not be read: the trouble is ours.
    private var isUnreadable = false
    /// libcurl wanted to send the body again, which the server may have had.
    private var wasRefusedRepetition = false
    private var response: IncomingResponse

    init(
        _ request: HTTPRequest,
        _ target: URLTarget,
        _ addresses: [IPAddress],
        _ configuration: CurlClient.Configuration
    ) {
        self.request = request
        self.target = target
        self.addresses = addresses
        self.configuration = configuration
        self.upload = UploadBody(request.body)
        self.response = IncomingResponse(limit: request.responseLimit)
    }

    /// Whether there is a result already, so that nothing is left to be done.
    var isOver: Bool {
        self.end.withLock { $0.result != nil }
    }

    func onCompletion(_ completion: @escaping @Sendable (Result<HTTPResponse, HTTPFailure>) -> Void) {
        let result = self.end.withLock { end in
            end.completion = end.result == nil ? completion : nil
            return end.result
        }
        if let result {
            completion(result)
        }
    }

    func fail(_ kind: HTTPFailure.Kind, _ description: String) {
        let failure = HTTPFailure(kind: kind, bodySent: self.mayBeObeyed, description: description)
        self.finish(.failure(failure))
    }

    /// The first result counts.
    private func finish(_ result: Result<HTTPResponse, HTTPFailure>) {
        let completion = self.end.withLock { end -> Completion? in
            guard end.result == nil else {
                return nil
            }
            end.result = result
            defer { end.completion = nil }
            return end.completion
        }
        completion?(result)
    }

    func cleanUp() {
        if let handle {
            curl_easy_cleanup(handle)
        }
        self.handle = nil
        self.upload.closeFile()
        self.lists.forEach { curl_slist_free_all($0) }
        self.lists = []
    }
}

// MARK: - Options

extension Transfer {
    /// Makes the easy handle; nil when libcurl cannot do what is wanted.
    func prepare() -> UnsafeMutableRawPointer? {
        guard let handle = curl_easy_init() else {
            return nil
        }
        self.handle = handle
        let isGood =
            self.setTarget(handle) && self.setPolicy(handle) && self.setBody(handle) && self.setCallbacks(handle)
        guard isGood else {
            self.cleanUp()
            return nil
        }
        return handle
    }

    private func setTarget(_ handle: UnsafeMutableRawPointer) -> Bool {
        var codes = [hikyaku_curl_set_text(handle, CURLOPT_URL, self.request.url)]
        if self.target.literal == nil {
            let addresses = self.addresses.map { $0.isIPv6 ? "[\($0)]" : "\($0)" }.joined(separator: ",")
            // Replaces what an earlier request said of the name. Without `+` it stays while this request lasts: were it to
            // grow old, a second try on a new connection would ask the system's resolver.
            codes.append(
                self.setList(handle, CURLOPT_RESOLVE, ["\(self.target.host):\(self.target.port):\(addresses)"])
            )
        }
        var headers = self.request.headers.map { "\($0.name): \($0.value)" }
        guard headers.allSatisfy({ !$0.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) }) else {
            return false
        }
        // No "100 Continue" round trip; an API that wants to refuse can do so after the body.
        headers.append("Expect:")
        codes.append(self.setList(handle, CURLOPT_HTTPHEADER, headers))
        codes.append(hikyaku_curl_set_text(handle, CURLOPT_USERAGENT, self.configuration.userAgent))
        return codes.allSatisfy { $0 == CURLE_OK }
    }

    private func setList(_ handle: UnsafeMutableRawPointer, _ option: CURLoption, _ lines: [String]) -> CURLcode {
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines {
            list = curl_slist_append(list, line) ?? list
        }
        if let list {
            self.lists.append(list)
        }
        return hikyaku_curl_set_list(handle, option, list)
    }

    /// HTTPS only, no redirects, no proxy, no cookies, bounded in time.
    private func setPolicy(_ handle: UnsafeMutableRawPointer) -> Bool {
        var codes = [
            hikyaku_curl_set_long(handle, CURLOPT_NOSIGNAL, 1),
            hikyaku_curl_set_protocols(handle, self.configuration.allowsClearText ? 1 : 0),
            hikyaku_curl_set_long(handle, CURLOPT_FOLLOWLOCATION, 0),
            hikyaku_curl_set_text(handle, CURLOPT_PROXY, ""),
            hikyaku_curl_set_long(handle, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS)),
            hikyaku_curl_set_long(handle, CURLOPT_PIPEWAIT, 1),
            hikyaku_curl_set_long(handle, CURLOPT_SSL_VERIFYPEER, 1),
            hikyaku_curl_set_long(handle, CURLOPT_SSL_VERIFYHOST, 2),
            hikyaku_curl_set_long(handle, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2)),
            hikyaku_curl_set_long(handle, CURLOPT_TCP_NODELAY, 1),
            hikyaku_curl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, self.request.connectTimeout.milliseconds),
            hikyaku_curl_set_long(handle, CURLOPT_TIMEOUT_MS, self.request.timeout.milliseconds),
        ]
        if let file = self.configuration.trustRootsFile {
            codes.append(hikyaku_curl_set_text(handle, CURLOPT_CAINFO, file))
        }
        return codes.allSatisfy { $0 == CURLE_OK }
    }

    private func setBody(_ handle: UnsafeMutableRawPointer) -> Bool {
        guard self.request.method == .post else {
            return hikyaku_curl_set_long(handle, CURLOPT_HTTPGET, 1) == CURLE_OK
        }
        let context = Unmanaged.passUnretained(self).toOpaque()
        let codes = [
            hikyaku_curl_set_long(handle, CURLOPT_POST, 1),
            hikyaku_curl_set_offset(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(self.upload.size)),
            hikyaku_curl_set_pointer(handle, CURLOPT_READDATA, context),
            hikyaku_curl_set_transfer(handle, CURLOPT_READFUNCTION) { bytes, size, count, context in
                guard let bytes, let context else {
                    return 0
                }
                let space = UnsafeMutableRawBufferPointer(start: bytes, count: size * count)
                let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
                return transfer.readBody(into: space)
            },
            hikyaku_curl_set_pointer(handle, CURLOPT_SEEKDATA, context),
            // A kept connection that proves dead makes libcurl send the body again from its beginning.
            hikyaku_curl_set_seek(handle) { context, offset, _ in
                guard let context, offset == 0 else {
                    return CURL_SEEKFUNC_CANTSEEK
                }
                return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().rewind()
            },
        ]
        return codes.allSatisfy { $0 == CURLE_OK } && (!self.request.isSentOnce || self.distrustOldConnections(handle))
    }

    /// Servers close idle connections after a minute or so; using one at that moment would be a doubt about the request.
    private func distrustOldConnections(_ handle: UnsafeMutableRawPointer) -> Bool {
        hikyaku_curl_set_long(handle, CURLOPT_MAXAGE_CONN, 20) == CURLE_OK
    }

    private func readBody(into space: UnsafeMutableRawBufferPointer) -> Int {
        guard let count = self.upload.read(into: space) else {
            self.isUnreadable = true
            return Int(CURL_READFUNC_ABORT)
        }
        return count
    }

    private func rewind() -> Int32 {
        guard !self.request.isSentOnce || !self.upload.mayBeSent else {
            self.wasRefusedRepetition = true
            return CURL_SEEKFUNC_FAIL
        }
        self.upload.rewind()
        return CURL_SEEKFUNC_OK
    }

    private func setCallbacks(_ handle: UnsafeMutableRawPointer) -> Bool {
        let context = Unmanaged.passUnretained(self).toOpaque()
        let codes = [
            hikyaku_curl_set_pointer(handle, CURLOPT_WRITEDATA, context),
            hikyaku_curl_set_transfer(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
                guard let bytes, let context else {
                    return 0
                }
                let octets = UnsafeRawBufferPointer(start: bytes, count: size * count)
                return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().response.receive(body: octets)
            },
            hikyaku_curl_set_pointer(handle, CURLOPT_HEADERDATA, context),
            hikyaku_curl_set_transfer(handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
                guard let bytes, let context else {
                    return 0
                }
                let octets = UnsafeRawBufferPointer(start: bytes, count: size * count)
                return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().response.receive(header: octets)
            },
        ]
        return codes.allSatisfy { $0 == CURLE_OK }
    }
}

// MARK: - What comes back

extension Transfer {
    /// Whether the server may act on the request: libcurl has all of the body, or the server has said yes before that.
    private var mayBeObeyed: Bool {
        self.upload.mayBeSent || self.response.isAccepted
    }

    /// Turns libcurl's word on the transfer into a response or a failure.
    func complete(_ code: CURLcode) {
        guard let handle else {
            return
        }
        let info = TransferInfo(handle)
        if code == CURLE_OK && self.response.status > 0 || self.response.isAnswered {
            self.finish(.success(self.response.ended(hasFailed: code != CURLE_OK, info)))
            return
        }
        let failure = HTTPFailure(
            kind: self.kind(of: code, isConnected: info.isConnected),
            bodySent: self.wasRefusedRepetition
                || self.mayBeObeyed && (self.response.isAccepted || info.sentBodySize >= self.upload.size),
            description: self.wasRefusedRepetition
                ? "the connection was lost before the response" : String(cString: curl_easy_strerror(code)),
            remoteAddress: info.remoteAddress,
            timings: info.timings
        )
        self.finish(.failure(failure))
    }

    private func kind(of code: CURLcode, isConnected: Bool) -> HTTPFailure.Kind {
        guard !self.isUnreadable else {
            return .unreadable
        }
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY:
            return .resolve
        case CURLE_COULDNT_CONNECT:
            return .connect
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
            CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR:
            return .tls
        case CURLE_OPERATION_TIMEDOUT:
            return isConnected ? .timeout : .connect
        case CURLE_WRITE_ERROR:
            return .responseTooLarge
        case CURLE_SEND_ERROR, CURLE_ABORTED_BY_CALLBACK, CURLE_READ_ERROR:
            return .send
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL:
            return .invalidRequest
        default:
            return .connectionLost
        }
    }
}

extension Duration {
    /// At least one, since libcurl reads zero as "for ever".
    fileprivate var milliseconds: Int {
        Int(clamping: max(1, self.wholeMilliseconds))
    }
}
