/// One thing that the doctor looks at: does the asking, and leaves the meaning to pure functions.
protocol DoctorCheck: Sendable {
    /// The first word of its lines.
    var name: String { get }

    /// Asks, and says what was found; ends by itself: every wait has a limit of its own, and nothing is asked after the
    /// deadline.
    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding]
}
