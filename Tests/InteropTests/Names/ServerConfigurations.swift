/// What nsd is told: one port on loopback, everything in one folder, no control channel.
enum NSDConfiguration {
    /// Zones are pairs of a name and a file in the folder.
    static func text(port: Int, folder: String, zones: [(name: String, file: String)]) -> String {
        let zones = zones.map { "zone:\n  name: \($0.name)\n  zonefile: \($0.file)" }
        return """
            server:
              ip-address: 127.0.0.1@\(port)
              zonesdir: "\(folder)"
              database: ""
              username: ""
              chroot: ""
              pidfile: "\(folder)/nsd.pid"
              xfrdfile: "\(folder)/xfrd.state"
              zonelistfile: "\(folder)/zone.list"
              server-count: 1
            remote-control:
              control-enable: no
            \(zones.joined(separator: "\n"))
            """
    }
}

/// What unbound is told: to resolve what the tests own by asking one server on loopback, and nothing else.
enum UnboundConfiguration {
    /// Further lines of the server section; names of zones that the authority at a port serves.
    static func text(
        ports: [Int],
        folder: String,
        server: [String],
        zones: [String],
        authority: Int
    ) -> String {
        let interfaces = ports.map { "interface: 127.0.0.1@\($0)" }
        let stubs = zones.map { "stub-zone:\n  name: \($0)\n  stub-addr: 127.0.0.1@\(authority)" }
        return """
            server:
            \((interfaces + server).map { "  " + $0 }.joined(separator: "\n"))
              access-control: 127.0.0.0/8 allow
              do-daemonize: no
              do-not-query-localhost: no
              username: ""
              chroot: ""
              directory: "\(folder)"
              pidfile: "\(folder)/unbound.pid"
              use-syslog: no
              local-zone: "test." nodefault
            remote-control:
              control-enable: no
            \(stubs.joined(separator: "\n"))
            """
    }
}
