import CCurl

/// What libcurl knows of a transfer that has ended.
struct TransferInfo {
    private let handle: UnsafeMutableRawPointer

    init(_ handle: UnsafeMutableRawPointer) {
        self.handle = handle
    }

    /// Octets of the body that have left libcurl's own buffer.
    var sentBodySize: Int {
        Int(self.offset(CURLINFO_SIZE_UPLOAD_T))
    }

    /// Whether connection and TLS were made, so that the request could begin.
    var isConnected: Bool {
        self.time(CURLINFO_PRETRANSFER_TIME_T) > .zero
    }

    var remoteAddress: String? {
        var text: UnsafeMutablePointer<CChar>?
        var port = 0
        guard hikyaku_curl_get_text(self.handle, CURLINFO_PRIMARY_IP, &text) == CURLE_OK, let text, text.pointee != 0
        else {
            return nil
        }
        hikyaku_curl_get_long(self.handle, CURLINFO_PRIMARY_PORT, &port)
        let address = String(cString: text)
        return address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    var timings: HTTPTimings {
        HTTPTimings(
            resolve: self.time(CURLINFO_NAMELOOKUP_TIME_T),
            connect: self.time(CURLINFO_CONNECT_TIME_T),
            tls: self.time(CURLINFO_APPCONNECT_TIME_T),
            firstByte: self.time(CURLINFO_STARTTRANSFER_TIME_T),
            total: self.time(CURLINFO_TOTAL_TIME_T)
        )
    }

    var protocolVersion: String {
        var version = 0
        hikyaku_curl_get_long(self.handle, CURLINFO_HTTP_VERSION, &version)
        return version == Int(CURL_HTTP_VERSION_2_0) ? "HTTP/2" : "HTTP/1.1"
    }

    private func time(_ info: CURLINFO) -> Duration {
        .microseconds(self.offset(info))
    }

    private func offset(_ info: CURLINFO) -> Int64 {
        var value: curl_off_t = 0
        hikyaku_curl_get_offset(self.handle, info, &value)
        return Int64(value)
    }
}
