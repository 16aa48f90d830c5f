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
