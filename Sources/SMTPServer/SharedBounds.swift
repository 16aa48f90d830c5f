/// The bounds that hold for all listeners of a gateway together.
package struct SharedBounds: Sendable {
    package let connections: ConnectionLedger
    package let memory: MemoryBudget
    package let guesses: AuthenticationLedger

    package init(
        connections: ConnectionLedger = ConnectionLedger(),
        memory: MemoryBudget = MemoryBudget(),
        guesses: AuthenticationLedger = AuthenticationLedger()
    ) {
        self.connections = connections
        self.memory = memory
        self.guesses = guesses
    }
}
