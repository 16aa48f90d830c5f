/// Certificates for tests: nobody trusts their issuer unless a test names it as a trust root.
package enum TestCertificates {
    /// The issuer, for a file of additional trust roots.
    package static let authority = """
        -----BEGIN CERTIFICATE-----
        MIIBZjCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAaMRgwFgYDVQQDDA9IaWt5YWt1
        IHRlc3QgQ0EwIBcNMjQwMTAxMDAwMDAwWhgPMjEyNDAxMDEwMDAwMDBaMBoxGDAW
        BgNVBAMMD0hpa3lha3UgdGVzdCBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
        BNLGvQCKrX9sdCRw5Glw8btjs/zrYyd/EdgwmNPRnhXLdnpDLmQ66KemWtwPoXE8
        UhHEPdupq1rbA5E8h9ZIRSujQjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/
        BAQDAgEGMB0GA1UdDgQWBBS7iszC3YgL8CgNC2R4AD7aTFlFUTAKBggqhkjOPQQD
        AgNHADBEAiADraatktOPK3ZTt1nHSFDdyls1IbpRyaZ1FWq6U4YVbwIgXnyTol20
        CKhifhqbt+2aOJ5IgHyKGJ26rvuw8WbFSiM=
        -----END CERTIFICATE-----
        """

    /// For `mx.example.test`, `smtp.example.test` and `127.0.0.1`, valid from 2024 for a hundred years.
    package static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBqDCCAU+gAwIBAgIBAjAKBggqhkjOPQQDAjAaMRgwFgYDVQQDDA9IaWt5YWt1
        IHRlc3QgQ0EwIBcNMjQwMTAxMDAwMDAwWhgPMjEyNDAxMDEwMDAwMDBaMBoxGDAW
        BgNVBAMMD214LmV4YW1wbGUudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
        BMp5WpBzU3gLDnGHQhjqzNJ+DO2TlOxPTCUN9mAxa4QnIMcx/lBZk4rEjnhXceov
        4oTjiXD+YJdUo+HKXg5PcXWjgYMwgYAwCQYDVR0TBAIwADAzBgNVHREELDAqgg9t
        eC5leGFtcGxlLnRlc3SCEXNtdHAuZXhhbXBsZS50ZXN0hwR/AAABMB0GA1UdDgQW
        BBS8TG/tj039/a9/CK/OTIOtzhbHfTAfBgNVHSMEGDAWgBS7iszC3YgL8CgNC2R4
        AD7aTFlFUTAKBggqhkjOPQQDAgNHADBEAiBGCqaGAACdGn80D9+mvF5/sbDPJmjA
        66YCQGaWJKC6OgIgfYzmrOSgQJ6KFJICh6MeRaUN82f57WOqGKnDHxKKdkw=
        -----END CERTIFICATE-----
        """

    package static let privateKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnstMeU3jMThZVXdZ
        VN8eR2T1oVHbtct95VcLsXvY8VihRANCAATKeVqQc1N4Cw5xh0IY6szSfgztk5Ts
        T0wlDfZgMWuEJyDHMf5QWZOKxI54V3HqL+KE44lw/mCXVKPhyl4OT3F1
        -----END PRIVATE KEY-----
        """
}
