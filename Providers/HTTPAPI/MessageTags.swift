import FoundationEssentials
import MessageFormat

/// The tags that an application gives a message: `X-Gateway-Tag` and `X-Tag`, each once or more, and lists in `X-Tags`.
enum MessageTags {
    /// At most 10, each at most 255 characters, no two alike.
    static func tags(of header: HeaderSection) -> [String] {
        var tags = header.all("X-Gateway-Tag").map(\.text)
        for field in header.all("X-Tags") {
            tags += self.list(field.text)
        }
        tags += header.all("X-Tag").map(\.text)
        var seen: Set<String> = []
        let distinct = tags.map { String($0.prefix(255)) }.filter { !$0.isEmpty && seen.insert($0).inserted }
        return Array(distinct.prefix(10))
    }

    /// A JSON list of strings, or words separated by commas.
    private static func list(_ text: String) -> [String] {
        if let list = try? JSONDecoder().decode([String].self, from: Data(text.utf8.prefix(16_384))) {
            return list
        }
        return text.split(separator: ",").map { $0.trimmingCharacters() }
    }
}

extension Substring {
    fileprivate func trimmingCharacters() -> String {
        let front = self.drop { $0 == " " }
        return String(front.reversed().drop { $0 == " " }.reversed())
    }
}
