import Testing

@testable import Gateway

@Suite("File descriptors and connections")
struct DescriptorLimitTests {
    @Test(
        "clients get what attempts, the store and name servers leave",
        arguments: [(1_048_576, 4_096), (8_688, 4_096), (8_686, 4_095), (1_024, 264), (500, 2), (496, nil), (64, nil)]
            as [(Int, Int?)]
    )
    func sharesDescriptors(total: Int, connections: Int?) {
        #expect(DescriptorLimit(total: total).connections(4_096, besides: 200) == connections)
    }

    @Test("the limit of this process is known")
    func raises() {
        #expect(DescriptorLimit.raised().total >= 64)
        #expect(DescriptorLimit.raised() == DescriptorLimit.raised())
    }
}
