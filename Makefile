# `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BENCH ?= ../shared/bench
FUZZ_SECONDS ?= 60
ROUNDS ?= 5
PEERS ?= hikyaku,postfix-tuned
SWIFT_FOLDERS := Package.swift Sources Providers Tests

.PHONY: help run test fuzz sanitize build debug bench microbench failover format lint floors setup setup-test toolchain

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

toolchain:
	@command -v swift >/dev/null || { echo "A Swift toolchain (6.2 or newer) is needed: see https://www.swift.org/install/linux/" >&2; exit 1; }

setup: toolchain
	@.ci/install-packages run

setup-test: toolchain
	@.ci/install-packages test

build: setup ## build the release binary, .build/release/hikyaku
	swift build -c release --product hikyaku --static-swift-stdlib

debug: setup-test ## build everything for the tests
	swift build --build-tests

run: build ## install what is missing, build, and run the gateway on its default configuration
	@echo
	@echo 'Send your first mail:   .build/release/hikyaku send --config Config/hikyaku.yaml --to you@example.com'
	@echo 'See what became of it:  .build/release/hikyaku trace --config Config/hikyaku.yaml you@example.com'
	@echo 'In Django:              EMAIL_HOST = "127.0.0.1"; EMAIL_PORT = 2525'
	@echo
	@exec .build/release/hikyaku serve --config Config/hikyaku.yaml

test: debug ## install what is missing, build, and run all tests
	swift build --explicit-target-dependency-import-check error
	@# One after the other: hundreds at a time on two cores make each other late, which timeouts then call a failure.
	swift test --skip-build --no-parallel
	@# Each long enough to notice a harness that no longer compiles, and a bug that every input meets.
	Tests/Fuzz/run 5 -verbosity=0
	HIKYAKU_BIN="$$(swift build --show-bin-path)/hikyaku" Tests/Crash/run.py --rounds 24
	HIKYAKU_BIN="$$(swift build --show-bin-path)/hikyaku" python3 Tests/Durability/run.py
	HIKYAKU_BIN="$$(swift build --show-bin-path)/hikyaku" python3 Tests/Abuse/run.py
	HIKYAKU_BIN="$$(swift build --show-bin-path)/hikyaku" python3 Tests/TakeOver/run.py
	HIKYAKU_BIN="$$(swift build --show-bin-path)/hikyaku" python3 Tests/Doctor/run.py
	@if [ -e Tests/Django/run.py ]; then HIKYAKU_BIN="$$(swift build --show-bin-path)/hikyaku" python3 Tests/Django/run.py; fi

fuzz: toolchain ## fuzz DNS, both SMTP sessions and MIME, each for a while (FUZZ_SECONDS=600)
	@Tests/Fuzz/run $(FUZZ_SECONDS)

sanitize: setup-test ## run all tests under ThreadSanitizer and under AddressSanitizer
	Tests/Sanitizers/run thread
	Tests/Sanitizers/run address

# PEERS=hikyaku,floor,postfix-tuned shows beside them what the goals leave to any relay with its queue in SQLite.
bench: build ## compare with Postfix, side by side, and with the goals (BENCH=path says where the comparison lives; ROUNDS=5)
	@[ -x $(BENCH)/bench.py ] || { echo "There is no bench at $(BENCH); say where with BENCH=path" >&2; exit 1; }
	@rm -f .build/bench.jsonl
	HIKYAKU_BIN=$(CURDIR)/.build/release/hikyaku $(BENCH)/bench.py run --extra '$(CURDIR)/Tests/Benchmarks/*.peer' \
	  --peers $(PEERS) --parts limits,tp,lat --rounds $(ROUNDS) --secs 2 --out .build/bench.jsonl
	$(BENCH)/bench.py report .build/bench.jsonl
	@echo
	Tests/Benchmarks/ratios.py .build/bench.jsonl
	@case ,$(PEERS), in *,floor,*) echo; Tests/Benchmarks/ratios.py .build/bench.jsonl --peer floor ;; esac

microbench: setup ## micro-benchmarks of parser, content, store, DNS codec and chain (FILTER=store: those whose names begin so)
	HIKYAKU_MICROBENCH=1 swift package --scratch-path .build-microbench --disable-sandbox benchmark --no-progress $(if $(FILTER),--filter '$(FILTER).*')

failover: build ## scenarios of DNS, exchangers and providers in trouble (needs the failover lab: HIKYAKU_LAB=path)
	Tests/Failover/run-own
	Tests/Failover/latency
	Tests/Failover/chaos --rounds 3

format: ## format all Swift code
	swift format --in-place --recursive $(SWIFT_FOLDERS)

lint: ## check the format of all Swift code
	swift format lint --strict --recursive $(SWIFT_FOLDERS)

floors: ## check that no target depends on its own or a higher floor
	.ci/floors
