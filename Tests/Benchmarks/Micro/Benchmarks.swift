import Benchmark

/// What the benchmark package runs: the parts that every message passes, each by itself.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput],
        warmupIterations: 3,
        maxDuration: .seconds(2),
        maxIterations: .max
    )
    serverBenchmarks()
    clientBenchmarks()
    nameBenchmarks()
    chainBenchmarks()
    storeBenchmarks()
}

/// For what takes less than a microsecond or a few: a thousand times an iteration.
func quick() -> Benchmark.Configuration {
    .init(scalingFactor: .kilo)
}
