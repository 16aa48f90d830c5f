import Testing

@testable import Gateway

@Suite("The instants at which a test has the process die")
struct CrashPointTests {
    @Test("are none unless the environment names one")
    func unset() throws {
        #expect(try CrashTrigger([:]) == nil)
        #expect(try CrashTrigger(["HIKYAKU_CRASH_AT": ""]) == nil)
    }

    @Test("are known by their names, each with a count if wanted", arguments: CrashPoint.allCases)
    func named(_ point: CrashPoint) throws {
        #expect(try CrashTrigger(["HIKYAKU_CRASH_AT": point.rawValue])?.point == point)
        let third = try #require(try CrashTrigger(["HIKYAKU_CRASH_AT": "\(point.rawValue):3"]))
        // Twice is survived, and other instants do not count.
        third.reach(point)
        third.reach(point)
        CrashPoint.allCases.filter { $0 != point }.forEach(third.reach)
    }

    @Test(
        "stop the start when they are misspelled, with the names that exist",
        arguments: [
            "after-lunch", "after-outcome-commit:0", "after-outcome-commit:x", ":1", "after-outcome-commit:1:1",
        ]
    )
    func misspelled(_ text: String) {
        #expect {
            try CrashTrigger(["HIKYAKU_CRASH_AT": text])
        } throws: { error in
            "\(error)".contains("after-write-before-sync") && "\(error)".contains("\"\(text)\"")
        }
    }
}
