import MailModel
import Testing

@testable import Gateway

@Suite("The watch over lookups")
struct WatchCourseTests {
    private func at(_ second: Int64) -> Timestamp { Timestamp(seconds: 1_000 + second) }

    @Test("looks once when a source begins to fail, and again when another one does")
    func looks() {
        var course = WatchCourse(startedAt: self.at(0))
        #expect(course.observe([], at: self.at(1)) == .nothing)
        #expect(course.observe(["a"], at: self.at(2)) == .examine(beganAt: self.at(1)))
        #expect(course.observe(["a"], at: self.at(3)) == .nothing)
        #expect(course.observe(["a", "b"], at: self.at(4)) == .examine(beganAt: self.at(3)))
        #expect(course.failingSince == ["a": self.at(1), "b": self.at(3)])
    }

    @Test("a source that fails on and off is one trouble, which ends when all is calm for a while")
    func calms() {
        var course = WatchCourse(startedAt: self.at(0))
        #expect(course.observe(["a"], at: self.at(1)) == .examine(beganAt: self.at(0)))
        #expect(course.observe([], at: self.at(2)) == .nothing)
        #expect(course.observe(["a"], at: self.at(40)) == .nothing)
        #expect(course.observe([], at: self.at(50)) == .nothing)
        #expect(course.observe([], at: self.at(109)) == .nothing)
        #expect(course.observe([], at: self.at(110)) == .recovered(endedAt: self.at(50)))
        #expect(course.failingSince.isEmpty)
        #expect(course.observe([], at: self.at(200)) == .nothing)
        #expect(course.observe(["a"], at: self.at(201)) == .examine(beganAt: self.at(200)))
    }

    @Test("what was not seen at the first look is looked at once more")
    func looksAgain() {
        var course = WatchCourse(startedAt: self.at(0))
        #expect(course.observe(["a"], at: self.at(1)) == .examine(beganAt: self.at(0)))
        course.foundNothing(at: self.at(2))
        #expect(course.observe(["a"], at: self.at(31)) == .nothing)
        #expect(course.observe(["a"], at: self.at(32)) == .examine(beganAt: self.at(0)))
        #expect(course.observe(["a"], at: self.at(33)) == .nothing)
    }
}
