# Postern's commands. `make` alone lists them.
GO      ?= go
BIN     := bin
TOOLS   := $(GO) tool -modfile=internal/tools/go.mod
PROGS   := postern postern-sandbox $(notdir $(wildcard cmd/postern-provider-*))

.DEFAULT_GOAL := help

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the programs into bin/
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -o $(BIN)/ $(addprefix ./cmd/,$(PROGS))

# MAIL counts where it is given to make: a shell's own names something else.
demo: ## Build and run everything with a sandbox, no account needed (KEEP=1 goes on where the last one with KEEP=1 stopped, MAIL=DIR shows your mail)
	@test -x $(BIN)/postern || echo "Building; the first time this takes a few minutes."
	@$(MAKE) --no-print-directory build
	@exec $(BIN)/postern demo $(if $(filter command,$(origin MAIL)),--mail "$(MAIL)")

test: ## Run all tests, with the race detector where it can (NO_SKIP=1 fails where one is skipped)
	@$(GO) run ./internal/testrun $(if $(NO_SKIP),-no-skip)

# YES, SKIP, ONLY and KEEP reach the program through the environment.
test-clients: build ## Drive real mail programs against a demo (YES=1 installs them without asking, SKIP=aerc,getmail leaves some out, ONLY=mbsync runs some)
	@$(GO) run ./internal/mailclients -bin $(BIN)

# SEED reaches the tests through the environment.
soak: ## Run the tests under faults and kills in full, with five fresh seeds, and those of UIDs and SEARCH with fifty kills and 10,000 messages (some 20 minutes; SOAK=1 with one in 4, SEED=N repeats one)
	SOAK=$(or $(SOAK),5) $(GO) test -count=1 -v -timeout 0 -run '^(TestFaults|TestKills|TestLedger|TestSearchEqualsScan)$$' ./internal/e2e/

fuzz: ## Run every fuzz target for FUZZTIME (5m; ONLY=REGEXP runs some)
	@$(GO) run ./internal/fuzzrun -time $(or $(FUZZTIME),5m) $(if $(ONLY),-only '$(ONLY)')

race: ## Run all tests with the race detector, or fail
	CGO_ENABLED=1 $(GO) test -race ./...

lint: ## Check formatting, vet and staticcheck
	@out=$$(gofmt -l bridge cmd graph internal plugins store); if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	cd internal/tools && $(GO) vet ./...
	$(TOOLS) staticcheck ./...

generate: ## Write generated files anew
	cd internal/tools && $(GO) run ./protogen -grpc -set -root ../.. plugins/sdk/provider/providerpb/provider.proto
	cd internal/tools && $(GO) run ./protogen -root ../.. store/record/recordpb/record.proto
	$(TOOLS) gqlgen generate

verify: ## Check that generated files are current
	@sh internal/tools/verify.sh $(MAKE)

fidelity: ## Hold the sandbox against what the providers document and answer
	$(GO) test -count=1 -v -run 'TestFidelity' ./internal/sandbox/fidelity/

bench: ## Measure every path against its reference (ONLY=outbox,hang measures some, RUNS=1 is quicker; outbox alone takes a minute or two, all twelve groups many; imap stands beside Dovecot where it is installed, MESSAGES=100000 is its large mailbox)
	@$(GO) run ./internal/bench $(if $(ONLY),-only $(ONLY)) $(if $(RUNS),-runs $(RUNS)) $(if $(MESSAGES),-messages $(MESSAGES))

.PHONY: help build demo test test-clients soak fuzz race lint generate verify fidelity bench
