import CIDN2
package import MailModel

/// The form of an internationalised domain that the DNS knows (RFC 5891 §4), as libidn2 makes it.
///
/// Upper case, full width and decomposed letters are mapped as UTS 46 says, in its non-transitional form, which keeps ß; a
/// label that IDNA 2008 forbids makes the domain unusable.
package enum DomainALabels {
    /// The domain with each non-ASCII label as `xn--...`; nil when it cannot be a domain.
    package static func ascii(_ domain: String) -> String? {
        guard domain.utf8.count <= 1024 else {
            return nil
        }
        if domain.utf8.allSatisfy({ $0 < 0x80 }) {
            return domain
        }
        guard !domain.utf8.contains(0) else {
            return nil
        }
        var lookupName: UnsafeMutablePointer<UInt8>?
        let flags = Int32(HIKYAKU_IDN2_NFC_INPUT | HIKYAKU_IDN2_NONTRANSITIONAL)
        let code = Array(domain.utf8 + [0]).withUnsafeBufferPointer {
            idn2_lookup_u8($0.baseAddress, &lookupName, flags)
        }
        guard code == HIKYAKU_IDN2_OK, let lookupName else {
            return nil
        }
        defer {
            idn2_free(lookupName)
        }
        // libidn2 bounds labels and name; one that maps to nothing at its edges leaves an empty label behind.
        let name = String(cString: lookupName)
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        return labels.contains(where: \.isEmpty) ? nil : name
    }
}

extension Mailbox {
    /// The same mailbox with its domain as A-labels; nil when the domain cannot be one.
    package var withALabels: Mailbox? {
        DomainALabels.ascii(self.domain.text).map { Mailbox(localPart: self.localPart, domain: MailDomain($0)) }
    }
}
