import Delivery
import Gateway
import Testing

@Suite("What is printed of TLS results")
struct TLSResultReportTests {
    private let report = TLSResultReport([
        TLSResultCount(
            day: 20_782,
            result: TLSResult(domain: "example.com", policy: .tlsa, exchanger: "mx.example.com", kind: .success),
            count: 12
        ),
        TLSResultCount(
            day: 20_782,
            result: TLSResult(
                domain: "example.net",
                policy: .sts,
                kind: .stsPolicyFetchError,
                detail: "sta\u{1B}tus 404"
            ),
            count: 1
        ),
    ])

    @Test("is a table that a terminal can only show")
    func table() {
        #expect(
            self.report.table == """
                DAY         DOMAIN       POLICY  EXCHANGER       RESULT                  COUNT  DETAIL
                2026-11-25  example.com  tlsa    mx.example.com  success                    12  
                2026-11-25  example.net  sts     -               sts-policy-fetch-error      1  sta?tus 404
                """
        )
        #expect(TLSResultReport([]).table == "No connection has been counted.")
    }

    @Test("leaves successes out when only failures are wanted, and says the rest in JSON")
    func json() {
        #expect(self.report.failures.rows.count == 1)
        let text = MessageJSON.text(of: self.report.failures.rows)
        #expect(text.contains("\"result\" : \"sts-policy-fetch-error\""))
        #expect(text.contains("\"day\" : \"2026-11-25\""))
    }
}
